"""Records about backbones, weights and this machine."""

from __future__ import annotations

from typing import Literal

from engine.contracts.base import Record

Library = Literal["timm", "smp", "torchvision"]
"""Whose architecture it is: timm, segmentation-models-pytorch's own encoders, or torchvision."""


class WeightsInfo(Record):
    """The published weights of a backbone; ``bytes`` is the download size.

    ``name`` is a repository of the hub (at ``revision``, "" for its newest) or an address ("url").
    ``cached`` tells whether they are on this machine at the moment of asking.
    """

    source: Literal["hub", "url", "none"]
    name: str = ""
    revision: str = ""
    licence: str = ""
    bytes: int | None = None
    cached: bool = False


class ModelInfo(Record):
    """A backbone in the catalog; ``input_size`` in px, ``multiply_adds`` of one image at that size.

    ``parameters`` and ``multiply_adds`` are None outside the short list: to count them, a network has to be
    built, which takes minutes for all of timm's. ``images_per_second`` is the speed of training the whole
    network that was measured on this machine, at ``measured_size`` px; None until a run has measured it.
    """

    name: str
    library: Library = "timm"
    family: str
    parameters: int | None
    input_size: int
    multiply_adds: int | None = None
    weights: WeightsInfo
    recommended: str = ""
    images_per_second: float | None = None
    measured_size: int | None = None


WeightsSource = Literal["file", "run", "cache", "hub", "bundled", "random"]
"""A file of the person's own, a run of theirs, a cache, a hub, weights that Lensmith ships, or none."""


class WeightsPlan(Record):
    """Which weights a run would start from, said before it starts; ``bytes`` of the file or download.

    ``name`` finds them again: a path, ``weights:<id>``, ``run:<id>``, a repository, or the bundled name.
    """

    source: WeightsSource
    name: str
    sentence: str
    licence: str = ""
    bytes: int | None = None


class DeviceInfo(Record):
    """A device that can train; ``memory`` in bytes, None where it cannot be told."""

    name: str
    title: str
    memory: int | None = None


class Machine(Record):
    """What ``lensmith doctor`` and Settings tell; sizes in bytes."""

    python: str
    torch: str
    devices: tuple[DeviceInfo, ...]
    cores: int
    memory: int
    disk_free: int
    home: str
    weights: tuple[str, ...] = ()
    browser: str = ""
    worker: str = ""
    problems: tuple[str, ...] = ()
