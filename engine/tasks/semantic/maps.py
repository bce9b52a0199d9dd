"""Label maps: what a set's regions are in px of the input, or of the picture itself (no torch).

A label map is uint8 (H, W): the position of a class, the background's where no region is, or ``VOID`` where
nothing counts: in regions that are ignored or whose class is not learnt, and in padding.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from engine.contracts.datasets import LabelItem
from engine.datasets.framing import Frame
from engine.datasets.labels import Polygons, Rle
from engine.datasets.masks import encode, run_lengths, to_runs
from engine.datasets.preprocessing import Preprocessing
from engine.errors import InputError
from engine.evaluation.edges import VOID

LabelMap = NDArray[np.uint8]

ALGORITHM = 1
"""Raised when the same regions would give other maps than before; part of the name of stored maps."""
MOST_CLASSES = VOID - 1
"""Of a person; the background has the number behind them."""
FEWEST_NUMBERS = 6
"""Of an outline: three corners."""


@dataclass(frozen=True)
class Region:
    """One region in px of the upright picture: ``position`` of its class, or ``VOID``.

    Run lengths, outlines, or (void ones only) a box.
    """

    position: int
    rle: str | None = None
    polygons: tuple[tuple[float, ...], ...] | None = None
    box: tuple[float, float, float, float] | None = None


def regions(labels: Sequence[LabelItem], positions: Mapping[str, int]) -> tuple[Region, ...]:
    """Return the regions of an image; ``positions`` are those of the class ids that are learnt.

    Labels without a mask are left out, unless they say that a box is to be ignored. Raises ``InputError``
    for more classes than a label map can hold.
    """
    if len(positions) > MOST_CLASSES:
        raise InputError(
            f"Segmentation takes at most {MOST_CLASSES} classes, not {len(positions)}.", "Merge classes."
        )
    found = []
    for label in labels:
        position = VOID if label.ignored else positions.get(label.class_id, VOID)
        if label.rle is not None or label.polygons is not None:
            found.append(Region(position, label.rle, label.polygons))
        elif label.ignored and label.box is not None:
            found.append(Region(VOID, box=label.box))
    return tuple(found)


def render(
    labels: Sequence[LabelItem],
    classes: Mapping[str, int],
    width: int,
    height: int,
    record: Preprocessing,
    background: int | None = None,
) -> LabelMap:
    """Return the label map of an upright picture of ``width`` x ``height`` px as the input shows it.

    ``classes``: positions by class id. ``background``: its position, the one behind the classes by default.
    Raises ``ValueError`` when the run lengths of a mask do not fit the picture.
    """
    ground = len(classes) if background is None else background
    return paint(regions(labels, classes), width, height, record, ground)


def paint(
    parts: Iterable[Region], width: int, height: int, record: Preprocessing, background: int
) -> LabelMap:
    """Return the label map of regions: each pixel what lies at its middle, to the picture's nearest pixel.

    Void lies lowest, then the large below the small, which it would hide; so they are drawn on screens, too.
    """
    frame = Frame.of(width, height, record)
    columns, of_columns = _sources(frame, 0, record.width)
    rows, of_rows = _sources(frame, 1, record.height)
    inner = np.full((len(rows), len(columns)), background, np.uint8)
    drawn = [_Drawn.of(part, width, height) for part in parts]
    for part in sorted(drawn, key=lambda part: (part.position != VOID, -part.area)):
        part.onto(inner, columns, rows)
    labels = np.full((record.height, record.width), VOID, np.uint8)
    labels[np.ix_(of_rows, of_columns)] = inner
    return labels


def _sources(frame: Frame, axis: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the picture's columns (axis 0) or rows that input px show, and which of ``count`` those are."""
    middles = np.arange(count) + 0.5
    inside = np.flatnonzero((middles > frame.inside[axis]) & (middles < frame.inside[axis + 2]))
    found = np.floor((middles[inside] - frame.shift[axis]) / frame.scale[axis]).astype(np.int64)
    return np.clip(found, 0, frame.size[axis] - 1), inside


def _as_runs(region: Region, width: int, height: int) -> Rle:
    """Return a region's run lengths; outlines are filled as everywhere, to the picture's pixels."""
    if region.rle is not None:
        return Rle(height, width, region.rle)
    outlines = [ring for ring in region.polygons or () if len(ring) >= FEWEST_NUMBERS]
    if not outlines:
        return encode(np.zeros((height, width), np.bool_))
    return to_runs(Polygons(tuple(array("d", ring) for ring in outlines)), height, width)


@dataclass(frozen=True)
class _Drawn:
    """A region as run ends, counted down the columns of the picture, with its box and how large it is."""

    position: int
    ends: NDArray[np.int64] | None
    box: tuple[float, float, float, float]
    area: float
    height: int

    @classmethod
    def of(cls, region: Region, width: int, height: int) -> _Drawn:
        if region.rle is None and region.polygons is None:
            assert region.box is not None
            x1, y1, x2, y2 = region.box
            return cls(region.position, None, region.box, (x2 - x1) * (y2 - y1), height)
        rle = _as_runs(region, width, height)
        runs = run_lengths(rle.counts)
        ends = np.cumsum(runs)
        if ends[-1] != width * height:
            raise ValueError(f"its runs cover {ends[-1]:,} pixels, not {height} x {width}")
        plain = {"size": [height, width], "counts": rle.counts.encode("ascii")}
        x, y, wide, high = (float(value) for value in coco.toBbox(plain))
        return cls(region.position, ends, (x, y, x + wide, y + high), float(runs[1::2].sum()), height)

    def onto(self, labels: LabelMap, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Paint into ``labels``, in place, which show the picture's pixels at ``columns`` and ``rows``."""
        # Of a box, the pixels whose middles lie in it.
        left, right = np.searchsorted(columns + 0.5, (self.box[0], self.box[2]))
        top, bottom = np.searchsorted(rows + 0.5, (self.box[1], self.box[3]))
        within = labels[top:bottom, left:right]
        if self.ends is None:
            within[...] = self.position
            return
        places = columns[None, left:right] * self.height + rows[top:bottom, None]
        within[np.searchsorted(self.ends, places, side="right") % 2 == 1] = self.position
