"""The confusion matrix and what follows from it: error per class, precision, recall, F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def confusion_matrix(truth: Ints, predicted: Ints, classes: int) -> Ints:
    """Count (truth, prediction) pairs: (N,), (N,) -> (K, K), rows are truth."""
    flat = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True)
class ClassCounts:
    """Per class and weighting, each (B, K): images of it, images called it, and both at once."""

    support: Floats
    called: Floats
    right: Floats

    @property
    def recall(self) -> Floats:
        """``right / support``; NaN for a class without images."""
        return ratio(self.right, self.support)

    @property
    def precision(self) -> Floats:
        """``right / called``; NaN for a class that was never predicted."""
        return ratio(self.right, self.called)

    @property
    def f1(self) -> Floats:
        """``2 right / (support + called)``; NaN for a class neither present nor predicted."""
        return ratio(2 * self.right, self.support + self.called)

    @property
    def balanced_error(self) -> Floats:
        """Mean over the classes present of their error, (B,); 1 - balanced accuracy."""
        return 1 - mean_where(self.recall, self.support > 0)

    @property
    def f1_macro(self) -> Floats:
        """Mean F1 over the classes present, (B,)."""
        return mean_where(self.f1, self.support > 0)


def class_counts(truth: Ints, predicted: Ints, classes: int, weights: Floats) -> ClassCounts:
    """Count weighted images per class: truth, predicted (N,), weights (B, N)."""
    is_class = np.eye(classes)[truth]
    is_called = np.eye(classes)[predicted]
    return ClassCounts(
        support=weights @ is_class,
        called=weights @ is_called,
        right=weights @ (is_class * is_called),
    )


def ratio(top: Floats, bottom: Floats) -> Floats:
    """Divide; NaN where the denominator is zero."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan, dtype=np.float64), where=bottom != 0)


def mean_where(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Mean along the last axis over ``present`` only; NaN where nothing is."""
    return ratio(np.where(present, values, 0.0).sum(axis=-1), present.sum(axis=-1).astype(np.float64))
