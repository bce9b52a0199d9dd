"""Taking the set home in a format of other tools: what each would lose, the way there, the ZIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import streamlit as st

from app import state
from app.components.formats import count, plain, size
from app.components.import_report import import_progress
from app.components.moments import moment_here
from app.components.page import card, live, say, show_problem
from app.engine_client import client
from app.routes.urls import set_url
from engine.contracts.datasets import ExportFormat, VersionInfo
from engine.contracts.jobs import ENDED, JobInfo, JobState
from engine.errors import LensmithError, NotFoundError

KIND: Final = "export-set"
NOW: Final = 0
"""Stands for the data as they are, where versions are chosen by number."""


@st.dialog("Export the set", width="medium")
def export_dialog(project: str) -> None:
    """Ask in which format, and which version."""
    # The version stands below the formats, and what each loses depends on it.
    wanted = st.session_state.get("export-version") or None
    formats = {known.name: known for known in client().dataset_exports.formats(project, wanted)}
    if not formats:
        st.markdown("No format can hold the labels of this set.")
        return
    with st.container(key="offers-formats"):
        chosen = st.radio(
            "Format",
            list(formats),
            format_func=lambda name: plain(formats[name].title) if name in formats else "",
            captions=[_losses(known) for known in formats.values()],
            key="export-format",
            label_visibility="collapsed",
        )
    versions = {version.number: version for version in client().versions.list(project)}
    version = st.selectbox(
        "Version",
        [NOW, *versions],
        format_func=lambda number: _version(number, versions),
        key="export-version",
    )
    if st.button("Export", type="primary", key="do-export"):
        _start(project, chosen, version or None)


def _losses(known: ExportFormat) -> str:
    return plain(" ".join(known.losses)) if known.losses else "Nothing is lost."


def _version(number: int, versions: Mapping[int, VersionInfo]) -> str:
    if number == NOW:
        return "The data as they are now"
    found = versions.get(number)
    return f"Version {number:,} · {moment_here(found.created_at)}" if found else ""


def _start(project: str, format: str, version: int | None) -> None:
    write = f"export-set-{project}-{format}-{version}"
    try:
        job = client().dataset_exports.start(project, format, version=version, key=state.write_key(write))
    except LensmithError as problem:
        show_problem(problem)
        return
    state.written(write)
    state.move(job=job.id)
    st.rerun()


def export_part(project: str) -> None:
    """Draw the export that the address names, or one that is under way; nothing without one."""
    job = _job(project)
    if job is None:
        return
    if job.state not in ENDED:
        first = job

        def part() -> None:
            now = client().jobs.get(first.id)
            if now.state is not first.state:
                st.rerun()
            import_progress(now, title="Exporting the set", stop="Stop the export")

        live(0.7)(part)
    elif job.state is JobState.SUCCEEDED:
        _ready(project, job)
    else:
        problem = job.problem
        text = f"{problem.message} {problem.hint}" if problem else "The export was stopped."
        say(text, "wrong" if problem else "look", key="set-export")


def _job(project: str) -> JobInfo | None:
    named = state.here().job
    if named is None:
        found = (job for job in client().jobs.active(project) if job.kind == KIND)
        return next(found, None)
    try:
        job = client().jobs.get(named)
    except NotFoundError:
        return None
    return job if job.kind == KIND and job.project == project else None


def _ready(project: str, job: JobInfo) -> None:
    result = job.result or {}
    titles = {known.name: known.title for known in client().dataset_exports.formats(project)}
    name = titles.get(str(result.get("format")), "")
    told = [name, f"version {result.get('version')}", count(int(result.get("images", 0)), "image")]
    with card("set-export"), st.container(horizontal=True, vertical_alignment="center", key="set-ready"):
        with st.container(gap=None, width="stretch", key="set-ready-text"):
            st.markdown("**The set is ready**")
            st.caption(plain(" · ".join(filter(None, told))))
        st.link_button(f"Download {size(int(result.get('bytes', 0)))}", set_url(project, job.id))
        if st.button("Close", type="tertiary", key="set-close"):
            state.move(job=None)
            st.rerun()
