"""What one picture file holds: looked at once when it is taken in, before anything of it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.datasets.pages import list_pages
from engine.datasets.preprocessing import (
    ORIENTATION_TAG,
    RANGED_MODES,
    UPRIGHT,
    Preprocessing,
    UnreadableImageError,
    channels_to_rgb,
    open_image,
    orientation,
    read_channels,
    to_rgb,
    upright,
)
from engine.datasets.thumbnails import LEAST
from engine.datasets.tiff import TiffError, channel_count, tiff_page
from engine.errors import InputError, QuestionError

JPEGS = ("JPEG", "MPO")
FIRST_SIDEWAYS = 5  # EXIF orientations from here on swap width and height
CHANNELS_IN_MODE = " x "  # as in "5 x uint8"; no mode of Pillow's looks so
MORE_BITS = "more than 8 bits; scaled by the range of the set"


class ChannelsError(Exception):
    """A picture has ``count`` channels that are no colours, and nobody said which to take."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} channels")
        self.count = count

    @staticmethod
    def question(path: str, count: int) -> QuestionError:
        """Return what a person is asked then."""
        example = "3,2,1" if count >= 3 else "1,1,1"
        return QuestionError(
            f"“{path}” has {count} channels, and nothing says which are red, green and blue.",
            f"Name three of its {count} channels, e.g. --channels {example}.",
            flag="--channels",
        )


@dataclass(frozen=True)
class Seen:
    """A decoded picture; ``size`` (width, height) in px, upright, of the whole file.

    ``rgb`` may be smaller (a JPEG that was shrunk while decoding), and is None while the range of its
    values, ``low`` to ``high``, is not fixed. ``as_stored``: a browser shows the file as it is.
    """

    format: str
    mode: str
    size: tuple[int, int]
    orientation: int
    rgb: Image.Image | None
    low: float | None = None
    high: float | None = None
    repairs: tuple[str, ...] = ()
    as_stored: bool = False


def named_channels(words: str) -> tuple[int, int, int] | None:
    """Read "3,2,1", the channels (from 1) that become red, green and blue; None for no words.

    Raises ``InputError`` when they are no three channels.
    """
    if not words.strip():
        return None
    found = [word.strip() for word in words.split(",")]
    if len(found) != 3 or not all(word.isdecimal() and 0 < int(word) < 2**16 for word in found):
        raise InputError(
            f"“{words}” does not name three channels.", "Write them as 3,2,1: red, green and blue, from 1 on."
        )
    return int(found[0]), int(found[1]), int(found[2])


def takes_channels(mode: str) -> bool:
    """Whether a picture of this ``Seen.mode`` has channels of which three were chosen."""
    return CHANNELS_IN_MODE in mode


def see(content: bytes, record: Preprocessing) -> Seen:
    """Decode a file whole.

    Raises ``UnreadableImageError`` when it cannot be used, ``ChannelsError`` when it has channels of which
    ``record`` names none.
    """
    count = channel_count(content)
    if count:
        return _see_channels(content, count, record)
    image = open_image(content)
    image_format, mode, several = image.format or "", image.mode, _several(image, content)
    size, turned = None, orientation(image)
    if image_format in JPEGS:
        # Shrinking inside the inverse transform still reads and decodes all of the file, so damage
        # shows as it would at full size; only fewer pixels are made.
        size = image.size if turned < FIRST_SIDEWAYS else image.size[::-1]
        short = min(size)
        image.draft(None, (LEAST * image.width // short, LEAST * image.height // short))
    opened, image = image, upright(image)
    ranged = mode in RANGED_MODES
    low, high = _extremes(np.asarray(image)) if ranged else (None, None)
    picture = None if ranged and record.low is None else to_rgb(image, record)
    return Seen(
        format=image_format,
        mode=mode,
        size=size or image.size,
        orientation=turned,
        rgb=picture,
        low=low,
        high=high,
        repairs=tuple(_repairs(opened, mode, several)),
        as_stored=image_format in JPEGS and picture is opened,
    )


def _see_channels(content: bytes, count: int, record: Preprocessing) -> Seen:
    if record.channels is None:
        raise ChannelsError(count)
    values = read_channels(content, record.channels)
    ranged = values.dtype != np.uint8
    low, high = _extremes(values) if ranged else (None, None)
    turned = tiff_page(content).values(ORIENTATION_TAG, 1)[0]
    red, green, blue = record.channels
    repair = f"{count} channels; {red}, {green} and {blue} became red, green and blue"
    return Seen(
        format="TIFF",
        mode=f"{count}{CHANNELS_IN_MODE}{values.dtype.name}",
        size=(values.shape[1], values.shape[0]),
        orientation=turned if turned in UPRIGHT else 1,
        rgb=None if ranged and record.low is None else channels_to_rgb(values, record),
        low=low,
        high=high,
        repairs=(repair, MORE_BITS) if ranged else (repair,),
    )


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        raise UnreadableImageError("no pixel holds a number")
    return float(finite.min()), float(finite.max())


def _several(image: Image.Image, content: bytes) -> str:
    """Say that a file holds more than its first picture; counting may take minutes, as its maker likes."""
    if image.format == "TIFF":
        try:
            pages = len(list_pages(content))
        except TiffError as error:
            return f"further pages that cannot be told apart ({error})"
        return f"{pages} pages" if pages > 1 else ""
    if image.format == "GIF":
        return "several frames" if getattr(image, "is_animated", False) else ""
    frames = getattr(image, "n_frames", 1)
    return f"{frames} frames" if frames > 1 and image.format not in JPEGS else ""


def _repairs(image: Image.Image, mode: str, several: str) -> Iterator[str]:
    if several:
        yield f"{several}; the first is used"
    if mode in RANGED_MODES:
        yield MORE_BITS
    if mode == "CMYK":
        through = " through its profile" if image.info.get("icc_profile") else ""
        yield f"CMYK; converted to RGB{through}"
