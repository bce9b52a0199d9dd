"""Large JSON, one element at a time; damage and what no reader should meet become sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ijson
import numpy as np

from engine.datasets.archive import Member
from engine.datasets.formats.base import SourceView
from engine.errors import InputError

DEEPEST = 64  # levels of nesting inside one element
AROUND = 2  # levels around an element: the file and its list
NO_MARKS = bytes(set(range(256)) - set(b'"[]{}'))
ESCAPED = re.compile(rb"\\.", re.DOTALL)
STRING = re.compile(rb'"[^"]*"')
MARK = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
LIST = rb'"%s"\s{0,9}:\s{0,9}\['
HARMLESS = frozenset({int, str, bool, type(None)})
LONGEST = 64  # bytes of a key with the bracket behind it


def elements(view: SourceView, member: Member, prefix: str, without: str = "") -> Iterator[Any]:
    """Yield what stands under ``prefix`` (``annotations.item``), built by ijson, numbers as int or float.

    What stands in the list called ``without`` never reaches the parser, which takes most of the time;
    so damage in it, but for depth, is not seen.

    Raises ``InputError`` when the file is no JSON, or holds NaN, infinite or absurdly nested values.
    """
    with view.open(member) as stream, _sentences(member.path):
        checked = _Without(stream, member.path, without) if without else _Checked(stream, member.path)
        for element in ijson.items(checked, prefix, use_float=True):
            _refuse_odd(element, member.path)
            yield element


def sort_of(view: SourceView, member: Member, key: str) -> str:
    """Say what stands under a key of the whole: "list", "null", "other", or "" when it is not there.

    Raises ``InputError`` as ``elements`` does. The file is read to the place of the key.
    """
    with view.open(member) as stream, _sentences(member.path):
        for prefix, event, _ in ijson.parse(_Checked(stream, member.path), use_float=True):
            if prefix == key:
                return {"start_array": "list", "null": "null"}.get(event, "other")
    return ""


@contextmanager
def _sentences(path: str) -> Iterator[None]:
    """Turn what the parser raises into a sentence."""
    try:
        yield
    except (ijson.JSONError, UnicodeDecodeError, OverflowError) as error:
        first = str(error).strip().splitlines()[0][:120] if str(error).strip() else "damaged"
        raise InputError(f"“{path}” is no JSON that can be read ({first}).", "Export it again.") from error


class _Checked:
    """A stream without the byte-order mark that some tools write first, which refuses absurd nesting.

    The parser holds the way to every value that is open, as text: memory grows with the square of the
    depth, and 100,000 levels (200 kB) take more than a machine has. So depth is followed before it.
    """

    def __init__(self, stream: Any, path: str) -> None:
        self._stream = stream
        self._path = path
        self._start: bytes | None = stream.read(3).removeprefix(b"\xef\xbb\xbf")
        self._depth = 0
        self._quoted = self._escaped = False

    def read(self, size: int = -1) -> bytes:
        """Read on; the first answer may be short. Raises ``InputError`` when values nest too deep."""
        content = self._next(size)
        self._follow(content)
        return content

    def _next(self, size: int) -> bytes:
        if self._start and size != 0:
            content, self._start = self._start, None
        else:
            content = self._stream.read(size)
        return content

    def _follow(self, content: bytes) -> int:
        """Follow the depth through the next bytes; returns the lowest that it comes to in them."""
        if self._escaped or b"\\" in content:
            content = ESCAPED.sub(b"", (b"\\" if self._escaped else b"") + content)
            self._escaped = content.endswith(b"\\")
        marks = content.translate(None, NO_MARKS)
        outside, quote, _ = STRING.sub(b"", (b'"' if self._quoted else b"") + marks).partition(b'"')
        self._quoted = bool(quote)
        # In ASCII, opening brackets end in B and closing ones in D.
        steps = 12 - (np.frombuffer(outside, np.uint8).astype(np.int64) & 15)
        depths = self._depth + np.cumsum(steps)
        if not depths.size:
            return self._depth
        self._depth = int(depths[-1])
        _refuse_deep(int(depths.max()) - AROUND, self._path)
        return int(depths.min())


class _Without(_Checked):
    """A checked stream from which what stands in one list of the whole is left out.

    The list is known by its key at depth 1. A key spelt in another way (escapes, much space) is not
    found, and nothing of its list is left out.
    """

    def __init__(self, stream: Any, path: str, key: str) -> None:
        super().__init__(stream, path)
        self._key = re.compile(LIST % key.encode())
        self._inside = False
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Read on to the next bytes that stay, of which there may be more or fewer than ``size``."""
        while content := self._next(size):
            if kept := b"".join(self._kept(self._rest + content)):
                return kept
        rest, self._rest = self._rest, b""
        self._follow(rest)
        return rest

    def _kept(self, content: bytes) -> Iterator[bytes]:
        at, self._rest = 0, b""
        while at < len(content):
            if self._inside:
                at += self._passed_over(content[at:])
                continue
            found = self._key.search(content, at)
            if found is None:
                # A key that is cut off here is looked for again with what follows.
                end = max(at, len(content) - LONGEST)
                self._follow(content[at:end])
                self._rest = content[end:]
                yield content[at:end]
                return
            self._follow(content[at : found.start()])
            self._inside = self._depth == 1 and not (self._quoted or self._escaped)
            self._follow(found.group())
            yield content[at : found.end()]
            at = found.end()

    def _passed_over(self, content: bytes) -> int:
        """Return how many of the next bytes stand in the list."""
        before = self._depth, self._quoted, self._escaped
        if self._follow(content) > 1:
            return len(content)
        self._depth, self._quoted, self._escaped = before
        end = self._end_in(content)
        self._follow(content[:end])
        self._inside = False
        return end

    def _end_in(self, content: bytes) -> int:
        """Return where the bracket is that closes the list, mark by mark."""
        depth, quoted = self._depth, self._quoted
        for mark in MARK.finditer(content, int(self._escaped)):
            sign = mark.group()
            if sign == b'"':
                quoted = not quoted
            elif not quoted and len(sign) == 1:
                depth += 1 if sign in b"[{" else -1
                if depth == 1:
                    break
        return mark.start()


def _refuse_deep(depth: int, path: str) -> None:
    if depth > DEEPEST:
        raise InputError(f"“{path}” nests its values more than {DEEPEST} deep.", "Export it again.")


def _refuse_odd(element: Any, path: str) -> None:
    """Refuse numbers that are none and nesting without end, without recursion."""
    level, depth = [element], 0
    while level:
        depth += 1
        _refuse_deep(depth, path)
        below: list[Any] = []
        for value in level:
            if type(value) in HARMLESS:
                continue
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
