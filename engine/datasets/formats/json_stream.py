"""Large JSON, one element at a time; damage and what no reader should meet become sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import ijson

from engine.datasets.archive import Member
from engine.datasets.formats.base import SourceView
from engine.errors import InputError

DEEPEST = 64  # levels of nesting inside one element


def elements(view: SourceView, member: Member, prefix: str) -> Iterator[Any]:
    """Yield what stands under ``prefix`` (``annotations.item``), built by ijson, numbers as int or float.

    Raises ``InputError`` when the file is no JSON, or holds NaN, infinite or absurdly nested values.
    """
    with view.open(member) as stream:
        try:
            for element in ijson.items(_Unmarked(stream), prefix, use_float=True):
                _refuse_odd(element, member.path)
                yield element
        except (ijson.JSONError, UnicodeDecodeError, OverflowError) as error:
            first = str(error).strip().splitlines()[0][:120] if str(error).strip() else "damaged"
            raise InputError(
                f"“{member.path}” is no JSON that can be read ({first}).", "Export it again."
            ) from error


class _Unmarked:
    """A stream without the byte-order mark that some tools write first."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._start: bytes | None = stream.read(3).removeprefix(b"\xef\xbb\xbf")

    def read(self, size: int = -1) -> bytes:
        """Read on; the first answer may be short."""
        if self._start and size != 0:
            start, self._start = self._start, None
            return start
        content: bytes = self._stream.read(size)
        return content


def _refuse_odd(element: Any, path: str) -> None:
    """Refuse numbers that are none and nesting without end, without recursion."""
    level, depth = [element], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InputError(f"“{path}” nests its values more than {DEEPEST} deep.", "Export it again.")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list) and not _all_finite(value):
                below.extend(value)
            elif isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"“{path}” holds a number that is not finite.", "Export it again.")
        level = below


def _all_finite(values: list[Any]) -> bool:
    """Whether a list holds finite numbers only; its sum says it at a fraction of the cost of each."""
    try:
        return math.isfinite(sum(values))
    except (TypeError, OverflowError):  # something else is in it, or a number that no float holds
        return False
