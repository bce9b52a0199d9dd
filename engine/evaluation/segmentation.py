"""Masks against truth: one confusion matrix over the pixels of a set, and what follows from it.

A label map is uint8 (H, W): the position of a class, or ``VOID`` where nothing counts. The first ``classes``
positions are a person's own; the one behind them, if there is one, is the background, which counts as pixels
but not in means over classes. The digest of an image holds its part of the confusion matrix and its part of
the boundaries, so that every number, interval and comparison follows from digests alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.classification import Estimate
from engine.evaluation.confusion import ClassCounts, Floats, Ints, mean_where, ratio
from engine.evaluation.edges import VOID, edge_counts
from engine.evaluation.intervals import RESAMPLES, bootstrap_weights, percentile_interval, wilson_interval

LabelMap = NDArray[np.uint8]
Digest = dict[str, Any]
"""``pixels``: (truth, prediction, how many) of every pair that occurs. ``edges``: (class, predicted boundary
pixels that are near a true one, predicted ones, true ones that are near a predicted one, true ones)."""
Numbers = dict[str, Floats]
NO_PIXELS = "There are no labelled pixels of a class to measure on."
NO_EDGES = "No class has a boundary in any image."


def digest(truth: LabelMap, predicted: LabelMap, edges: bool = True) -> Digest:
    """Return what one image contributes to everything below; raises ``ValueError`` for maps of two sizes.

    Without ``edges`` it says nothing of boundaries, and takes a fraction of the time.
    """
    if truth.shape != predicted.shape or truth.ndim != 2:
        raise ValueError(f"a truth of {truth.shape} px and a prediction of {predicted.shape} px do not fit")
    values = VOID + 1
    pairs = truth.astype(np.uint16) * np.uint16(values) + predicted
    found = np.bincount(pairs.ravel(), minlength=values**2).reshape(values, values)[:VOID]
    if found[:, VOID].any():
        raise ValueError("a prediction names a class for every pixel, never void")
    pixels = [[int(real), int(named), int(found[real, named])] for real, named in np.argwhere(found)]
    return {"pixels": pixels, "edges": edge_counts(truth, predicted) if edges else []}


@dataclass(frozen=True)
class Tally:
    """N digests as tables: pixels of each of K classes per image, boundary F per image and class.

    ``support``, ``called``, ``right`` (N, K): pixels of the class, pixels called it, and both at once.
    ``edges`` (N, K): F-score of the boundary, NaN where neither truth nor prediction has one. ``classes``:
    how many of the K, from the first on, are a person's own.
    """

    support: Floats
    called: Floats
    right: Floats
    edges: Floats
    classes: int

    def __len__(self) -> int:
        return len(self.support)

    def counts(self, weights: Floats) -> ClassCounts:
        """Add the images up with each row of ``weights`` (B, N): three (B, K)."""
        return ClassCounts(weights @ self.support, weights @ self.called, weights @ self.right)

    def edge_scores(self, weights: Floats) -> Floats:
        """Return each class's mean boundary F over the images that have one (B, K)."""
        known = ~np.isnan(self.edges)
        return ratio(weights @ np.where(known, self.edges, 0.0), weights @ known.astype(np.float64))


def tally(digests: Sequence[Digest], classes: int) -> Tally:
    """Lay digests out as tables; ``classes`` is how many a person has named."""
    numbers = [max(truth, named) for one in digests for truth, named, _ in one["pixels"]]
    wide = max([classes - 1, *numbers]) + 1
    support, called, right = (np.zeros((len(digests), wide)) for _ in range(3))
    edges = np.full((len(digests), wide), np.nan)
    for row, one in enumerate(digests):
        for truth, named, count in one["pixels"]:
            support[row, truth] += count
            called[row, named] += count
            if truth == named:
                right[row, truth] += count
        for position, *parts in one["edges"]:
            edges[row, position] = _edge_score(*parts)
    return Tally(support, called, right, edges, classes)


def _edge_score(found: int, called: int, met: int, real: int) -> float:
    """F-score of a boundary: found of the called pixels are near the real ones, met of the real ones near."""
    precision, recall = found / max(called, 1), met / max(real, 1)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def iou(counts: ClassCounts) -> Floats:
    """``right / (support + called - right)``; NaN for a class neither there nor predicted (B, K)."""
    return ratio(counts.right, counts.support + counts.called - counts.right)


def _numbers(table: Tally, weights: Floats) -> Numbers:
    """Return every metric by its published name, each (B,); NaN where it has no meaning."""
    counts = table.counts(weights)
    own = slice(0, table.classes)
    present = counts.support[:, own] > 0
    edges = table.edge_scores(weights)[:, own]
    return {
        "pixel_accuracy": ratio(counts.right.sum(axis=1), counts.support.sum(axis=1)),
        "mean_iou": mean_where(iou(counts)[:, own], present),
        "mean_dice": mean_where(counts.f1[:, own], present),
        "boundary_f": mean_where(edges, present & ~np.isnan(edges)),
    }


def metrics(digests: Sequence[Digest], classes: int) -> dict[str, float]:
    """Return ``pixel_accuracy``, ``mean_iou``, ``mean_dice`` and ``boundary_f``; NaN for what has no meaning.

    The means are over the person's classes that the truth has anywhere in the set.
    """
    found = _numbers(tally(digests, classes), np.ones((1, len(digests))))
    return {name: float(value[0]) for name, value in found.items()}


def headline(digests: Sequence[Digest], classes: int) -> float:
    """Return ``mean_iou``, NaN without a pixel of any class."""
    return metrics(digests, classes)["mean_iou"]


