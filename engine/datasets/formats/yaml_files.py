"""Small YAML files of datasets, as plain text, lists and mappings.

Stricter than ``yaml.safe_load``: the data is put together from the parser's events, so no tag can make an
object, an alias is refused before it can multiply, and nothing recurses. Scalars stay the text that the
file holds: a class called ``no`` or ``010`` keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from engine.datasets.archive import Member
from engine.datasets.formats.base import SourceView
from engine.errors import InputError, LimitError

MOST_BYTES = 256 * 1024
"""10,000 classes with ordinary names; read in well under a second."""
MOST_DEPTH = 16
PLAIN_TAGS = frozenset({"str", "int", "float", "bool", "null", "seq", "map", "timestamp"})
NULLS = frozenset({"", "~", "null", "Null", "NULL"})
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # both read the same; one is faster

Plain = str | None | list["Plain"] | dict[str, "Plain"]


def read_yaml(view: SourceView, member: Member) -> dict[str, Plain]:
    """Read a YAML file that is one mapping; an empty file is an empty mapping.

    Raises ``InputError`` with a sentence when it is not (or no YAML, too deep, with aliases, tags that
    make objects or a key that stands twice) and ``LimitError`` when it is larger than 256 KiB.
    """
    if member.size > MOST_BYTES:
        raise LimitError(
            f"“{member.path}” is larger than {MOST_BYTES >> 10} KiB.",
            "Leave only the names of the classes and the folders in it.",
        )
    text = view.text(member)
    try:
        found = parse(text)
    except ValueError as error:
        raise InputError(
            f"“{member.path}” cannot be read as YAML: {error}.", "Mend the file, or take it out."
        ) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"“{member.path}” holds no keys with values.", "It should say “names: …”.")
    return found


def parse(text: str) -> Plain:
    """Give the one document in ``text``; raises ``ValueError`` with the reason when it cannot be read."""
    build = _Builder()
    try:
        for event in _events(text):
            build.take(event)
    except yaml.YAMLError as error:
        raise ValueError(_where(error)) from error
    return build.root


def _events(text: str) -> Iterator[Any]:
    # yaml.parse yields events one by one; nothing is constructed.
    yield from yaml.parse(text, Loader=LOADER)


class _Builder:
    """Puts lists and mappings together from events, without recursion."""

    def __init__(self) -> None:
        self.root: Plain = None
        self._documents = 0
        self._open: list[list[Plain] | dict[str, Plain]] = []
        self._keys: list[str | None] = []

    def take(self, event: Any) -> None:
        """Take one event in; raises ``ValueError`` for what is not allowed."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise ValueError("it holds several documents")
        elif isinstance(event, yaml.AliasEvent):
            raise ValueError(f"it uses an alias (*{event.anchor})")
        elif isinstance(event, yaml.ScalarEvent):
            self._put(_scalar(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._start([], event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._start({}, event)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._open.pop()
            self._keys.pop()

    def _start(self, made: list[Plain] | dict[str, Plain], event: Any) -> None:
        _check_tag(event)
        if len(self._open) >= MOST_DEPTH:
            raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
        self._put(made)
        self._open.append(made)
        self._keys.append(None)

    def _put(self, value: Plain) -> None:
        if not self._open:
            self.root = value
            return
        inside = self._open[-1]
        if isinstance(inside, list):
            inside.append(value)
        elif self._keys[-1] is None:
            self._keys[-1] = _key(value, inside)
        else:
            inside[self._keys[-1]] = value
            self._keys[-1] = None


def _key(value: Plain, inside: dict[str, Plain]) -> str:
    if isinstance(value, list | dict):
        raise ValueError("a key is a list or a mapping")
    key = "" if value is None else value
    if key in inside:
        raise ValueError(f"the key “{key[:40]}” stands twice")
    return key


def _scalar(event: yaml.ScalarEvent) -> str | None:
    _check_tag(event)
    # Quoted, even “null” is a word.
    return None if event.implicit[0] and event.value in NULLS else event.value


def _check_tag(event: Any) -> None:
    tag = event.tag
    if tag not in (None, "!") and tag.removeprefix("tag:yaml.org,2002:") not in PLAIN_TAGS:
        raise ValueError(f"the tag “{tag[:80]}” is not allowed")


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML"
    return f"{problem} (line {mark.line + 1})" if mark is not None else str(problem)
