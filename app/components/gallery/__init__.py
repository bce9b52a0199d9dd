"""The gallery: many pictures, of which only the visible ones are in the page.

Selecting by click, shift-click, space, "select all"; arrows move; double click or Enter opens the picture
large. What is drawn is text and image elements built in the browser, so data never becomes HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from app import state
from app.routes.urls import image_url, legend_url, overlay_url, thumbnail_url
from engine.contracts.results import GridItem, Tone

MOST_TILES: Final = 2000
"""How many pictures one gallery takes; the screens turn pages beyond that."""
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Tile:
    """One picture: its label and the label's colour, a verdict, and what it is (read aloud, shown large).

    Each line of the label is cut off by itself where it is too long. ``parts`` are the first
    words of a label of several, each with its colour ("": none), and ``more`` how many are left out.
    ``overlay`` is the revision of the labels that can be drawn over the picture, empty where there are none.
    """

    id: str
    label: str = ""
    color: str = ""
    tone: Tone = "neutral"
    about: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    more: int = 0
    overlay: str = ""


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "lensmith_gallery",
        html='<div class="gallery"></div>',
        css=(_HERE / "gallery.css").read_text("utf-8"),
        # One module: a component's script cannot import another.
        js="".join((_HERE / name).read_text("utf-8") for name in ("opened.js", "gallery.js")),
    )


def gallery(
    project: str,
    tiles: Sequence[Tile],
    *,
    key: str,
    choose: Literal["none", "one", "many"] = "many",
    rows: int | None = None,
    tile: int = 104,
    token: str = "",
    label: str = "Pictures",
) -> tuple[str, ...]:
    """Draw pictures of a project and return the ids of the selected ones.

    Args:
        project: whose pictures these are.
        tiles: at most ``MOST_TILES``.
        key: unique on the screen.
        choose: how many can be selected; "none" only shows and opens pictures. One gallery of a screen at
            most has "many": the browser keeps the picture that is open there in the address.
        rows: height in rows; more scroll inside. None grows with the pictures (for a few).
        tile: smallest width of a picture in px.
        token: a new one drops the selection (after an edit, for another filter).
        label: what these pictures are, for screen readers.
    """
    data = {
        "thumb": _template(thumbnail_url, project),
        "full": _template(image_url, project),
        "overlay": _template(overlay_url, project),
        "legend": _template(legend_url, project),
        "tiles": [
            [t.id, t.label, t.parts or ((t.label, t.color),), t.tone, t.about, t.overlay, t.more]
            for t in tiles
        ],
        "selectable": choose != "none",
        "single": choose == "one",
        "rows": rows,
        "tile": tile,
        "token": token,
        "label": label,
        # The address has room for one opened picture of a screen: that of its main gallery.
        "opened": (state.here().image or "") if choose == "many" else None,
    }
    _component()(key=key, data=data, on_chosen_change=_nothing)
    known = {t.id for t in tiles}
    return tuple(i for i in chosen_in(key, token) if i in known)


def _template(url: Callable[[str, str], str], project: str) -> str:
    """Give the address of any picture of a project, with ``{id}`` in the place of the picture."""
    return url(project, "{id}").replace("%7Bid%7D", "{id}")


def chosen_in(key: str, token: str) -> tuple[str, ...]:
    """Return what is selected in a gallery as of now; callbacks run before the screen is drawn again."""
    chosen = (st.session_state.get(key) or {}).get("chosen") or {}
    if chosen.get("token") != token:  # chosen before the pictures changed
        return ()
    return tuple(chosen.get("ids", ()))


def verdict_tiles(items: Sequence[GridItem]) -> list[Tile]:
    """Make tiles that show what a model said of each picture."""
    made = []
    for item in items:
        known = bool(item.predicted) and item.score is not None
        answer = f"{item.predicted} {item.score:.2f}" if known else item.caption
        caption = item.caption if item.caption != answer else ""
        parts = (answer, f"labelled {item.truth}" if item.truth else "", caption)
        label = wrong_label(answer, item.truth) if item.tone == "wrong" else answer
        made.append(Tile(item.image_id, label, "", item.tone, " · ".join(filter(None, parts))))
    return made


def wrong_label(answer: str, truth: str) -> str:
    """Write a wrong answer so that a person sees without colours that it is wrong, and what the label is."""
    return f"✗ {answer}" + (f"\nlabel: {truth}" if truth else "")


def _nothing() -> None:
    """Streamlit wants a callback for each value that a component keeps."""
