"""What an import asks, with its answers as buttons; answers add up until the import goes through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st
from pydantic import ValidationError

from app import state
from app.components.formats import plain
from app.components.import_order import Answers, ImportOrder, open_order
from app.components.import_report import found_so_far
from app.components.import_start import look, start
from app.components.page import show_problem
from engine.contracts.jobs import JobInfo, Problem
from engine.errors import LensmithError

OTHER_LABELS: Final = "--format"
"""The flag of the question about labels that are for another task."""


@dataclass(frozen=True)
class Answer:
    """What a button says and what it adds to the import's choices."""

    label: str
    says: Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What a person is told to do, with its answers; ``field`` and ``example``: an answer that is typed.

    ``recommended``: the first answer is right for most sets. ``way``: where the answer lies elsewhere than
    in the import's choices, the button that leads there; it is the one to take.
    """

    hint: str
    answers: tuple[Answer, ...] = ()
    field: str = ""
    example: str = ""
    recommended: bool = False
    way: str = ""


SKIP: Final = Answer("Take the rest without them", {"accept_skips": True})
WHOLE: Final = Question(
    "The new ones can stand beside them or in their place; a version keeps what was there.",
    (
        Answer("Add to what is there", {"mode": "add"}),
        Answer("Put these in its place", {"mode": "replace"}),
    ),
    recommended=True,
)
CHOOSE_AGAIN: Final = Question(
    "Choose a task that its labels are for, or take the pictures alone, without labels.",
    (Answer("Take only the pictures", {"format": "loose_images"}),),
    way="Choose again what it is",
)
OF_ITS_OWN: Final = Question(
    "A project is one task: this set can become a project of its own, or add its pictures alone.",
    (Answer("Add the pictures without labels", {"format": "loose_images"}),),
    way="Make a new project of it",
)
QUESTIONS: Final[Mapping[str, Question]] = {
    "--accept-skips": Question("Mend the set and drop it again, or go on without what is wrong.", (SKIP,)),
    "--merge-classes": Question(
        "If they are one class written in several ways, merge them. If they are not, give them names that "
        "differ in more than that, in the set itself, and drop it again (“Other pictures”).",
        (Answer("Merge these classes", {"merge_classes": True}),),
        recommended=True,
    ),
    "--swap-boxes": Question(
        "If the corners were written the other way round throughout, exchange them; if the boxes are wrong "
        "for another reason, the pictures can come without them.",
        (
            Answer("Exchange the corners", {"swap_boxes": True}),
            Answer("Skip those boxes", {"accept_skips": True}),
        ),
        recommended=True,
    ),
    "--rescale": Question(
        "If the pictures were made smaller or larger after they were labelled, rescale the labels.",
        (Answer("Rescale the labels with their pictures", {"rescale": True}), SKIP),
        recommended=True,
    ),
    "--void": Question(
        "Often 255 marks borders and doubtful places, which should not count.",
        (
            Answer("Pixels of 255 do not count", {"void": "ignore"}),
            Answer("255 is a class", {"void": "class"}),
        ),
        recommended=True,
    ),
    "--channels": Question(
        "Name three of them, counted from 1.", field="The channels of red, green and blue", example="3,2,1"
    ),
    "--add": WHOLE,
    "--replace": WHOLE,
    OTHER_LABELS: CHOOSE_AGAIN,
}
"""By the flag that a problem names. Their hints speak of what is on the screen, not of options."""


def question_of(problem: Problem, *, looked: bool = True) -> Question:
    """Return a problem's question; choices that have no words of their own are buttons with their names.

    ``looked``: what the set is was recognised first, so that it can be chosen again.
    """
    if problem.flag == OTHER_LABELS and not looked:
        return OF_ITS_OWN
    known = QUESTIONS.get(problem.flag)
    if known is not None:
        return known
    field = problem.flag.removeprefix("--").replace("-", "_")
    return Question(problem.hint, tuple(Answer(choice, {field: choice}) for choice in problem.choices))


def question(job: JobInfo, order: ImportOrder, project: str | None) -> bool:
    """Draw what an import asks, with what it found and its answers; an answer starts it again.

    ``project`` is the one that is filled. Returns whether there was something to ask.
    """
    problem = job.problem
    if problem is None:
        return False
    asked = question_of(problem, looked=bool(order.looked))
    if not (asked.answers or asked.field):
        return False
    with st.container(key="say-look-import", gap="small"):
        if order.label:
            st.caption(f"A question about “{plain(order.label)}”")
        st.markdown(f"**{plain(problem.message)}**  \n{plain(asked.hint)}")
        found_so_far(job.id, problem)
        if asked.field:
            _typed(problem.flag, asked, order, project)
        with st.container(horizontal=True, vertical_alignment="center", key="answers"):
            _buttons(asked, order, project)
    return True


def _buttons(asked: Question, order: ImportOrder, project: str | None) -> None:
    """Draw the answers, the one to take first, and the ways out."""
    if asked.way and st.button(asked.way, type="primary", key="another-way"):
        _another_way(order)
    for number, answer in enumerate(asked.answers):
        first = asked.recommended and not number
        key = f"answer-{number}" if number else "answer"
        if st.button(plain(answer.label), key=key, type="primary" if first else "secondary"):
            _answer(order, answer.says, project)
    if order.looked and asked.way != CHOOSE_AGAIN.way:
        choose_again(order)
    if st.button("Other pictures", type="tertiary", key="start-over"):
        state.move(job=None, taking={})
        st.rerun()


def choose_again(order: ImportOrder) -> None:
    """Draw the button that opens the choice of what the set is, as it was made."""
    if st.button(CHOOSE_AGAIN.way, type="tertiary", key="choose-again"):
        open_order(order.looked, order, state.here().project)


def _another_way(order: ImportOrder) -> None:
    """Choose again what the set is, beginning with what was recommended; or make a new project of it."""
    fresh = order.changed(choice=0, other="")
    if order.looked:
        open_order(order.looked, fresh, state.here().project)
    _try(lambda: look(fresh.changed(title="", answers=Answers()), None))


def _typed(flag: str, asked: Question, order: ImportOrder, project: str | None) -> None:
    with st.form("answer-text", border=False):
        given = st.text_input(asked.field, placeholder=asked.example, key="answer-typed", width=320)
        if st.form_submit_button("Import with these", type="primary") and given.strip():
            _answer(order, {flag.removeprefix("--"): given.strip()}, project)


def _answer(order: ImportOrder, says: Mapping[str, Any], project: str | None) -> None:
    _try(lambda: start(order.answered(**says), project))


def _try(act: Callable[[], None]) -> None:
    try:
        act()
    except LensmithError as problem:
        show_problem(problem)
    except ValidationError:
        # A choice that this screen does not know; it must not look as if it had been answered.
        st.markdown("This answer cannot be given here; use the command line.")