def headline_interval(
    digests: Sequence[Digest], classes: int, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """Return the 95 % interval of mean_iou over images; None when the images cannot say it."""
    table = tally(digests, classes)
    if not digests:
        return None
    weights = bootstrap_weights(len(table), resamples, seed)
    return percentile_interval(np.concatenate([_numbers(table, block)["mean_iou"] for block in weights]))


@dataclass(frozen=True)
class ClassScores:
    """One class over the whole set, the background too; ``pixels`` and ``images`` are those of the truth."""

    position: int
    iou: Estimate
    dice: Estimate
    precision: Estimate
    recall: Estimate
    boundary_f: Estimate
    pixels: int
    images: int


@dataclass(frozen=True)
class Scores:
    """All metrics by their published names, and each class's own, each with its 95 % interval."""

    metrics: dict[str, Estimate]
    classes: tuple[ClassScores, ...]


def measure(digests: Sequence[Digest], classes: int, seed: int = 0, resamples: int = RESAMPLES) -> Scores:
    """Measure a set; intervals are the percentile bootstrap over its images."""
    table = tally(digests, classes)
    overall = _resampled(table, _numbers, seed, resamples)
    by_class = _resampled(table, _class_numbers, seed, resamples)
    whole = {
        name: _estimate(value[0], drawn[:, 0], NO_EDGES if name == "boundary_f" else NO_PIXELS)
        for name, (value, drawn) in overall.items()
    }
    rows = tuple(_class_scores(table, position, by_class) for position in range(table.support.shape[1]))
    return Scores(whole, rows)


def _class_numbers(table: Tally, weights: Floats) -> Numbers:
    """Return every metric of the classes, each (B, K)."""
    counts = table.counts(weights)
    return {
        "iou": iou(counts),
        "dice": counts.f1,
        "precision": counts.precision,
        "recall": counts.recall,
        "boundary_f": table.edge_scores(weights),
    }


def _resampled(
    table: Tally, numbers: Callable[[Tally, Floats], Numbers], seed: int, resamples: int
) -> dict[str, tuple[Floats, Floats]]:
    """Return by name the values (K,) and the resampled ones (B, K), by the same function."""
    count = len(table)
    weights = bootstrap_weights(count, resamples, seed) if count else iter(())
    drawn = [numbers(table, block) for block in weights]
    return {
        name: (
            value.reshape(-1),
            np.concatenate([value.reshape(1, -1)[:0], *(one[name].reshape(-1, value.size) for one in drawn)]),
        )
        for name, value in numbers(table, np.ones((1, count))).items()
    }


def _class_scores(table: Tally, position: int, numbers: dict[str, tuple[Floats, Floats]]) -> ClassScores:
    reasons = {
        "precision": "No pixel was called this class.",
        "recall": "No pixel is of this class.",
        "boundary_f": "The class has no boundary in any image.",
    }
    found = {
        name: _estimate(
            value[position],
            drawn[:, position],
            reasons.get(name, "The class is neither in the images nor predicted."),
        )
        for name, (value, drawn) in numbers.items()
    }
    support = table.support[:, position]
    return ClassScores(position, **found, pixels=int(support.sum()), images=int((support > 0).sum()))


def _estimate(value: float, drawn: Floats, reason: str) -> Estimate:
    if math.isnan(value):
        return Estimate(None, reason=reason)
    interval = percentile_interval(drawn)
    return Estimate(float(value), *(interval or (None, None)))


def paired_difference(
    before: Sequence[Digest],
    after: Sequence[Digest],
    classes: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """By how much mean_iou of ``after`` is better on the same images: value, low, high (-1 to 1).

    Every resample draws the same images for both. Where all resamples say the same, Wilson bounds the share
    of other images, which may say otherwise. Raises ``ValueError`` when the lists differ in length or hold
    no pixel of a class, for then there is nothing to compare.
    """
    if len(before) != len(after):
        raise ValueError(f"paired_difference needs the same images twice, got {len(before)} and {len(after)}")
    first, second = tally(before, classes), tally(after, classes)

    def gained(weights: Floats) -> Floats:
        return _numbers(second, weights)["mean_iou"] - _numbers(first, weights)["mean_iou"]

    value = float(gained(np.ones((1, len(before))))[0])
    if math.isnan(value):
        raise ValueError("paired_difference needs images with pixels of a class")
    drawn = [gained(weights) for weights in bootstrap_weights(len(before), resamples, seed)]
    interval = percentile_interval(np.concatenate(drawn))
    if interval is None:
        others = 1 - wilson_interval(len(before), len(before))[0]
        reach = others if value == 0 else 2 * others
        interval = max(-1.0, value - reach), min(1.0, value + reach)
    return value, *interval


def confusion(digests: Sequence[Digest], size: int) -> Ints:
    """Count pixels by truth (rows) and prediction (columns), (K, K) for ``size`` classes."""
    found = np.zeros((size, size), np.int64)
    for one in digests:
        for truth, named, count in one["pixels"]:
            found[truth, named] += count
    return found


def images_behind(digests: Sequence[Digest], truth: int, named: int) -> list[tuple[int, int]]:
    """Return the images behind a cell of the confusion, (position, pixels), most pixels first."""
    found = [
        (position, count)
        for position, one in enumerate(digests)
        for real, called, count in one["pixels"]
        if (real, called) == (truth, named)
    ]
    return sorted(found, key=lambda entry: (-entry[1], entry[0]))


def error_map(truth: LabelMap, predicted: LabelMap) -> NDArray[np.bool_]:
    """Tell which pixels are wrong (H, W); void ones never are."""
    wrong: NDArray[np.bool_] = (truth != VOID) & (truth != predicted)
    return wrong
