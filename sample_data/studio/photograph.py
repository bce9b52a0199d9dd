"""The camera and the file: exposure, colour cast, softness, sensor noise, formats."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_ORIENTATION = 0x0112
#: EXIF orientation -> what turns an upright picture into the stored one.
_STORED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


@dataclass(frozen=True)
class Camera:
    """What it does to the light.

    ``exposure``: factor; ``cast``: factor per channel; ``soft``: blur in px; ``noise``: share of full
    scale; ``vignette``: share lost in the corners; ``tilt``: light that falls off from right to left.
    """

    exposure: float
    cast: tuple[float, float, float]
    soft: float
    noise: float
    vignette: float
    tilt: float


def develop(
    light: NDArray[np.float32], camera: Camera, size: tuple[int, int], rng: np.random.Generator
) -> Image.Image:
    """Linear light (H, W, 3) to an 8-bit sRGB picture of ``size`` = (width, height)."""
    height, width = light.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    fall = 1 - camera.vignette * (x**2 + y**2) / 2 + camera.tilt * x
    # Exposed on the middle tones, as a camera does; the factor then misses a little on purpose.
    gain = camera.exposure * 0.22 / float(np.median(light.mean(axis=-1)) + 0.05)
    linear = light * np.asarray(camera.cast, np.float32) * (np.float32(gain) * fall)[..., None]
    # The ACES curve in Narkowicz's fit: deep shadows, highlights that roll off.
    film = linear * (2.51 * linear + 0.03) / (linear * (2.43 * linear + 0.59) + 0.14)
    coded = np.power(np.clip(film, 0, 1), 1 / 2.2)
    picture = Image.fromarray((coded * 255 + 0.5).astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    if camera.soft > 0.2:
        picture = picture.filter(ImageFilter.GaussianBlur(camera.soft))
    pixels = np.asarray(picture, dtype=np.float32)
    grain = rng.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None]
    speck = rng.standard_normal(pixels.shape, dtype=np.float32)
    noisy = pixels + 255 * camera.noise * (0.8 * grain + 0.5 * speck)
    return Image.fromarray(np.clip(noisy + 0.5, 0, 255).astype(np.uint8))


def encode(picture: Image.Image, kind: str, quality: int, orientation: int = 1) -> bytes:
    """Write the file; ``kind``: jpeg, webp, png, palette (PNG) or alpha (PNG with a soft round edge)."""
    stream = io.BytesIO()
    if kind == "jpeg":
        exif = Image.Exif()
        if orientation != 1:
            exif[_ORIENTATION] = orientation
            picture = picture.transpose(_STORED[orientation])
        picture.save(stream, "JPEG", quality=quality, optimize=True, exif=exif)
    elif kind == "webp":
        picture.save(stream, "WEBP", quality=quality, method=4)
    else:
        if kind == "palette":
            picture = picture.quantize(64, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        elif kind == "alpha":
            picture = picture.copy()
            picture.putalpha(_round_edge(picture.size))
        picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _round_edge(size: tuple[int, int]) -> Image.Image:
    width, height = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return Image.fromarray((np.clip((1.08 - (x**4 + y**4)) * 8, 0, 1) * 255).astype(np.uint8))
