"""XML of formats, read safely: no document type, no entities, nothing from outside, bounded depth.

Elements carry the line where they begin. Small files are read whole; large ones as a stream of finished
elements, so that memory does not grow with the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, cast
from xml.sax.saxutils import escape, quoteattr

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from engine.datasets.archive import Member
from engine.datasets.formats.base import SourceView
from engine.errors import InputError, LimitError

MOST_BYTES = 16 * 2**20
"""Of an XML file that is read whole (the labels of one image)."""
MOST_DEPTH = 64
MOST_NODES = 500_000
"""Held at once: of a file that is read whole, or of one streamed element."""
MOST_SILENCE = 64 * 2**20  # bytes without an element: no label file looks like that
CHUNK = 256 * 1024
ROOT = re.compile(r"<([A-Za-z_][\w.-]*)[\s/>]")
ASIDE = re.compile(r"<\?.*?\?>|<!--.*?-->", re.DOTALL)
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


class DamagedXmlError(InputError):
    """One XML file is cut short or not well-formed; a reader may pass over that file."""


@dataclass(slots=True)
class Node:
    """An element: ``text`` is what stands before its first child; ``line`` counts from 1."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def child(self, tag: str) -> Node | None:
        """Return the first child with this tag."""
        return next((node for node in self.children if node.tag == tag), None)

    def all(self, tag: str) -> list[Node]:
        """Return the children with this tag."""
        return [node for node in self.children if node.tag == tag]

    def word(self, tag: str) -> str:
        """Return the text of the first child with this tag, without spaces around it, or ""."""
        found = self.child(tag)
        return found.text.strip() if found else ""


class _Expat(Protocol):
    """What is used of ``DefusedXMLParser``, whose types say less."""

    CurrentLineNumber: int


class _Builder:
    """Builds nodes as the parser meets them; finished ones of ``wanted`` are handed out and let go."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self.wanted = wanted
        self.ready: list[Node] = []
        self.stack: list[Node] = []
        self.texts: list[list[str]] = []
        self.root: Node | None = None
        self.met = 0
        self.held = 0
        self.inside = 0
        self.expat: _Expat | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.met += 1
        self.inside += tag in self.wanted
        if len(self.stack) >= MOST_DEPTH:
            raise ValueError(f"its elements are nested more than {MOST_DEPTH} deep")
        node = Node(tag, attributes, self.expat.CurrentLineNumber if self.expat else 0)
        if not self.stack:
            self.root = node
        elif self.inside or not self.wanted:
            self.held += 1
            self.stack[-1].children.append(node)
        if self.held > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} elements stand in one")
        self.stack.append(node)
        self.texts.append([])

    def data(self, text: str) -> None:
        if self.stack and not self.stack[-1].children:
            self.texts[-1].append(text)

    def end(self, tag: str) -> None:
        self.met += 1
        node = self.stack.pop()
        node.text = "".join(self.texts.pop())
        if tag in self.wanted:
            self.inside -= 1
            self.ready.append(node)
            if self.stack:
                self.stack[-1].children.pop()
            if not self.inside:
                self.held = 0

    def close(self) -> None:
        """Nothing is left to do; the parser asks for it."""


def read_xml(view: SourceView, member: Member) -> Node:
    """Return the root of a small XML file.

    Raises ``DamagedXmlError`` when it is not well-formed, ``InputError`` when it brings a document type or
    entities, ``LimitError`` above 16 MiB.
    """
    if member.size > MOST_BYTES:
        raise LimitError(f"“{member.path}” is larger than {MOST_BYTES >> 20} MiB.")
    builder = _Builder(frozenset())
    for _ in _parse(member, builder, [view.content(member)]):
        pass
    assert builder.root is not None
    return builder.root


def stream_xml(view: SourceView, member: Member, tags: Iterable[str]) -> Iterator[Node]:
    """Yield each finished element with one of ``tags``, in order; it is not kept in its parent.

    Raises as ``read_xml`` does, while being read, but for the size, which may be up to 1 GiB.
    """
    builder = _Builder(frozenset(tags))
    with view.open(member) as stream:
        yield from _parse(member, builder, iter(lambda: stream.read(CHUNK), b""))


def _parse(member: Member, builder: _Builder, chunks: Iterable[bytes]) -> Iterator[Node]:
    parser = DefusedXMLParser(target=builder, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    builder.expat = cast(_Expat, parser.parser)
    silent = 0
    for chunk in chunks:
        met = builder.met
        _feed(member, parser, chunk)
        silent = 0 if builder.met > met else silent + len(chunk)
        if silent > MOST_SILENCE:
            raise LimitError(f"“{member.path}” holds {MOST_SILENCE >> 20} MiB without any element.")
        yield from builder.ready
        builder.ready.clear()
    _feed(member, parser, None)
    yield from builder.ready


def _feed(member: Member, parser: DefusedXMLParser, chunk: bytes | None) -> None:
    """Give the parser the next bytes, or (None) say that there are no more."""
    try:
        if chunk is None:
            parser.close()
        else:
            parser.feed(chunk)
    except DefusedXmlException as error:
        raise InputError(
            f"“{member.path}” brings a document type or entities ({type(error).__name__}).",
            "That is not part of a label file and can be an attack; take it out.",
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise DamagedXmlError(
            f"“{member.path}” is no well-formed XML ({error}).", "Export or copy it again."
        ) from error


def root_tag(view: SourceView, member: Member) -> str:
    """Return the name of the root element as the start of the file shows it, or ""."""
    head = view.head(member)
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    found = ROOT.search(ASIDE.sub("", head.decode(encoding, errors="replace")))
    return found.group(1) if found else ""


def finite(text: str | None) -> float:
    """Read a number; raises ``ValueError`` with a reason when it is none, NaN or infinite."""
    if text is None:
        raise ValueError("a number is missing")
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"“{text.strip()[:40]}” is no number")
    return value


def whole(text: str | None) -> int:
    """Read a whole number that may be spelt with a point; raises ``ValueError``."""
    value = finite(text)
    if value != int(value):
        raise ValueError(f"“{str(text)[:40]}” is no whole number")
    return int(value)


def size_of(width: str | None, height: str | None) -> tuple[int, int] | None:
    """Return a declared size in px, or None unless both are whole numbers above 0."""
    try:
        found = whole(width), whole(height)
    except ValueError:
        return None
    return found if min(found) > 0 else None


def content(text: str) -> str:
    """Spell a text between tags; what XML cannot hold becomes U+FFFD."""
    return escape(NO_XML.sub("\ufffd", text), {"\r": "&#13;"})


def quoted(text: str) -> str:
    """Spell a text as the value of an attribute, with its quotes."""
    return quoteattr(NO_XML.sub("\ufffd", text), {"\r": "&#13;"})


def spelt(value: float) -> str:
    """Spell a coordinate so that the same float is read back; whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(float(value))
