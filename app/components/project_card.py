"""A project as a card on Home, with what can be done to it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import state
from app.components.cover import cover
from app.components.formats import count, plain, value
from app.components.page import card, show_problem
from app.components.run_words import STATES
from app.engine_client import client
from engine.contracts.jobs import JobState
from engine.contracts.projects import ProjectSummary
from engine.errors import LensmithError


def project_card(project: ProjectSummary) -> None:
    """Draw one project; the whole card opens it."""
    with st.container(key=f"cardlink-{project.id}", gap="xsmall", height="stretch"):
        with st.container(horizontal=True, vertical_alignment="center", key=f"top-{project.id}"):
            with st.container(key=f"stretch-{project.id}", width="stretch"):
                st.page_link("views/data.py", label=plain(project.name), query_params={"project": project.id})
            with st.container(key=f"above-{project.id}", width="content"):
                _menu(project)
        with st.container(key=f"strip-{project.id}"):
            if project.cover:
                cover(project.id, project.cover, key=f"cover-{project.id}")
            else:
                st.caption("No pictures yet.")
        st.caption(f"{project.task_title} · {count(project.images, 'image')}  \n{_standing(project)}")


def _standing(project: ProjectSummary) -> str:
    if project.importing:
        return ":primary[Importing now]"
    if not project.last_run:
        return "Not trained yet"
    best = value(project.best.value, project.best.unit) if project.best else "none yet"
    return f"Best **{best}** · last run {_state(project.last_run_state)}"


def _state(name: str | None) -> str:
    """Write the state of a run as a word within a sentence."""
    return STATES[JobState(name)].lower() if name else "unknown"


def _menu(project: ProjectSummary) -> None:
    chosen = st.menu_button(
        "Options",
        ["Rename", "Delete"],
        type="tertiary",
        key=f"menu-{project.id}",
        help=f"Rename or delete {plain(project.name)}",
    )
    if chosen == "Rename":
        rename_dialog(project)
    elif chosen == "Delete":
        delete_dialog(project)


@st.dialog("Rename the project")
def rename_dialog(project: ProjectSummary) -> None:
    """Ask for another name."""
    name = st.text_input("Name", value=project.name, key="new-name")
    if st.button("Rename", key="do-rename", disabled=not name.strip()):
        _then_home(lambda: client().projects.rename(project.id, name.strip()))


@st.dialog("Delete the project?")
def delete_dialog(project: ProjectSummary) -> None:
    """Ask before a project goes away."""
    st.markdown(
        f"**{plain(project.name)}** with {count(project.images, 'image')} and its runs goes away; "
        "what is training stops. The files that you imported stay where they are."
    )
    if st.button("Delete", key="do-delete"):
        if state.last_project() == project.id:
            state.remember_project(None)
        _then_home(lambda: client().projects.delete(project.id))


def _then_home(act: Callable[[], object]) -> None:
    """Do it and close the dialog; when it cannot be done, say so in the dialog."""
    try:
        act()
    except LensmithError as problem:
        show_problem(problem)
    else:
        st.rerun()


def sample_cards() -> None:
    """Draw the sample sets; one click makes a project of one."""
    for sample in client().projects.samples():
        with card(f"sample-{sample.name}"), st.container(horizontal=True, vertical_alignment="center"):
            with st.container(gap=None, width="stretch", key=f"sample-text-{sample.name}"):
                st.markdown(f"**{plain(sample.title)}**")
                st.caption(plain(sample.sentence))
            if st.button("Use this sample", key=f"use-{sample.name}"):
                job = client().projects.create_sample(
                    sample.name, key=state.write_key(f"sample-{sample.name}")
                )
                state.written(f"sample-{sample.name}")
                state.go("new", job=job.id)
