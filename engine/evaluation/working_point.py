"""A detector at one score threshold: precision, recall, counts, and what was taken for what.

Precision and recall are micro (over all classes at once) at IoU 0.5. A detection on an ignored region counts
nowhere. What follows from digests (``average_precision.digest``) is measured on those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.average_precision import NOTHING_TO_FIND, ClassTally, Digest, estimated, tally
from engine.evaluation.boxes import Bools, Detections, Objects, assign, match, overlap
from engine.evaluation.classification import Estimate
from engine.evaluation.confusion import Floats, Ints, ratio
from engine.evaluation.intervals import RESAMPLES, bootstrap_weights, wilson_interval
from engine.evaluation.ranking import Curve

NO_CHOICE = 0.5


@dataclass(frozen=True)
class Counts:
    """Of each image (N,): its objects, the detections with enough score, and how many of those are right."""

    objects: Ints
    called: Ints
    right: Ints


def counts(digests: Sequence[Digest], threshold: float) -> Counts:
    """Count what N images hold and what is found in them with a score of ``threshold`` or more."""
    objects = [sum(row[1] for row in entry["objects"]) for entry in digests]
    called, right = np.zeros(len(digests), np.int64), np.zeros(len(digests), np.int64)
    for one in tally(digests):
        hit, kept = one.flags()
        kept = kept & (one.scores >= threshold)
        called += np.bincount(one.image[kept], minlength=len(digests))
        right += np.bincount(one.image[kept & hit], minlength=len(digests))
    return Counts(np.array(objects, np.int64), called, right)


def best_threshold(digests: Sequence[Digest]) -> float:
    """Return the score at which F1 is highest, the greatest of equals; 0.5 when nothing is ever right.

    It is to be chosen on validation images and stored, since on the images that chose it, it flatters.
    """
    classes = tally(digests)
    total = sum(int(one.objects[:, 0].sum()) for one in classes)
    found = [(one.scores[kept], hit[kept]) for one in classes for hit, kept in [one.flags()]]
    scores = np.concatenate([np.zeros(0), *(pair[0] for pair in found)])
    right = np.concatenate([np.zeros(0, np.bool_), *(pair[1] for pair in found)])
    if not right.any():
        return NO_CHOICE
    hits, called, ranked = _cumulative(scores, right)
    return float(ranked[np.argmax(2 * hits / (called + total))])


def _cumulative(scores: Floats, right: Bools) -> tuple[Ints, Ints, Floats]:
    """Count the right ones and all at or above each distinct score, highest first; three (P,)."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    return np.cumsum(right[order])[ends], ends + 1, ranked[ends]


