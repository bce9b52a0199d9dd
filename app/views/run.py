"""Run: a model while it learns, and how to stop it; when it has ended, the way to its results."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.formats import plain
from app.components.page import empty, head, live, plain_head, project, run_here
from app.components.run_actions import actions, ending
from app.components.run_progress import (
    PROBE,
    SECONDS,
    curves_card,
    probe_card,
    progress_card,
    samples_card,
    words_card,
)
from app.components.run_words import STATES, began, details, is_moving, what_learns
from app.components.weights_choice import hub_choices
from app.engine_client import client


def show() -> None:
    """Draw the screen."""
    if state.here().project or state.here().run is None:
        project()
    run = run_here()
    if run is None:
        plain_head()
        with empty("No run is open", "Choose one in the list."):
            st.page_link("views/runs.py", label="Go to Runs")
        return
    state.remember_project(run.project)
    first = client().runs.live(run.id)
    sentence = f"{plain(run.preset.capitalize())} {what_learns(run)} · {began(run)}"
    with head(f"Run {run.number} · {STATES[run.state]}", sentence):
        actions(run)
    ending(run)
    hub_choices(run)

    def part() -> None:
        now = client().runs.live(run.id)
        if now.run.state is not run.state or now.setup != first.setup:
            st.rerun()
        progress_card(now)
        if now.run.strategy == PROBE:
            probe_card(now)
            return
        left, right = st.columns([1.42, 1], gap="small")
        with left:
            curves_card(now)
        with right:
            words_card(now)
        samples_card(now)

    live(SECONDS if is_moving(run) else None)(part)
    with st.expander("Exact settings"):
        details(run, first.setup)
    with st.expander("Log", key="log", on_change="rerun") as log:
        if log.open:
            st.code(client().runs.log(run.id) or "Nothing yet.", language=None, height=280)


show()
