"""Boundaries of the regions of a label map, and how far the predicted ones lie from the true ones.

After Csurka, Larlus and Perronnin (BMVC 2013): a boundary pixel is found when one of the other map's of the
same class lies within a tolerance, 0.75 % of the image's diagonal; precision and recall over the boundary's
pixels give an F-score for each image and class.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

VOID = 255
"""The value of pixels that do not count."""
TOLERANCE = 0.0075
"""Share of the diagonal within which a boundary counts as met."""


def tolerance(height: int, width: int) -> float:
    """Return the tolerance in px, at least one: two maps can hardly meet closer."""
    return max(1.0, TOLERANCE * math.hypot(height, width))


def edge_counts(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> list[list[int]]:
    """Count boundary pixels of each class that has some: (class, found, predicted, met, true).

    ``found`` of the predicted boundary's pixels are near the true one, ``met`` of the true ones near the
    predicted one. What borders on void or on the picture's edge is no boundary.
    """
    predicted = np.where(truth == VOID, np.uint8(VOID), predicted)
    edges = edge_pixels(truth), edge_pixels(predicted)
    reach = tolerance(*truth.shape)
    rows = []
    for position in np.union1d(truth[edges[0]], predicted[edges[1]]):
        real, called = edges[0] & (truth == position), edges[1] & (predicted == position)
        found, met = near(called, real, reach), near(real, called, reach)
        rows.append([int(position), found, int(called.sum()), met, int(real.sum())])
    return rows


def edge_pixels(labels: NDArray[np.uint8]) -> Bools:
    """Tell which pixels of a label map (H, W) have one of another class at one of their four sides."""
    counted = labels != VOID
    found = np.zeros(labels.shape, np.bool_)
    for first, second in (
        ((slice(1, None),), (slice(-1),)),
        ((slice(None), slice(1, None)), (..., slice(-1))),
    ):
        other = (labels[first] != labels[second]) & counted[first] & counted[second]
        found[first] |= other
        found[second] |= other
    return found


def near(points: Bools, targets: Bools, reach: float) -> int:
    """Count the pixels of ``points`` (H, W) that lie within ``reach`` px of one of ``targets``.

    The distance along the row to the nearest target is known for every pixel at once; a point then looks at
    the rows within reach, which is few look-ups, for boundaries are thin.
    """
    rows, columns = np.nonzero(points)
    if not rows.size or not targets.any():
        return 0
    along = _distance_in_row(targets)
    found = np.zeros(rows.size, np.bool_)
    for step in range(-int(reach), int(reach) + 1):
        there = rows + step
        inside = (there >= 0) & (there < len(targets))
        limit = math.sqrt(reach**2 - step**2)
        found[inside] |= along[there[inside], columns[inside]] <= limit
    return int(found.sum())


def _distance_in_row(targets: Bools) -> NDArray[np.int64]:
    """Return how many px it is to the nearest target in the same row (H, W); without one very many."""
    width = targets.shape[1]
    place = np.arange(width)
    far = 1 << 30
    before = np.maximum.accumulate(np.where(targets, place, -far), axis=1)
    behind = np.minimum.accumulate(np.where(targets, place, far)[:, ::-1], axis=1)[:, ::-1]
    nearest: NDArray[np.int64] = np.minimum(place - before, behind - place)
    return nearest
