"""Taking pictures in: what starts an import, and watching it until it ends."""

from __future__ import annotations

from typing import Final

import streamlit as st

from app import state
from app.components.import_choice import choose
from app.components.import_order import ImportOrder, order_of
from app.components.import_questions import questions
from app.components.import_report import import_progress
from app.components.import_start import look, start
from app.components.onward import onward
from app.components.page import live, say, show_problem
from app.components.upload import upload_zone
from app.engine_client import client
from engine.api.places import places_offered
from engine.contracts.jobs import ENDED, JobInfo, JobState
from engine.errors import LensmithError

LOOKING: Final = "recognise"
"""The kind of job that looks at a set without taking it in."""
THROUGH: Final = "imports-through"
"""The imports that have led this browser tab to Data."""
TICKING: Final = "import-ticking"
"""The job that this browser tab asks about by a timer."""


def sources(project: str | None, *, recognise: bool) -> None:
    """Offer the drop zone and a folder on this machine; work starts as soon as something is there.

    ``recognise``: first look what the set could be taken in as, and ask where it could be several things.
    """
    arrived = upload_zone(
        key="drop",
        label="Drop a ZIP, TAR, a folder or pictures here, or click to choose",
        hint="Labels of the usual formats are recognised; pictures alone are fine too. Up to 4 GB.",
    )
    if arrived is not None:
        _begin(ImportOrder(uploads=arrived.ids, name=arrived.name), project, recognise=recognise)
    settings = client().settings
    if places_offered(settings):
        with st.expander("A folder or archive on this machine"), st.form("folder", border=False):
            path = st.text_input("Path", placeholder="/home/me/pictures", key="folder-path")
            if settings.import_folders:
                st.caption(f"From {', '.join(str(f) for f in settings.import_folders)}")
            if st.form_submit_button("Import") and path.strip():
                _begin(ImportOrder(source=path.strip()), project, recognise=recognise)


def _begin(order: ImportOrder, project: str | None, *, recognise: bool) -> None:
    try:
        (look if recognise else start)(order, project)
    except LensmithError as problem:
        show_problem(problem)


def watch(job: JobInfo, project: str | None = None) -> bool:
    """Show a look at a set, or an import, until it ends; then the choice or Data appears by itself.

    ``project`` is the one that the set goes into, None for a new one. Returns whether the screen belongs to
    the job, so that nothing else is offered meanwhile.
    """
    if job.state is JobState.SUCCEEDED and job.kind == LOOKING:
        return choose(job, project)
    if job.state is JobState.SUCCEEDED:
        return _through(job)
    if job.state in ENDED:
        _ended(job)
        return False

    def part() -> None:
        now = client().jobs.get(job.id)
        if now.state is not job.state:
            st.rerun()
        import_progress(now, stop="Stop looking" if job.kind == LOOKING else "Stop the import")

    st.session_state[TICKING] = job.id
    live(0.7)(part)
    return True


def _through(job: JobInfo) -> bool:
    """Leave for Data, once: who then goes back in the browser is not sent forward again."""
    seen: set[str] = st.session_state.setdefault(THROUGH, set())
    if job.id not in seen and st.session_state.pop(TICKING, None) == job.id:
        # The browser's timer ends with this run. Leaving before that would let a tick of the screen that is
        # left arrive after the next one was drawn, which then stays empty.
        onward(key=f"onward-{job.id}")
    elif job.id not in seen:
        seen.add(job.id)
        state.go("data", project=project_of(job))
    with st.container(key="say-good-through", gap="small"):
        st.markdown("This import went through.")
        st.page_link("views/data.py", label="Go to Data", query_params={"project": project_of(job) or ""})
    return False


def project_of(job: JobInfo) -> str | None:
    """Return the project that an import made or filled."""
    return job.project or (job.result or {}).get("project")


def _ended(job: JobInfo) -> None:
    """Say why nothing was taken in, with what a person can answer or choose instead."""
    project = project_of(job) or state.here().project
    order, _ = order_of(job.id)
    if job.problem is None:
        what = "Looking at the set" if job.kind == LOOKING else "The import"
        say(f"{what} was stopped. Nothing was taken in.", "look", key="stopped")
        return
    # What was uploaded is there still only after a question.
    again = bool(order and order.looked and (order.source or job.problem.flag))
    questions(job.problem, order, project, again=again)
