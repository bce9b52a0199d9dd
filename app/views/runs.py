"""Runs: what is queued, what trains, what was trained."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.formats import count
from app.components.page import empty, head, live, project
from app.components.run_list import run_list
from app.components.run_words import is_moving
from app.engine_client import client


def show() -> None:
    """Draw the screen."""
    opened = project()
    runs = client().runs.list(opened.id)
    with head("Runs", count(len(runs), "run") if runs else ""):
        if runs and st.button("Train", type="primary"):
            state.go("train", project=opened.id)
    if not runs:
        with empty("Nothing was trained yet", "The first run takes about a minute and gives the yardstick."):
            if st.button("Train", type="primary"):
                state.go("train", project=opened.id)
        return
    live(2.0 if any(is_moving(run) for run in runs) else None)(
        lambda: run_list(client().runs.list(opened.id))
    )


show()
