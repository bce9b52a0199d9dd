"""ROC and precision-recall of one class against the rest, with ties taken together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.confusion import Floats, Ints, ratio


@dataclass(frozen=True)
class Curve:
    """Points of a curve, each (P,); ``called`` counts the images at or above a point's threshold."""

    x: Floats
    y: Floats
    called: Ints

    def thinned(self, points: int) -> Curve:
        """Keep at most ``points``, evenly along the curve's length, always with both ends."""
        if len(self.x) <= points:
            return self
        length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(self.x), np.diff(self.y)))])
        wanted = np.linspace(0.0, length[-1], points)
        keep = np.unique(np.searchsorted(length, wanted).clip(0, len(self.x) - 1))
        keep[-1] = len(self.x) - 1
        return Curve(self.x[keep], self.y[keep], self.called[keep])


def _cumulative(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: Floats
) -> tuple[Floats, Floats, Ints]:
    """Weighted true and false positives (B, T) at each distinct score, highest first; images so far (T,)."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    above = weights[:, order]
    everything = np.cumsum(above, axis=1)[:, ends]
    true = np.cumsum(above * positive[order], axis=1)[:, ends]
    return true, everything - true, ends + 1


def roc_curve(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Curve:
    """Trace false positive rate against true positive rate, from (0, 0) to (1, 1).

    ``scores`` and ``positive`` are (N,); needs at least one positive and one negative.
    """
    true, false, called = _cumulative(scores, positive, np.ones((1, len(scores))))
    start = np.zeros(1)
    return Curve(
        np.concatenate([start, false[0] / false[0, -1]]),
        np.concatenate([start, true[0] / true[0, -1]]),
        np.append(0, called),
    )


def precision_recall_curve(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Curve:
    """Trace recall (x) against precision (y), by falling score, beginning at (0, 1); needs one positive."""
    true, false, called = _cumulative(scores, positive, np.ones((1, len(scores))))
    recall = true[0] / true[0, -1]
    precision = true[0] / (true[0] + false[0])
    return Curve(np.concatenate([[0.0], recall]), np.concatenate([[1.0], precision]), np.append(0, called))


def auc_and_ap(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: Floats
) -> tuple[Floats, Floats]:
    """Area under the ROC curve (trapezoids) and average precision of one class.

    ``scores``, ``positive`` (N,), ``weights`` (B, N) -> two (B,). Average precision is the sum of
    precision times the step in recall, without interpolation. AUC is NaN without a positive or a
    negative, AP without a positive.
    """
    true, false, _ = _cumulative(scores, positive, weights)
    steps_true = np.diff(true, axis=1, prepend=0.0)
    steps_false = np.diff(false, axis=1, prepend=0.0)
    area = ((true - steps_true / 2) * steps_false).sum(axis=1)
    # A threshold that no image of this weighting reaches has no precision and no step either.
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true + false > 0)
    return (
        ratio(area, true[:, -1] * false[:, -1]),
        ratio((precision * steps_true).sum(axis=1), true[:, -1]),
    )
