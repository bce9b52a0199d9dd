"""Data: the pictures of a project, how they were taken in, and correcting their labels."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.dataset import browse, facts
from app.components.formats import count
from app.components.new_import import watch
from app.components.page import empty, head, project
from app.components.set_export import export_dialog, export_part
from app.components.split_dialog import split_dialog
from app.components.versions import versions_card
from app.engine_client import client


def show() -> None:
    """Draw the screen."""
    opened = project()
    summary = client().datasets.summary(opened.id)
    words = [count(summary.images, "image"), count(len(summary.classes), "class", "classes")]
    if summary.version:
        changed = (
            f", {count(summary.changed_since_version, 'change')} since"
            if summary.changed_since_version
            else ""
        )
        words.append(f"data version {summary.version.number}{changed}")
    with head("Data", " · ".join(words) if summary.images else ""):
        if st.button("Add images"):
            state.go("new", project=opened.id)
        if summary.images:
            _tools(opened.id)
        if summary.images and st.button("Train", type="primary" if _trainable(opened.task) else "secondary"):
            state.go("train", project=opened.id)
    if opened.importing:
        watch(client().jobs.get(opened.importing))
    elif not summary.images:
        with empty("No pictures yet", "Drop a ZIP or folder of pictures, with labels if you have any."):
            if st.button("Add pictures", type="primary"):
                state.go("new", project=opened.id)
    if summary.images:
        export_part(opened.id)
        left, right = st.columns([2.65, 1], gap="small")
        with left:
            browse(opened.id, summary)
        with right:
            facts(opened.id, summary)
            versions_card(opened.id, summary)


def _trainable(task: str) -> bool:
    return any(known.presets for known in client().projects.tasks() if known.name == task)


def _tools(project: str) -> None:
    if st.button("Split", help="Which images train, validate and test"):
        split_dialog(project)
    if st.button("Export set", help="Take the set home in a format of other tools"):
        export_dialog(project)


show()
