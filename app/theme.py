"""The look: colours, the chart template and the one style sheet.

Widgets take their colours from ``.streamlit/config.toml``; the same values stand here for what Streamlit
does not colour by itself. Nothing in this module ever contains data of a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import streamlit as st
from PIL import Image, ImageDraw

from engine.contracts.palette import OKABE_ITO, class_color

__all__ = ["DARK", "LIGHT", "OKABE_ITO", "Tones", "apply", "class_color", "icon", "tones"]


@dataclass(frozen=True)
class Tones:
    """The colours of one theme."""

    accent: str
    ink: str
    muted: str
    hairline: str
    card: str
    good: str
    look: str
    wrong: str


LIGHT: Final = Tones(
    accent="#3B5BDB", ink="#1B2130", muted="#5F6B82", hairline="#E3E6EE", card="#FFFFFF",
    good="#237A35", look="#B35900", wrong="#C92A2A",
)  # fmt: skip
DARK: Final = Tones(
    accent="#8EA2FF", ink="#E8EBF4", muted="#9AA4B8", hairline="#272E3F", card="#181E2B",
    good="#69DB7C", look="#FFA94D", wrong="#FF8787",
)  # fmt: skip


def tones() -> Tones:
    """Return the colours of the theme that the browser shows now."""
    return DARK if st.context.theme.type == "dark" else LIGHT


@cache
def icon() -> Image.Image:
    """Draw the tab's icon; one by name would be fetched from another host."""
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((2, 2, 61, 61), 15, fill=LIGHT.accent)
    pen.ellipse((15, 15, 48, 48), outline="white", width=6)
    pen.ellipse((27, 27, 36, 36), fill="white")
    return image


def apply() -> None:
    """Put the style sheet on the page."""
    # Streamlit tells the colour scheme to the page but not to dialogs and lists, which lie beside it.
    scheme = "dark" if st.context.theme.type == "dark" else "light"
    st.html(f"<style>{_style_sheet()}body{{color-scheme:{scheme}}}</style>")


@cache
def _style_sheet() -> str:
    pairs = {name: (getattr(LIGHT, name), getattr(DARK, name)) for name in Tones.__dataclass_fields__}
    variables = "".join(f"--ls-{name}:light-dark({light},{dark});" for name, (light, dark) in pairs.items())
    return f":root{{{variables}}}" + (Path(__file__).parent / "style.css").read_text("utf-8")
