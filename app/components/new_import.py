"""Taking pictures in: what starts an import, and watching it until it ends."""

from __future__ import annotations

from typing import Final

import streamlit as st

from app import state
from app.components.formats import plain
from app.components.import_choice import as_taken, choose, taken_as
from app.components.import_order import ImportOrder, open_order, order_of
from app.components.import_questions import choose_again, question, question_of
from app.components.import_report import STOPPING, found_so_far, import_progress
from app.components.import_start import is_there, look, start
from app.components.onward import onward
from app.components.page import card, guarded, live, show_problem
from app.components.upload import upload_zone
from app.engine_client import client
from engine.api.places import places_offered
from engine.contracts.datasets import ImportOffer
from engine.contracts.jobs import ENDED, JobInfo, JobState
from engine.errors import LensmithError, NotFoundError

LOOKING: Final = "recognise"
"""The kind of job that looks at a set without taking it in."""
THROUGH: Final = "imports-through"
"""The imports that have led this browser tab to Data."""
TICKING: Final = "import-ticking"
"""The job that this browser tab asks about by a timer."""
CHANGING: Final = "import-changing"
"""The job that is being stopped because its set is something else."""


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
        return _ended(job)
    _running(job)
    return True


def _running(job: JobInfo) -> None:
    """Draw how far the job is, below what the set is taken as and why, which can be changed."""

    def part() -> None:
        now = client().jobs.get(job.id)
        if now.state is not job.state:
            st.rerun()
        import_progress(now, stop="Stop looking" if job.kind == LOOKING else "Stop the import")

    st.session_state[TICKING] = job.id
    order, _ = order_of(job.id)
    with card("taking", plain(order.label) if order else ""):
        if order is not None and order.looked and job.kind != LOOKING:
            _what_it_is(job, order)
        live(0.7)(part)


def _what_it_is(job: JobInfo, order: ImportOrder) -> None:
    """Say what the set is taken as and why; to change it, the import stops and the choice opens."""
    offers = _offers(order)
    with st.container(horizontal=True, vertical_alignment="top", key="taken-as"):
        st.markdown(taken_as(as_taken(order, offers), offers), width="stretch")
        # On Data, which an import that came with a project shows, there is no choice to open.
        if state.here().job == job.id:
            asked = st.session_state.get(STOPPING) == job.id
            st.button("Change", key="change", disabled=asked, on_click=guarded(_change), args=(job.id,))


def _offers(order: ImportOrder) -> tuple[ImportOffer, ...]:
    try:
        return client().datasets.offers(order.looked)
    except NotFoundError:  # the look stands in the address only
        return ()


def _change(job: str) -> None:
    """Stop an import; what it is taken as is asked as soon as it has ended."""
    client().jobs.cancel(job)
    st.session_state[STOPPING] = st.session_state[CHANGING] = job


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


def _ended(job: JobInfo) -> bool:
    """Say why nothing was taken in, with what a person can answer or choose instead.

    Returns whether the screen belongs to it, as it does while a question is open.
    """
    project = project_of(job) or state.here().project
    order, _ = order_of(job.id)
    if order is not None and not is_there(order):
        order = None  # nothing that was said of it helps without it
    if job.problem is None:
        if order is not None and st.session_state.pop(CHANGING, None) == job.id:
            open_order(order.looked, as_taken(order, _offers(order)), state.here().project)
        _stopped(job, order, project)
        return False
    if order is not None and question(job, order, project):
        return True
    asked = question_of(job.problem)
    with st.container(key="say-wrong-import", gap="small"):
        st.markdown(f"**{plain(job.problem.message)}**  \n{plain(asked.hint)}")
        found_so_far(job.id, job.problem)
        if order is not None:
            _once_more(job, order, project)
        elif asked.answers or asked.field:
            st.markdown("What was uploaded is not here any more: drop it once more.")
    return False


def _stopped(job: JobInfo, order: ImportOrder | None, project: str | None) -> None:
    what = "Looking at the set" if job.kind == LOOKING else "The import"
    of = f" of “{plain(order.label)}”" if order is not None and order.label else ""
    with st.container(key="say-look-stopped", gap="small"):
        st.markdown(f"{what}{of if job.kind != LOOKING else ''} was stopped. Nothing was taken in.")
        if order is not None:
            _once_more(job, order, project)


def _once_more(job: JobInfo, order: ImportOrder, project: str | None) -> None:
    """Draw how what is still there can be taken in without giving it once more."""
    looking = job.kind == LOOKING
    # The same bytes would end as they did; a folder may have been mended meanwhile.
    same = job.problem is not None and job.problem.of_input and not order.source
    with st.container(horizontal=True, vertical_alignment="center", key="once-more"):
        if not same and st.button("Start again", key="start-again"):
            try:
                (look if looking else start)(order, state.here().project if looking else project)
            except LensmithError as problem:
                show_problem(problem)
        if order.looked and not looking:
            choose_again(order)
