"""New project: drop a set; what it is is recognised, the import starts, then Data appears."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.formats import plain
from app.components.new_import import project_of, sources, watch
from app.components.page import head, say
from app.components.project_card import sample_cards
from app.engine_client import client
from engine.contracts.jobs import JobState
from engine.errors import NotFoundError


def show() -> None:
    """Draw the screen."""
    view = state.here()
    into = client().projects.get(view.project) if view.project else None
    with head(
        f"Add images to {plain(into.name)}" if into else "New project",
        "The set is recognised and taken in. Nothing leaves this machine, and your files are not changed.",
    ):
        pass
    job = None
    if view.job:
        try:
            job = client().jobs.get(view.job)
        except NotFoundError:
            say("This import does not exist any more. Drop the pictures again.", "look", key="gone")
    if job is not None and watch(job):
        return
    # A failed import leaves its project empty: the next try fills it. One with images knows what it is.
    left = project_of(job) if job and job.state is not JobState.SUCCEEDED else None
    sources(into.id if into else left, recognise=into is None or not into.images)
    if into is None:
        st.space("small")
        st.header("Or begin with a sample", anchor=False)
        sample_cards()


show()
