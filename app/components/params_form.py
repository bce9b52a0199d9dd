"""Draws a form from a JSON schema, so that a new setting of a task needs no new screen.

A field's ``group``, ``unit`` and ``basic`` (shown first) stand in the schema beside its title and range.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import streamlit as st

from app.components.formats import plain
from engine.errors import InputError

HIDDEN: Final = frozenset({"preset"})
IN_A_ROW: Final = 3
AUTOMATIC: Final = "automatic"
_MARKUP: Final = re.compile(r"([\\`*_\[\]<>$~])")


class Filled(NamedTuple):
    """What a form holds: its values by name, and a sentence for each that cannot be understood."""

    values: dict[str, Any]
    problems: tuple[str, ...] = ()


def keep(prefix: str) -> None:
    """Keep the input of fields that are not drawn now."""
    for name in [str(key) for key in st.session_state if str(key).startswith(prefix)]:
        st.session_state[name] = st.session_state[name]


def params_form(schema: Mapping[str, Any], values: Mapping[str, Any], *, key: str) -> Filled:
    """Draw all settings in their groups and return those that differ from ``values`` and the defaults.

    A field whose text cannot be understood says so, and the others stay.
    """
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for name, field in schema["properties"].items():
        if name not in HIDDEN:
            groups.setdefault(field.get("group", "Other"), []).append((name, field))
    changed: dict[str, Any] = {}
    problems: list[str] = []
    for group, fields in groups.items():
        st.markdown(f"**{plain(group)}**")
        ordered = sorted(fields, key=lambda pair: not pair[1].get("basic", False))
        for n, (name, field) in enumerate(ordered):
            if n % IN_A_ROW == 0:
                columns = st.columns(IN_A_ROW, vertical_alignment="bottom")
            start = values.get(name, field.get("default"))
            with columns[n % IN_A_ROW]:
                try:
                    given = _field(name, field, start, f"{key}-{name}")
                except InputError as problem:
                    problems.append(f"{field.get('title', name)}: {problem.message}")
                    st.markdown(f":red[{plain(problem.message)}] {plain(problem.hint)}")
                    continue
            if given != start:
                changed[name] = given
    return Filled(changed, tuple(problems))


def _field(name: str, field: Mapping[str, Any], start: Any, key: str) -> Any:
    unit = f" ({field['unit']})" if field.get("unit") else ""
    # A label is also the field's accessible name, in which an escape would be read out.
    label = _MARKUP.sub(r"\\\1", field.get("title", name) + unit)
    note = plain(field.get("description", "")) or None
    kind, facts = _kind(field)
    if kind == "enum":
        options = facts["enum"]
        return st.selectbox(label, options, index=options.index(start), key=key, help=note)
    if kind == "boolean":
        return st.toggle(label, value=bool(start), key=key, help=note)
    if kind in ("integer", "number"):
        return _number(label, kind, facts, start, key, note)
    if kind == "array":
        return _numbers(label, start, key, note)
    if kind == "object":
        return _object(label, start, key, note)
    return st.text_input(label, value=start or "", key=key, help=note)


def _kind(field: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the type of a field and where its range stands, looking through "or null"."""
    options = [o for o in field.get("anyOf", (field,)) if o.get("type") != "null"]
    facts = options[0]
    return ("enum" if "enum" in facts else facts.get("type", "string")), facts


def _number(label: str, kind: str, facts: Mapping[str, Any], start: Any, key: str, note: str | None) -> Any:
    low = facts.get("minimum", facts.get("exclusiveMinimum"))
    high = facts.get("maximum", facts.get("exclusiveMaximum"))
    cast: Any = int if kind == "integer" else float
    bounds: dict[str, Any] = {
        "value": None if start is None else cast(start),
        "min_value": None if low is None else cast(low),
        "max_value": None if high is None else cast(high),
        "step": 1 if kind == "integer" else None,
        "format": None if kind == "integer" else "%g",
    }
    return st.number_input(label, key=key, help=note, placeholder=AUTOMATIC, **bounds)


def _numbers(label: str, start: Any, key: str, note: str | None) -> Any:
    text = st.text_input(
        label, value=", ".join(f"{n:g}" for n in start or ()), key=key, help=note, placeholder=AUTOMATIC
    )
    if not text.strip():
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"“{text}” is not a list of numbers.", "Write them like 0.485, 0.456, 0.406."
        ) from None


def _object(label: str, start: Any, key: str, note: str | None) -> Any:
    text = st.text_input(
        label, value=json.dumps(start) if start else "", key=key, help=note, placeholder="{}"
    )
    if not text.strip():
        return {} if start else start
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"“{text}” is not a JSON object.", 'Write it like {"pad_type": "same"}.')
    return found
