"""95 % intervals: the percentile bootstrap over images, and the paired difference of two models."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.confusion import Floats

RESAMPLES = 1_000
LEVEL = 0.95
_CHUNK_VALUES = 4_000_000
_Z = 1.959963984540054  # the normal quantile of 0.975


def bootstrap_weights(images: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """Yield (b, N) blocks of how often each image was drawn; the blocks hold ``resamples`` rows in all.

    A block holds at most 4 million values (32 MB), so memory does not grow with the dataset.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, min(resamples, _CHUNK_VALUES // max(images, 1)))
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(0, images, size=(count, images))
        drawn += np.arange(count)[:, None] * images
        flat = np.bincount(drawn.ravel(), minlength=count * images)
        yield flat.reshape(count, images).astype(np.float64)


def percentile_interval(values: Floats, level: float = LEVEL) -> tuple[float, float] | None:
    """Take the middle ``level`` of resampled values (B,), NaN left out.

    None when there are none, or when all are the same: then the images at hand cannot say how much
    the number would vary.
    """
    known = values[~np.isnan(values)]
    if known.size == 0 or np.ptp(known) < 1e-12:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """Give the 95 % score interval of a share (Wilson, 1927), for when all or none were right.

    There the bootstrap would claim certainty, however few the images.
    """
    share = hits / total
    centre = share + _Z**2 / (2 * total)
    spread = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    scale = 1 + _Z**2 / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def share_interval(hits: NDArray[np.bool_], seed: int = 0) -> tuple[float, float]:
    """Give the 95 % interval of how often ``hits`` (N,) holds: bootstrap, or Wilson's at 0 and 1.

    Raises ``ValueError`` for no images.
    """
    if hits.size == 0:
        raise ValueError("share_interval needs at least one image")
    count, total = int(hits.sum()), hits.size
    # Resampling images only moves the count of hits, which is binomial.
    drawn = np.random.default_rng(seed).binomial(total, count / total, size=RESAMPLES)
    return percentile_interval(drawn / total) or wilson_interval(count, total)


def paired_difference(
    correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_], seed: int = 0
) -> tuple[float, float, float]:
    """How much more often B is right than A on the same images: value, low, high (-1 to 1).

    ``correct_a`` and ``correct_b`` are (N,) and in the same image order. Resampling images only moves
    the counts of "B gained", "same" and "B lost", so those three are drawn from their multinomial.
    Where all images tell the same, Wilson bounds the share of other images that may tell otherwise.
    Raises ``ValueError`` when the lengths differ or are zero.
    """
    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"paired_difference needs two vectors of one length, got {a.shape} and {b.shape}")
    gained, lost = int((b & ~a).sum()), int((a & ~b).sum())
    total = a.size
    shares = np.array([gained, lost, total - gained - lost]) / total
    drawn = np.random.default_rng(seed).multinomial(total, shares, size=RESAMPLES)
    value = (gained - lost) / total
    interval = percentile_interval((drawn[:, 0] - drawn[:, 1]) / total)
    if interval is None:
        others = 1 - wilson_interval(total, total)[0]
        reach = others if value == 0 else 2 * others  # the others may be the same, or the opposite
        interval = max(-1.0, value - reach), min(1.0, value + reach)
    return value, *interval
