"""The parts that every screen is made of: head, cards, sentences, first-time states, problems."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.components.formats import plain
from app.engine_client import client
from engine.contracts.projects import ProjectSummary
from engine.contracts.results import Tone
from engine.contracts.runs import RunDetail
from engine.errors import LensmithError, NotFoundError

FAILED: Final = "failed"
TOLD: Final = "told"
"""What the next run of the script says in passing."""
SCREEN: Final = "screen"
"""The title of the screen until its head is drawn; then empty."""


def head(title: str, sentence: str = "") -> DeltaGenerator:
    """Draw title and sentence (both Markdown); returns the place at the right for buttons."""
    st.session_state[SCREEN] = ""
    with st.container(horizontal=True, vertical_alignment="top", key="head"):
        with st.container(gap=None, width="stretch", key="head-text"):
            st.title(title, anchor=False)
            if sentence:
                st.caption(sentence)
        actions = st.container(
            horizontal=True, horizontal_alignment="right", width="content", key="head-actions"
        )
    failed: LensmithError | None = st.session_state.pop(FAILED, None)
    if failed is not None:
        show_problem(failed)
    if told := st.session_state.pop(TOLD, ""):
        st.toast(plain(told))
    return actions


def tell(text: str) -> None:
    """Say in passing, on the screen that is drawn next, what has just been done."""
    st.session_state[TOLD] = text


def plain_head() -> None:
    """Draw the head of a screen that cannot say more, unless it has one."""
    if title := st.session_state.get(SCREEN):
        head(title)


def card(key: str, title: str = "", note: str = "", *, fill: bool = False) -> DeltaGenerator:
    """Return a card; ``title`` is Markdown, ``note`` plain text, ``fill`` takes the row's height."""
    box = st.container(key=f"card-{key}", gap="xsmall", height="stretch" if fill else "content")
    if title:
        box.header(title, anchor=False, help=plain(note) or None)
    return box


def say(text: str, tone: Tone = "neutral", *, key: str) -> None:
    """Draw one sentence of data with a bar at its left; the colour is never its only sign."""
    mark = {"neutral": "", "good": "", "look": "Look: ", "wrong": "Wrong: "}[tone]
    with st.container(key=f"say-{tone}-{key}"):
        st.markdown(f"{mark}{plain(text)}")


def empty(title: str, sentence: str) -> DeltaGenerator:
    """Draw a first-time state, which says what to do next; returns the place for its button."""
    with st.container(key="card-empty", horizontal_alignment="center", gap="small"):
        st.space("small")
        st.header(title, anchor=False, text_alignment="center")
        st.caption(sentence, text_alignment="center")
        place = st.container(horizontal=True, horizontal_alignment="center")
        st.space("small")
        return place


def show_problem(problem: LensmithError) -> None:
    """Draw an expected error as a sentence with its next step."""
    with st.container(key="say-wrong-problem", gap="small"):
        st.markdown(f"**{plain(problem.message)}**" + (f"  \n{plain(problem.hint)}" if problem.hint else ""))
        if isinstance(problem, NotFoundError):
            known = state.last_project()
            if known and state.here().run:
                st.page_link("views/runs.py", label="Go to Runs", query_params={"project": known})
            else:
                st.page_link("views/home.py", label="Go to Home")


def live(every: float | None) -> Callable[[Callable[[], None]], None]:
    """Draw a part of the screen that refreshes itself each ``every`` s (None: only when touched).

    Expected errors inside it become sentences, as on the rest of the screen.
    """

    def draw(part: Callable[[], None]) -> None:
        @functools.wraps(part)
        def guarded() -> None:
            if FAILED in st.session_state:
                st.rerun()  # a callback failed: the head of the screen says why
            try:
                part()
            except LensmithError as problem:
                show_problem(problem)

        st.fragment(guarded, run_every=every)()

    return draw


def guarded(act: Callable[..., None]) -> Callable[..., None]:
    """Make a widget's callback keep an expected error, for ``head`` to show in the run that follows."""

    @functools.wraps(act)
    def safe(*args: object) -> None:
        try:
            act(*args)
        except LensmithError as problem:
            st.session_state[FAILED] = problem

    return safe


def project() -> ProjectSummary:
    """Return the project that the address names (or the last one seen); without one, ends the screen."""
    wanted = state.here().project or state.last_project()
    if wanted is None:
        plain_head()
        with empty("No project is open", "Choose one on Home, or make a new one from your pictures."):
            st.page_link("views/home.py", label="Go to Home")
        st.stop()
    try:
        found = client().projects.get(wanted)
    except NotFoundError:
        state.remember_project(None)
        raise
    state.remember_project(found.id)
    if state.here().project != found.id:
        state.move(project=found.id)
    return found


def run_here() -> RunDetail | None:
    """Return the run that the address names, and make the address name the project of that run."""
    wanted = state.here().run
    if wanted is None:
        return None
    run = client().runs.get(wanted)
    state.move(project=run.project)
    return run


def choices(
    label: str, options: dict[str, str], *, key: str, default: str | None = None, help: str | None = None
) -> str | None:
    """Draw a row of chips of which at most one is on; ``options`` maps a value to its text."""
    with st.container(key=f"chips-{key}", width="content"):
        chosen: str | None = st.pills(
            label,
            list(options),
            format_func=options.__getitem__,
            key=key,
            default=default,
            required=default is not None,
            label_visibility="collapsed",
            help=help,
        )
    return chosen
