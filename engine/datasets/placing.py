"""Bringing the labels of an image to px of its upright picture, and mending what can be mended.

A reader hands over what the set says; here it meets the picture as it is. What is beyond repair is
skipped by itself: an image is never dropped because one of its labels is bad.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from engine.datasets import masks
from engine.datasets.labels import Box, ImageLabels, Label, Point, Polygons, Rle

TOLERANCE = 0.01
"""Share of the picture's side by which a label may reach beyond it without a warning."""
EXACT = 0.01  # px; less is the rounding of a text
ROUNDING = 1e-9  # of a share that is calculated
SAME_SCALE = 0.01  # relative difference of two scales that count as one
SIDEWAYS = 5  # EXIF orientations from here on swap width and height

Move = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Picture:
    """What is known of a picture: width and height in px, upright, and its EXIF orientation (1 to 8)."""

    width: int
    height: int
    orientation: int = 1


@dataclass(frozen=True)
class Placed:
    """Labels in px of the upright picture, those that are left out with the reason, and notes of the row."""

    labels: tuple[Label, ...]
    skipped: tuple[tuple[Label, str], ...] = ()


@dataclass(frozen=True)
class _Frame:
    """How the set's coordinates become px of the upright picture; ``repair`` says what had to be done."""

    move: Move | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    turned: int = 1
    repair: str = ""

    @property
    def plain(self) -> bool:
        """Whether coordinates stay as they are."""
        return self.move is None and self.scale == (1.0, 1.0)


def scaled_size(row: ImageLabels, picture: Picture) -> bool:
    """Whether the set declares this picture's size in another scale, the same for both sides."""
    if row.size is None or row.relative or not (row.labels or row.masks):
        return False
    if row.size in ((picture.width, picture.height), (picture.height, picture.width)):
        return False
    across, down = picture.width / row.size[0], picture.height / row.size[1]
    return abs(across - down) <= SAME_SCALE * max(across, down)


def inverted(label: Label) -> bool:
    """Whether the corners of a box stand the wrong way round."""
    return label.box is not None and (label.box[2] < label.box[0] or label.box[3] < label.box[1])


def place(row: ImageLabels, picture: Picture, *, swap_boxes: bool = False, rescale: bool = False) -> Placed:
    """Bring all labels of a row to px of its picture.

    ``swap_boxes``: corners that stand the wrong way round are exchanged. ``rescale``: labels of another
    size of the same picture are brought to this one.
    """
    if not row.labels:
        return Placed(())
    if not any(label.box or label.mask or label.points for label in row.labels):
        return Placed(row.labels)
    frame = _frame(row, picture, rescale)
    if isinstance(frame, str):
        return Placed((), tuple((label, frame) for label in row.labels))
    kept, lost = [], []
    for label in row.labels:
        try:
            kept.append(_place(label, frame, picture, swap_boxes))
        except ValueError as error:
            lost.append((label, str(error)))
    return Placed(tuple(kept), tuple(lost))


def _frame(row: ImageLabels, picture: Picture, rescale: bool) -> _Frame | str:
    """Find how coordinates are to be moved, or the reason why they cannot be."""
    real = (picture.width, picture.height)
    if row.relative:
        return _Frame(scale=(float(real[0]), float(real[1])))
    if row.size is None or row.size == real:
        return _Frame() if row.size is None else _Frame(repair=_unsure(picture))
    if row.size == real[::-1]:
        if picture.orientation >= SIDEWAYS:
            return _Frame(
                move=turn(picture.orientation, *row.size),
                turned=picture.orientation,
                repair="turned upright with its picture",
            )
        return _Frame(repair="width and height of the image are exchanged in the set")
    if rescale and scaled_size(row, picture):
        scale = (real[0] / row.size[0], real[1] / row.size[1])
        return _Frame(scale=scale, repair=f"rescaled from {row.size[0]} x {row.size[1]} px")
    return f"the set gives {row.size[0]} x {row.size[1]} px for the image, which has {real[0]} x {real[1]}"


def _unsure(picture: Picture) -> str:
    """Say when a declared size does not tell which way up the set saw a picture that its EXIF turns."""
    if picture.orientation == 1:
        return ""
    if picture.orientation < SIDEWAYS:
        return "the picture is mirrored or upside down by its EXIF; labels taken as upright"
    if picture.width == picture.height:
        return "the picture is square and turned by its EXIF; labels taken as upright"
    return ""


