"""The contract of a task: what a task folder must provide, and nothing else names it.

``spec.py`` of a task builds a ``TaskSpec`` without importing torch. ``learner`` and ``report`` in it
are dotted names (``package.module:Class``) that only a child process loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from engine.contracts.datasets import LabelKind
from engine.contracts.models import Library
from engine.contracts.training import TrainingConfig

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MetricSpec:
    """A metric's published name, what a person reads, and which way is better."""

    name: str
    title: str
    higher_is_better: bool = True
    unit: str = "share"


@dataclass(frozen=True)
class TaskSpec:
    """One task. ``metrics[0]`` is the headline; ``monitor`` picks the best checkpoint.

    ``labels`` says for people what is learnt, ``label_kind`` which dataset formats can bring it.
    ``libraries`` are those whose backbones it can build. Without a ``learner`` its sets can be taken in,
    looked at, versioned and exported, and training says that it is not there yet.
    """

    name: str
    title: str
    labels: str
    label_kind: LabelKind
    config: type[TrainingConfig] = TrainingConfig
    metrics: tuple[MetricSpec, ...] = ()
    monitor: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    learner: str = ""
    report: str = ""
    minimum_classes: int = 2
    libraries: tuple[Library, ...] = ("timm",)

    @property
    def trains(self) -> bool:
        """Whether a model can be trained for it."""
        return bool(self.learner)


@dataclass(frozen=True)
class Sample:
    """One image of a frozen version as a learner gets it; ``target`` is the task's own."""

    image_id: str
    sha256: str
    path: str
    target: Any


@dataclass(frozen=True)
class Batch:
    """One training or evaluation batch on the device.

    ``images``: (N, 3, H, W) in the compute precision's input dtype, normalised.
    ``targets``: whatever ``Learner.collate`` made. ``index``: (N,) positions in the sample list.
    """

    images: torch.Tensor
    targets: Any
    index: torch.Tensor


@dataclass(frozen=True)
class StepOutput:
    """The loss of one step, a scalar tensor, and its named parts for the live plot.

    ``plain`` is what ``Learner.evaluate`` calls ``loss``, of this batch: without label smoothing or class
    weights, so that training and validation compare. None: ``loss`` is that already.
    """

    loss: torch.Tensor
    parts: Mapping[str, float | torch.Tensor] = field(default_factory=dict)
    plain: torch.Tensor | None = None


class Learner(Protocol):
    """The torch side of a task; the loop calls it and never asks which task it is."""

    model: torch.nn.Module

    def collate(self, targets: Sequence[Any]) -> Any:
        """Turn targets into tensors on the CPU; the loop moves them."""

    def step(self, batch: Batch) -> StepOutput:
        """Run one training forward pass; the loop does backward and the optimizer step."""

    def predict(self, images: torch.Tensor, model: torch.nn.Module | None = None) -> list[Any]:
        """Predict a normalised (N, 3, H, W) batch; one task-specific prediction per image."""

    def evaluate(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        """Give the validation metrics of one epoch by their published names, plus ``loss``."""

    def describe(self, prediction: Any) -> tuple[str, float]:
        """Give the label name and score that a live picture shows."""
