"""The contract of a task: what a task folder must provide, and nothing else names it.

``spec.py`` of a task builds a ``TaskSpec`` without importing torch. ``network``, ``learner`` and ``examiner``
in it are dotted names (``package.module:Class``) that only a child process loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from engine.contracts.datasets import LabelItem, LabelKind
from engine.contracts.models import Library
from engine.contracts.results import GridItem, ImageResult, Report
from engine.contracts.training import TrainingConfig

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from engine.evaluation.agreement import Agreement

Said = Sequence[Mapping[str, Any]]
"""What a model says of one image: label, score and, by task, box, mask or keypoints."""


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

    ``network`` names a ``Network`` (``engine.models.networks``), ``learner`` a ``Learner``, ``examiner`` an
    ``Examiner``. ``answers`` names the modules, numpy only, that predict.py gets; the last one has the
    function ``answers``, which turns the network's ``outputs`` (their names in the ONNX file) into what a
    person reads. ``border`` is what augmentation shows beyond a picture's edge: its mirror image, or the
    colour that padding has, where a mirrored object would be one without a label. ``resize`` as in
    ``Preprocessing``. ``linear_probe``: whether the yardstick is a linear classifier on pooled features;
    ``settles``: whether something is chosen on validation when training is over.
    """

    name: str
    title: str
    labels: str
    label_kind: LabelKind
    config: type[TrainingConfig] = TrainingConfig
    metrics: tuple[MetricSpec, ...] = ()
    monitor: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    network: str = ""
    learner: str = ""
    examiner: str = ""
    answers: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("logits",)
    border: Literal["mirror", "fill"] = "mirror"
    resize: Literal["squash", "pad"] = "squash"
    linear_probe: bool = False
    settles: bool = False
    minimum_classes: int = 2
    libraries: tuple[Library, ...] = ("timm",)

    @property
    def trains(self) -> bool:
        """Whether a model can be trained for it."""
        return bool(self.learner)


@dataclass(frozen=True)
class Sample:
    """One image of a frozen version as a learner gets it; ``target`` is the task's own.

    ``width`` and ``height``: px of the upright picture.
    """

    image_id: str
    sha256: str
    path: str
    target: Any
    width: int = 0
    height: int = 0


class Targets(Protocol):
    """The targets of some samples, ready to be cut into batches on the device."""

    def batch(self, index: NDArray[np.int64], matrices: torch.Tensor | None) -> Any:
        """Return the targets of the samples at ``index`` (B,), moved as their pictures were.

        ``matrices`` (B, 3, 3) map px of the model's input to where they are after augmentation; None: nothing
        was moved.
        """


@dataclass(frozen=True)
class Batch:
    """One training or evaluation batch on the device.

    ``images``: (N, 3, H, W) in the compute precision's input dtype, normalised.
    ``targets``: whatever ``Targets.batch`` made. ``index``: (N,) positions in the sample list.
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
    """The torch side of a task; the loop calls it and never asks which task it is.

    It is made as ``Learner(model, config, classes, samples, record)``: the network, the run's settings, the
    class names, the training samples (none when a trained model is loaded) and the run's preprocessing.
    """

    model: torch.nn.Module

    @staticmethod
    def target(labels: Sequence[LabelItem], positions: Mapping[str, int]) -> Any:
        """Turn an image's labels into the target of its sample; ``positions`` are those of the class ids."""

    def targets(self, samples: Sequence[Sample], device: torch.device) -> Targets:
        """Make the targets of a split ready."""

    def step(self, batch: Batch) -> StepOutput:
        """Run one training forward pass; the loop does backward and the optimizer step."""

    def predict(self, images: torch.Tensor, model: torch.nn.Module | None = None) -> list[Any]:
        """Predict a normalised (N, 3, H, W) batch; one prediction per image, in px of the input."""

    def locate(self, prediction: Any, sample: Sample) -> Any:
        """Bring a prediction from px of the input to px of its upright picture, where it has any."""

    def evaluate(self, predictions: Sequence[Any], samples: Sequence[Sample]) -> dict[str, float]:
        """Give the validation metrics of one epoch by their published names.

        ``predictions`` are located. ``loss`` is added where it follows from predictions and is what
        ``StepOutput.plain`` is in training.
        """

    def live(self, prediction: Any, sample: Sample) -> GridItem:
        """Show a located prediction beside the truth, as one of the few pictures of a running training."""

    def main_class(self, sample: Sample) -> int:
        """Return the position of a class that stands for the sample, -1 for none."""


class Examiner(Protocol):
    """What a task's report rests on; made as ``Examiner(classes)``. No torch.

    A digest is a plain (JSON) value of one image from which the headline metric follows. Whatever compares
    on the same images, the intervals, the gain over the probe, two runs, works on digests alone.
    """

    def digests(self, samples: Sequence[Sample], predictions: Sequence[Any]) -> list[Any]:
        """Return what each image contributes to the headline."""

    def headline(self, digests: Sequence[Any], seed: int) -> tuple[float, float | None, float | None]:
        """Return the headline metric that follows from digests, and its 95 % interval where there is one."""

    def difference(
        self, before: Sequence[Any], after: Sequence[Any], seed: int
    ) -> tuple[float, float, float]:
        """Return by how much the headline of ``after`` is better, and its 95 % interval."""

    def settle(self, samples: Sequence[Sample], predictions: Sequence[Any]) -> dict[str, Any]:
        """Choose on validation what is stored with the model, such as the score from which a box counts."""

    def agree(self, reference: Sequence[Said], other: Sequence[Said]) -> Agreement:
        """Compare the answers of two ways to run the same model on the same images.

        Raises ``ValueError`` when they are no answers to the same images.
        """

    def stored(self, results: Sequence[ImageResult]) -> list[Said]:
        """Return the answers that a report holds."""

    def report(
        self,
        samples: Sequence[Sample],
        predictions: Sequence[Any],
        split: str,
        notes: Sequence[str],
        settled: Mapping[str, Any],
    ) -> Report:
        """Measure located predictions on one split, with what ``settle`` chose."""
