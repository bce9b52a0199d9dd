"""Settings: this machine, and the starting weights on it."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.machine_card import machine_card
from app.components.page import head
from app.components.weights_fetch import fetch_card
from app.components.weights_import import import_card
from app.components.weights_list import weights_list
from app.engine_client import client
from engine.errors import NotFoundError


def show() -> None:
    """Draw the screen."""
    with head("Settings", "This machine, and the trained weights that a run can start from."):
        pass
    machine_card()
    project = _project()
    weights_list(project)
    st.header("More weights", anchor=False)
    left, right = st.columns(2, gap="small")
    with left:
        fetch_card()
    with right:
        import_card(project)


def _project() -> str | None:
    """Return the project that is open beside this screen, if it is still there."""
    wanted = state.here().project or state.last_project()
    try:
        return client().projects.get(wanted).id if wanted else None
    except NotFoundError:
        return None


show()
