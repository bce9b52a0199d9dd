"""Average precision as COCO defines it, from one small plain value per image.

A digest holds what an image contributes at all ten thresholds and four sizes, so AP, its bootstrap interval
and the comparison of two runs need neither pictures nor boxes. AP is the mean, over 101 recalls from 0 to 1,
of the best precision at that recall or more (https://cocodataset.org/#detection-eval).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.boxes import SIZES, THRESHOLDS, Bools, Detections, Objects, match
from engine.evaluation.classification import Estimate
from engine.evaluation.confusion import Floats, Ints, mean_where
from engine.evaluation.intervals import RESAMPLES, bootstrap_weights, percentile_interval, wilson_interval

HEADLINE = "map50_95"
RECALLS: Floats = np.linspace(0.0, 1.0, 101)
NOTHING_TO_FIND = "There are no objects to find."
_LEVELS = len(THRESHOLDS)
_CHUNK_VALUES = 2_000_000
_BUDGET = 5_000_000_000
_FEWEST_RESAMPLES = 100

Digest = Mapping[str, Any]


def digest(detections: Detections, objects: Objects) -> dict[str, Any]:
    """Say in plain (JSON) values what an image contributes; boxes in px of the picture.

    ``scores`` and ``classes`` of the detections that count, by falling score, and for each one ``right`` and
    ``aside`` (neither right nor wrong): an integer whose bit ``size * 10 + threshold`` says it. ``objects``:
    rows of class, and how many there are of all sizes, small, medium and large.
    """
    matches = match(detections, objects)
    rows = [
        [int(position), *(int(((objects.classes == position) & kept).sum()) for kept in matches.counted)]
        for position in np.unique(objects.classes[~objects.ignored])
    ]
    return {
        "scores": [float(score) for score in detections.scores[matches.order]],
        "classes": [int(position) for position in detections.classes[matches.order]],
        "right": _pack(matches.right),
        "aside": _pack(matches.aside),
        "objects": rows,
    }


def _pack(flags: Bools) -> list[int]:
    """Turn (4, 10, D) flags into D integers of 40 bits."""
    flat = flags.reshape(len(SIZES) * _LEVELS, flags.shape[-1]).astype(np.int64)
    packed: Ints = (flat << np.arange(len(flat))[:, None]).sum(axis=0)
    return [int(value) for value in packed]


def _bit(packed: Ints, size: int, level: int) -> Bools:
    """Read one flag of each packed integer."""
    flags: Bools = (packed >> (size * _LEVELS + level)) & 1 == 1
    return flags


@dataclass(frozen=True)
class ClassTally:
    """One class over all images: its D detections by falling score, and M images that hold objects of it.

    ``image`` (D,) and ``owners`` (M,) are positions of images; ``right`` and ``aside`` (D,) as in a digest;
    ``objects`` (M, 4) counts those of each size.
    """

    position: int
    image: Ints
    scores: Floats
    right: Ints
    aside: Ints
    owners: Ints
    objects: Ints

    def flags(self, size: int = 0, level: int = 0) -> tuple[Bools, Bools]:
        """Tell which detections are right, and which count at all, two (D,)."""
        return _bit(self.right, size, level), ~_bit(self.aside, size, level)


def tally(digests: Sequence[Digest]) -> list[ClassTally]:
    """Sort the digests of N images by class; only classes with objects or detections, in their order."""
    lengths = [len(entry["scores"]) for entry in digests]
    image = np.repeat(np.arange(len(digests)), lengths)
    scores = np.array([score for entry in digests for score in entry["scores"]], np.float64)
    columns = {
        name: np.array([value for entry in digests for value in entry[name]], np.int64)
        for name in ("classes", "right", "aside")
    }
    rows = [(at, *row) for at, entry in enumerate(digests) for row in entry["objects"]]
    held = np.array(rows, np.int64).reshape(-1, 2 + len(SIZES))
    order = np.argsort(-scores, kind="stable")
    found = []
    for position in np.union1d(columns["classes"], held[:, 1]):
        of_class = order[columns["classes"][order] == position]
        own = held[held[:, 1] == position]
        right, aside = columns["right"][of_class], columns["aside"][of_class]
        found.append(
            ClassTally(int(position), image[of_class], scores[of_class], right, aside, own[:, 0], own[:, 2:])
        )
    return found


def interpolated(right: Floats, called: Floats, total: Floats) -> Floats:
    """Return AP from the points where a right detection was added, by falling score: (B, P), (B, P), (B,).

    ``right`` and ``called`` count the right ones and all so far; ``total`` the objects. NaN without objects.
    """
    if right.shape[1] == 0:
        return np.where(total > 0, 0.0, np.nan)
    precision = np.divide(right, called, out=np.zeros_like(right), where=called > 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = np.divide(right, total[:, None], out=np.zeros_like(right), where=total[:, None] > 0)
    passed = np.searchsorted(RECALLS, recall, side="right")
    area = (best * np.diff(passed, axis=1, prepend=0)).sum(axis=1) / len(RECALLS)
    return np.where(total > 0, area, np.nan)


def _class_precision(one: ClassTally, weights: Floats, sizes: Sequence[int], levels: Sequence[int]) -> Floats:
    """Return AP of one class, weights (B, N) -> (B, sizes, levels)."""
    total = weights[:, one.owners] @ one.objects.astype(np.float64)
    drawn = weights[:, one.image]
    answer = np.empty((len(weights), len(sizes), len(levels)))
    for (row, size), (column, level) in ((a, b) for a in enumerate(sizes) for b in enumerate(levels)):
        right, counts = one.flags(size, level)
        kept = np.flatnonzero(counts)
        hits = np.flatnonzero(right[kept])
        kept = kept[: hits[-1] + 1 if hits.size else 0]  # what comes after the last right one changes nothing
        called = np.cumsum(drawn[:, kept], axis=1)[:, hits]
        correct = np.cumsum(drawn[:, kept[hits]], axis=1)
        answer[:, row, column] = interpolated(correct, called, total[:, size])
    return answer


def average_precision(
    classes: Sequence[ClassTally],
    weights: Floats,
    sizes: Sequence[int] = (0, 1, 2, 3),
    levels: Sequence[int] = tuple(range(_LEVELS)),
) -> Floats:
    """Return AP of each tallied class, weights (B, N) over images -> (B, sizes, levels, classes).

    Whole weights are repeated images. NaN where there is no object of that class and size.
    """
    answer = np.full((len(weights), len(sizes), len(levels), len(classes)), np.nan)
    for column, one in enumerate(classes):
        if len(one.owners) == 0:
            continue
        rows = max(1, _CHUNK_VALUES // max(1, len(one.image)))
        for start in range(0, len(weights), rows):
            part = slice(start, start + rows)
            answer[part, ..., column] = _class_precision(one, weights[part], sizes, levels)
    return answer


def _means(precision: Floats) -> dict[str, Floats]:
    """Reduce (B, 4, 10, K) to the published numbers, name -> (B,): means over the classes present."""
    over_classes = mean_where(precision, ~np.isnan(precision))
    means = {"map50": over_classes[:, 0, 0], "map75": over_classes[:, 0, 5]}
    means[HEADLINE] = over_classes[:, 0].mean(axis=1)
    for size, name in enumerate(SIZES[1:], start=1):
        means[f"ap_{name}"] = over_classes[:, size].mean(axis=1)
    return means


def metrics(digests: Sequence[Digest]) -> dict[str, float]:
    """Return map50, map75, map50_95 and ap_small, ap_medium, ap_large; NaN without such objects."""
    precision = average_precision(tally(digests), np.ones((1, len(digests))))
    return {name: float(value[0]) for name, value in _means(precision).items()}


def headline(digests: Sequence[Digest]) -> float:
    """Return map50_95; NaN when there are no objects."""
    return float(_headline(tally(digests), np.ones((1, len(digests))))[0])


def _headline(classes: Sequence[ClassTally], weights: Floats) -> Floats:
    precision = average_precision(classes, weights, sizes=(0,))
    means: Floats = mean_where(precision, ~np.isnan(precision))[:, 0].mean(axis=1)
    return means


@dataclass(frozen=True)
class ClassPrecision:
    """One class: mean AP over 0.50 to 0.95 with its interval, AP at 0.5 and 0.75, how many objects of it."""

    ap: Estimate
    ap50: float | None
    ap75: float | None
    objects: int


@dataclass(frozen=True)
class Precision:
    """The published numbers by name, and each class of the run in its order."""

    metrics: dict[str, Estimate]
    classes: list[ClassPrecision]


def measure(digests: Sequence[Digest], classes: int, seed: int = 0, resamples: int = RESAMPLES) -> Precision:
    """Measure N images with all intervals; ``classes`` is the length of the run's class list.

    Very large sets are resampled less often, to stay within about a minute.
    """
    tallied = tally(digests)
    whole = average_precision(tallied, np.ones((1, len(digests))))
    means = {name: [value] for name, value in _means(whole).items()}
    own = [whole[:, 0].mean(axis=1)]
    for weights in _resampled(tallied, len(digests), len(SIZES), seed, resamples):
        precision = average_precision(tallied, weights)
        own.append(precision[:, 0].mean(axis=1))
        for name, value in _means(precision).items():
            means[name].append(value)
    by_class = np.concatenate(own)
    empty = ClassPrecision(Estimate(None, reason="There are no objects of this class."), None, None, 0)
    rows = [empty] * classes
    for column, one in enumerate(tallied):
        count = int(one.objects[:, 0].sum())
        if count > 0:
            at = whole[0, 0, :, column]
            estimate = estimated(by_class[:, column], NOTHING_TO_FIND)
            rows[one.position] = ClassPrecision(estimate, float(at[0]), float(at[5]), count)
    reasons = {f"ap_{name}": f"There are no {name} objects." for name in SIZES[1:]}
    return Precision(
        {
            name: estimated(np.concatenate(values), reasons.get(name, NOTHING_TO_FIND))
            for name, values in means.items()
        },
        rows,
    )


def estimated(values: NDArray[np.float64], reason: str) -> Estimate:
    """Turn a value and its resamples behind it (1 + B,) into an estimate; NaN is without meaning."""
    if np.isnan(values[0]):
        return Estimate(None, reason=reason)
    low, high = percentile_interval(values[1:]) or (None, None)
    return Estimate(float(values[0]), low, high)


def _resampled(
    classes: Sequence[ClassTally], images: int, sizes: int, seed: int, resamples: int
) -> Iterator[Floats]:
    """Yield blocks of bootstrap weights: fewer for very large sets, short ones for very many classes."""
    if images == 0 or resamples == 0:
        return
    cost = _LEVELS * sizes * max(1, sum(len(one.image) for one in classes))
    affordable = max(min(resamples, _FEWEST_RESAMPLES), min(resamples, _BUDGET // cost))
    rows = max(1, _CHUNK_VALUES // (_LEVELS * sizes * max(1, len(classes))))
    for block in bootstrap_weights(images, affordable, seed):
        for start in range(0, len(block), rows):
            yield block[start : start + rows]


def headline_interval(
    digests: Sequence[Digest], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """Return the 95 % interval of map50_95 over images; None when the images cannot say it."""
    tallied = tally(digests)
    blocks = [
        _headline(tallied, weights) for weights in _resampled(tallied, len(digests), 1, seed, resamples)
    ]
    return percentile_interval(np.concatenate(blocks)) if blocks else None


def paired_difference(
    before: Sequence[Digest], after: Sequence[Digest], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """By how much map50_95 of ``after`` is better on the same images: value, low, high (-1 to 1).

    Every resample draws the same images for both. Where all resamples say the same, Wilson bounds the share
    of other images, which may say otherwise. Raises ``ValueError`` when the lists differ in length or hold
    no object, for then there is nothing to compare.
    """
    if len(before) != len(after):
        raise ValueError(f"paired_difference needs the same images twice, got {len(before)} and {len(after)}")
    first, second = tally(before), tally(after)
    one = np.ones((1, len(before)))
    value = float((_headline(second, one) - _headline(first, one))[0])
    if np.isnan(value):
        raise ValueError("paired_difference needs images with objects")
    longest = max(first, second, key=lambda classes: sum(len(one.image) for one in classes))
    drawn = [
        _headline(second, weights) - _headline(first, weights)
        for weights in _resampled(longest, len(before), 2, seed, resamples)
    ]
    interval = percentile_interval(np.concatenate(drawn)) if drawn else None
    if interval is None:
        others = 1 - wilson_interval(len(before), len(before))[0]
        reach = others if value == 0 else 2 * others
        interval = max(-1.0, value - reach), min(1.0, value + reach)
    return value, *interval
