"""Labels drawn as a see-through picture that lies over their image.

Every field that a label has is drawn: an outline or run lengths as a tinted area with a crisp edge, a box
as lines with a dark rim, points with the lines of their skeleton. What is ignored is hatched in grey.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from colorsys import hls_to_rgb, rgb_to_hls
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from engine.contracts.datasets import ClassInfo, LabelItem
from engine.contracts.palette import class_color
from engine.datasets import masks

Color = tuple[int, int, int, int]
Size = tuple[int, int]

TINT = 102  # of 255: an area covers 40 % of what is below
EDGE = 2  # px
NOTHING: Color = (255, 255, 255, 0)
RIM: Color = (12, 15, 24, 190)
GREY: Color = (150, 154, 165, 60)
HATCH: Color = (205, 208, 216, 200)
TONES = (0.0, 0.12, -0.06, 0.06)
"""What the lightness (0 to 1) of a class's colour is moved by towards the middle, object by object in turn;
any further, and blue would be taken for the palette's sky blue."""


@dataclass(frozen=True)
class Frame:
    """Where an image's px come to lie in a picture of ``out`` px that it fills, cropped around its middle."""

    size: Size
    out: Size

    @property
    def scale(self) -> float:
        """Picture px per image px."""
        return max(self.out[0] / self.size[0], self.out[1] / self.size[1])

    @property
    def offset(self) -> tuple[float, float]:
        """Picture px that are cut off at the left and at the top."""
        (wide, high), (width, height) = self.size, self.out
        return (wide * self.scale - width) / 2, (high * self.scale - height) / 2

    def place(self, xy: Sequence[float]) -> NDArray[np.float64]:
        """Bring x, y, x, y, ... from image px to picture px, (N, 2)."""
        placed: NDArray[np.float64] = np.asarray(xy, np.float64).reshape(-1, 2) * self.scale - self.offset
        return placed

    def sources(self, axis: int) -> NDArray[np.int64]:
        """Give the image column (axis 0) or row (axis 1) at the middle of each of the picture's."""
        middles = (np.arange(self.out[axis]) + 0.5 + self.offset[axis]) / self.scale
        found: NDArray[np.int64] = np.clip(middles, 0, self.size[axis] - 1).astype(np.int64)
        return found


@dataclass(frozen=True)
class _Area:
    """What covers an area: a label, its place among the labels, and where its runs start and end."""

    label: LabelItem
    place: int
    runs: NDArray[np.int64] | None

    @property
    def extent(self) -> float:
        """How large it is, in square px: the pixels of its mask, else the box around it."""
        if self.runs is not None:
            return float((self.runs[1::2] - self.runs[0::2]).sum())
        if self.label.box is not None:
            return (self.label.box[2] - self.label.box[0]) * (self.label.box[3] - self.label.box[1])
        corners = [value for ring in self.label.polygons or () for value in ring]
        wide, high = np.ptp(np.reshape(corners or (0.0, 0.0), (-1, 2)), axis=0)
        return float(wide * high)


def draw(labels: Sequence[LabelItem], classes: Sequence[ClassInfo], size: Size, out: Size) -> bytes:
    """Draw labels for an image of ``size`` as a PNG of ``out`` (both width, height in px).

    The picture fills ``out`` as the thumbnails do: scaled until nothing stays empty, the rest cut off on
    both sides. Of a class that is not in ``classes``, only what is ignored is drawn. Raises ``ValueError``
    when the run lengths of a mask do not fit ``size``.
    """
    frame = Frame(size, out)
    line = 2 if max(out) <= 1000 else 3
    known = {c.id: c for c in classes}
    shown = [label for label in labels if label.ignored or label.class_id in known]
    colors = _colors(shown, known)
    image = Image.fromarray(_areas(shown, colors, frame))
    pen = ImageDraw.Draw(image)
    for label, color in zip(shown, colors, strict=True):
        if label.box is not None and not label.ignored and not _has_area(label):
            _box(pen, frame.place(label.box), color, 1 if label.points else line)
    for label, color in zip(shown, colors, strict=True):
        if label.points is not None:
            tint = HATCH if label.ignored else color
            skeleton = known[label.class_id].skeleton if label.class_id in known else ()
            _points(pen, label.points, skeleton, frame, tint, line)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _has_area(label: LabelItem) -> bool:
    return label.rle is not None or label.polygons is not None