def measure_at(
    digests: Sequence[Digest], threshold: float, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Measure precision, recall and count_mae at a score threshold, each with its 95 % interval.

    ``count_mae``: mean over images of how far the number of detections is from the number of objects.
    """
    at = counts(digests, threshold)
    names = ("precision", "recall", "count_mae")
    if not digests:
        return dict.fromkeys(names, Estimate(None, reason="There are no images to measure on."))
    blocks = [np.ones((1, len(digests))), *bootstrap_weights(len(digests), resamples, seed)]
    values = np.concatenate([_reduced(at, block) for block in blocks], axis=1)
    reasons = (f"Nothing was found with a score of {threshold:.2f} or more.", NOTHING_TO_FIND, "")
    found = {name: estimated(row, reason) for name, row, reason in zip(names, values, reasons, strict=True)}
    for name, shown in (("precision", at.called), ("recall", at.objects)):
        value = found[name].value
        if value in {0.0, 1.0}:  # the bootstrap would claim certainty, however few the images
            images = int((shown > 0).sum())
            found[name] = Estimate(value, *wilson_interval(int(value) * images, images))
    return found


def _reduced(at: Counts, weights: Floats) -> Floats:
    """Return precision, recall and count_mae, weights (B, N) -> (3, B)."""
    right, called, objects = (weights @ part.astype(np.float64) for part in (at.right, at.called, at.objects))
    apart = weights @ np.abs(at.called - at.objects).astype(np.float64)
    return np.stack([ratio(right, called), ratio(right, objects), ratio(apart, weights.sum(axis=1))])


@dataclass(frozen=True)
class ScoreCurve:
    """Recall and precision at or above each score, highest score first; three (P,)."""

    recall: Floats
    precision: Floats
    score: Floats

    def thinned(self, points: int) -> ScoreCurve:
        """Keep at most ``points``, evenly along the curve's length, always with both ends."""
        kept = Curve(self.recall, self.precision, np.arange(len(self.score))).thinned(points).called
        return ScoreCurve(self.recall[kept], self.precision[kept], self.score[kept])


def precision_recall(one: ClassTally) -> ScoreCurve | None:
    """Trace one class at IoU 0.5; None when it has no objects, or nothing was taken for it."""
    hit, kept = one.flags()
    total = int(one.objects[:, 0].sum())
    if total == 0 or not kept.any():
        return None
    hits, called, ranked = _cumulative(one.scores[kept], hit[kept])
    return ScoreCurve(hits / total, hits / called, ranked)


@dataclass(frozen=True)
class Pairing:
    """What became of n detections and of the objects of one image at a score and an IoU.

    ``shown`` (n,): the score is enough, and it is not on an ignored region. ``found`` (n,): position of the
    object that it found, or that it took for another class; -1 for none. ``right`` (n,): the class agrees
    too. ``missed``: positions of objects that nothing found.
    """

    shown: Bools
    found: Ints
    right: Bools
    missed: Ints


def pair_up(detections: Detections, objects: Objects, score: float, iou: float = 0.5) -> Pairing:
    """Pair the detections of an image with its objects, first within each class, as AP does.

    What is left over is paired across classes by the same rule; so right ones are the same as in AP.
    """
    level = np.array([iou])
    matches = match(detections, objects, level)
    kept = ~matches.aside[0, 0] & (detections.scores[matches.order] >= score)
    order, first = matches.order[kept], matches.found[0, 0][kept]
    shown = np.zeros(len(detections), np.bool_)
    shown[order] = True
    found = np.full(len(detections), -1, np.int64)
    found[order] = first
    right = found >= 0
    rest, free = order[first < 0], np.setdiff1d(np.flatnonzero(matches.counted[0]), first)
    pairs = overlap(detections.boxes[rest], objects.boxes[free])
    nothing = np.zeros((1, len(free)), np.bool_)
    second = assign(pairs, ~nothing, nothing[0], level)[0, 0]
    found[rest[second >= 0]] = free[second[second >= 0]]
    return Pairing(shown, found, right, np.setdiff1d(free, found))


@dataclass(frozen=True)
class BoxConfusion:
    """``counts`` (K + 1, K + 1): rows truth, columns detections, background last in both.

    ``images``: of each (row, column) that is not empty, the positions of its images, rising.
    """

    counts: Ints
    images: dict[tuple[int, int], list[int]]


def box_confusion(
    pictures: Sequence[tuple[Detections, Objects]], classes: int, score: float, iou: float = 0.5
) -> BoxConfusion:
    """Count which class was taken for which among ``classes``; false ones and missed ones with background."""
    table = np.zeros((classes + 1, classes + 1), np.int64)
    images: dict[tuple[int, int], list[int]] = {}
    for at, (detections, objects) in enumerate(pictures):
        pairing = pair_up(detections, objects, score, iou)
        found = pairing.found[pairing.shown]
        owners = np.append(objects.classes, classes)[found]  # -1 reads the background that was put last
        called = detections.classes[pairing.shown]
        rows = np.concatenate([owners, objects.classes[pairing.missed]])
        columns = np.concatenate([called, np.full(len(pairing.missed), classes)])
        np.add.at(table, (rows, columns), 1)
        for cell in sorted(set(zip(rows.tolist(), columns.tolist(), strict=True))):
            images.setdefault(cell, []).append(at)
    return BoxConfusion(table, images)
