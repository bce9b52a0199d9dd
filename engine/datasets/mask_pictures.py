"""Mask pictures: from a file's bytes to one region per value.

Used by the processes that take images in, so it needs numpy and Pillow and nothing heavier. A value is
what the file holds: the index of a palette, the grey level, or the colour; nothing is converted on the
way (``convert("L")`` would turn indices into brightness).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.datasets.labels import Rle
from engine.datasets.preprocessing import UnreadableImageError, open_image, upright

Colors = Mapping[tuple[int, int, int], int]

MOST_VALUES = 70_000
"""Values of one picture: as many as 16 bits can number, and a few more for colours."""
MOST_CLASSES = 256
"""Values of one class mask; a picture saved with loss, or a photo, has more."""
UNKNOWN_COLOR = 1 << 24
"""Added to the 24 bits of a colour that the table of colours does not list."""
MOST_RUNS = 3_000_000
"""Runs of equal pixels; their book-keeping takes about 200 bytes each."""
LOSSY = ("JPEG", "MPO")
GREY = ("1", "L", "P", "I;16", "I;16B", "I;16L", "I;16N", "I", "F")
COLOURED = ("LA", "PA", "RGB", "RGBA", "RGBX")
GROUP = 5  # bits of a run length in one character of COCO's strings


@dataclass(frozen=True)
class MaskPicture:
    """The regions of one mask picture, upright; plain values only, so that it can cross a pipe.

    ``regions`` are value and run lengths (COCO's compressed counts over width and height in px), in the
    order of values, 0 too; ``pixels`` says how many each has. ``colored``: a value is a colour, red in
    the highest of three bytes, or ``UNKNOWN_COLOR`` more than that when a table did not list it.
    ``lossy``: the file's way of packing changes values.
    """

    width: int
    height: int
    regions: tuple[tuple[int, str], ...]
    pixels: tuple[int, ...]
    colored: bool = False
    lossy: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``from_dict`` gives the same record back, also after JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a record from ``to_dict``'s values; raises ``TypeError`` for an unknown key."""
        regions = tuple((int(value), str(counts)) for value, counts in values["regions"])
        return cls(**{**values, "regions": regions, "pixels": tuple(values["pixels"])})

    def region(self, position: int) -> Rle:
        """Return one region as run lengths."""
        return Rle(self.height, self.width, self.regions[position][1], sound=True)


def read_mask(content: bytes, colors: Colors | None = None) -> MaskPicture:
    """Decode a mask picture and split it into its values.

    A palette's indices and grey values are taken as they are. A picture whose channels are equal is
    grey; of another, values are colours, or what ``colors`` gives for them. A palette's own colours, and
    greys, are looked up in ``colors`` too when it lists them all (those of a picture with one channel,
    which are numbers as a rule, only in a table of greys). Pixels that are transparent in a
    picture that is not so everywhere are black.

    Raises ``UnreadableImageError`` when the file is damaged, over a limit, or no mask.
    """
    with open_image(content) as opened:
        image = upright(opened)
        lossy = (opened.format or "") in LOSSY or content[12:16] == b"VP8 "
        values, colored = _values(image)
        palette = _palette(image) if colors and image.mode == "P" else None
    starts, run_values = _runs(values)
    numbered = image.mode in GREY and image.mode != "P"
    if colors and not (numbered and any(len(set(color)) > 1 for color in colors)):
        run_values, colored = _looked_up(run_values, colored, palette, colors)
        starts, run_values = _joined(starts, run_values)
    height, width = values.shape
    found, regions, pixels = _deal_out(starts, run_values, values.size)
    if len(found) > MOST_CLASSES and lossy:
        raise UnreadableImageError(
            f"the mask has {len(found):,} different values: it was saved with loss, as JPEG does; "
            "save it as PNG"
        )
    packed = tuple(zip(found, regions, strict=True))
    return MaskPicture(width, height, packed, pixels, colored, lossy)


def split_values(values: NDArray[Any]) -> tuple[tuple[int, ...], tuple[str, ...], tuple[int, ...]]:
    """Split integers (H, W) into regions: the values in order, their COCO counts, and their pixels.

    One pass over the pixels for all values: the runs of equal values, column by column, are found once
    and dealt out. Raises ``UnreadableImageError`` above ``MOST_VALUES`` values or ``MOST_RUNS`` runs.
    """
    return _deal_out(*_runs(values), values.size)


def _runs(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return where runs of one value start, column by column, and their values.

    Pixels are compared with those above them in the order in which they lie in memory, and what is found is
    put into the order of columns: turning the whole picture first takes longer.
    """
    height, width = values.shape
    below = np.flatnonzero(values[1:] != values[:-1])
    top = np.flatnonzero(values[0, 1:] != values[-1, :-1]) + 1  # columns that do not go on as the one before
    if 1 + below.size + top.size > MOST_RUNS:
        raise UnreadableImageError("neighbouring pixels differ nearly everywhere: a photo, not a mask")
    rows = below // width
    columns = below - rows * width
    starts = np.concatenate([[0], top * height, columns * height + (rows + 1)])
    starts.sort()
    columns = starts // height
    return starts, values[starts - columns * height, columns]


def _joined(starts: NDArray[np.int64], run_values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Join neighbouring runs that have come to be of one value."""
    changes = np.concatenate([[True], run_values[1:] != run_values[:-1]])
    return starts[changes], run_values[changes]


def _deal_out(
    starts: NDArray[np.int64], run_values: NDArray[Any], size: int
) -> tuple[tuple[int, ...], tuple[str, ...], tuple[int, ...]]:
    ends = np.concatenate([starts[1:], [size]])
    order = np.argsort(run_values, kind="stable")
    starts, ends, run_values = starts[order], ends[order], run_values[order]
    first = np.concatenate([[0], np.flatnonzero(run_values[1:] != run_values[:-1]) + 1])
    if first.size > MOST_VALUES:
        raise UnreadableImageError(f"{first.size:,} different values: a photo, not a mask")
    pixels = np.add.reduceat(ends - starts, first)
    return tuple(run_values[first].tolist()), _counts(starts, ends, first, size), tuple(pixels.tolist())


def _counts(
    starts: NDArray[np.int64], ends: NDArray[np.int64], first: NDArray[np.int64], size: int
) -> tuple[str, ...]:
    """Spell the runs of all regions as COCO's ``rleToString`` does (maskApi.c).

    ``starts`` and ``ends`` (px) are the runs inside, region after region; ``first`` the position of each
    region's first run.
    """
    # A row for each run: what is outside before it, and its length. One more row ends each region: what is
    # left outside, and the end of a line. It stops at 0, from which the next region counts.
    region = np.arange(first.size)
    behind = np.concatenate([first[1:], [starts.size]])
    row = np.arange(starts.size) + np.repeat(region, behind - first)
    head, tail = first + region, behind + region
    outside = np.full(starts.size + first.size, size)
    stops = np.zeros(outside.size, np.int64)
    outside[row], stops[row] = starts, ends
    numbers = np.empty((outside.size, 2), np.int64)
    np.subtract(stops, outside, out=numbers[:, 1])
    outside[1:] -= stops[:-1]
    numbers[:, 0] = outside
    # From a region's fourth number on, each is written as the difference to the one before the last.
    written = numbers.copy()
    written[1:] -= numbers[:-1]
    written[head] = numbers[head]
    written[head + 1, 0] = outside[head + 1]
    written[tail, 1] = 0
    letters = _letters(written)
    letters[tail, 1, 0] = ord("\n")
    letters[tail, 1, 1:] = 0
    letters[tail[outside[tail] == 0], 0] = 0  # the last pixel's region: nothing is left, and not written
    text = letters.tobytes().translate(None, b"\0").decode("ascii")
    return tuple(text.split("\n")[:-1])


def _letters(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Write signed numbers in groups of five bits, the lowest first: one more axis, 0 behind the last."""
    size = numbers ^ (numbers >> 63)  # without the sign, which the highest bit of the last group tells
    most = int(size.max()).bit_length() // GROUP + 1
    letters = np.empty((*numbers.shape, most), np.uint8)
    letter = (numbers.astype(np.uint8) & 31) + np.uint8(48)
    for group in range(1, most):
        more = (size >= 1 << (GROUP * group - 1)).view(np.uint8)
        letters[..., group - 1] = letter + (more << 5)
        letter = ((numbers >> (GROUP * group)).astype(np.uint8) & 31) + np.uint8(48)
        letter *= more
    letters[..., most - 1] = letter
    return letters


def _values(image: Image.Image) -> tuple[NDArray[Any], bool]:
    """Return integers (H, W) and whether they are colours."""
    if image.mode in GREY:
        return _whole_numbers(np.asarray(image)), False
    if image.mode not in COLOURED:
        raise UnreadableImageError(f"a mask with pixels of mode {image.mode} is not supported")
    rgb = _channels(image)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red, False
    return (red.astype(np.int32) << 16) | (green.astype(np.int32) << 8) | blue, True


def _channels(image: Image.Image) -> NDArray[np.uint8]:
    """Return red, green and blue (H, W, 3) as they are, black where only some pixels are transparent."""
    if image.mode in ("LA", "PA"):
        image = image.convert("RGBA")
    pixels = np.asarray(image)
    if image.mode != "RGBA":
        return pixels[..., :3]
    clear = pixels[..., 3] == 0
    if not clear.any() or clear.all():
        return pixels[..., :3]
    return np.where(clear[..., None], np.uint8(0), pixels[..., :3])


def _whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.dtype.kind != "f":
        return values
    # A cast of what does not fit is undefined, hence the bound first; NaN fails it.
    if not (np.abs(values) < 2**31).all() or (values != np.rint(values)).any():
        raise UnreadableImageError("a mask whose pixels are no whole numbers")
    return values.astype(np.int64)


def _palette(image: Image.Image) -> list[tuple[int, int, int]]:
    flat = image.getpalette("RGB") or []
    return list(zip(flat[0::3], flat[1::3], flat[2::3], strict=True))


def _looked_up(
    values: NDArray[Any], colored: bool, palette: list[tuple[int, int, int]] | None, colors: Colors
) -> tuple[NDArray[Any], bool]:
    """Replace values by what the table says of their colours.

    Indices and greys are replaced only when it knows them all: else they are numbers, not colours.
    """
    found, inverse = np.unique(values, return_inverse=True)
    if colored:
        table = {(red << 16) | (green << 8) | blue: value for (red, green, blue), value in colors.items()}
        named = [table.get(value, UNKNOWN_COLOR + value) for value in found.tolist()]
        return np.array(named, np.int64)[inverse], True
    shown = {value: _shown(value, palette) for value in found.tolist()}
    if not all(color in colors for color in shown.values()):
        return values, False
    return np.array([colors[color] for color in shown.values()], np.int64)[inverse], False


def _shown(value: int, palette: list[tuple[int, int, int]] | None) -> tuple[int, int, int]:
    """Return the colour that a viewer shows for an index or a grey; of no table when there is none."""
    if palette is None:
        return (value, value, value)
    return palette[value] if 0 <= value < len(palette) else (-1, -1, -1)
