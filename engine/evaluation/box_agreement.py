"""Whether two ways to run the same detector find the same boxes.

Non-maximum suppression leaves one of two boxes that are equally sure, so numbers that differ in the last
digits may swap them: such ties are excused, but only a few of them, since a box that is wrong everywhere
looks the same. So is a box at the least score, or at the end of a full list, which either way may lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.agreement import NEAR_TIE, Agreement
from engine.evaluation.boxes import MOST_DETECTIONS, Bools, Detections, overlap
from engine.evaluation.confusion import Floats, Ints

LEAST_SCORE = 0.05
"""Below, order and suppression depend on the last digits, and nobody looks at such boxes."""
SCORE_TOLERANCE = 1e-2
SIDE_TOLERANCE = 1.0  # px of the picture
LEAST_OVERLAP = 0.5  # two boxes of one class that overlap less are no pair
MOST_TIES = 0.02  # share of all boxes that a tie may excuse, but one always


@dataclass(frozen=True)
class _Compared:
    """One image: how far the scores of its pairs are apart, and how many boxes differ for which reason."""

    differences: Floats
    wrong: int
    ties: int
    at_the_end: int
    boxes: int


def compare_boxes(reference: Sequence[Detections], other: Sequence[Detections]) -> Agreement:
    """Compare what was found in the same images; ``near_ties`` counts images with excused boxes only.

    Boxes are paired by class and overlap. Two are the same within 1 px on each side and 1e-2 in score.
    Raises ``ValueError`` when the lists differ in length.
    """
    if len(reference) != len(other):
        raise ValueError(f"answers for {len(other)} images instead of {len(reference)}")
    found = [_compare(one, two) for one, two in zip(reference, other, strict=True)]
    allowed = max(1, int(MOST_TIES * sum(one.boxes for one in found)))
    few = sum(one.ties for one in found) <= allowed
    same = sum(not (one.wrong or one.ties or one.at_the_end) for one in found)
    excused = sum(
        bool(one.ties or one.at_the_end) and not one.wrong and (few or not one.ties) for one in found
    )
    apart = np.concatenate([np.zeros(0), *(one.differences for one in found)])
    return Agreement(
        images=len(found),
        same_class=same,
        near_ties=excused,
        largest_difference=float(apart.max(initial=0.0)),
        mean_difference=float(apart.mean()) if apart.size else 0.0,
        tolerance=SCORE_TOLERANCE,
    )


def _compare(reference: Detections, other: Detections) -> _Compared:
    pairs = overlap(reference.boxes, other.boxes)
    pairs[reference.classes[:, None] != other.classes[None]] = 0.0
    first, second = _pair(pairs)
    score, sides = _distances(reference, first, other, second)
    best = np.maximum(reference.scores[first], other.scores[second])
    apart = (score > SCORE_TOLERANCE) | (sides > SIDE_TOLERANCE)
    weak = apart & (best >= LEAST_SCORE) & (best < max(_end(reference), _end(other)) + SCORE_TOLERANCE)
    counts = (best >= LEAST_SCORE) & ~weak
    tied = counts & apart & (score < NEAR_TIE)
    swapped = (first[tied], second[tied])
    lone = [
        _lone(reference, first, other, pairs[:, swapped[1]]),
        _lone(other, second, reference, pairs[swapped[0]].T),
    ]
    alone, at_the_end, freed = (sum(values) for values in zip(*lone, strict=True))
    return _Compared(
        differences=score[counts],
        wrong=int((counts & apart & ~tied).sum()) + alone,
        ties=int(tied.sum()) + freed,
        at_the_end=int(weak.sum()) + at_the_end,
        boxes=int((reference.scores >= LEAST_SCORE).sum()),
    )


def _distances(reference: Detections, first: Ints, other: Detections, second: Ints) -> tuple[Floats, Floats]:
    """Return how far P pairs are apart in score, and at their worst side in px: two (P,)."""
    score = np.abs(reference.scores[first].astype(np.float64) - other.scores[second])
    sides = np.abs(reference.boxes[first].astype(np.float64) - other.boxes[second]).max(axis=1, initial=0.0)
    return score, sides


def _pair(pairs: Floats) -> tuple[Ints, Ints]:
    """Pair rows with columns of overlaps (n, m), the greatest first: positions in both, two (P,)."""
    rows, columns = np.nonzero(pairs >= LEAST_OVERLAP)
    order = np.argsort(-pairs[rows, columns], kind="stable")
    free_rows, free_columns = (np.ones(size, np.bool_) for size in pairs.shape)
    chosen = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            chosen.append((row, column))
    found: NDArray[np.int64] = np.array(chosen, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _lone(own: Detections, paired: Ints, others: Detections, swapped: Floats) -> tuple[int, int, int]:
    """Count the boxes without a partner: wrong ones, those at the end of a list, those that a tie set free.

    ``swapped`` (n, t): how far they overlap the t boxes that stand in for others; one that such a box leaves
    room for, or takes the place of, follows from the tie.
    """
    alone: Bools = own.scores >= LEAST_SCORE
    alone[paired] = False
    end = alone & (own.scores < _end(others) + SCORE_TOLERANCE)
    freed = alone & ~end & (swapped >= LEAST_OVERLAP).any(axis=1)
    return int((alone & ~end & ~freed).sum()), int(end.sum()), int(freed.sum())


def _end(detections: Detections) -> float:
    """Return the least score that a box needs to be in this list and to be compared."""
    full = len(detections) >= MOST_DETECTIONS
    return max(LEAST_SCORE, float(detections.scores.min())) if full else LEAST_SCORE
