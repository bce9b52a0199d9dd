"""TIFF directories, and the pixels of TIFFs with any number of channels, which Pillow does not read.

The export pastes this file into ``predict.py`` before ``preprocessing.py``, so it needs numpy and Pillow
and nothing else.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

TIFF_HEADS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
"""How a TIFF begins: its byte order, and whether its places are of 64 bits."""
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8}
TIFF_WORDS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}  # channels of RGB, CMYK, YCbCr and Lab; of all else one
CHANNEL_TYPES = {(8, 1): "u1", (16, 1): "u2", (16, 2): "i2", (32, 2): "i4", (32, 3): "f4"}
PACKINGS = (1, 5, 8, 32773, 32946, 50000)  # none, LZW, deflate, PackBits, deflate, Zstandard
MAX_TAGS, MAX_PIECES, MAX_SAMPLES = 4096, 100_000, 256_000_000


class TiffError(ValueError):
    """A TIFF cannot be read; the reason is the message."""


@dataclass(frozen=True)
class TiffPage:
    """One directory of a TIFF: type, count and bytes of each tag, and where the next directory is."""

    order: str
    tags: dict[int, tuple[int, int, memoryview]]
    following: int

    def values(self, tag: int, *default: int) -> tuple[int, ...]:
        """Return the whole numbers of a tag; raises ``ValueError`` when it is of another kind."""
        if tag not in self.tags:
            return default
        kind, count, raw = self.tags[tag]
        if kind not in TIFF_WORDS:
            raise ValueError(f"tag {tag} is no number")
        return struct.unpack(f"{self.order}{count}{TIFF_WORDS[kind]}", raw)


def tiff_page(content: bytes, place: int | None = None) -> TiffPage:
    """Read the directory at ``place`` (None: the first); raises ``TiffError`` for damage."""
    order, big = TIFF_HEADS[content[:4]]
    head, entry, pointer = (
        f"{order}{letters}" for letters in (("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I"))
    )
    tags, view = {}, memoryview(content)
    try:
        if place is None:
            (place,) = struct.unpack_from(pointer, content, 8 if big else 4)
        (number,) = struct.unpack_from(head, content, place)
        place += struct.calcsize(head)
        if number > MAX_TAGS:
            raise ValueError("too many tags")
        for _ in range(number):
            tag, kind, count, inline = struct.unpack_from(entry, content, place)
            length, place = TIFF_SIZES.get(kind, 1) * count, place + struct.calcsize(entry)
            inside = length <= len(inline)
            start = place - len(inline) if inside else struct.unpack(pointer, inline)[0]
            if start + length > len(content):
                raise ValueError("a tag lies outside of the file")
            tags[tag] = kind, count, view[start : start + length]
        return TiffPage(order, tags, *struct.unpack_from(pointer, content, place))
    except (struct.error, ValueError, OverflowError, IndexError) as error:
        raise TiffError(f"the header is damaged ({error})") from error


def channel_count(content: bytes) -> int:
    """Return how many channels a TIFF has when they are no colours with or without alpha; else 0."""
    if content[:4] not in TIFF_HEADS:
        return 0
    try:
        page = tiff_page(content)
        count = page.values(277, 1)[0]
        colours = COLOURS.get(page.values(262, 1)[0], 1)
        alpha = page.values(338, 0)[0] in (1, 2)
    except (TiffError, struct.error, ValueError, IndexError):
        return 0  # Pillow says what is wrong with it
    return count if count > colours + alpha else 0


class Channels:
    """The strips or tiles of a TIFF with any number of channels (TIFF 6.0, sections 3, 14 and 15)."""

    def __init__(self, content: bytes, page: TiffPage) -> None:
        self.content, self.page = content, page
        (self.width,), (self.height,), (self.count,) = page.values(256), page.values(257), page.values(277)
        sorts = {*zip(page.values(258), page.values(339, *[1] * self.count), strict=True)}
        self.packing, self.predictor = page.values(259, 1)[0], page.values(317, 1)[0]
        dtype = CHANNEL_TYPES.get(sorts.pop(), "") if len(sorts) == 1 else ""
        if (
            not dtype
            or self.packing not in PACKINGS
            or self.predictor not in ((1,) if dtype == "f4" else (1, 2))
        ):
            raise TiffError(f"its {self.count} channels are packed in a way that is not supported")
        self.dtype, self.stored = np.dtype(dtype), np.dtype(page.order + dtype)
        self.planar = page.values(284, 1)[0] == 2
        self.tiled = 322 in page.tags
        self.wide = page.values(322)[0] if self.tiled else self.width
        self.high = page.values(323)[0] if self.tiled else min(page.values(278, self.height)[0], self.height)
        self.places, self.sizes = (
            page.values(324 if self.tiled else 273),
            page.values(325 if self.tiled else 279),
        )

    def read(self, channels: tuple[int, int, int]) -> NDArray[Any]:
        """Return the channels as (H, W, 3), as they lie in the file."""
        if self.width * self.height * self.count > MAX_SAMPLES:
            raise TiffError(f"more than {MAX_SAMPLES // 10**6} million values")
        if max(channels) > self.count:
            raise TiffError(f"it has {self.count} channels, and channel {max(channels)} was asked for")
        corners = [
            (top, left)
            for top in range(0, self.height, self.high)
            for left in range(0, self.width, self.wide)
        ]
        pieces = len(corners) * (self.count if self.planar else 1)
        if not len(self.places) == len(self.sizes) == pieces <= MAX_PIECES or sum(self.sizes) > len(
            self.content
        ):
            raise ValueError("its pieces do not fit together")
        made = np.empty((self.height, self.width, 3), self.dtype)
        for number, (top, left) in enumerate(corners):
            if self.planar:
                parts = [self.piece(number + (c - 1) * len(corners), top)[..., 0] for c in channels]
                values = np.stack(parts, -1)
            else:
                values = self.piece(number, top)[..., [c - 1 for c in channels]]
            target = made[top : top + self.high, left : left + self.wide]
            target[:] = values[: target.shape[0], : target.shape[1]]
        return made

    def piece(self, number: int, top: int) -> NDArray[Any]:
        """Unpack one strip or tile: (rows, columns, channels)."""
        rows = self.high if self.tiled else min(self.high, self.height - top)
        deep = 1 if self.planar else self.count
        raw = self.content[self.places[number] : self.places[number] + self.sizes[number]]
        if self.packing != 1:
            # To a packer, rows of any pixels are rows of bytes, as those of a grey picture are.
            grey = _grey_tiff(raw, rows, self.wide * deep * self.dtype.itemsize, self.packing)
            with TiffImagePlugin.TiffImageFile(io.BytesIO(grey)) as image:
                raw = image.tobytes()
        values = np.frombuffer(raw, self.stored, rows * self.wide * deep).astype(self.dtype)
        values = values.reshape(rows, self.wide, deep)
        return np.cumsum(values, axis=1, dtype=self.dtype) if self.predictor == 2 else values


def _grey_tiff(raw: bytes, rows: int, columns: int, packing: int) -> bytes:
    """Return a TIFF of one grey strip of bytes, packed as ``raw`` is."""
    tags = {256: columns, 257: rows, 258: 8, 259: packing, 262: 1, 273: 8, 277: 1, 278: rows, 279: len(raw)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(raw))
    return head + raw + struct.pack("<H", len(tags)) + entries + bytes(4)
