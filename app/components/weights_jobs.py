"""Downloads and imports of weights while they go on, and how they ended; a refresh finds them again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import streamlit as st

from app import state
from app.components.formats import plain, size
from app.components.page import guarded, live, say
from app.engine_client import client
from engine.contracts.jobs import ENDED, JobInfo, JobState
from engine.errors import NotFoundError

WATCHED: Final = "weights-jobs"
SECONDS: Final = 0.7
FETCH: Final = "fetch-weights"
IMPORT: Final = "import-weights"


def watch(job: JobInfo, title: str) -> None:
    """Keep a job on the screen, also after a refresh; ``title`` is what a person calls it."""
    st.session_state.setdefault(WATCHED, {})[job.id] = title
    state.move(job=job.id)


def jobs_part(kind: str, done: Callable[[JobInfo], None]) -> bool:
    """Draw the jobs of a kind that go on or have just ended; return whether there is one.

    ``done`` draws what one has brought that succeeded.
    """
    first = _jobs(kind)
    if not first:
        return False
    states = [(job.id, job.state) for job in first]
    moving = any(job.state not in ENDED for job in first)

    def part() -> None:
        now = _jobs(kind)
        if [(job.id, job.state) for job in now] != states:
            st.rerun()
        for job in now:
            _draw(job, done)

    live(SECONDS if moving else None)(part)
    return True


def _jobs(kind: str) -> list[JobInfo]:
    """Return what this tab started or its address names, and what goes on besides, oldest first."""
    found = {job.id: job for job in client().jobs.active() if job.kind == kind}
    for name in (*st.session_state.get(WATCHED, {}), state.here().job):
        if name and name not in found:
            with suppress(NotFoundError):
                job = client().jobs.get(name)
                if job.kind == kind:
                    found[name] = job
    return sorted(found.values(), key=lambda job: job.created_at)


def _draw(job: JobInfo, done: Callable[[JobInfo], None]) -> None:
    title = st.session_state.get(WATCHED, {}).get(job.id, "")
    if job.state not in ENDED:
        share = job.progress or 0.0
        percent = f" · {100 * share:.0f} %" if job.progress is not None else ""
        st.progress(share, text=f"{plain(job.message or title) or 'Waiting for a free slot'}{percent}")
        st.button("Cancel", key=f"cancel-{job.id}", on_click=guarded(_cancel), args=(job.id,))
        return
    if job.state is JobState.SUCCEEDED:
        done(job)
    elif job.problem is None:
        say(f"{title or 'It'} was stopped. What came so far does not count.", "look", key=f"ended-{job.id}")
    else:
        with st.container(key=f"say-wrong-{job.id}"):
            st.markdown(f"**{plain(job.problem.message)}**  \n{plain(job.problem.hint)}")
    with st.container(horizontal=True, key=f"after-{job.id}"):
        if job.kind == FETCH and job.state is not JobState.SUCCEEDED:
            st.button("Try again", key=f"again-{job.id}", on_click=guarded(_again), args=(job.id,))
        st.button("Close", key=f"close-{job.id}", type="tertiary", on_click=_forget, args=(job.id,))


def forget_ended(kind: str) -> None:
    """Take the jobs of a kind that have ended off the screen."""
    for job in _jobs(kind):
        if job.state in ENDED:
            _forget(job.id)


def fetched(job: JobInfo) -> None:
    """Say what a download has brought."""
    result = job.result or {}
    say(f"{result.get('name', 'They')}: {size(int(result.get('bytes', 0)))} are here.", "good", key=job.id)


def _cancel(job: str) -> None:
    client().jobs.cancel(job)


def _again(job: str) -> None:
    client().jobs.resume(job)


def _forget(job: str) -> None:
    st.session_state.get(WATCHED, {}).pop(job, None)
    if state.here().job == job:
        state.move(job=None)
