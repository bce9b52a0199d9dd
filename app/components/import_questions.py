"""What an import asks, with its answers as buttons; answers add up until the import goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st
from pydantic import ValidationError

from app.components.formats import plain
from app.components.import_order import ImportOrder
from app.components.import_start import start
from app.components.page import show_problem
from engine.contracts.jobs import Problem
from engine.errors import LensmithError


@dataclass(frozen=True)
class Answer:
    """What a button says and what it adds to the import's choices."""

    label: str
    says: Mapping[str, Any]


SKIP: Final = Answer("Take the rest without them", {"accept_skips": True})
ANSWERS: Final[Mapping[str, tuple[Answer, ...]]] = {
    "--accept-skips": (SKIP,),
    "--merge-classes": (Answer("Merge these classes", {"merge_classes": True}),),
    "--swap-boxes": (Answer("Exchange the corners", {"swap_boxes": True}),),
    "--rescale": (Answer("Rescale the labels with their pictures", {"rescale": True}), SKIP),
    "--void": (
        Answer("These pixels do not count", {"void": "ignore"}),
        Answer("They are a class", {"void": "class"}),
    ),
    "--add": (
        Answer("Add to what is there", {"mode": "add"}),
        Answer("Put these in its place", {"mode": "replace"}),
    ),
}
"""By the flag that a problem names; ``--replace`` asks the same as ``--add``."""
TEXTS: Final[Mapping[str, tuple[str, str]]] = {"--channels": ("The channels of red, green and blue", "3,2,1")}
"""Flags whose answer is typed: what the field says, and an example."""


def answers_to(problem: Problem) -> tuple[Answer, ...]:
    """Return the buttons for a question; choices that have no words of their own are their own label."""
    known = ANSWERS.get("--add" if problem.flag == "--replace" else problem.flag)
    if known:
        return known
    return tuple(Answer(choice, {_field(problem.flag): choice}) for choice in problem.choices)


def questions(problem: Problem, order: ImportOrder | None, project: str | None) -> None:
    """Say what is wrong, with what can be answered; an answer starts the import again."""
    with st.container(key="say-wrong-import", gap="small"):
        st.markdown(f"**{plain(problem.message)}**  \n{plain(problem.hint)}")
        if order is None:
            return
        with st.container(horizontal=True, key="answers"):
            for number, answer in enumerate(answers_to(problem)):
                key = f"answer-{number}" if number else "answer"
                if st.button(plain(answer.label), key=key):
                    _answer(order, answer.says, project)
        if problem.flag in TEXTS:
            _typed(problem.flag, order, project)


def _typed(flag: str, order: ImportOrder, project: str | None) -> None:
    label, example = TEXTS[flag]
    with st.form("answer-text", border=False):
        given = st.text_input(label, placeholder=example, key="answer-typed", width=320)
        if st.form_submit_button("Import with these") and given.strip():
            _answer(order, {_field(flag): given.strip()}, project)


def _answer(order: ImportOrder, says: Mapping[str, Any], project: str | None) -> None:
    try:
        start(order.answered(**says), project)
    except LensmithError as problem:
        show_problem(problem)
    except ValidationError:
        # A value that only a newer import knows; it must not look as if it had been answered.
        st.markdown("This answer cannot be given here; use the command line.")


def _field(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
