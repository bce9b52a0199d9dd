"""The weights on this machine as cards: what they are, who uses them, and what can be done with them."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from app import state
from app.components.formats import count, plain, size
from app.components.page import card, say, show_problem
from app.components.weights_words import exact, facts, size_in_all, tensors, used_by
from app.engine_client import client
from app.routes.urls import weights_url
from engine.contracts.weights import WeightsItem
from engine.errors import LensmithError

IN_A_ROW: Final = 2
REMOVED: Final = "weights-removed"
ONLY_SHIPPED: Final = "Only those that come with Lensmith are here."


def weights_list(project: str | None) -> None:
    """Draw all weights; ``project`` is the one that a run would be started in."""
    items = client().weights.list()
    st.header("Weights on this machine", anchor=False)
    removed = st.session_state.pop(REMOVED, None)
    if removed:
        say(removed, "good", key="removed")
    if all(item.source == "bundled" for item in items):
        with card("no-weights"):
            st.markdown(ONLY_SHIPPED if items else "There are none yet.")
            st.caption("Fetch some while there is a network, or import a file of your own, below.")
    if not items:
        return
    where = "" if project else " Open a project on Home to start a run from some of them."
    st.caption(f"{count(len(items), 'set', 'sets')}, {size_in_all(items)} in all.{where}")
    for first in range(0, len(items), IN_A_ROW):
        row = items[first : first + IN_A_ROW]
        for column, item in zip(st.columns(IN_A_ROW, gap="small"), row, strict=False):
            with column:
                _card(item, project)


def _card(item: WeightsItem, project: str | None) -> None:
    name = f"{item.source}-{item.id}"
    with card(f"weights-{name}", fill=True):
        with st.container(horizontal=True, vertical_alignment="top", key=f"weights-top-{name}"):
            st.markdown(f"**{plain(item.title)}**", width="stretch")
            st.markdown(size(item.bytes), width="content")
        st.caption(facts(item))
        used_by(item, project)
        if item.fit is not None:
            st.caption(plain(item.fit.sentence))
            with st.expander("What the file holds"):
                tensors(item.fit)
                exact(item)
        with st.container(horizontal=True, gap="small", key=f"weights-do-{name}"):
            start_button(item, project, key=f"start-{name}")
            if item.source == "imported" and item.start:
                st.link_button(
                    "Download", weights_url(item.id), help="A ZIP that any Lensmith takes in again."
                )
            if item.removable and st.button("Remove", key=f"remove-{name}"):
                remove_dialog(item)


def start_button(item: WeightsItem, project: str | None, *, key: str) -> None:
    """Offer to start a run from these weights: Train opens with them chosen."""
    why_not = "" if project else "Open a project first."
    if not item.start:
        why_not = "They are damaged."
    elif not item.backbone:
        why_not = "Which architecture they are for is not known: import the file, and it is recognised."
    if st.button("Start a run", key=key, disabled=bool(why_not), help=why_not or None):
        state.go("train", project=project, settings=_settings(item))


def _settings(item: WeightsItem) -> dict[str, Any]:
    """Return the settings of a run that starts from these weights, as far as they differ from "auto"."""
    if item.source == "imported":
        return {"weights": item.start}  # they bring their architecture along
    named = {} if item.start == "auto" else {"weights": item.start}
    return {**named, "backbone": item.backbone}


@st.dialog("Remove these weights?")
def remove_dialog(item: WeightsItem) -> None:
    """Ask before weights go away, and say what that means."""
    again = (
        "The file that you imported them from stays where it is."
        if item.source == "imported"
        else "Other programs on this machine may use them, too. They can be fetched again."
    )
    used = "" if not item.used_by else " Models that were trained from them stay as they are."
    st.markdown(f"**{plain(item.title)}** goes away, and {size(item.bytes)} are free again. {again}{used}")
    if st.button("Remove", key="do-remove"):
        try:
            freed = client().weights.remove(item.id)
        except LensmithError as problem:
            show_problem(problem)
        else:
            st.session_state[REMOVED] = f"{item.title} is gone; {size(freed)} are free."
            st.rerun()
