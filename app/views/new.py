"""New project: drop a set; what it is is recognised, the import starts, then Data appears."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.formats import plain
from app.components.new_import import sources, watch
from app.components.page import head, say
from app.components.project_card import sample_cards
from app.engine_client import client
from engine.contracts.projects import ProjectSummary
from engine.errors import NotFoundError


def _into(project: str | None) -> ProjectSummary | None:
    """Return the project that the pictures go into; one that an import left empty counts as none."""
    if project is None:
        return None
    found = client().projects.get(project)
    there = found.images or any(known.id == found.id for known in client().projects.list())
    return found if there else None


def show() -> None:
    """Draw the screen."""
    view = state.here()
    into = _into(view.project)
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
    target = into.id if into else None
    if job is not None and watch(job, target):
        return
    sources(target, recognise=into is None or not into.images)  # one with images knows what it is
    if into is None:
        st.space("small")
        st.header("Or begin with a sample", anchor=False)
        sample_cards()


show()
