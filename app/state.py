"""What a screen shows, as a frozen value that lives in the address bar.

A link or a refresh comes back to the same project, run and cell. Widgets keep nothing that matters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

import streamlit as st

LAST_PROJECT: Final = "last_project"
LEAVING: Final = "to"
"""Marks the query of ``go`` on its way to another screen; the script of the side bar takes it off again."""


@dataclass(frozen=True)
class ViewState:
    """The ids that an address names.

    ``cell`` is row and column of the confusion matrix, ``part`` panel and index of another number whose
    images are open, ``job`` an import or export that is being watched, ``taking`` what a person said about
    the import (see ``ImportOrder``). ``split``, ``classes`` (ids), ``left_out`` and ``page`` (from 0) say
    which pictures Data shows, ``image`` is the one that is open large (the browser writes it). ``preset``
    and ``settings`` (what stands in the fields that were changed, by name) are what Train would start.
    """

    project: str | None = None
    run: str | None = None
    cell: tuple[int, int] | None = None
    part: tuple[int, ...] | None = None
    job: str | None = None
    taking: dict[str, Any] = field(default_factory=dict)
    split: str | None = None
    classes: tuple[str, ...] = ()
    left_out: bool = False
    page: int = 0
    image: str | None = None
    preset: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> ViewState:
        """Read an address; what cannot be understood counts as absent."""
        cell = _numbers(query.get("cell", ""))
        page = _numbers(query.get("page", ""))
        return cls(
            project=query.get("project") or None,
            run=query.get("run") or None,
            cell=(cell[0], cell[1]) if len(cell) == 2 else None,
            part=_numbers(query.get("part", "")) or None,
            job=query.get("job") or None,
            taking=_object(query.get("import", "")),
            split=query.get("split") or None,
            classes=tuple(filter(None, query.get("classes", "").split(","))),
            left_out=query.get("left_out") == "1",
            page=page[0] if len(page) == 1 else 0,
            image=query.get("image") or None,
            preset=query.get("preset") or None,
            settings=_object(query.get("set", "")),
        )

    def to_query(self) -> dict[str, str]:
        """Write the address; only what is set."""
        fields: dict[str, str | None] = {
            "project": self.project,
            "run": self.run,
            "cell": _text(self.cell),
            "part": _text(self.part),
            "job": self.job,
            "import": _json(self.taking),
            "split": self.split,
            "classes": ",".join(self.classes),
            "left_out": "1" if self.left_out else None,
            "page": str(self.page) if self.page else None,
            "image": self.image,
            "preset": self.preset,
            "set": _json(self.settings),
        }
        return {name: value for name, value in fields.items() if value}


def here() -> ViewState:
    """Return what the present address names."""
    return ViewState.from_query(st.query_params.to_dict())


def move(**changes: Any) -> ViewState:
    """Change the present address in place, without leaving the screen."""
    state = replace(here(), **changes)
    if state != here():
        st.query_params.from_dict(state.to_query())
    return state


def go(page: str, **ids: Any) -> None:
    """Leave for another screen, such as ``go("run", project=..., run=...)``; ``ids`` as in ``ViewState``.

    Streamlit first writes the new query behind the old path, as a step of its own in the history; the mark
    lets the browser leave that step out, so that going back returns to the address that was left.
    """
    query = ViewState(**ids).to_query()
    st.switch_page(f"views/{page}.py", query_params={**query, LEAVING: page})


def last_project() -> str | None:
    """Return the project that this browser tab looked at last."""
    found: str | None = st.session_state.get(LAST_PROJECT)
    return found


def remember_project(project: str | None) -> None:
    """Keep the project for screens whose address names none."""
    st.session_state[LAST_PROJECT] = project


def write_key(name: str) -> str:
    """Return the idempotency key of a write: the same until ``written`` says that it went through."""
    key: str = st.session_state.setdefault(f"write:{name}", uuid4().hex)
    return key


def written(name: str) -> None:
    """Say that the write called ``name`` went through; the next one is a new one."""
    st.session_state.pop(f"write:{name}", None)


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    return (
        tuple(int(p) for p in parts) if all(p.isascii() and p.isdigit() and len(p) < 7 for p in parts) else ()
    )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _json(values: dict[str, Any]) -> str | None:
    return json.dumps(values, separators=(",", ":")) if values else None


def _text(numbers: tuple[int, ...] | None) -> str | None:
    return None if numbers is None else ",".join(str(n) for n in numbers)
