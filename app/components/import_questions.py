"""What an import asks, with its answers as buttons; answers add up until the import goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st
from pydantic import ValidationError

from app import state
from app.components.formats import plain
from app.components.import_order import ImportOrder, open_order
from app.components.import_start import start
from app.components.page import show_problem
from engine.contracts.jobs import Problem
from engine.errors import LensmithError


@dataclass(frozen=True)
class Answer:
    """What a button says and what it adds to the import's choices."""

    label: str
    says: Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What a person is told to do, with its answers; ``field`` and ``example``: an answer that is typed."""

    hint: str
    answers: tuple[Answer, ...] = ()
    field: str = ""
    example: str = ""


SKIP: Final = Answer("Take the rest without them", {"accept_skips": True})
WHOLE: Final = Question(
    "The new ones can stand beside them or in their place; a version keeps what was there.",
    (
        Answer("Add to what is there", {"mode": "add"}),
        Answer("Put these in its place", {"mode": "replace"}),
    ),
)
QUESTIONS: Final[Mapping[str, Question]] = {
    "--accept-skips": Question("Mend the set and drop it again, or go on without what is wrong.", (SKIP,)),
    "--merge-classes": Question(
        "If they are one class written in several ways, merge them; else give them other names.",
        (Answer("Merge these classes", {"merge_classes": True}),),
    ),
    "--swap-boxes": Question(
        "If the corners were written the other way round throughout, exchange them.",
        (Answer("Exchange the corners", {"swap_boxes": True}),),
    ),
    "--rescale": Question(
        "If the pictures were made smaller or larger after they were labelled, rescale the labels.",
        (Answer("Rescale the labels with their pictures", {"rescale": True}), SKIP),
    ),
    "--void": Question(
        "Often 255 marks borders and doubtful places, which should not count.",
        (
            Answer("Pixels of 255 do not count", {"void": "ignore"}),
            Answer("255 is a class", {"void": "class"}),
        ),
    ),
    "--channels": Question(
        "Name three of them, counted from 1.", field="The channels of red, green and blue", example="3,2,1"
    ),
    "--add": WHOLE,
    "--replace": WHOLE,
}
"""By the flag that a problem names. Their hints speak of what is on the screen, not of options."""


def question_of(problem: Problem) -> Question:
    """Return a problem's question; choices that have no words of their own are buttons with their names."""
    known = QUESTIONS.get(problem.flag)
    if known is not None:
        return known
    field = problem.flag.removeprefix("--").replace("-", "_")
    return Question(problem.hint, tuple(Answer(choice, {field: choice}) for choice in problem.choices))


def questions(problem: Problem, order: ImportOrder | None, project: str | None, *, again: bool) -> None:
    """Say what is wrong, with what can be answered; an answer starts the import again.

    ``again`` offers to choose once more what the set is.
    """
    question = question_of(problem)
    with st.container(key="say-wrong-import", gap="small"):
        st.markdown(f"**{plain(problem.message)}**  \n{plain(question.hint)}")
        if order is None:
            return
        with st.container(horizontal=True, vertical_alignment="center", key="answers"):
            for number, answer in enumerate(question.answers):
                key = f"answer-{number}" if number else "answer"
                if st.button(plain(answer.label), key=key):
                    _answer(order, answer.says, project)
            if again and st.button("Choose again what it is", type="tertiary", key="choose-again"):
                open_order(order.looked, order, state.here().project)
        if question.field:
            _typed(problem.flag, question, order, project)


def _typed(flag: str, question: Question, order: ImportOrder, project: str | None) -> None:
    with st.form("answer-text", border=False):
        given = st.text_input(question.field, placeholder=question.example, key="answer-typed", width=320)
        if st.form_submit_button("Import with these") and given.strip():
            _answer(order, {flag.removeprefix("--"): given.strip()}, project)


def _answer(order: ImportOrder, says: Mapping[str, Any], project: str | None) -> None:
    try:
        start(order.answered(**says), project)
    except LensmithError as problem:
        show_problem(problem)
    except ValidationError:
        # A choice that this screen does not know; it must not look as if it had been answered.
        st.markdown("This answer cannot be given here; use the command line.")
