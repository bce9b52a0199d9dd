"""Random textures as float32 arrays, about 0 on average and about 1 in spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]


def resized(field: Field, height: int, width: int, how: Image.Resampling = Image.Resampling.BICUBIC) -> Field:
    """``field`` (h, w) brought to (height, width)."""
    picture = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(picture.resize((width, height), how), dtype=np.float32)


def value_noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> Field:
    """Smooth noise (H, W) whose blobs are ``cell`` = (height, width) px large."""
    rows, columns = (int(np.ceil(side / max(step, 1.0))) + 2 for side, step in zip(shape, cell, strict=True))
    return resized(rng.standard_normal((rows, columns)).astype(np.float32), *shape)


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 4, stretch: float = 1.0
) -> Field:
    """Sum of ``octaves`` of value noise, each half as large and half as strong; (H, W).

    ``stretch`` lengthens the blobs along the rows, as grain and brush marks are.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = cell / 2**octave
        total += value_noise(rng, shape, (size, size * stretch)) * np.float32(0.5**octave)
    return total / np.float32(total.std() + 1e-6)


def grains(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """White noise (H, W)."""
    return rng.standard_normal(shape, dtype=np.float32)


def blurred(field: Field, radius: float) -> Field:
    """``field`` (H, W) blurred over about ``radius`` px, by going down in size and up again."""
    if radius < 1.0:
        return field
    height, width = field.shape
    small = resized(
        field, max(2, round(height / radius)), max(2, round(width / radius)), Image.Resampling.BILINEAR
    )
    return resized(small, height, width)


def turned(field: Field, degrees: float, shape: tuple[int, int]) -> Field:
    """Cut the middle (H, W) out of ``field`` turned by ``degrees``; its sides are the diagonal at least."""
    picture = Image.fromarray(field).rotate(degrees, Image.Resampling.BILINEAR)
    top, left = ((have - want) // 2 for have, want in zip(field.shape, shape, strict=True))
    return np.asarray(picture, dtype=np.float32)[top : top + shape[0], left : left + shape[1]]


def smoothstep(low: float, high: float, field: NDArray[np.floating[Any]]) -> Field:
    """0 below ``low``, 1 above ``high``, a smooth S between (``low`` > ``high`` turns it round)."""
    t = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
