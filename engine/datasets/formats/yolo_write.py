"""Writes YOLO sets, and the rows of numbers that other formats of the same family share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np
import yaml
from numpy.typing import NDArray

from engine.contracts.datasets import LabelKind
from engine.datasets import masks
from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import Box, ClassHead, ImageLabels, Label, Point, Polygons
from engine.errors import InputError

HEADER = "data.yaml"
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Right, down, left, up: each is a right turn after the one before."""


def write(out: ExportSet, folder: Path) -> None:
    """Write ``images/split/…``, ``labels/split/….txt`` and ``data.yaml``.

    An image on which nothing is gets an empty file, one without labels gets none. Ignored regions are
    left out. An object of several parts, or with a hole, becomes one outline whose parts are joined by
    lines without width. Raises ``InputError`` when objects have different numbers of points.
    """
    files = ImageNames(folder, flat=True, unique_stems=True)
    rows = RowsOfNumbers(out.kind, out.classes)
    splits: set[str] = set()
    for labels, source in out.rows:
        place = "/".join(["images", *([labels.split] if labels.split else [])])
        name = files.place(labels.path, source, place)
        splits.update([labels.split] if labels.split else [])
        text = "".join(f"{_line(row)}\n" for row in rows.of(labels))
        if text or labels.negative:
            target = (folder / "labels" / PurePosixPath(name).relative_to("images")).with_suffix(".txt")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    header: dict[str, object] = {
        split: f"images/{split}" for split in ("train", "val", "test") if split in splits
    }
    header |= {"nc": len(out.classes), "names": {n: head.name for n, head in enumerate(out.classes)}}
    header |= rows.keypoints()
    content = yaml.safe_dump(header, allow_unicode=True, sort_keys=False, width=10_000)
    (folder / HEADER).write_text(content, encoding="utf-8")


def _line(row: Sequence[float]) -> str:
    return " ".join([str(int(row[0])), *(format(value, ".12g") for value in row[1:])])


class RowsOfNumbers:
    """Turns labels into rows: class, then box, outline, or box and points, as shares of the image."""

    def __init__(self, kind: LabelKind, classes: Sequence[ClassHead]) -> None:
        self._kind = kind
        self._classes = classes
        self._index = {head.name: index for index, head in enumerate(classes)}
        self._points = max((len(head.points) for head in classes), default=0)

    def of(self, labels: ImageLabels) -> list[list[float]]:
        """Give the rows of one image, whose true size must be known."""
        if not labels.labels:
            return []
        if labels.size is None:
            raise ValueError(f"the size of “{labels.path}” is not known")
        found = ((label, self._numbers(label, labels.size)) for label in labels.labels if not label.ignored)
        return [[float(self._index[label.name]), *numbers] for label, numbers in found if numbers]

    def keypoints(self) -> dict[str, object]:
        """Give what a header says of keypoints: their number, names, and which change sides when mirrored."""
        if self._kind != "points":
            return {}
        said: dict[str, object] = {"kpt_shape": [self._points, 3]}
        names = {index: list(head.points) for index, head in enumerate(self._classes)}
        if names and all(len(points) == self._points for points in names.values()):
            said["kpt_names"] = names
            flips = {tuple(mirrored(points)) for points in names.values()}
            if len(flips) == 1 and (flip := flips.pop()):
                said["flip_idx"] = list(flip)
        return said

    def _numbers(self, label: Label, size: tuple[int, int]) -> list[float]:
        if self._kind == "masks" and label.mask is not None:
            return _shares(one_ring(label, size), size)
        box = label.box or _box_around(label)
        if box is None:
            return []
        x1, y1, x2, y2 = box
        numbers = _shares(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), size)
        return numbers + (self._point_numbers(label.points or (), size) if self._kind == "points" else [])

    def _point_numbers(self, points: Sequence[Point], size: tuple[int, int]) -> list[float]:
        self._points = self._points or len(points)
        if len(points) > self._points:
            raise InputError(
                f"One object has {len(points)} points, others have {self._points}.", "Export as COCO instead."
            )
        padded = [*points, *[(0.0, 0.0, 0)] * (self._points - len(points))]
        return [value for x, y, seen in padded for value in (x / size[0], y / size[1], float(seen))]


