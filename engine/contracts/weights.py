"""Records about weights on this machine: which architecture a file holds, and what there is to start from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from engine.contracts.base import Record
from engine.contracts.models import Library

LISTED = 50
"""How many tensors are listed by name; the totals count all."""


class WeightsFit(Record):
    """What a weights file is, and how its tensors fill that architecture's backbone (without classifier).

    ``share`` is the share of the backbone's numbers that is filled, 0 to 1; ``fitted`` of ``tensors`` are
    filled whole. ``missing`` are names of the backbone that the file lacks, ``wrong_shape`` those it has in
    another shape, ``left_over`` names of the file that nothing uses; the first 50 of each. ``prefix`` stands
    before the backbone's names in the file. ``classes`` are the outputs of the classifier in the file, which
    is left out and counts nowhere; None when it has none. ``alternatives`` have the very same tensors, so
    shapes cannot tell them apart.
    """

    architecture: str
    library: Library
    model_args: dict[str, Any]
    share: float
    tensors: int
    fitted: int
    missing: tuple[str, ...] = ()
    missing_total: int = 0
    left_over: tuple[str, ...] = ()
    left_over_total: int = 0
    wrong_shape: tuple[str, ...] = ()
    wrong_shape_total: int = 0
    prefix: str = ""
    classes: int | None = None
    alternatives: tuple[str, ...] = ()
    sentence: str
    notes: tuple[str, ...] = ()


class HubAnswer(Record):
    """What is known of the hub: ``offline`` by setting; ``asking`` while a look at it is under way.

    ``problem`` is a sentence when it did not answer lately, else "".
    """

    offline: bool
    asking: bool
    problem: str = ""


class WeightsItem(Record):
    """Weights on this machine.

    ``start`` is what the setting ``weights`` takes to start from them, with the setting ``backbone``.
    ``used_by`` are the runs that did, newest first. ``input_size`` in px, ``mean`` and ``std`` on the 0 to 1
    scale, where they are known; ``sha256`` is of the tensors' file.
    """

    id: str
    source: Literal["bundled", "imported", "cache"]
    title: str
    backbone: str
    library: Library = "timm"
    start: str
    bytes: int
    licence: str = ""
    origin: str = ""
    sha256: str = ""
    model_args: dict[str, Any] = Field(default_factory=dict)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    input_size: int | None = None
    added_at: datetime | None = None
    used_by: tuple[str, ...] = ()
    removable: bool = True
    fit: WeightsFit | None = None
