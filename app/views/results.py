"""Results: how good the model is, where it is wrong, and the pictures behind each number."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.page import empty, head, live, project
from app.components.results import headline, sentence, workbench
from app.components.run_choice import chosen_run, run_choice
from app.engine_client import client


def show() -> None:
    """Draw the screen."""
    opened = project()
    run = chosen_run(opened.id)
    report = client().results.report(run.id) if run else None
    if run is None or report is None:
        with head("Results"):
            pass
        text = "This run has no results yet." if run else "Train a model first; its results stand here."
        with empty("No results yet", text):
            if run is None and st.button("Train", type="primary"):
                state.go("train", project=opened.id)
            if run and st.button("See the run", type="primary"):
                state.go("run", project=opened.id, run=run.id)
        return
    with head("Results", f"#{run.number} · {sentence(run, report)}"):
        run_choice(run)
        if st.button("Try it"):
            state.go("try_it", project=opened.id, run=run.id)
        if st.button("Train again"):
            state.go("train", project=opened.id, run=run.id)
        if st.button("Export model", type="primary"):
            state.go("export", project=opened.id, run=run.id)
    headline(report)
    live(None)(lambda: workbench(opened.id, report))


show()