def mirrored(points: Sequence[str]) -> list[int]:
    """Give for each point the one it becomes in a mirrored image, from left and right in the names.

    Empty when no name says a side, or a partner is missing: then nothing is known.
    """
    place = {name.casefold(): index for index, name in enumerate(points)}
    found: list[int] = []
    for name in place:
        swapped = name.replace("left", "\0").replace("right", "left").replace("\0", "right")
        if swapped not in place:
            return []
        found.append(place[swapped])
    return found if found != list(range(len(points))) else []


def one_ring(label: Label, size: tuple[int, int]) -> list[float]:
    """Give a mask as one outline in px; ``size`` is the image's width and height.

    Several parts are joined by lines without width, and holes likewise. Outlines that cover one another
    would cancel out, so then the outline of their pixels is taken, as for run lengths.
    """
    mask = label.mask
    width, height = size
    if isinstance(mask, Polygons):
        rings = [list(ring) for ring in mask.rings if len(ring) >= 6]
        if len(rings) == 1:
            return rings[0]
        ring = joined(rings)
        if ring and masks.to_runs(Polygons.of([ring]), height, width) == masks.to_runs(
            Polygons.of(rings), height, width
        ):
            return ring
    if mask is None or (isinstance(mask, Polygons) and not mask.rings):
        return []
    return joined(outlines(masks.decode(masks.to_runs(mask, height, width))))


def joined(rings: Sequence[Sequence[float]]) -> list[float]:
    """Join rings into one: there and back from the first corner of the first to that of each other."""
    if not rings:
        return []
    start = list(rings[0][:2])
    others = chain.from_iterable([*start, *ring, *ring[:2]] for ring in rings[1:])
    return [*rings[0], *others]


def outlines(pixels: NDArray[np.bool_]) -> list[list[float]]:
    """Follow the edges of the pixels in an (H, W) mask; holes run the other way round.

    Every ring runs along pixel borders with the inside on its right, and turns right where two parts
    touch at a corner, so parts are those of pixels that share a side.
    """
    inside = np.pad(pixels, 1)
    core = inside[1:-1, 1:-1]
    leaving: dict[tuple[int, int], list[int]] = defaultdict(list)
    sides = (
        (inside[:-2, 1:-1], 0, (0, 0)),
        (inside[1:-1, 2:], 1, (1, 0)),
        (inside[2:, 1:-1], 2, (1, 1)),
        (inside[1:-1, :-2], 3, (0, 1)),
    )
    for neighbour, step, (dx, dy) in sides:
        ys, xs = np.nonzero(core & ~neighbour)
        for x, y in zip((xs + dx).tolist(), (ys + dy).tolist(), strict=True):
            leaving[x, y].append(step)
    found: list[list[float]] = []
    for corner in list(leaving):
        while leaving[corner]:
            found.append(_follow(corner, leaving))
    return found


def _follow(start: tuple[int, int], leaving: dict[tuple[int, int], list[int]]) -> list[float]:
    """Walk one ring, using its edges up; only the corners where it turns are kept."""
    step = leaving[start].pop()
    first = step
    ring: list[float] = []
    x, y = start
    while True:
        x, y = x + STEPS[step][0], y + STEPS[step][1]
        if (x, y) == start and not _goes_on(leaving[x, y], step):
            break
        choices = leaving[x, y]
        turn = next(way for way in ((step + 1) % 4, step, (step + 3) % 4) if way in choices)
        choices.remove(turn)
        if turn != step:
            ring += (x, y)
        step = turn
    return ring if first == step else [*start, *ring]


def _goes_on(choices: Sequence[int], step: int) -> bool:
    """Whether a ring that is back at its start only touches it there."""
    return (step + 1) % 4 in choices


def _box_around(label: Label) -> Box | None:
    if label.mask is not None:
        return masks.box_of(label.mask)
    seen = [point for point in label.points or () if point[2]]
    if not seen:
        return None
    xs, ys = [x for x, _, _ in seen], [y for _, y, _ in seen]
    return min(xs), min(ys), max(xs), max(ys)


def _shares(numbers: Iterable[float], size: tuple[int, int]) -> list[float]:
    return [value / size[place % 2] for place, value in enumerate(numbers)]
