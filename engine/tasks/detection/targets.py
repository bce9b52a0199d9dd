"""Boxes as a detector learns them: in px of the input, moved as their pictures are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.augment.labels import move_boxes
from engine.datasets.framing import Frame
from engine.datasets.preprocessing import Preprocessing
from engine.evaluation.boxes import Objects
from engine.tasks.base import Sample

Target = dict[str, torch.Tensor]
"""``boxes`` (n, 4) in px of the input, ``classes`` (n,) and ``ignored`` (n,) of one picture."""


@dataclass(frozen=True)
class BoxTargets:
    """The boxes of some samples on the device; ``size``: height and width of the input in px."""

    targets: Sequence[Target]
    size: tuple[int, int]

    @classmethod
    def of(cls, samples: Sequence[Sample], record: Preprocessing, device: torch.device) -> BoxTargets:
        """Bring the objects of all samples into the input."""
        made = [_target(sample, record, device) for sample in samples]
        return cls(made, (record.height, record.width))

    def batch(self, index: NDArray[np.int64], matrices: torch.Tensor | None) -> list[Target]:
        """Return the boxes of the samples at ``index`` (B,), moved by ``matrices`` (B, 3, 3)."""
        chosen = [self.targets[at] for at in index]
        if matrices is None:
            return chosen
        return [self._moved(target, matrix) for target, matrix in zip(chosen, matrices, strict=True)]

    def _moved(self, target: Target, matrix: torch.Tensor) -> Target:
        boxes, kept = move_boxes(target["boxes"], matrix, self.size)
        return {
            "boxes": boxes[kept],
            "classes": target["classes"][kept],
            "ignored": target["ignored"][kept],
        }


def _target(sample: Sample, record: Preprocessing, device: torch.device) -> Target:
    objects: Objects = sample.target
    boxes = Frame.of(sample.width, sample.height, record).to_input(objects.boxes)
    return {
        "boxes": torch.from_numpy(boxes).to(device),
        "classes": torch.from_numpy(objects.classes).to(device),
        "ignored": torch.from_numpy(objects.ignored).to(device),
    }
