"""Pictures that can be corrected: a gallery with a bar for what to do with the selected ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.components.formats import SPLIT_NAMES, count, plain
from app.components.gallery import Tile, chosen_in, gallery
from app.components.page import guarded, tell
from app.engine_client import client
from engine.contracts.datasets import SPLITS, DatasetSummary, EditReceipt, Split


@dataclass(frozen=True)
class Tools:
    """What the bar offers beyond a class and undo.

    ``out`` says that these are the left-out pictures: it takes them in again instead of leaving them out.
    ``move`` lets it put them into another split. ``place`` is where it stands, else above the pictures.
    """

    out: bool = False
    move: bool = False
    place: DeltaGenerator | None = None


def editable_gallery(
    project: str,
    summary: DatasetSummary,
    tiles: Sequence[Tile],
    *,
    key: str,
    rows: int | None,
    token: str = "",
    tools: Tools = Tools(),
) -> None:
    """Draw ``tiles`` under a bar that changes the class of the selected ones, leaves them out, or undoes."""
    bar = tools.place or st.container(horizontal=True, vertical_alignment="center", key=f"bar-{key}")
    now = f"{token}#{st.session_state.get(f'{key}-edits', 0)}"
    st.session_state[f"{key}-token"] = now
    chosen = gallery(project, tiles, key=f"{key}-pictures", rows=rows, token=now)
    with bar:
        one_class = not any(tile.overlay or len(tile.parts) > 1 for tile in tiles)
        _bar(project, summary, len(chosen), key, tools, one_class=one_class)


def _bar(
    project: str, summary: DatasetSummary, chosen: int, key: str, tools: Tools, *, one_class: bool
) -> None:
    if st.session_state.pop(f"{key}-stale", False):
        st.rerun()  # counts elsewhere on the screen changed too
    if message := st.session_state.pop(f"{key}-message", ""):
        st.toast(message)
    if one_class:  # else it would take the place of objects, or of other classes
        _class_choice(project, summary, key)
    if tools.move:
        st.menu_button(
            "Move to",
            SPLITS,
            key=f"{key}-move",
            disabled=not chosen,
            format_func=SPLIT_NAMES.__getitem__,
            on_click=guarded(_move),
            args=(project, key),
            help="Which split the selected pictures are in: they train, validate or test.",
        )
    st.button(
        "Take in again" if tools.out else "Leave out",
        key=f"{key}-out",
        disabled=not chosen,
        on_click=guarded(_leave_out),
        args=(project, key, not tools.out),
        help="Left-out images stay here but are not used for training or for measuring.",
    )
    if summary.undo:
        st.button(
            "Undo",
            icon=":material/undo:",
            key=f"{key}-undo",
            help=f"Undo: {plain(summary.undo)}",
            on_click=guarded(_undo),
            args=(project, key),
        )


def undoable(place: str, receipt: EditReceipt) -> None:
    """Say in passing what was done, and keep an undo for it beside the card called ``place``."""
    tell(receipt.message)
    st.session_state[f"{place}-done"] = receipt.message


def undo_beside(project: str, summary: DatasetSummary, place: str) -> None:
    """Draw what was done from a card with its undo, for as long as it is the last edit."""
    done = st.session_state.get(f"{place}-done", "")
    if not done or summary.undo != done:
        st.session_state.pop(f"{place}-done", None)
        return
    with st.container(horizontal=True, vertical_alignment="center", key=f"done-{place}"):
        st.caption(plain(done), width="stretch")
        st.button("Undo", key=f"take-back-{place}", on_click=guarded(_take_back), args=(project,))


def _take_back(project: str) -> None:
    write = f"undo-{project}"
    receipt = client().datasets.undo(project, key=state.write_key(write))
    state.written(write)
    tell(receipt.message if receipt else "There was nothing to undo.")


def _class_choice(project: str, summary: DatasetSummary, key: str) -> None:
    names = {c.id: c.name for c in summary.classes}
    # Never disabled: a list that is opened just when it becomes enabled would close again.
    st.selectbox(
        "Change class",
        list(names),
        index=None,
        key=f"{key}-class",
        label_visibility="collapsed",
        width=118,
        placeholder="Change class",
        format_func=lambda i: names.get(i, i),
        accept_new_options=True,
        help="Choose a class, or type the name of a new one.",
        on_change=guarded(_change_class),
        args=(project, key),
    )


def _chosen(key: str) -> tuple[str, ...]:
    return chosen_in(f"{key}-pictures", st.session_state.get(f"{key}-token", ""))


def _change_class(project: str, key: str) -> None:
    class_id: Any = st.session_state[f"{key}-class"]
    st.session_state[f"{key}-class"] = None
    chosen = _chosen(key)
    if class_id is None:
        return
    if not chosen:
        st.session_state[f"{key}-message"] = "Select pictures first, then choose their class."
        return
    if class_id not in {c.id for c in client().datasets.summary(project).classes}:
        class_id = client().datasets.add_class(project, class_id).id
    write = f"class-{project}"
    _done(client().datasets.change_class(project, chosen, class_id, key=state.write_key(write)), key)
    state.written(write)


def _leave_out(project: str, key: str, out: bool) -> None:
    write = f"out-{project}"
    _done(client().datasets.leave_out(project, _chosen(key), out, key=state.write_key(write)), key)
    state.written(write)


def _move(project: str, key: str) -> None:
    split: Split | None = st.session_state[f"{key}-move"]
    if split is None:
        return
    write = f"move-{project}-{split}"
    _done(client().splits.move(project, _chosen(key), split, key=state.write_key(write)), key)
    state.written(write)


def _undo(project: str, key: str) -> None:
    write = f"undo-{project}"
    _done(client().datasets.undo(project, key=state.write_key(write)), key)
    state.written(write)


def _done(receipt: EditReceipt | None, key: str) -> None:
    """Say what changed, and let the selection go: its pictures may have moved."""
    message = plain(receipt.message) if receipt else "There was nothing to undo."
    st.session_state[f"{key}-message"] = (
        message or f"{count(receipt.changed if receipt else 0, 'image')} changed."
    )
    st.session_state[f"{key}-stale"] = True
    st.session_state[f"{key}-edits"] = st.session_state.get(f"{key}-edits", 0) + 1
