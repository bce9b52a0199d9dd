"""What a set could be taken in as, where it could be several things: a choice in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from app import state
from app.components.arrive import arrive
from app.components.formats import count, plain
from app.components.import_order import ImportOrder, keep, order_of, revise
from app.components.import_start import start
from app.components.page import card, say, show_problem
from app.engine_client import client
from engine.contracts.datasets import ImportOffer
from engine.contracts.jobs import JobInfo
from engine.contracts.projects import TaskInfo
from engine.errors import LensmithError

OTHER: Final = -1
PICKED: Final = "offer"
NAME: Final = "import-name"
TASK: Final = "other-task"
MOST_NAMES: Final = 8
MOST_OFFERS: Final = 9
SCROLLS: Final = 380
"""Height in px of a list of more offers than these."""


def choose(job: JobInfo, project: str | None) -> bool:
    """Ask what to take a set in as; with one answer, and asked in this tab, the import starts by itself.

    Returns whether there is something to choose.
    """
    order, own = order_of(job.id)
    if order is None:
        say("After a refresh so many files have to be dropped once more.", "look", key="lost")
        return False
    offers = client().datasets.offers(job.id)
    if own and len(offers) == 1 and not order.answers.task:
        _start(job.id, order, offers, project)
    with card("offers", "What it is"):
        arrive(f"What it is: {count(len(offers), 'way')} to take the set in", turn=1, key="arrive")
        tasks = {task.name: task for task in client().projects.tasks()}
        chosen = _radio(job.id, order, offers, tasks)
        if chosen is None:
            _other_task(job.id, order, offers, tasks)
        else:
            st.caption(_why(chosen))
        if project is None:
            _name(job.id, order)
        with st.container(horizontal=True, key="offer-actions"):
            waits = chosen is None and order.other not in tasks
            if st.button("Import", type="primary", key="take-in", disabled=waits):
                _start(job.id, order_of(job.id)[0] or order, offers, project)
            if st.button("Other pictures", type="tertiary", key="start-over"):
                state.move(job=None, taking={})
                st.rerun()
    return True


def _start(job: str, order: ImportOrder, offers: Sequence[ImportOffer], project: str | None) -> None:
    offer = _offer(order, offers)
    task, form, points = (offer.task, offer.format, offer.schema_name) if offer else (order.other, None, "")
    wanted = order.answered(task=task, format=form, schema=points)
    keep(job, wanted)  # who comes back to this choice finds it made; it does not start by itself again
    try:
        start(wanted, project)
    except LensmithError as problem:
        show_problem(problem)


def _offer(order: ImportOrder, offers: Sequence[ImportOffer]) -> ImportOffer | None:
    """Return the chosen offer, or None for a task that was not offered."""
    position = _position(order, offers)
    return None if position == OTHER else offers[position]


def as_taken(order: ImportOrder, offers: Sequence[ImportOffer]) -> ImportOrder:
    """Return the order with the offer chosen that its import was started with."""
    said = order.answers
    for number, offer in enumerate(offers):
        if (offer.task, offer.format, offer.schema_name) == (said.task, said.format, said.points):
            return order.changed(choice=number)
    return order.changed(choice=OTHER, other=said.task or "")


def taken_as(order: ImportOrder, offers: Sequence[ImportOffer]) -> str:
    """Say as Markdown what an import takes the set as, and why; empty when nobody has looked."""
    tasks = {task.name: task.title for task in client().projects.tasks()}
    offer = _offer(order, offers)
    if offer is None:
        return f"Taken as **{plain(tasks[order.other])}**, as chosen." if order.other in tasks else ""
    parts = [tasks.get(offer.task, offer.task), offer.format_title, offer.schema_title]
    names = " · ".join(plain(part) for part in parts if part)
    return f"Taken as **{names}**  \n:gray[Why: {plain(offer.reason)}]"


def _position(order: ImportOrder, offers: Sequence[ImportOffer]) -> int:
    """Return which offer is chosen; one that is not there counts as the recommended one."""
    if order.choice < 0 or not offers:
        return OTHER
    return order.choice if order.choice < len(offers) else 0


def _radio(
    job: str, order: ImportOrder, offers: Sequence[ImportOffer], tasks: dict[str, TaskInfo]
) -> ImportOffer | None:
    """Draw the offers as sentences, the recommended one first, and return the chosen one."""
    options = [*range(len(offers)), *([OTHER] if _others(offers, tasks) else [])]
    st.session_state[PICKED] = _position(order, offers)  # the address decides
    with st.container(
        key="offers", height=SCROLLS if len(options) > MOST_OFFERS else "content", border=False
    ):
        st.radio(
            "What it is",
            options,
            format_func=lambda n: "Something else" if n == OTHER else _sentence(n, offers[n], tasks),
            captions=[
                "A task that its labels can be turned into" if n == OTHER else _learns(offers[n], tasks)
                for n in options
            ],
            key=PICKED,
            label_visibility="collapsed",
            width="stretch",
            on_change=_keep_choice,
            args=(job,),
        )
    return _offer(order, offers)


def _sentence(number: int, offer: ImportOffer, tasks: dict[str, TaskInfo]) -> str:
    """Say what a set would be: task, format, its sort of keypoints, how much there is."""
    parts = [tasks[offer.task].title if offer.task in tasks else offer.task, offer.format_title]
    if offer.schema_title:
        parts.append(offer.schema_title)  # its classes are some of the set's
    elif offer.classes:
        parts.append(count(len(offer.classes), "class", "classes"))
    images = count(offer.images, "image")
    if offer.images and images not in offer.schema_title:
        parts.append(images)
    mark = " :primary-badge[recommended]" if number == 0 else ""
    return f"**{plain(parts[0])}** · {' · '.join(map(plain, parts[1:]))}{mark}"


def _learns(offer: ImportOffer, tasks: dict[str, TaskInfo]) -> str:
    words = tasks[offer.task].labels if offer.task in tasks else ""
    return plain(words[:1].upper() + words[1:])


def _why(offer: ImportOffer) -> str:
    """Say why the set looks so, and which classes it has."""
    shown = ", ".join(offer.classes[:MOST_NAMES])
    more = len(offer.classes) - MOST_NAMES
    names = f"{shown} and {more:,} more" if more > 0 else shown
    lines = [f"Why: {plain(offer.reason)}", *([f"Classes: {plain(names)}"] if names else [])]
    return "  \n".join(lines)


def _others(offers: Sequence[ImportOffer], tasks: dict[str, TaskInfo]) -> list[str]:
    return [name for name in tasks if name not in {offer.task for offer in offers}]


def _other_task(
    job: str, order: ImportOrder, offers: Sequence[ImportOffer], tasks: dict[str, TaskInfo]
) -> None:
    names = _others(offers, tasks)
    st.session_state[TASK] = order.other if order.other in names else None
    st.selectbox(
        "What a model should learn from it",
        names,
        format_func=lambda name: f"{tasks[name].title}: {tasks[name].labels}" if name in tasks else "",
        key=TASK,
        placeholder="Choose a task",
        on_change=_keep_task,
        args=(job,),
    )
    st.caption("Where the labels cannot be turned into it, the import says so and takes nothing in.")


def _name(job: str, order: ImportOrder) -> None:
    st.session_state[NAME] = order.title or order.suggestion
    st.text_input("Name of the project", key=NAME, max_chars=120, on_change=_keep_name, args=(job,))


def _keep_choice(job: str) -> None:
    _change(job, choice=st.session_state[PICKED])


def _keep_task(job: str) -> None:
    _change(job, other=st.session_state[TASK] or "")


def _keep_name(job: str) -> None:
    _change(job, title=st.session_state[NAME].strip())


def _change(job: str, **values: Any) -> None:
    """Change one value of the order as it stands now: leaving a field by a click on another changes both."""
    order, _ = order_of(job)
    if order is not None:
        revise(job, order.changed(**values))
