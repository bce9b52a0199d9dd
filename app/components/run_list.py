"""Runs as rows: waiting, training and paused first, then history."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components.formats import plain, value
from app.components.run_words import STATES, began, is_moving, what_learns
from engine.contracts.jobs import ENDED
from engine.contracts.runs import RunSummary


def run_list(runs: Sequence[RunSummary]) -> None:
    """Draw what goes on or is paused, then what has ended; each row opens its run."""
    now = [run for run in runs if run.state not in ENDED]
    ended = [run for run in runs if run.state in ENDED]
    for title, rows in (("Now", now), ("Ended", ended)):
        if rows:
            st.header(title, anchor=False)
        for run in rows:
            _row(run)


def _row(run: RunSummary) -> None:
    with st.container(key=f"cardlink-{run.id}", gap=None):
        with st.container(horizontal=True, vertical_alignment="center", key=f"row-{run.id}"):
            with st.container(key=f"stretch-{run.id}", width="stretch"):
                st.page_link(
                    "views/run.py",
                    label=plain(f"#{run.number} {run.preset.capitalize()}"),
                    query_params={"project": run.project, "run": run.id},
                )
            best = f"**{value(run.best.value, run.best.unit)}**" if run.best else "–"
            st.markdown(best, width="content")
        facts = [
            STATES[run.state] + (f" {100 * run.progress:.0f} %" if is_moving(run) and run.progress else ""),
            what_learns(run),
            f"data version {run.version}",
            began(run),
        ]
        st.caption(" · ".join(filter(None, facts)))
        if run.problem:
            st.markdown(f":red[{plain(run.problem.message)}] {plain(run.problem.hint)}")
