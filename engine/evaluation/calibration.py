"""Does "90 % sure" mean right nine times out of ten? Reliability over equal-width bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.confusion import Floats, Ints, ratio

BINS = 15


def bin_edges(bins: int = BINS) -> Floats:
    """Return the ``bins`` + 1 edges of equal-width bins over 0 to 1."""
    return np.linspace(0.0, 1.0, bins + 1)


def bin_index(confidence: NDArray[np.floating], bins: int = BINS) -> Ints:
    """Find the bin of each confidence (N,) -> (N,); a value on an edge belongs to the bin below."""
    inner = bin_edges(bins)[1:-1]
    return np.searchsorted(inner, confidence.astype(np.float64)).astype(np.int64)


@dataclass(frozen=True)
class Reliability:
    """Per weighting and bin, each (B, bins): images, mean confidence and share right (NaN: empty)."""

    images: Floats
    confidence: Floats
    accuracy: Floats

    @property
    def error(self) -> Floats:
        """Expected calibration error (Naeini et al., 2015), (B,): weighted mean gap over the bins."""
        gap = np.where(self.images > 0, np.abs(self.accuracy - self.confidence), 0.0)
        return ratio((gap * self.images).sum(axis=1), self.images.sum(axis=1))


def reliability(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], weights: Floats, bins: int = BINS
) -> Reliability:
    """Compare confidence with how often it was right: both (N,), weights (B, N)."""
    member = np.eye(bins)[bin_index(confidence, bins)]
    images = weights @ member
    return Reliability(
        images=images,
        confidence=ratio(weights @ (member * confidence[:, None]), images),
        accuracy=ratio(weights @ (member * correct[:, None]), images),
    )