def _colors(labels: Sequence[LabelItem], known: dict[str, ClassInfo]) -> list[Color]:
    """Give each label its colour: the class's own, in other tones for areas and points after the first."""
    seen: dict[str, int] = defaultdict(int)
    found: list[Color] = []
    for label in labels:
        turn = 0
        if label.class_id not in known:
            found.append(HATCH)
            continue
        if not label.ignored and (_has_area(label) or label.points is not None):
            turn, seen[label.class_id] = seen[label.class_id], seen[label.class_id] + 1
        found.append(_tone(class_color(known[label.class_id].position), turn))
    return found


def _tone(color: str, turn: int) -> Color:
    red, green, blue = ImageColor.getrgb(color)[:3]
    hue, light, saturation = rgb_to_hls(red / 255, green / 255, blue / 255)
    if turn % len(TONES):
        step = TONES[turn % len(TONES)]
        moved = hls_to_rgb(hue, light + (step if light < 0.5 else -step), saturation)
        red, green, blue = (round(255 * part) for part in moved)
    return red, green, blue, 255


def _areas(labels: Sequence[LabelItem], colors: Sequence[Color], frame: Frame) -> NDArray[np.uint8]:
    """Draw everything that covers an area, (H, W, 4)."""
    width, height = frame.out
    areas = [
        _Area(label, n, None if label.rle is None else _run_edges(label.rle, frame.size))
        for n, label in enumerate(labels)
        if _has_area(label) or (label.ignored and label.box is not None)
    ]
    if not areas:
        return np.zeros((height, width, 4), np.uint8)
    # What is ignored lies below, and the small above the large, which would hide it.
    areas.sort(key=lambda area: (not area.label.ignored, -area.extent))
    owners = _owners(areas, frame)
    ignored = np.array([False, *(area.label.ignored for area in areas)])
    fills = np.zeros((len(areas) + 1, 4), np.uint8)
    fills[1:] = [(*colors[area.place][:3], TINT) for area in areas]
    fills[ignored] = GREY
    pixels: NDArray[np.uint8] = fills[owners]
    rims = _rims(owners, EDGE)
    pixels[..., 3][rims & ~ignored[owners]] = 255
    if ignored.any():
        hatched = (np.arange(width) + np.arange(height)[:, None]) % 12 < 3
        pixels[ignored[owners] & (hatched | rims)] = HATCH
    return pixels


def _owners(areas: Sequence[_Area], frame: Frame) -> NDArray[np.int32]:
    """Say for each pixel (H, W) whose area it is: 0 nobody's, n the n-th's; later ones win.

    Run lengths are below outlines, since they are painted all at once.
    """
    image = Image.fromarray(_owners_by_runs(areas, frame))
    pen = ImageDraw.Draw(image)
    for number, area in enumerate(areas, 1):
        if area.runs is not None:
            continue
        for ring in area.label.polygons or ():
            # Pillow counts from the middle of the first pixel, labels from its edge.
            corners = frame.place(ring) - 0.5
            if len(corners) > 1:
                pen.polygon(corners.ravel().tolist(), fill=number)
        if area.label.polygons is None and area.label.box is not None:
            pen.rectangle(_pixels(frame.place(area.label.box)), fill=number)
    return np.asarray(image)


