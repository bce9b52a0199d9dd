"""What is to be imported, as far as a person has said it; the address carries it through a refresh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app import state

ORDERS: Final = "import-orders"
"""The orders of this browser tab, by the job that works on them."""
MOST_IN_ADDRESS: Final = 4000
"""Characters; the many ids of a dropped folder stay in the tab, and are lost with it."""
ENDINGS: Final = (".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")


class Answers(BaseModel):
    """What was chosen or answered, as ``ImportChoices`` has it; None and empty: left to the import."""

    model_config = ConfigDict(frozen=True)

    task: str | None = None
    format: str | None = None
    points: str = Field("", alias="schema")
    mode: Literal["", "new", "add", "replace"] = ""
    accept_skips: bool = False
    merge_classes: bool = False
    swap_boxes: bool = False
    rescale: bool = False
    void: Literal["", "class", "ignore"] = ""
    channels: str = ""


class ImportOrder(BaseModel):
    """Where the pictures are and what was said about them.

    ``uploads`` or ``source``, a path on this machine; ``name``: that of the dropped file; ``title``: of the
    project to be; ``looked``: the job that recognised the set; ``choice``: which of its offers (from 0),
    below 0: ``other``, a task that was not offered.
    """

    model_config = ConfigDict(frozen=True)

    uploads: tuple[str, ...] = ()
    source: str = ""
    name: str = ""
    title: str = ""
    looked: str = ""
    choice: int = 0
    other: str = ""
    answers: Answers = Answers()

    def changed(self, **values: Any) -> ImportOrder:
        """Return the order with other values."""
        return self.model_copy(update=values)

    def answered(self, **values: Any) -> ImportOrder:
        """Return the order with more answers, named as in ``ImportChoices``; those given before stay."""
        said = self.answers.model_dump(by_alias=True) | values
        return self.changed(answers=Answers.model_validate(said))

    def choices(self) -> dict[str, Any]:
        """Return the answers as ``start_import`` takes them."""
        return self.answers.model_dump(by_alias=True, exclude_defaults=True)

    def in_address(self) -> dict[str, Any]:
        """Return plain values for the address; none when they would be too long for one."""
        values = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return values if len(json.dumps(values)) <= MOST_IN_ADDRESS else {}

    @property
    def path(self) -> Path | None:
        """The place on this machine; whether it may be read is for the facade to say."""
        return Path(self.source) if self.source else None

    @property
    def label(self) -> str:
        """What the set is called where it comes from; empty for loose pictures."""
        return Path((self.name or self.source).replace("\\", "/")).name

    @property
    def suggestion(self) -> str:
        """A project's name, made of a file's or folder's; empty for loose pictures."""
        stem = self.label
        for ending in ENDINGS:
            stem = stem[: -len(ending)] if stem.lower().endswith(ending) else stem
        words = " ".join(stem.replace("_", " ").replace("-", " ").split())
        return words[:1].upper() + words[1:]


def order_of(job: str) -> tuple[ImportOrder | None, bool]:
    """Return the order that a job works on, and whether it was given in this browser tab.

    One that only stands in the address may have come with a link: nothing starts by it without a click.
    """
    own: dict[str, ImportOrder] = st.session_state.get(ORDERS, {})
    if job in own:
        return own[job], True
    try:
        order = ImportOrder.model_validate(state.here().taking)
    except ValidationError:
        return None, False
    return (order, False) if order.uploads or order.source else (None, False)


def keep(job: str, order: ImportOrder) -> None:
    """Remember the order that a job works on in this tab."""
    st.session_state.setdefault(ORDERS, {})[job] = order


def open_order(job: str, order: ImportOrder, project: str | None) -> None:
    """Watch a job on this screen, with its order in the address, so that a refresh comes back to it."""
    keep(job, order)
    state.move(project=project, job=job, taking=order.in_address())
    st.rerun()


def revise(job: str, order: ImportOrder) -> None:
    """Change the order of the job on this screen in place; whether this tab gave it stays as it was."""
    if order_of(job)[1]:
        keep(job, order)
    state.move(taking=order.in_address())