def turn(orientation: int, width: int, height: int) -> Move:
    """Give the way from a point of the stored picture (width x height) to the upright one (EXIF 2.3)."""
    moves: dict[int, Move] = {
        1: lambda x, y: (x, y),
        2: lambda x, y: (width - x, y),
        3: lambda x, y: (width - x, height - y),
        4: lambda x, y: (x, height - y),
        5: lambda x, y: (y, x),
        6: lambda x, y: (height - y, x),
        7: lambda x, y: (height - y, width - x),
        8: lambda x, y: (y, width - x),
    }
    return moves[orientation]


def _place(label: Label, frame: _Frame, picture: Picture, swap: bool) -> Label:
    """Place one label; raises ``ValueError`` with the reason when nothing of it is left."""
    repairs = list(label.repairs)
    if frame.repair:
        repairs.append(frame.repair)
    box, points = label.box, label.points
    if box is not None:
        box = _box(box, frame, picture, swap, repairs)
    mask: Polygons | Rle | None = None
    if isinstance(label.mask, Polygons):
        mask = _polygons(label.mask, frame, picture, repairs)
    elif label.mask is not None:
        mask = _runs(label.mask, frame, picture, repairs)
    if points is not None:
        points = _points(points, frame, picture, repairs)
    if label.mask is not None and mask is None and box is None and points is None:
        raise ValueError(repairs[-1])
    if box is label.box and mask is label.mask and points is None and len(repairs) == len(label.repairs):
        return label  # a large set holds it once then, as it was read
    return replace(label, box=box, mask=mask, points=points, repairs=tuple(repairs))


def _box(box: Box, frame: _Frame, picture: Picture, swap: bool, repairs: list[str]) -> Box:
    if box[2] < box[0] or box[3] < box[1]:
        if not swap:
            raise ValueError(f"the box ends before it begins ({_numbers(box)})")
        repairs.append("corners exchanged")
    (x1, y1), (x2, y2) = _moved(box[0], box[1], frame), _moved(box[2], box[3], frame)
    if x2 < x1:
        x1, x2 = x2, x1
    if y2 < y1:
        y1, y2 = y2, y1
    if 0 <= x1 < x2 <= picture.width and 0 <= y1 < y2 <= picture.height:
        inside = (x1, y1, x2, y2)
        # Whole numbers equal the floats that are to be stored.
        return box if inside == box and set(map(type, box)) == {float} else inside
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"the box has no area ({_numbers(box)})")
    if not (0 <= (x1 + x2) / 2 <= picture.width and 0 <= (y1 + y2) / 2 <= picture.height):
        raise ValueError(f"the middle of the box lies outside the image ({_numbers(box)})")
    beyond = max(-x1 / picture.width, -y1 / picture.height, x2 / picture.width - 1, y2 / picture.height - 1)
    clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(picture.width)), min(y2, float(picture.height)))
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        raise ValueError(f"the box has no area inside the image ({_numbers(box)})")
    if beyond * max(picture.width, picture.height) > EXACT:
        repairs.append(_beyond("box", beyond))
    return clipped


def _polygons(mask: Polygons, frame: _Frame, picture: Picture, repairs: list[str]) -> Polygons | None:
    rings, beyond, dropped, outside = [], 0.0, 0, 0
    for ring in mask.rings:
        if len(ring) < 6 or len(ring) % 2:
            dropped += 1
            continue
        # A large set shares the outlines that need no change between what was read and what is kept.
        moved = ring if frame.plain else _moved_all(ring, frame)
        if _inside(moved, picture):
            rings.append(moved)
            continue
        cut = _cut(moved, picture)
        if cut is None:
            outside += 1
            continue
        beyond = max(beyond, cut[1])
        if cut[0] is None:
            dropped += 1
        else:
            rings.append(cut[0])
    if dropped:
        word = "an outline" if dropped == 1 else f"{dropped} outlines"
        repairs.append(f"{word} with fewer than three points, an odd count or no area left out")
    if outside:
        word = "an outline" if outside == 1 else f"{outside} outlines"
        repairs.append(f"{word} outside the image left out")
    if beyond * max(picture.width, picture.height) > EXACT:
        repairs.append(_beyond("outline", beyond))
    if len(rings) == len(mask.rings) and all(map(operator.is_, rings, mask.rings)):
        return mask
    return Polygons(tuple(rings)) if rings else None


def _inside(ring: array[float], picture: Picture) -> bool:
    """Whether an outline has an extent in both directions and lies in the picture, as nearly all do."""
    left, top, right, bottom = masks.ring_ends(ring)
    return 0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height


