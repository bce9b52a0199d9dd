"""Boxes of an image, how they overlap, and which detection found which object, as COCO's rules have it.

The rules (https://cocodataset.org/#detection-eval): within a class, detections are taken by falling score,
at most 100 of an image and class, and each takes the free object that it overlaps most, if that is enough.
What overlaps an ignored region instead counts neither as right nor as wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.confusion import Floats, Ints

Bools = NDArray[np.bool_]

THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
SIZES = ("all", "small", "medium", "large")
# Least and greatest box area of each size, square px of the picture, both ends included as COCO does.
SIZE_LIMITS: Floats = np.array([[0.0, 1e10], [0.0, 32.0**2], [32.0**2, 96.0**2], [96.0**2, 1e10]])
MOST_DETECTIONS = 100
ANY_CLASS = -1


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image, in any order.

    ``boxes`` float32 (n, 4) x1, y1, x2, y2; ``scores`` float32 (n,), 0 to 1; ``classes`` int64 (n,),
    positions in the run's class list. Raises ``ValueError`` for other shapes and numbers that are not finite.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: Ints

    def __post_init__(self) -> None:
        _check(self.boxes, self.scores, self.classes)
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise ValueError("a detection has a box or a score that is not a finite number")

    def __len__(self) -> int:
        return len(self.scores)

    def chosen(self, keep: Bools | Ints) -> Detections:
        """Return the detections at ``keep``: a mask (n,) or positions (m,)."""
        return Detections(self.boxes[keep], self.scores[keep], self.classes[keep])

    @classmethod
    def none(cls) -> Detections:
        """Return those of an image in which nothing was found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Objects:
    """What is in one image: ``boxes`` and ``classes`` as in ``Detections``, ``ignored`` bool (n,).

    An ignored region may be without a class (-1): then it is ignored for every class. Raises ``ValueError``
    for other shapes, and for an object without a class.
    """

    boxes: NDArray[np.float32]
    classes: Ints
    ignored: Bools

    def __post_init__(self) -> None:
        _check(self.boxes, self.ignored, self.classes)
        if (self.classes[~self.ignored] < 0).any():
            raise ValueError("an object that is not ignored needs a class")

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def none(cls) -> Objects:
        """Return those of an image without any."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def _check(boxes: NDArray[Any], others: NDArray[Any], classes: NDArray[Any]) -> None:
    """Raise ``ValueError`` unless the arrays are (n, 4), (n,) and (n,)."""
    count = len(boxes)
    if boxes.shape != (count, 4) or others.shape != (count,) or classes.shape != (count,):
        raise ValueError(f"boxes {boxes.shape}, classes {classes.shape} and {others.shape} do not fit")


def areas(boxes: NDArray[np.floating]) -> Floats:
    """Return the areas of (n, 4) boxes, square px (n,); 0 for those turned inside out."""
    sides = np.asarray(boxes, np.float64)
    found: Floats = np.prod(np.clip(sides[:, 2:] - sides[:, :2], 0, None), axis=1)
    return found


def overlap(boxes: NDArray[np.floating], others: NDArray[np.floating], crowds: Bools | None = None) -> Floats:
    """Return intersection over union of every pair: (n, 4), (m, 4) -> (n, m).

    Where ``crowds`` (m,) holds, it is the share of the box that lies in the other one, as COCO compares with
    regions that hold many objects.
    """
    first, second = np.asarray(boxes, np.float64)[:, None], np.asarray(others, np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared: Floats = np.prod(np.clip(sides, 0, None), axis=-1)
    own = areas(boxes)[:, None]
    whole = own + areas(others)[None] - shared
    if crowds is not None:
        whole = np.where(crowds[None], own, whole)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)


def same_class(classes: Ints, others: Ints) -> Bools:
    """Tell which pairs are of one class, (n,), (m,) -> (n, m); what has none goes with every class."""
    same: Bools = (classes[:, None] == others[None]) | (others[None] == ANY_CLASS)
    return same


def strongest(detections: Detections, most: int = MOST_DETECTIONS) -> Ints:
    """Return the positions of the ``most`` strongest of each class, by falling score; the first of equals."""
    order = np.argsort(-detections.scores, kind="stable")
    kept = np.zeros(len(order), np.bool_)
    for position in np.unique(detections.classes):
        kept[np.flatnonzero(detections.classes[order] == position)[:most]] = True
    return order[kept]


@dataclass(frozen=True)
class Matches:
    """Which of an image's D detections that count found which object, per size (4) and threshold (T).

    ``order`` (D,): positions of the detections, by falling score. ``found`` (4, T, D): position of the
    object or region, -1 for none. ``aside`` (4, T, D): neither right nor wrong, for it is on an ignored
    region or of another size. ``counted`` (4, n): which objects are looked for.
    """

    order: Ints
    found: Ints
    aside: Bools
    counted: Bools

    @property
    def right(self) -> Bools:
        """Which detections found an object that is looked for (4, T, D)."""
        return (self.found >= 0) & ~self.aside


def match(detections: Detections, objects: Objects, thresholds: Floats = THRESHOLDS) -> Matches:
    """Match the detections of an image with its objects at every size and at T rising thresholds of IoU."""
    order = strongest(detections)
    boxes = detections.boxes[order]
    pairs = overlap(boxes, objects.boxes, objects.ignored)
    pairs[~same_class(detections.classes[order], objects.classes)] = -1.0
    counted = _inside(areas(objects.boxes)) & ~objects.ignored
    found = assign(pairs, counted, objects.ignored, thresholds)
    fits = _inside(areas(boxes))[:, None]
    aside = np.broadcast_to(~fits, found.shape).copy()
    for size, wanted in enumerate(counted):
        hit = found[size] >= 0
        aside[size][hit] = ~wanted[found[size][hit]]
    return Matches(order, found, aside, counted)


def _inside(area: Floats) -> Bools:
    """Tell which areas (n,) belong to each size (4, n)."""
    return (area >= SIZE_LIMITS[:, :1]) & (area <= SIZE_LIMITS[:, 1:])


def assign(pairs: Floats, counted: Bools, crowds: Bools, thresholds: Floats) -> Ints:
    """Give each of D detections its object: overlaps (D, n), counted (S, n) -> (S, T, D), -1 for none.

    All sizes and thresholds go side by side. An object that counts comes before one that does not, then the
    greater overlap, then (as in COCO's code) the later one. A crowd can be found any number of times.
    """
    found = np.full((len(counted), len(thresholds), len(pairs)), -1, np.int64)
    if pairs.size == 0:
        return found
    free = np.ones((*found.shape[:2], pairs.shape[1]), np.bool_)
    for place in np.flatnonzero(pairs.max(axis=1) >= thresholds[0]):
        near = np.flatnonzero(pairs[place] >= thresholds[0])
        near = near[np.argsort(pairs[place, near], kind="stable")]
        possible = free[:, :, near] & (pairs[place, near] >= thresholds[:, None])
        rank = np.arange(len(near)) + len(near) * counted[:, None, near]
        best = np.where(possible, rank, -1).argmax(axis=2)
        size, level = np.nonzero(possible.any(axis=2))
        taken = near[best[size, level]]
        found[size, level, place] = taken
        free[size, level, taken] = crowds[taken]
    return found
