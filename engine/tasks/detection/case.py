"""What the panels of detection's report are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.evaluation.average_precision import ClassTally, Digest, Precision, tally
from engine.evaluation.boxes import Detections, Objects
from engine.evaluation.confusion import Ints
from engine.evaluation.error_budget import Budget, Mistake, error_budget
from engine.evaluation.working_point import Counts, counts


@dataclass(frozen=True)
class Case:
    """N images: ``ids[i]`` names image i, ``pictures[i]`` is what was found in it and what is in it.

    ``score`` is the least one with which a box counts; ``split`` is a word.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    pictures: Sequence[tuple[Detections, Objects]]
    digests: Sequence[Digest]
    precision: Precision
    score: float
    split: str

    @cached_property
    def by_class(self) -> dict[int, ClassTally]:
        """Return what is known of each class that has objects or detections, by its position."""
        return {one.position: one for one in tally(self.digests)}

    @cached_property
    def counts(self) -> Counts:
        """Count over all classes, per image."""
        return counts(self.digests, self.score)

    @cached_property
    def budget(self) -> Budget:
        """All mistakes, at whatever score."""
        return error_budget(self.pictures)

    def class_counts(self, position: int) -> Counts:
        """Count one class, per image."""
        objects, called, right = (np.zeros(len(self.ids), np.int64) for _ in range(3))
        if (one := self.by_class.get(position)) is not None:
            objects[one.owners] = one.objects[:, 0]
            hit, kept = one.flags()
            kept = kept & (one.scores >= self.score)
            called = np.bincount(one.image[kept], minlength=len(self.ids))
            right = np.bincount(one.image[kept & hit], minlength=len(self.ids))
        return Counts(objects, called, right)

    def images(self, weights: Ints) -> tuple[str, ...]:
        """Return ids of the images whose weight (N,) is above 0, greatest first."""
        order = np.argsort(-weights, kind="stable")
        return tuple(self.ids[at] for at in order if weights[at] > 0)

    def images_of(self, mistakes: Iterable[Mistake]) -> tuple[str, ...]:
        """Return ids of the images of some mistakes, each once, in their order."""
        return tuple(dict.fromkeys(self.ids[mistake.image] for mistake in mistakes))

    def named(self, mistake: Mistake) -> tuple[str, str]:
        """Return the class that the model says and that of the object, empty for none."""
        detections, objects = self.pictures[mistake.image]
        said = self.classes[detections.classes[mistake.detection]] if mistake.detection >= 0 else ""
        true = self.classes[objects.classes[mistake.object]] if mistake.object >= 0 else ""
        return said, true
