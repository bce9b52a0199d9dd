"""The drop zone: sends a ZIP, a folder or pictures to the upload route and tells when they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field

_HERE: Final = Path(__file__).parent
_MARKUP: Final = """
<div class="zone">
  <div class="drop">
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M12 16V5m0 0L7.5 9.5M12 5l4.5 4.5"/>
      <path d="M4.5 15.5V18A1.5 1.5 0 0 0 6 19.5h12a1.5 1.5 0 0 0 1.5-1.5v-2.5"/>
    </svg>
    <button type="button" class="choose" aria-describedby="hint"></button>
    <p class="hint" id="hint"></p>
    <button type="button" class="link folder">Choose a folder instead</button>
  </div>
  <div class="sending" hidden>
    <div class="row"><strong class="name"></strong><span class="share"></span></div>
    <div class="track" role="progressbar" aria-valuemin="0" aria-valuemax="100"><div class="bar"></div></div>
    <div class="row">
      <span class="numbers"></span>
      <button type="button" class="link cancel">Cancel</button>
    </div>
  </div>
  <p class="message" role="status"></p>
  <input type="file" multiple hidden data-testid="upload-files" tabindex="-1">
  <input type="file" webkitdirectory hidden data-testid="upload-folder" tabindex="-1">
</div>
"""

_mount = st.components.v2.component(
    "lensmith_upload",
    html=_MARKUP,
    css=(_HERE / "upload.css").read_text("utf-8"),
    js=(_HERE / "upload.js").read_text("utf-8"),
)


class UploadResult(BaseModel):
    """What has arrived: the ids of the uploads, a name for the whole, and its size in bytes.

    ``empty`` names files of 0 bytes, which were not sent.
    """

    model_config = ConfigDict(frozen=True)

    ids: tuple[str, ...] = Field(min_length=1)
    name: str
    total: int
    empty: tuple[str, ...] = ()


def upload_zone(
    *,
    key: str,
    label: str = "Drop a ZIP, a folder or pictures here, or click to choose",
    hint: str = "",
    accept: str = "",
    max_bytes: int | None = None,
    one: bool = False,
) -> UploadResult | None:
    """Draw the drop zone; return what has arrived, once, in the run of the script after its end.

    Args:
        key: identity of the zone; the upload goes on while the script runs again.
        label: what the zone says.
        hint: a smaller line below it.
        accept: file types for the chooser, as in HTML (``.zip,image/*``); dropping is not restricted.
        max_bytes: larger files are refused before anything is sent.
        one: the chooser offers a single file and no folder; dropping is not restricted.
    """
    state = _mount(
        key=key,
        data={"label": label, "hint": hint, "accept": accept, "maxBytes": max_bytes, "one": one},
        # A registered callback is what makes Streamlit pass the event on; the new run does the work.
        on_uploaded_change=lambda: None,
    )
    uploaded = state.get("uploaded")
    return None if uploaded is None else UploadResult.model_validate(uploaded)
