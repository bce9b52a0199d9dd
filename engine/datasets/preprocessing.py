"""The one preprocessing function: from an image file to what a model sees.

The decoded cache, training, evaluation, prediction and the exported ``predict.py`` all use this file;
the export pastes it and ``tiff.py`` verbatim, so they need numpy and Pillow and nothing else. A
``Preprocessing`` record travels with each model; with the same record and the same file, the pixels are
the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from engine.datasets.tiff import TIFF_HEADS, Channels, TiffError, channel_count, tiff_page

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
"""What Pillow reads. MPO, a JPEG with further pictures behind the first, opens as JPEG."""
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""How a HEIC file names itself; these are read where pillow-heif is installed."""
MAX_PIXELS = 64_000_000
MAX_SIDE = 16_384
ALGORITHM = 1
"""Raised when the same record would give other pixels than before; part of ``decode_hash``."""
JPEG_RESERVE = 2
"""A large JPEG is decoded at 1/2, 1/4 or 1/8 as long as this many times the target size is left."""

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = 5  # orientations from here on swap width and height
RANGED_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
RESIZES = ("squash", "crop", "pad")
# What Pillow's decoders raise on damaged files, found by flipping bytes.
DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    AttributeError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
)


class UnreadableImageError(ValueError):
    """The file is no image that can be read whole; the reason is the message."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an array; sizes in px, ``mean`` and ``std`` on the 0 to 1 scale.

    ``resize``: "squash" to the target, "crop" the largest centred part of its shape, or "pad" with
    ``background``. ``crop_pct`` is the share of each side that squash and crop keep. ``background``
    (0 to 255) also lies under transparent pixels. ``low`` and ``high`` are the values that become 0
    and 255 in images of more than 8 bits; None: 0 and 65535 for integers, floats are refused.
    ``channels``: which channels (from 1) become R, G and B in a TIFF whose channels are no colours.
    """

    height: int
    width: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    resize: str = "squash"
    crop_pct: float = 1.0
    interpolation: str = "bilinear"
    background: tuple[int, int, int] = (255, 255, 255)
    low: float | None = None
    high: float | None = None
    channels: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse what would only fail later, or not at all."""
        if self.resize not in RESIZES or self.interpolation not in FILTERS:
            raise ValueError(f"unknown resize or interpolation: {self.resize}, {self.interpolation}")
        if not (0 < self.crop_pct <= 1 and 0 < self.height <= MAX_SIDE and 0 < self.width <= MAX_SIDE):
            raise ValueError("crop_pct is a share above 0, height and width are sizes in px")
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high are given together or not at all")
        if self.channels is not None and (len(self.channels) != 3 or min(self.channels) < 1):
            raise ValueError("channels are three numbers from 1 on")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_dict`` gives the same record back."""
        values = dataclasses.asdict(self)
        if self.channels is None:  # as in the records made before there were channels
            del values["channels"]
        return json.loads(json.dumps(values))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Build a record from ``to_dict``'s values; raises ``TypeError`` for an unknown key."""
        made: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**made)

    def decode_hash(self) -> str:
        """Return a short hash over all that affects ``prepare``; mean and std do not."""
        parts = {k: v for k, v in self.to_dict().items() if k not in ("mean", "std")}
        text = json.dumps({"algorithm": ALGORITHM, **parts}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def open_image(source: str | Path | bytes | BinaryIO) -> Image.Image:
    """Open a file and check its header, decoding nothing yet.

    Raises ``UnreadableImageError`` when it is of no known format or over a limit.
    """
    image: Image.Image
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except FileNotFoundError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(f"more than {MAX_PIXELS // 10**6} million pixels") from error
    except UnidentifiedImageError as error:
        image = _open_heic(source, error)
    except DECODER_ERRORS as error:
        raise UnreadableImageError(f"the header is damaged ({error})") from error
    try:
        _check_size(*image.size)
    except UnreadableImageError:
        image.close()
        raise
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UnreadableImageError(
            f"{width} x {height} px is over the limit of {MAX_PIXELS // 10**6} million pixels "
            f"and {MAX_SIDE:,} px a side"
        )


def _open_heic(source: str | Path | bytes | BinaryIO, unknown: Exception) -> Image.Image:
    """Open what Pillow alone does not know; raises ``UnreadableImageError`` when it is no HEIC either."""
    head = _content(source, 12)
    if head[4:8] != b"ftyp" or head[8:12] not in HEIC_BRANDS:
        words = "not a JPEG, PNG, BMP, WEBP, TIFF, GIF or HEIC image"
        words = "a TIFF of a kind that cannot be read" if head[:4] in TIFF_HEADS else words
        raise UnreadableImageError(words) from unknown
    try:
        import pillow_heif  # only now: who has no HEIC pictures does not need it
    except ImportError as error:
        raise UnreadableImageError(
            "a HEIC picture; to read those, install pillow-heif, or save it as JPEG"
        ) from error
    opener: Any = pillow_heif.HeifImageFile
    try:
        return cast(Image.Image, opener(io.BytesIO(source) if isinstance(source, bytes) else source))
    except DECODER_ERRORS as error:
        raise UnreadableImageError(f"the header is damaged ({error})") from error


def _content(source: str | Path | bytes | BinaryIO, size: int = -1) -> bytes:
    """Return the first ``size`` bytes (-1: all) of what ``open_image`` takes."""
    if isinstance(source, bytes):
        return source if size < 0 else source[:size]
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as stream:
            return stream.read(size)
    source.seek(0)
    return source.read(size)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) when there is none that makes sense.

    Only a decoded PNG or WEBP, or an opened file of another format, knows it for certain.
    """
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except DECODER_ERRORS:
        return 1  # damaged EXIF data says nothing about the pixels, which may be whole
    return value if isinstance(value, int) and value in UPRIGHT else 1


def upright(image: Image.Image) -> Image.Image:
    """Decode the whole (first) picture and turn it as its EXIF orientation says.

    Raises ``UnreadableImageError`` when the file is damaged or cut short.
    """
    try:
        image.load()
    except DECODER_ERRORS as error:
        raise UnreadableImageError(f"damaged or cut short ({error})") from error
    turn = UPRIGHT.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image, record: Preprocessing) -> Image.Image:
    """Convert a decoded picture of any mode to RGB.

    Raises ``UnreadableImageError`` for floats without a range and for modes without a meaning in RGB.
    """
    if image.mode in RANGED_MODES:
        return _scale_range(image, record)
    if image.mode == "CMYK":
        return _cmyk_to_rgb(image)
    if image.has_transparency_data:
        picture = image if image.mode == "RGBA" else image.convert("RGBA")
        ground = Image.new("RGB", picture.size, record.background)
        ground.paste(picture, (0, 0), picture)
        return ground
    if image.mode not in ("1", "L", "P", "RGB", "RGBX", "YCbCr", "HSV"):
        raise UnreadableImageError(f"pixels of mode {image.mode} are not supported")
    return image if image.mode == "RGB" else image.convert("RGB")


def read_rgb(source: str | Path | bytes | BinaryIO, record: Preprocessing) -> Image.Image:
    """Read a file as an upright RGB picture; a large JPEG comes out smaller (``JPEG_RESERVE``).

    Raises ``UnreadableImageError`` with the reason when the file is damaged or not supported.
    """
    return read_sized(source, record)[0]


def read_sized(
    source: str | Path | bytes | BinaryIO, record: Preprocessing
) -> tuple[Image.Image, tuple[int, int]]:
    """Read a file as ``read_rgb`` does; also return width and height (px) of the whole upright picture."""
    if record.channels is not None and _content(source, 4) in TIFF_HEADS:
        content = _content(source)
        if channel_count(content):
            picture = channels_to_rgb(read_channels(content, record.channels), record)
            return picture, picture.size
    # Of a file with several frames Pillow reads one and keeps the file open, hence the ``with``.
    with open_image(source) as image:
        if image.format not in ("JPEG", "MPO"):
            picture = to_rgb(upright(image), record)
            return picture, picture.size
        size = image.size if orientation(image) < SIDEWAYS else image.size[::-1]
        # The side that will be turned is not known before EXIF is read: keep enough for both.
        side = JPEG_RESERVE * int(np.ceil(max(record.width, record.height) / record.crop_pct))
        image.draft(None, (side, side))
        return to_rgb(upright(image), record), size


def fit(image: Image.Image, record: Preprocessing) -> NDArray[np.uint8]:
    """Resize an RGB picture to the record's size; uint8 (H, W, 3)."""
    target = (record.width, record.height)
    resample = FILTERS[record.interpolation]
    if record.resize == "pad":
        scale = min(record.width / image.width, record.height / image.height)
        inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        padded = Image.new("RGB", target, record.background)
        padded.paste(
            image.resize(inner, resample),
            ((record.width - inner[0]) // 2, (record.height - inner[1]) // 2),
        )
        return np.asarray(padded)
    width, height = image.width * record.crop_pct, image.height * record.crop_pct
    if record.resize == "crop":
        scale = min(image.width / record.width, image.height / record.height) * record.crop_pct
        width, height = record.width * scale, record.height * scale
    left, top = (image.width - width) / 2, (image.height - height) / 2
    box = (max(0.0, left), max(0.0, top), min(left + width, image.width), min(top + height, image.height))
    return np.asarray(image.resize(target, resample, box=box))


def prepare(source: str | Path | bytes | BinaryIO, record: Preprocessing) -> NDArray[np.uint8]:
    """Read and resize one file; uint8 (H, W, 3). Raises ``UnreadableImageError``."""
    return fit(read_rgb(source, record), record)


def normalise(pixels: NDArray[np.uint8], record: Preprocessing) -> NDArray[np.float32]:
    """Turn uint8 (N, H, W, 3) into float32 (N, 3, H, W): ``(x / 255 - mean) / std``.

    One multiplication and one addition per value, both in float32, in the order ``x * a + b``.
    """
    mean, std = np.asarray(record.mean, np.float64), np.asarray(record.std, np.float64)
    scale = (1 / (255 * std)).astype(np.float32).reshape(1, 3, 1, 1)
    shift = (-mean / std).astype(np.float32).reshape(1, 3, 1, 1)
    out = np.multiply(pixels.transpose(0, 3, 1, 2), scale, dtype=np.float32, order="C")
    out += shift
    return out


def channels_to_rgb(values: NDArray[Any], record: Preprocessing) -> Image.Image:
    """Turn three channels (H, W, 3) into RGB; raises ``UnreadableImageError`` for floats without a range."""
    return Image.fromarray(values if values.dtype == np.uint8 else _eight_bits(values, record))


def _scale_range(image: Image.Image, record: Preprocessing) -> Image.Image:
    return Image.fromarray(_eight_bits(np.asarray(image), record)).convert("RGB")


def _eight_bits(values: NDArray[Any], record: Preprocessing) -> NDArray[np.uint8]:
    low, high = record.low, record.high
    if low is None or high is None:
        if values.dtype.kind == "f":
            raise UnreadableImageError("floating-point pixels need a range; this set has none")
        low, high = 0.0, 65535.0
    if values.dtype.itemsize == 2 and values.dtype.kind == "u":
        # A table over all 65,536 values: the same result as below, faster and with less memory.
        table = _to_eight_bit(np.arange(65536, dtype=np.float32), low, high)
        return cast(NDArray[np.uint8], table[values])
    return _to_eight_bit(values.astype(np.float32), low, high)


def _to_eight_bit(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    values = (values - np.float32(low)) * np.float32(255 / max(high - low, 1e-12))
    # NaN has no place on the scale; it becomes the lowest value, as a sensor without signal does.
    np.nan_to_num(values, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    try:
        made = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A profile for another kind of pixels says nothing about these: as if there were none.
        return image.convert("RGB")
    assert made is not None  # only in-place conversion gives None
    return made


def read_channels(content: bytes, channels: tuple[int, int, int]) -> NDArray[Any]:
    """Read three channels (from 1) of a TIFF, upright: (H, W, 3), with the values that are in the file.

    Raises ``UnreadableImageError`` when it is damaged, too large or packed in a way that is not supported.
    """
    try:
        page = tiff_page(content)
        picture = Channels(content, page)
        _check_size(picture.width, picture.height)
        values = picture.read(channels)
        turn = page.values(ORIENTATION_TAG, 1)[0]
    except UnreadableImageError:
        raise
    except TiffError as error:
        raise UnreadableImageError(str(error)) from error
    except DECODER_ERRORS as error:
        raise UnreadableImageError(f"damaged or cut short ({error})") from error
    values = values.swapaxes(0, 1) if turn in (5, 6, 7, 8) else values
    values = values[:, ::-1] if turn in (2, 3, 6, 7) else values
    return np.ascontiguousarray(values[::-1] if turn in (3, 4, 7, 8) else values)
