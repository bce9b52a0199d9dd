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
Ints = NDArray[np.int64]

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
    reach = tolerance(*truth.shape)
    # From here on only the boundaries' pixels are looked at, which are few.
    real, called = np.argwhere(edge_pixels(truth)), np.argwhere(edge_pixels(predicted))
    of_real, of_called = truth[tuple(real.T)], predicted[tuple(called.T)]
    rows = []
    for position in np.union1d(of_real, of_called):
        true, guess = real[of_real == position], called[of_called == position]
        found, met = near(guess, true, reach), near(true, guess, reach)
        rows.append([int(position), found, len(guess), met, len(true)])
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


def near(points: Ints, targets: Ints, reach: float) -> int:
    """Count the ``points`` (P, 2) that lie within ``reach`` px of one of ``targets`` (Q, 2).

    Both are row and column of pixels, in row order as ``numpy.argwhere`` gives them. A point looks for the
    nearest target in its own row, then in the rows next to it and so on, until it has found one.
    """
    if not len(points) or not len(targets):
        return 0
    # One number a pixel; rows are so far apart that a small difference can only be along a row.
    apart = int(max(points[:, 1].max(), targets[:, 1].max()) + math.ceil(reach) + 1)
    far = 1 << 60
    places = np.concatenate([[-far], targets[:, 0] * apart + targets[:, 1], [far]])
    pending = points[:, 0] * apart + points[:, 1]
    for step in sorted(range(-int(reach), int(reach) + 1), key=abs):
        there = pending + step * apart
        behind = np.searchsorted(places, there)
        distance = np.minimum(places[behind] - there, there - places[behind - 1])
        pending = pending[distance > math.sqrt(reach**2 - step**2)]
    return len(points) - len(pending)
