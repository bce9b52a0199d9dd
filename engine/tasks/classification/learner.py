"""The torch side of classification: softmax cross-entropy over any timm model. Child processes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from engine.contracts.datasets import LabelItem
from engine.contracts.results import GridItem
from engine.datasets.preprocessing import Preprocessing
from engine.tasks.base import Batch, Sample, StepOutput
from engine.tasks.classification.spec import ClassificationConfig


class ClassificationLearner:
    """Cross-entropy with label smoothing and class weights; predictions are probabilities (K,).

    ``samples`` are those to train on, from whose classes balanced weights follow.
    """

    def __init__(
        self,
        model: nn.Module,
        config: ClassificationConfig,
        classes: Sequence[str],
        samples: Sequence[Sample],
        record: Preprocessing,
    ) -> None:
        self.model = model
        self.classes = tuple(classes)
        self.smoothing = config.label_smoothing
        self.weights = None
        if config.class_weights == "balanced":
            self.weights = class_weights([sample.target for sample in samples], len(classes))

    @staticmethod
    def target(labels: Sequence[LabelItem], positions: Mapping[str, int]) -> int | None:
        """Return the class index of an image's label, or None when it has none."""
        return positions[labels[0].class_id] if labels else None

    def targets(self, samples: Sequence[Sample], device: torch.device) -> ClassTargets:
        """Put the class indices on the device."""
        indices = torch.as_tensor([sample.target for sample in samples], dtype=torch.int64)
        return ClassTargets(indices.to(device))

    def step(self, batch: Batch) -> StepOutput:
        """Run the model and return the loss of a batch, and its plain cross-entropy."""
        logits = self.model(batch.images).float()
        weights = None if self.weights is None else self.weights.to(logits.device)
        loss = functional.cross_entropy(logits, batch.targets, weight=weights, label_smoothing=self.smoothing)
        return StepOutput(loss, plain=functional.cross_entropy(logits.detach(), batch.targets))

    @torch.inference_mode()
    def predict(self, images: torch.Tensor, model: nn.Module | None = None) -> list[NDArray[np.float32]]:
        """Return one (K,) float32 probability vector per image of (N, 3, H, W)."""
        logits = (model or self.model)(images).float()
        return list(logits.softmax(dim=1).cpu().numpy())

    def locate(self, prediction: Any, sample: Sample) -> Any:
        """Return a prediction as it is: it has no place."""
        return prediction

    def evaluate(self, predictions: Sequence[Any], samples: Sequence[Sample]) -> dict[str, float]:
        """Return top1, log_loss, loss (the same number) and balanced_error of an epoch."""
        probabilities = np.asarray(predictions, dtype=np.float64)
        truth = np.array([sample.target for sample in samples])
        right = probabilities.argmax(axis=1) == truth
        picked = np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, 1.0)
        log_loss = float(-np.log(picked).mean())
        errors = [1 - float(right[truth == k].mean()) for k in np.unique(truth)]
        return {
            "top1": float(right.mean()),
            "log_loss": log_loss,
            "loss": log_loss,
            "balanced_error": float(np.mean(errors)),
        }

    def live(self, prediction: Any, sample: Sample) -> GridItem:
        """Show the likeliest class and its probability beside the true one."""
        index = int(np.argmax(prediction))
        return GridItem(
            image_id=sample.image_id,
            caption=sample.path,
            truth=self.classes[sample.target],
            predicted=self.classes[index],
            score=float(prediction[index]),
            tone="good" if index == sample.target else "wrong",
        )

    def main_class(self, sample: Sample) -> int:
        """Return the class of a sample."""
        return int(sample.target)


@dataclass(frozen=True)
class ClassTargets:
    """Class indices (N,) int64 on the device."""

    indices: torch.Tensor

    def batch(self, index: NDArray[np.int64], matrices: torch.Tensor | None) -> torch.Tensor:
        """Return those at ``index`` (B,); where pictures were moved changes no class."""
        return self.indices[torch.from_numpy(index).to(self.indices.device)]


def class_weights(targets: Sequence[int], classes: int) -> torch.Tensor:
    """Return (K,) weights n / (K * n_k), as scikit-learn's "balanced"; absent classes get 0."""
    counts = np.bincount(np.asarray(targets, dtype=np.int64), minlength=classes)
    present = max(int((counts > 0).sum()), 1)
    weights = np.where(counts > 0, len(targets) / (present * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(weights.astype(np.float32))
