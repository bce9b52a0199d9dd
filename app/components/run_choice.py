"""Which finished run a screen is about."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.formats import plain, value
from app.components.page import empty, head, run_here
from app.engine_client import client
from engine.contracts.jobs import JobState
from engine.contracts.runs import RunSummary

PICKER = "model"


def run_name(run: RunSummary) -> str:
    """Name a run in a few words: number, preset, and how good it is."""
    best = f" · {value(run.best.value, run.best.unit)}" if run.best else ""
    return f"#{run.number} · {run.preset.title()}{best}"


def chosen_run(project: str) -> RunSummary | None:
    """Return the run that the address names, else the best one, which the address then names.

    The best is what the side bar tells; where no run has a value to compare, it is the newest one.

    Raises ``NotFoundError`` for an address that names a run that does not exist.
    """
    named = run_here()
    if named is not None:
        return named
    found = client().projects.status(project).best_run or client().results.latest(project)
    if found is None:
        return None
    state.move(run=found)
    return client().runs.get(found)


def run_choice(chosen: RunSummary) -> None:
    """Draw the choice of another finished run of the same project, where there is one."""
    runs = {run.id: run for run in client().runs.list(chosen.project) if run.state is JobState.SUCCEEDED}
    runs.setdefault(chosen.id, chosen)
    if len(runs) < 2:
        return
    best = client().projects.status(chosen.project).best_run

    def name(run: str) -> str:
        return run_name(runs[run]) + (" · best" if run == best else "") if run in runs else ""

    st.session_state[PICKER] = chosen.id  # the address decides, also after going back
    st.selectbox(
        "Model",
        list(runs),
        format_func=name,
        key=PICKER,
        label_visibility="collapsed",
        width=230,
        on_change=_choose,
    )


def _choose() -> None:
    state.move(run=st.session_state[PICKER], cell=None, part=None)


def model_or_empty(project: str, title: str, sentence: str) -> RunSummary | None:
    """Draw the head of a screen about a trained model, and return that model's run.

    Without a model it draws how to come by one and returns None.
    """
    run = chosen_run(project)
    if run is not None and run.state is JobState.SUCCEEDED:
        with head(title, f"{plain(run_name(run))} · {sentence}"):
            run_choice(run)
        return run
    with head(title):
        pass
    if run is not None:
        with empty("This run has no model yet", "There is one when its training has finished."):
            if st.button("See the run", type="primary"):
                state.go("run", project=project, run=run.id)
        return None
    with empty("There is no model yet", "Train one first; then it can be used here."):
        if st.button("Train", type="primary"):
            state.go("train", project=project)
    return None
