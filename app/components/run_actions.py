"""What can be done to a run, and how it ended."""

from __future__ import annotations

from typing import Final

import streamlit as st

from app import state
from app.components.formats import plain
from app.components.page import guarded
from app.components.run_words import is_moving
from app.engine_client import client
from engine.contracts.jobs import JobState
from engine.contracts.runs import RunSummary

UNEXPECTED: Final = "that Lensmith did not expect: "
"""Behind these words of a problem stands the raw error, which few people can read."""


def actions(run: RunSummary) -> None:
    """Draw the buttons that fit the run's state."""
    if is_moving(run):
        st.button(
            "Stop and keep the best",
            key="keep",
            on_click=guarded(_stop),
            args=(run.id, True),
            disabled=run.state is not JobState.RUNNING,
            help="Ends early; the best weights so far are measured and kept.",
        )
        st.button(
            "Cancel",
            key="cancel",
            on_click=guarded(_stop),
            args=(run.id, False),
            help="Ends it and keeps nothing.",
        )
    elif run.state is JobState.SUCCEEDED:
        if st.button("See results", type="primary"):
            state.go("results", project=run.project, run=run.id)
    else:
        st.button("Go on with this run", key="resume", on_click=guarded(_resume), args=(run.id,))
        if st.button("Train again", type="primary"):
            state.go("train", project=run.project, run=run.id)


def ending(run: RunSummary) -> None:
    """Say why a run did not end well, and what to do."""
    if run.problem is None:
        return
    sentence, unexpected, details = run.problem.message.partition(UNEXPECTED)
    with st.container(key="say-wrong-ending"):
        st.markdown(f"**{plain(sentence + unexpected.rstrip(': '))}**  \n{plain(run.problem.hint)}")
        if details:
            with st.expander("Details"):
                st.code(details, language=None, wrap_lines=True)


def _stop(run: str, keep_best: bool) -> None:
    client().runs.stop(run, keep_best=keep_best)
    st.toast("It stops after this step and keeps the best." if keep_best else "It stops.")


def _resume(run: str) -> None:
    client().runs.resume(run)
