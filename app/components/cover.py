"""A strip of pictures that only shows what a project is about: nothing in it can be reached or read aloud."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from app.routes.urls import thumbnail_url

PICTURES: Final = 4
_CSS: Final = """
.cover { display: grid; grid-template-columns: repeat(4, 1fr); gap: 6px; }
.cover img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 7px; display: block;
  background: var(--ls-track); }
"""
_JS: Final = """
export default function ({ parentElement, data }) {
  const strip = parentElement.querySelector(".cover");
  if (strip.dataset.shown === data.join()) return;
  strip.dataset.shown = data.join();
  strip.replaceChildren(...data.map((address) => {
    const image = document.createElement("img");
    image.alt = "";
    image.draggable = false;
    image.src = address;
    return image;
  }));
}
"""


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "lensmith_cover", html='<div class="cover" aria-hidden="true"></div>', css=_CSS, js=_JS
    )


def cover(project: str, images: Sequence[str], *, key: str) -> None:
    """Draw the first few pictures of a project side by side."""
    _component()(key=key, data=[thumbnail_url(project, image) for image in images[:PICTURES]])