def _cut(ring: array[float], picture: Picture) -> tuple[array[float] | None, float] | None:
    """Cut an outline at the borders of the picture; None when it lies outside.

    Returns what is left, None when that has no area, and the share by which it reached beyond.
    """
    corners, beyond = np.frombuffer(ring, np.float64).reshape(-1, 2), 0.0
    limits = np.array([picture.width, picture.height], dtype=np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (high <= 0).any() or (low >= limits).any():
        return None
    if (low < 0).any() or (high > limits).any():
        beyond = max(float((-low / limits).max()), float((high / limits - 1).max()))
        corners = np.clip(corners, 0.0, limits)
        low, high = corners.min(axis=0), corners.max(axis=0)
        ring = array("d", corners.tobytes())
    return (None if (high <= low).any() else ring), beyond


def _runs(mask: Rle, frame: _Frame, picture: Picture, repairs: list[str]) -> Rle | None:
    """Check run lengths that others made before anything is drawn; turn or scale them with the picture."""
    try:
        if not (mask.sound or masks.check(mask)):
            raise ValueError("it is empty")
    except ValueError as error:
        repairs.append(f"its mask cannot be used: {error}")
        return None
    wanted = (picture.height, picture.width)
    if (mask.height, mask.width) == wanted and frame.turned == 1:
        return mask
    pixels = masks.decode(mask)
    if frame.turned != 1 and (mask.width, mask.height) == wanted:
        return masks.encode(_turned(pixels, frame.turned))
    across, down = wanted[1] / mask.width, wanted[0] / mask.height
    if abs(across - down) > SAME_SCALE * max(across, down):
        repairs.append(f"its mask has {mask.width} x {mask.height} px, the image {wanted[1]} x {wanted[0]}")
        return None
    rows = np.minimum((np.arange(wanted[0]) + 0.5) / down, mask.height - 1).astype(int)
    columns = np.minimum((np.arange(wanted[1]) + 0.5) / across, mask.width - 1).astype(int)
    resized = pixels[np.ix_(rows, columns)]
    if not resized.any():
        repairs.append("nothing is left of its mask after resizing")
        return None
    if not frame.repair:
        repairs.append(f"its mask was resized from {mask.width} x {mask.height} px, nearest pixel")
    return masks.encode(resized)


def _turned(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], orientation: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Turn a mask as ``turn`` turns its points."""
    turned = {
        5: pixels.T,
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).T,
        8: np.rot90(pixels),
    }
    return turned[orientation]


def _points(
    points: tuple[Point, ...], frame: _Frame, picture: Picture, repairs: list[str]
) -> tuple[Point, ...]:
    placed, lost, moved = [], 0, 0
    for x, y, seen in points:
        if not seen:
            placed.append((0.0, 0.0, 0))
            continue
        across, down = _moved(x, y, frame)
        outside = max(-across / picture.width, across / picture.width - 1, -down / picture.height,
                      down / picture.height - 1)  # fmt: skip
        if outside > TOLERANCE + ROUNDING:
            lost += 1
            placed.append((0.0, 0.0, 0))
            continue
        moved += outside * max(picture.width, picture.height) > EXACT
        inside = (min(max(across, 0.0), float(picture.width)), min(max(down, 0.0), float(picture.height)))
        placed.append((*inside, seen))
    if lost:
        word = "a point lies" if lost == 1 else f"{lost} points lie"
        repairs.append(f"{word} outside the image; counted as not labelled")
    if moved:
        word = "a point was" if moved == 1 else f"{moved} points were"
        repairs.append(f"{word} just beyond the image and moved to its border")
    return tuple(placed)


def _moved(x: float, y: float, frame: _Frame) -> tuple[float, float]:
    x, y = x * frame.scale[0], y * frame.scale[1]
    return frame.move(x, y) if frame.move else (x, y)


def _moved_all(ring: array[float], frame: _Frame) -> array[float]:
    moved = np.frombuffer(ring, np.float64).reshape(-1, 2) * np.array(frame.scale)
    if frame.move is not None:
        moved = np.array([frame.move(x, y) for x, y in moved.tolist()])
    return array("d", moved.tobytes())


def _beyond(what: str, share: float) -> str:
    warning = "" if share <= TOLERANCE + ROUNDING else ", more than the rounding of a tool"
    return f"the {what} reached {share:.1%} beyond the image and was cut{warning}"


def _numbers(box: Box) -> str:
    return ", ".join(f"{value:g}" for value in box)
