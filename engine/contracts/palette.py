"""The colours of classes: the same on every screen, in every chart and on every picture."""

from __future__ import annotations

from colorsys import hls_to_rgb
from typing import Final

OKABE_ITO: Final = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A500", "#7A6FF0",
)  # fmt: skip
"""Okabe & Ito's palette for colour-blind readers; its yellow darkened, and violet instead of black, so
that each colour shows on both grounds."""

GOLDEN_ANGLE: Final = 0.381966


def class_color(position: int) -> str:
    """Return the colour of the class at ``position``, as ``#RRGGBB``."""
    if position < len(OKABE_ITO):
        return OKABE_ITO[position]
    red, green, blue = hls_to_rgb((position * GOLDEN_ANGLE) % 1.0, 0.45, 0.55)
    return f"#{round(red * 255):02X}{round(green * 255):02X}{round(blue * 255):02X}"
