"""The side bar: wordmark, project picker, the steps with their state, the machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from app import state
from app.components.formats import count, plain, value
from app.components.page import run_here
from app.engine_client import client
from engine.contracts.projects import ProjectStatus, ProjectSummary
from engine.errors import LensmithError, NotFoundError

REFRESH_SECONDS: Final = 4.0

_SCRIPT: Final = """
function leaveInOneStep() {
  if (window.lensmithLeaves) return;
  window.lensmithLeaves = true;
  const push = window.history.pushState.bind(window.history);
  window.history.pushState = (data, title, address) => {
    const target = new URL(address ?? "", window.location.href);
    const leaving = target.searchParams.has("MARK");
    if (leaving && target.pathname === window.location.pathname) return;
    target.searchParams.delete("MARK");
    push(data, title, leaving ? target.pathname + target.search.replaceAll("%2C", ",") : address);
  };
}

export default function () {
  leaveInOneStep();
  const close = (event) => {
    const link = event.target.closest?.('[data-testid="stSidebar"] a, [data-testid="stPopoverBody"] a');
    if (!link || window.innerWidth >= 768) return;
    document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
  };
  document.addEventListener("click", close);
  return () => document.removeEventListener("click", close);
}
""".replace("MARK", state.LEAVING)
"""Makes ``state.go`` one step of the history, and closes the side bar on a phone, where it covers the
screen that a link of it leads to."""


def _data(status: ProjectStatus) -> str:
    return count(status.project.images, "image") if status.project.images else "empty"


def _runs(status: ProjectStatus) -> str:
    if status.training_progress is not None:
        return f"training {100 * status.training_progress:.0f} %"
    if status.queued:
        return f"{status.queued} waiting"
    return str(status.runs) if status.runs else ""


def _results(status: ProjectStatus) -> str:
    best = status.project.best
    return f"best {value(best.value, best.unit)}" if best and best.value is not None else ""


def _export(status: ProjectStatus) -> str:
    return "ready" if status.exports else ""


def _nothing(_status: ProjectStatus) -> str:
    return ""


STEPS: Final[tuple[tuple[str, str, Callable[[ProjectStatus], str]], ...]] = (
    ("data", "Data", _data),
    ("train", "Train", _nothing),
    ("runs", "Runs", _runs),
    ("results", "Results", _results),
    ("try_it", "Try it", _nothing),
    ("export", "Export", _export),
)
"""File in views/, label, and what stands behind it."""

FOOT: Final[tuple[tuple[str, str], ...]] = (("settings", "Settings"),)
"""Screens that belong to no project, linked at the foot: file in views/ and label."""

BELONGS_TO: Final = {"run": "runs"}
"""Screens without a step of their own."""


def sidebar(current: str) -> None:
    """Draw the side bar; ``current`` is the url path of the screen that is open."""
    with st.sidebar:
        with st.container(key="side-word"):
            st.page_link("views/home.py", label="Lens:primary[mith]")
        with suppress(NotFoundError):  # the screen itself says that the run is gone
            run_here()
        wanted = state.here().project or state.last_project()
        try:
            status = client().projects.status(wanted) if wanted else None
        except LensmithError:
            status = None  # the screen itself says that the project is gone
        if status is not None:
            _picker(status.project)
            busy = status.training_progress is not None or status.queued > 0
            st.fragment(_steps, run_every=REFRESH_SECONDS if busy else None)(status.project.id, current)
        else:
            st.caption(
                "Choose a project, or make a new one."
                if current == "home"
                else "Choose a project on Home, or make a new one."
            )
        _foot(current, status.project.id if status is not None else None)


def _picker(current: ProjectSummary) -> None:
    with st.container(key="side-project", gap=None):
        with st.popover(plain(current.name), width="stretch", help=None):
            for project in client().projects.list():
                st.page_link(
                    "views/data.py",
                    label=plain(project.name),
                    query_params={"project": project.id},
                    width="stretch",
                    disabled=project.id == current.id,
                )
            st.page_link("views/home.py", label="All projects", icon=":material/grid_view:", width="stretch")
        st.caption(f"{current.task_title} · {count(current.classes, 'class', 'classes')}")


def _steps(project: str, current: str) -> None:
    try:
        status = client().projects.status(project)
    except LensmithError as problem:
        st.caption(plain(problem.message))
        return
    with st.container(key="side-steps"):
        for page, label, describe in STEPS:
            note = describe(status)
            active = page == BELONGS_TO.get(current, current)
            with st.container(key="side-here" if active else f"side-step-{page}"):
                st.page_link(
                    f"views/{page}.py",
                    label=f"{label} :gray[{note}]" if note else label,
                    width="stretch",
                    query_params={"project": project},
                )


def _foot(current: str, project: str | None) -> None:
    with st.container(
        key="side-foot", horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        for page, label in FOOT:
            with st.container(key="foot-here" if page == current else f"foot-{page}", width="content"):
                # With the project in the address, a refresh there keeps it open.
                ids = {"project": project} if project else None
                st.page_link(f"views/{page}.py", label=label, query_params=ids)
        st.caption(_machine(), width="content")
        _script()(key="side-script", width=1, height=1)


@cache
def _script() -> ComponentRenderer:
    return st.components.v2.component("lensmith_side", html="<i></i>", js=_SCRIPT)


@st.cache_data(ttl=300, show_spinner=False)
def _machine() -> str:
    """Say what this machine has; asked rarely, since it does not change."""
    machine = client().models.machine()
    # A processor's title is the name of an instruction set, which tells few people anything.
    found = [d.title if d.name != "cpu" else count(machine.cores, "core") for d in machine.devices]
    return plain(" · ".join(found))
