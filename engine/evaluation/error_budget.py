"""What each kind of mistake costs a detector, after TIDE (Bolya et al., ECCV 2020, arXiv 2008.08115).

A false detection is one that found no object at IoU 0.5. By the greatest IoU that it has with objects of its
class, and with those of others, it is of the first kind that holds:

- ``localization``: 0.1 up to 0.5 with its own class,
- ``class``: 0.5 or more with another class,
- ``duplicate``: 0.5 or more with its own class, whose object a stronger detection has,
- ``background``: less than 0.1 with everything,
- ``both``: 0.1 up to 0.5 with another class.

An object is ``missed`` when nothing found it and no localization or class mistake lies on it. A kind costs as
much mAP at 0.5 as is gained when that kind alone is put right: the class or the box corrected (the weaker of
two detections that then lie on one object goes), false detections of the other kinds left out, missed objects
no longer expected. The costs do not add up to what is missing, as one mistake hides another.

This is the text of the paper. Its toolbox gives less for class and localization: it leaves the corrected
detection out wherever the object was already found, even by a weaker one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.average_precision import interpolated
from engine.evaluation.boxes import THRESHOLDS, Bools, Detections, Objects, match, overlap
from engine.evaluation.confusion import Floats, Ints

KINDS = ("class", "localization", "both", "duplicate", "background", "missed")
FOREGROUND = 0.5
BACKGROUND = 0.1
_RIGHT = ""


@dataclass(frozen=True)
class Mistake:
    """One false detection or missed object.

    ``image`` is the position of the image, ``detection`` and ``object`` those in its lists, -1 for none (a
    missed object has no detection, background no object). ``score`` is 0 for a missed object.
    """

    kind: str
    image: int
    detection: int
    object: int
    score: float


@dataclass(frozen=True)
class Budget:
    """``map50`` as it is, what each kind costs of it (0.02 is 2 points), and all mistakes, strongest first.

    Without any object ``map50`` and the costs are NaN.
    """

    map50: float
    costs: dict[str, float]
    mistakes: list[Mistake]


@dataclass(frozen=True)
class _Table:
    """D detections of all images, image by image and by falling score; ``owner`` numbers all objects.

    ``kind`` is empty for right ones. ``owner`` is the object that it found, or lies on (-1: none). ``left``
    marks objects that are missed, ``wanted`` are the classes of all objects, ignored ones apart.
    """

    image: Ints
    detection: Ints
    scores: Floats
    classes: Ints
    kind: NDArray[np.str_]
    owner: Ints
    owner_image: Ints
    owner_place: Ints
    wanted: Ints
    left: Bools

    def at(self, rows: Bools | Ints) -> _Table:
        """Keep some detections."""
        names = ("image", "detection", "scores", "classes", "kind", "owner")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def error_budget(pictures: Sequence[tuple[Detections, Objects]]) -> Budget:
    """Sort all mistakes of a detector by kind and measure what each kind costs."""
    table = _table(pictures)
    totals = _totals(table.wanted, table.wanted)
    now = _map50(table, totals)
    costs = {}
    for kind in KINDS:
        left = totals - _totals(table.wanted[table.left], table.wanted) if kind == "missed" else totals
        costs[kind] = _map50(_fixed(table, kind), left) - now
    return Budget(now, costs, _mistakes(table))


def _table(pictures: Sequence[tuple[Detections, Objects]]) -> _Table:
    """Judge every image, and lay all of them one below the other."""
    parts: list[tuple[NDArray[np.generic], ...]] = []
    owners: list[tuple[NDArray[np.generic], ...]] = []
    before = 0
    for image, (detections, objects) in enumerate(pictures):
        matches = match(detections, objects, THRESHOLDS[:1])
        counted = ~matches.aside[0, 0]
        order, found = matches.order[counted], matches.found[0, 0][counted]
        kept = np.flatnonzero(matches.counted[0])
        place = np.full(len(objects) + 1, -1)
        place[kept] = np.arange(len(kept))
        kind, owner = _judge(
            detections.chosen(order), objects.boxes[kept], objects.classes[kept], place[found]
        )
        explained = np.isin(kind, (_RIGHT, "localization", "class"))
        left = ~np.isin(np.arange(len(kept)), owner[explained])
        scores = detections.scores[order].astype(np.float64)
        owner = np.where(owner < 0, -1, owner + before)
        parts.append((np.full(len(order), image), order, scores, detections.classes[order], kind, owner))
        owners.append((np.full(len(kept), image), kept, objects.classes[kept], left))
        before += len(kept)
    whole = np.zeros(0, np.int64)
    start = (whole, whole, whole.astype(np.float64), whole, np.array([], "U12"), whole)
    found_in = (whole, whole, whole, np.zeros(0, np.bool_))
    columns = [np.concatenate(column) for column in zip(start, *parts, strict=True)]
    held = [np.concatenate(column) for column in zip(found_in, *owners, strict=True)]
    return _Table(*columns, *held)


def _judge(
    detections: Detections, boxes: NDArray[np.float32], classes: Ints, found: Ints
) -> tuple[NDArray[np.str_], Ints]:
    """Return kind and object of each detection of an image; ``found`` (D,) is what it found, -1 for none."""
    if len(boxes) == 0:
        return np.full(len(found), "background", "U12"), np.full(len(found), -1)
    pairs = overlap(detections.boxes, boxes)
    same = detections.classes[:, None] == classes[None]
    own, other = np.where(same, pairs, 0.0), np.where(same, 0.0, pairs)
    near, across = own.max(axis=1), other.max(axis=1)
    rules = {
        _RIGHT: found >= 0,
        "localization": (near >= BACKGROUND) & (near < FOREGROUND),
        "class": across >= FOREGROUND,
        "duplicate": near >= FOREGROUND,
        "background": np.maximum(near, across) < BACKGROUND,
    }
    kind = np.select(list(rules.values()), [np.array(name, "U12") for name in rules], np.array("both", "U12"))
    on_own = np.isin(kind, ("localization", "duplicate"))
    owner = np.where(on_own, own.argmax(axis=1), other.argmax(axis=1))
    owner = np.where(kind == "background", -1, np.where(kind == _RIGHT, found, owner))
    return kind, owner


def _fixed(table: _Table, kind: str) -> _Table:
    """Put one kind of false detections right."""
    wrong = table.kind == kind
    if kind not in {"class", "localization"}:
        return table.at(~wrong)
    classes = table.classes.copy()
    classes[wrong] = table.wanted[table.owner[wrong]]
    mended = replace(table, classes=classes, kind=np.where(wrong, _RIGHT, table.kind))
    right = np.flatnonzero(mended.kind == _RIGHT)
    right = right[np.argsort(-mended.scores[right], kind="stable")]
    _, strongest = np.unique(mended.owner[right], return_index=True)
    kept = mended.kind != _RIGHT
    kept[right[strongest]] = True
    return mended.at(kept)


def _totals(classes: Ints, present: Ints) -> Ints:
    """Count objects of each class among those present, in their order."""
    names = np.unique(present)
    return np.bincount(np.searchsorted(names, classes), minlength=len(names))


def _map50(table: _Table, totals: Ints) -> float:
    """Return mAP at IoU 0.5 over the classes that have objects; ``totals`` of each says how many to expect.

    Where no object of a class is expected any more, AP is 1 without detections of it and 0 with some.
    """
    values = []
    for position, total in zip(np.unique(table.wanted), totals, strict=True):
        of_class = table.classes == position
        order = np.argsort(-table.scores[of_class], kind="stable")
        hits = np.flatnonzero((table.kind[of_class] == _RIGHT)[order])
        if total == 0:
            values.append(float(len(order) == 0))
            continue
        right, called = np.arange(1, len(hits) + 1, dtype=np.float64), (hits + 1).astype(np.float64)
        values.append(float(interpolated(right[None], called[None], np.array([float(total)]))[0]))
    return float(np.mean(values)) if values else float("nan")


def _mistakes(table: _Table) -> list[Mistake]:
    """List false detections by falling score, then missed objects."""
    wrong = table.at(table.kind != _RIGHT)
    wrong = wrong.at(np.argsort(-wrong.scores, kind="stable"))
    places = np.append(table.owner_place, -1)[wrong.owner]
    false = [
        Mistake(str(kind), int(image), int(detection), int(place), float(score))
        for kind, image, detection, place, score in zip(
            wrong.kind, wrong.image, wrong.detection, places, wrong.scores, strict=True
        )
    ]
    missed = [
        Mistake("missed", int(table.owner_image[at]), -1, int(table.owner_place[at]), 0.0)
        for at in np.flatnonzero(table.left)
    ]
    return false + missed
