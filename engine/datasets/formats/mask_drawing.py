"""Mask pictures as writers save them: values as they are, with colours only to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.datasets.formats.mask_pixels import pixels_of
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError

EIGHT_BITS = 255
PALETTE_STEP = 37  # an odd number spreads neighbouring values over the colours


def label_pixels(row: ImageLabels, label: Label) -> NDArray[np.bool_]:
    """Draw a label of a row (H, W); raises ``InputError`` when it has no mask or the row no size."""
    if row.size is None:
        raise InputError(f"The size of “{row.path}” is not known.", "Import the image again.")
    if label.mask is None:
        raise InputError(f"A label of “{row.path}” has no mask.", "Export it in another format.")
    width, height = row.size
    return pixels_of(label.mask, height, width)


def blank(row: ImageLabels) -> NDArray[np.uint16]:
    """Return zeros (H, W) for a row; raises ``InputError`` when it has no size."""
    if row.size is None:
        raise InputError(f"The size of “{row.path}” is not known.", "Import the image again.")
    return np.zeros(row.size[::-1], np.uint16)


def save_mask(drawn: NDArray[np.uint16], target: Path) -> None:
    """Save values (H, W) as PNG: with a palette where 8 bits are enough, else with 16 bits."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if drawn.max(initial=0) > EIGHT_BITS:
        Image.fromarray(drawn).save(target)
        return
    image = Image.fromarray(drawn.astype(np.uint8))
    image.putpalette([shade for value in range(256) for shade in _shade(value)])
    image.save(target)


def _shade(value: int) -> tuple[int, int, int]:
    """Return the colour that shows a value; black for 0, white for 255."""
    if value in (0, EIGHT_BITS):
        return (value, value, value)
    spread = value * PALETTE_STEP % 256
    return (255 - spread, spread * 7 % 256, 64 + spread * 3 % 192)
