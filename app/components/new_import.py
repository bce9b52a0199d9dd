"""Taking pictures in: what starts an import, and watching it until it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import streamlit as st

from app import state
from app.components.formats import plain
from app.components.import_report import import_progress
from app.components.page import live
from app.components.upload import upload_zone
from app.engine_client import client
from engine.contracts.jobs import JobInfo, JobState
from engine.errors import LensmithError

SOURCE: Final = "import-source"
QUESTIONS: Final = {
    "--accept-skips": "Take the rest without them",
    "--merge-classes": "Merge these classes",
}
"""What a person may answer to an import that asks, by the flag that the error names."""


def sources(project: str | None) -> None:
    """Offer the drop zone and a folder on this machine; an import starts as soon as something is there."""
    arrived = upload_zone(
        key="drop",
        label="Drop a ZIP, a folder or pictures here, or click to choose",
        hint="Pictures in one folder for each class, or a CSV with path and label. ZIP up to 4 GB.",
    )
    if arrived is not None:
        start({"uploads": arrived.ids, "name": arrived.name}, project)
    with st.expander("A folder or ZIP on this machine"), st.form("folder", border=False):
        path = st.text_input("Path", placeholder="/home/me/pictures", key="folder-path")
        if st.form_submit_button("Import") and path.strip():
            start({"source": path.strip()}, project)


def start(source: Mapping[str, Any], project: str | None) -> None:
    """Start an import and watch it.

    ``source`` names uploads or a path, and under "answers" the options of the questions answered so far.
    """
    st.session_state[SOURCE] = dict(source)
    path, answers = source.get("source"), source.get("answers", ())
    write = f"import-{project}-{dict(source)}"  # another source is another import
    job = client().datasets.start_import(
        Path(path) if path else None,
        uploads=source.get("uploads", ()),
        project=project,
        name=None if project else _title(source.get("name")),
        mode="add" if project else "new",
        accept_skips="--accept-skips" in answers,
        merge_classes="--merge-classes" in answers,
        key=state.write_key(write),
    )
    state.written(write)
    state.go("new", project=project, job=job.id)


def watch(job: JobInfo) -> None:
    """Show an import until it ends; then Data appears by itself."""
    if job.state is JobState.SUCCEEDED:
        state.go("data", project=project_of(job))
    if job.state in (JobState.FAILED, JobState.CANCELLED):
        _ended(job)
        return

    def part() -> None:
        now = client().jobs.get(job.id)
        if now.state is not job.state:
            st.rerun()
        import_progress(now)

    live(0.7)(part)


def project_of(job: JobInfo) -> str | None:
    """Return the project that an import made or filled."""
    return job.project or (job.result or {}).get("project")


def _ended(job: JobInfo) -> None:
    problem = job.problem
    with st.container(key="say-wrong-import", gap="small"):
        if problem is None:
            st.markdown("**The import was stopped.** Nothing was taken in.")
        else:
            st.markdown(f"**{plain(problem.message)}**  \n{plain(problem.hint)}")
        source = st.session_state.get(SOURCE)
        if (
            problem
            and source
            and problem.flag in QUESTIONS
            and st.button(QUESTIONS[problem.flag], key="answer")
        ):
            try:
                answered = (*source.get("answers", ()), problem.flag)
                start({**source, "answers": answered}, project_of(job))
            except LensmithError as error:
                st.markdown(plain(str(error)))


def _title(name: str | None) -> str | None:
    """Make a project's name of a file's name."""
    if not name:
        return None
    stem = Path(name.replace("\\", "/")).name
    for ending in (".zip", ".tar.gz", ".tgz", ".tar"):
        stem = stem[: -len(ending)] if stem.lower().endswith(ending) else stem
    words = " ".join(stem.replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:] or None
