"""Draws a form from a JSON schema, so that a new setting of a task needs no new screen.

A field's ``group``, ``unit`` and ``basic`` (shown first) stand in the schema beside its title and range.
What was typed stands in the address, so that a refresh or a link brings it back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

import streamlit as st

from app import state
from app.components.formats import plain
from engine.errors import InputError

HIDDEN: Final = frozenset({"preset"})
FIRST: Final = (
    "time_budget", "epochs", "image_size", "weights", "backbone", "strategy", "lr",
)  # fmt: skip
"""The order in which a person looks for the basic settings; others follow as the schema has them."""
OFTEN: Final = "Often changed"
SCALES: Final = {"s": ("min", 60.0)}
"""By the unit that is stored: the unit that a person reads, and how much of the stored one it holds."""
IN_A_ROW: Final = 3
AUTOMATIC: Final = "automatic"
LONGEST_TEXT: Final = 2000
LARGEST: Final = 10**12
_MARKUP: Final = re.compile(r"([\\`*_\[\]<>$~])")


class Filled(NamedTuple):
    """What a form holds: its values by name, a sentence for each that cannot be understood, what changed."""

    values: dict[str, Any]
    problems: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


class Field:
    """One setting as its schema describes it: its name, its title with the unit, its kind and range."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        self.name = name
        self.group = str(schema.get("group", "Other"))
        self.basic = bool(schema.get("basic", False))
        self.note = plain(schema.get("description", "")) or None
        stored = str(schema.get("unit", ""))
        self.unit, self.scale = SCALES.get(stored, (stored, 1.0))
        self.title = str(schema.get("title", name))
        # "Or null" is looked through: such a field may be left empty.
        self.facts = next(o for o in schema.get("anyOf", (schema,)) if o.get("type") != "null")
        self.kind = "enum" if "enum" in self.facts else str(self.facts.get("type", "string"))
        self.default = schema.get("default")
        self.low = self._scaled(self.facts.get("minimum", self.facts.get("exclusiveMinimum")))
        self.high = self._scaled(self.facts.get("maximum", self.facts.get("exclusiveMaximum")))

    def shown(self, value: Any) -> Any:
        """Return what stands in the field for a stored ``value``."""
        if self.kind in ("integer", "number"):
            return self._scaled(value)
        if self.kind == "array":
            return ", ".join(f"{n:g}" for n in value or ())
        if self.kind == "object":
            return json.dumps(value) if value else ""
        return bool(value) if self.kind == "boolean" else value or ""

    def read(self, content: Any, start: Any) -> Any:
        """Return the value to store for what stands in the field; raises ``InputError``."""
        if content == self.shown(start):
            return start
        if self.kind == "number":
            return None if content is None else content * self.scale
        if self.kind == "array":
            return _numbers(content)
        return _object(content) if self.kind == "object" else content

    def takes(self, content: Any) -> bool:
        """Say whether ``content``, which an address may name, can stand in the field."""
        if self.kind == "enum":
            return content in self.facts["enum"]
        if self.kind == "boolean":
            return isinstance(content, bool)
        if self.kind not in ("integer", "number"):
            return isinstance(content, str) and len(content) <= LONGEST_TEXT
        if content is None:
            return True
        types = (int, float) if self.kind == "number" else (int,)
        if isinstance(content, bool) or not isinstance(content, types) or abs(content) > LARGEST:
            return False
        return (self.low is None or content >= self.low) and (self.high is None or content <= self.high)

    def draw(self, key: str, on_change: Callable[..., None], args: tuple[Any, ...]) -> Any:
        """Draw the widget, whose content stands under ``key`` already; return its content."""
        unit = f" ({self.unit})" if self.unit else ""
        # A label is also the field's accessible name, in which an escape would be read out.
        label = _MARKUP.sub(r"\\\1", self.title + unit)
        common: dict[str, Any] = {"key": key, "help": self.note, "on_change": on_change, "args": args}
        if self.kind == "enum":
            return st.selectbox(label, self.facts["enum"], **common)
        if self.kind == "boolean":
            return st.toggle(label, **common)
        if self.kind in ("integer", "number"):
            whole = self.kind == "integer"
            step: Any = 1 if whole else (1.0 if self.scale != 1.0 else None)
            return st.number_input(
                label, value=None, min_value=self.low, max_value=self.high, step=step,
                format=None if whole else "%g", placeholder=AUTOMATIC, **common,
            )  # fmt: skip
        hint = {"array": AUTOMATIC, "object": "{}"}.get(self.kind)
        return st.text_input(label, placeholder=hint, **common)

    def _scaled(self, number: Any) -> Any:
        """Return a stored number in the unit that is shown, of the type that the field has."""
        if number is None:
            return None
        return int(number) if self.kind == "integer" else float(number) / self.scale


