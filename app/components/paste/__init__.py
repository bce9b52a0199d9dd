"""Takes a picture from the clipboard: Ctrl-V anywhere on the screen."""

from __future__ import annotations

import base64
import binascii
from functools import cache
from typing import Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

MOST_BYTES: Final = 32 * 2**20
_CSS: Final = """
.paste { font-size: 14px; color: var(--ls-muted); border: 1px dashed var(--ls-hairline); border-radius: 10px;
  min-height: 116px; display: grid; place-items: center; text-align: center; outline-offset: 2px; }
.paste:focus-visible { outline: 2px solid var(--ls-accent); }
"""
_JS: Final = """
export default function ({ parentElement, data, setStateValue }) {
  const box = parentElement.querySelector(".paste");
  box.textContent = "Copy a picture, then press Ctrl+V (\\u2318V) here";
  const take = (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    if (file.size > data.most) { box.textContent = "This picture is too large."; return; }
    const reader = new FileReader();
    reader.onload = () => setStateValue("picture", String(reader.result).split(",")[1]);
    reader.readAsDataURL(file);
  };
  document.onpaste = take;
  return () => { if (document.onpaste === take) document.onpaste = null; };
}
"""


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "lensmith_paste", html='<div class="paste" tabindex="0" role="note"></div>', css=_CSS, js=_JS
    )


def paste_zone(*, key: str) -> bytes | None:
    """Return the bytes of the picture that was pasted last, or None."""
    answer = _component()(key=key, data={"most": MOST_BYTES}, on_picture_change=_nothing)
    text = answer.get("picture")
    try:
        return base64.b64decode(text, validate=True) if text else None
    except binascii.Error:
        return None  # the browser sent no picture; nothing was chosen


def _nothing() -> None:
    """Streamlit wants a callback for each value that a component keeps."""
