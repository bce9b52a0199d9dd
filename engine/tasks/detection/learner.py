"""The torch side of detection. Child processes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.contracts.datasets import LabelItem
from engine.contracts.results import GridItem
from engine.datasets.framing import Frame
from engine.datasets.preprocessing import Preprocessing
from engine.evaluation.average_precision import digest, metrics
from engine.evaluation.boxes import Detections, Objects
from engine.models.detectors.decode import decode
from engine.models.detectors.losses import grid_loss
from engine.tasks.base import Batch, Sample, StepOutput
from engine.tasks.detection.spec import DetectionConfig
from engine.tasks.detection.targets import BoxTargets

SURE = 0.4  # least score of a box that a live picture counts


class DetectionLearner:
    """Learns boxes; a prediction is ``Detections``, in px of the input until it is located."""

    def __init__(
        self,
        model: nn.Module,
        config: DetectionConfig,
        classes: Sequence[str],
        samples: Sequence[Sample],
        record: Preprocessing,
    ) -> None:
        self.model = model
        self.classes = tuple(classes)
        self.record = record
        self.size = (record.height, record.width)

    @staticmethod
    def target(labels: Sequence[LabelItem], positions: Mapping[str, int]) -> Objects:
        """Collect the boxes of an image, in px of the picture; a region without a class is ignored."""
        boxed = [label for label in labels if label.box is not None]
        if not boxed:
            return Objects.none()
        return Objects(
            np.array([label.box for label in boxed], np.float32),
            np.array([positions.get(label.class_id, -1) for label in boxed], np.int64),
            np.array([label.ignored or label.class_id not in positions for label in boxed], np.bool_),
        )

    def targets(self, samples: Sequence[Sample], device: torch.device) -> BoxTargets:
        """Bring the boxes of a split into the input."""
        return BoxTargets.of(samples, self.record, device)

    def step(self, batch: Batch) -> StepOutput:
        """Run the detector and return its loss and the parts of it."""
        outputs = self.model(batch.images)
        loss, parts = grid_loss(outputs, batch.targets, self.size, self._strides)
        return StepOutput(loss, parts)

    @torch.inference_mode()
    def predict(self, images: torch.Tensor, model: nn.Module | None = None) -> list[Detections]:
        """Return the boxes found in each of (N, 3, H, W), in px of the input."""
        logits, distances = (model or self.model)(images)
        settings = {"strides": list(self._strides)}
        found = decode(logits.float().cpu().numpy(), distances.float().cpu().numpy(), self.size, settings)
        return [Detections(*one) for one in found]

    def locate(self, prediction: Detections, sample: Sample) -> Detections:
        """Bring boxes to px of the upright picture."""
        frame = Frame.of(sample.width, sample.height, self.record)
        return Detections(frame.to_picture(prediction.boxes), prediction.scores, prediction.classes)

    def evaluate(self, predictions: Sequence[Any], samples: Sequence[Sample]) -> dict[str, float]:
        """Return the average precisions of an epoch."""
        pairs = zip(predictions, samples, strict=True)
        found = metrics([digest(one, sample.target) for one, sample in pairs])
        return {name: value for name, value in found.items() if not np.isnan(value)}

    def live(self, prediction: Detections, sample: Sample) -> GridItem:
        """Say how many objects there are and how many were found."""
        truth = int((~sample.target.ignored).sum())
        sure = int((prediction.scores >= SURE).sum())
        return GridItem(
            image_id=sample.image_id,
            caption=sample.path,
            truth=f"{truth:,} object{'' if truth == 1 else 's'}",
            predicted=f"{sure:,} found",
            score=float(prediction.scores.max()) if len(prediction) else None,
            tone="good" if sure == truth else "neutral",
        )

    def main_class(self, sample: Sample) -> int:
        """Return the class of the largest object."""
        objects: Objects = sample.target
        if not len(objects):
            return -1
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        return int(objects.classes[int(np.argmax(sides[:, 0] * sides[:, 1]))])

    @property
    def _strides(self) -> tuple[int, ...]:
        strides: tuple[int, ...] = self.model.strides  # type: ignore[assignment]
        return strides