def params_form(
    schema: Mapping[str, Any], values: Mapping[str, Any], *, key: str, said: Collection[str] = ()
) -> Filled:
    """Draw all settings, the basic ones first, and return those that differ from ``values`` and the defaults.

    A field whose text cannot be understood says so, and the others stay. The fields ``said`` are named
    elsewhere on the screen and stay out of ``changes``.
    """
    fields = [Field(name, facts) for name, facts in schema["properties"].items() if name not in HIDDEN]
    changed: dict[str, Any] = {}
    problems: list[str] = []
    changes: list[str] = []
    pages = _pages(fields)
    for page, tab in zip(pages.values(), st.tabs(list(pages), key=f"{key}-pages"), strict=True):
        with tab:
            for n, field in enumerate(page):
                if n % IN_A_ROW == 0:
                    columns = st.columns(IN_A_ROW, vertical_alignment="bottom")
                start = values.get(field.name, field.default)
                with columns[n % IN_A_ROW]:
                    content = _content(field, start, f"{key}-{field.name}")
                    try:
                        given = field.read(content, start)
                    except InputError as problem:
                        problems.append(f"{field.title}: {problem.message}")
                        st.markdown(f":red[{plain(problem.message)}] {plain(problem.hint)}")
                        continue
                if given != start:
                    changed[field.name] = given
                    if field.name not in said:
                        changes.append(_change(field, content))
    return Filled(changed, tuple(problems), tuple(changes))


def _pages(fields: list[Field]) -> dict[str, list[Field]]:
    """Sort settings into pages: what is changed often, then the rest by group."""
    place = {name: n for n, name in enumerate(FIRST)}
    often = sorted((f for f in fields if f.basic), key=lambda f: place.get(f.name, len(place)))
    pages = {OFTEN: often} if often else {}
    for field in fields:
        if not field.basic:
            pages.setdefault(field.group, []).append(field)
    return pages


def _content(field: Field, start: Any, key: str) -> Any:
    """Draw a field with what the address says stands in it, else with ``start``; return its content."""
    typed = state.here().settings
    untouched = field.shown(start)
    content = typed.get(field.name, untouched)
    content = content if field.takes(content) else untouched
    # JSON writes 10.0 as it was typed, perhaps without the point.
    st.session_state[key] = float(content) if field.kind == "number" and content is not None else content
    return field.draw(key, _note, (field.name, key, untouched))


def _note(name: str, key: str, untouched: Any) -> None:
    """Write what was typed into the address."""
    content = st.session_state[key]
    others = {n: c for n, c in state.here().settings.items() if n != name}
    state.move(settings=others if content == untouched else {**others, name: content})


def put_back(said: Collection[str] = ()) -> None:
    """Forget all that was typed, except the fields ``said``, which were chosen elsewhere on the screen."""
    state.move(settings={name: text for name, text in state.here().settings.items() if name in said})


def _change(field: Field, content: Any) -> str:
    """Write what was changed to what, for a person."""
    if field.kind == "boolean":
        return f"{field.title} {'on' if content else 'off'}"
    if content in (None, ""):
        return f"{field.title} {AUTOMATIC}"
    written = f"{content:g}" if isinstance(content, float) else str(content)
    return f"{field.title} {written}{f' {field.unit}' if field.unit else ''}"


def _numbers(text: str) -> list[float] | None:
    if not text.strip():
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"“{text}” is not a list of numbers.", "Write them like 0.485, 0.456, 0.406."
        ) from None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"“{text}” is not a JSON object.", 'Write it like {"pad_type": "same"}.')
    return found