def _owners_by_runs(areas: Sequence[_Area], frame: Frame) -> NDArray[np.int32]:
    """Paint run lengths, only where a pixel of the picture looks at them."""
    columns, of_x = np.unique(frame.sources(0), return_inverse=True)
    rows, of_y = np.unique(frame.sources(1), return_inverse=True)
    owners = np.zeros(len(columns) * len(rows), np.int32)
    runs = {number: area.runs for number, area in enumerate(areas, 1) if area.runs is not None}
    if runs:
        places = _places(np.concatenate(list(runs.values())), columns, rows, frame.size)
        starts, lengths = places[0::2], places[1::2] - places[0::2]
        inside = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        whose = np.repeat(list(runs), [len(edges) // 2 for edges in runs.values()])
        owners[inside] = np.repeat(whose, lengths)
    grid: NDArray[np.int32] = owners.reshape(len(columns), len(rows)).T
    return np.ascontiguousarray(grid[of_y[:, None], of_x])


def _run_edges(rle: str, size: Size) -> NDArray[np.int64]:
    """Give start and end, start and end, ... of the runs inside, counted down the columns."""
    edges = np.cumsum(masks.run_lengths(rle))
    if edges[-1] != size[0] * size[1]:
        raise ValueError(f"its runs cover {edges[-1]:,} pixels, not {size[1]} x {size[0]}")
    return edges[: len(edges) // 2 * 2]


def _places(
    edges: NDArray[np.int64], columns: NDArray[np.int64], rows: NDArray[np.int64], size: Size
) -> NDArray[np.int64]:
    """Bring places counted down the image's columns to places in the grid of those columns and rows."""
    left = np.searchsorted(columns, np.arange(size[0] + 2))
    above = np.searchsorted(rows, np.arange(size[1] + 1))
    x, y = np.divmod(edges, size[1])
    taken = left[x + 1] > left[x]
    return left[x] * len(rows) + np.where(taken, above[y], 0)


def _rims(owners: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    """Find the pixels within ``width`` px of where their area ends; the picture's own border is none."""
    across, down = owners[:, 1:] != owners[:, :-1], owners[1:] != owners[:-1]
    rims = np.zeros(owners.shape, bool)
    rims[:, 1:] |= across
    rims[:, :-1] |= across
    rims[1:] |= down
    rims[:-1] |= down
    for _ in range(width - 1):
        before = rims.copy()
        rims[:, 1:] |= before[:, :-1]
        rims[:, :-1] |= before[:, 1:]
        rims[1:] |= before[:-1]
        rims[:-1] |= before[1:]
    rims &= owners > 0
    return rims


def _pixels(corners: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Give the first and last pixels (x1, y1, x2, y2) that a box between two corners touches."""
    (x1, y1), (x2, y2) = np.floor(corners[0] + 1e-6), np.ceil(corners[1] - 1e-6) - 1
    return int(x1), int(y1), int(max(x1, x2)), int(max(y1, y2))


def _box(pen: ImageDraw.ImageDraw, corners: NDArray[np.float64], color: Color, line: int) -> None:
    """Draw a box: ``line`` px inside its edges in ``color``, 1 px outside of them dark."""
    x1, y1, x2, y2 = _pixels(corners)
    line = max(1, min(line, (min(x2 - x1, y2 - y1) + 1) // 4))
    pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=RIM)
    pen.rectangle((x1, y1, x2, y2), outline=color, width=line)


def _points(
    pen: ImageDraw.ImageDraw,
    points: Sequence[tuple[float, float, int]],
    skeleton: Sequence[tuple[int, int]],
    frame: Frame,
    color: Color,
    line: int,
) -> None:
    """Draw keypoints as discs, hidden ones hollow, and the lines between those that are labelled."""
    placed = frame.place([value for x, y, _ in points for value in (x, y)]) - 0.5
    labelled = {n: tuple(xy) for n, xy in enumerate(placed.tolist()) if points[n][2] > 0}
    joined = [(labelled[a], labelled[b]) for a, b in skeleton if a in labelled and b in labelled]
    for ends in joined:
        pen.line(ends, fill=RIM, width=line + 2)
    for ends in joined:
        pen.line(ends, fill=color, width=line)
    for number, (x, y) in labelled.items():
        for radius, fill in ((2 * line, RIM), (2 * line - 1, color), (1.5 * line - 1.5, NOTHING)):
            if fill[3] or points[number][2] == 1:
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
