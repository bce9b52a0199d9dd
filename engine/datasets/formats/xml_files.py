"""XML of formats, read safely: no document type, no entities, nothing from outside, bounded depth.

Elements carry the line where they begin. Small files are read whole; large ones as a stream of finished
elements, so that memory does not grow with the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
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
TOO_DEEP = f"its elements are nested more than {MOST_DEPTH} deep"
TOO_MANY = f"more than {MOST_NODES:,} elements stand in one"
MOST_SILENCE = 64 * 2**20  # bytes without an element: no label file looks like that
CHUNK = 256 * 1024
ROOTS = "roots of XML files"
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
        for node in self.children:
            if node.tag == tag:
                return node
        return None

    def first(self) -> dict[str, Node]:
        """Return the first child of each tag."""
        return {node.tag: node for node in reversed(self.children)}

    def all(self, tag: str) -> list[Node]:
        """Return the children with this tag."""
        return [node for node in self.children if node.tag == tag]

    def word(self, tag: str) -> str:
        """Return the text of the first child with this tag, without spaces around it, or ""."""
        for node in self.children:
            if node.tag == tag:
                return node.text.strip()
        return ""


class _Expat(Protocol):
    """What is used of the parser below ``DefusedXMLParser``, whose types say less."""

    CurrentLineNumber: int
    StartElementHandler: Any
    EndElementHandler: Any
    CharacterDataHandler: Any
    ordered_attributes: bool


def _named(tag: str, attributes: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Spell names of a namespace as ElementTree does; expat leaves out the bracket before it."""
    named = {"{" + name if "}" in name else name: value for name, value in attributes.items()}
    return "{" + tag if "}" in tag else tag, named


class _Texts:
    """The texts of the open elements, whose stack is ``stack``; one may come in a million pieces."""

    def __init__(self, stack: list[Node]) -> None:
        self._stack = stack
        self.pieces: dict[int, list[str]] = {}

    def data(self, text: str) -> None:
        node = self._stack[-1]
        if node.children:
            return
        if node.text:
            self.pieces.setdefault(len(self._stack), []).append(text)
        else:
            node.text = text

    def finish(self, node: Node, level: int) -> None:
        """Put the text of an element together that is closed, and stood at this place of the stack."""
        node.text += "".join(self.pieces.pop(level, ()))


def _grow(expat: _Expat, top: Node) -> None:
    """Let expat build the tree of a whole file below ``top``.

    Closures, since they are called for each of the elements, of which a set has hundreds of thousands.
    """
    stack = [top]
    texts = _Texts(stack)
    pieces, held = texts.pieces, -1  # the root is not counted

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal held
        if len(stack) > MOST_DEPTH:
            raise ValueError(TOO_DEEP)
        held += 1
        if held > MOST_NODES:
            raise ValueError(TOO_MANY)
        if attributes or "}" in tag:
            tag, attributes = _named(tag, attributes)
        node = Node(tag, attributes, expat.CurrentLineNumber, "", [])
        stack[-1].children.append(node)
        stack.append(node)

    def end(_tag: str) -> None:
        node = stack.pop()
        if pieces:
            texts.finish(node, len(stack) + 1)

    _listen(expat, start, end, texts.data)


class _Builder:
    """Builds the elements of ``wanted`` as expat meets them; finished ones are handed out and let go."""

    def __init__(self, wanted: frozenset[str], expat: _Expat) -> None:
        self.wanted = wanted
        self.expat = expat
        self.ready: list[Node] = []
        self.stack: list[Node] = []
        self.texts = _Texts(self.stack)
        self.met = 0
        self.held = 0
        self.inside = 0
        _listen(expat, self.start, self.end, self.texts.data)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.met += 1
        if len(self.stack) >= MOST_DEPTH:
            raise ValueError(TOO_DEEP)
        tag, attributes = _named(tag, attributes)
        node = Node(tag, attributes, self.expat.CurrentLineNumber, "", [])
        self.inside += tag in self.wanted
        if self.stack and self.inside:
            self.held += 1
            if self.held > MOST_NODES:
                raise ValueError(TOO_MANY)
            self.stack[-1].children.append(node)
        self.stack.append(node)

    def end(self, _tag: str) -> None:
        self.met += 1
        node = self.stack.pop()
        self.texts.finish(node, len(self.stack) + 1)
        if node.tag in self.wanted:
            self.inside -= 1
            self.ready.append(node)
            if self.stack:
                self.stack[-1].children.pop()
            if not self.inside:
                self.held = 0


def _listen(
    expat: _Expat,
    start: Callable[[str, dict[str, str]], None] | None,
    end: Callable[[str], None] | None,
    data: Callable[[str], None] | None,
) -> None:
    """Take elements from expat itself; the handlers that forbid are those of the parser above it."""
    expat.ordered_attributes = False
    expat.StartElementHandler = start
    expat.EndElementHandler = end
    expat.CharacterDataHandler = data


class _Nobody:
    """What the parser above expat asks for, and what gets nothing from it."""

    def close(self) -> None:
        """Nothing is left to do."""


def read_xml(view: SourceView, member: Member) -> Node:
    """Return the root of a small XML file.

    Raises ``DamagedXmlError`` when it is not well-formed, ``InputError`` when it brings a document type or
    entities, ``LimitError`` above 16 MiB.
    """
    if member.size > MOST_BYTES:
        raise LimitError(f"“{member.path}” is larger than {MOST_BYTES >> 20} MiB.")
    parser, expat = _parser()
    top = Node("", {}, 0, "", [])
    _grow(expat, top)
    try:
        _feed(member, parser, view.content(member))
        _feed(member, parser, None)
    finally:
        # Else parser and tree would hold each other until the next search for such rings.
        _listen(expat, None, None, None)
    return top.children[0]


def stream_xml(view: SourceView, member: Member, tags: Iterable[str]) -> Iterator[Node]:
    """Yield each finished element with one of ``tags``, in order; it is not kept in its parent.

    Raises as ``read_xml`` does, while being read, but for the size, which may be up to 1 GiB.
    """
    parser, expat = _parser()
    builder = _Builder(frozenset(tags), expat)
    silent = 0
    with view.open(member) as stream:
        while chunk := stream.read(CHUNK):
            met = builder.met
            _feed(member, parser, chunk)
            silent = 0 if builder.met > met else silent + len(chunk)
            if silent > MOST_SILENCE:
                raise LimitError(f"“{member.path}” holds {MOST_SILENCE >> 20} MiB without any element.")
            yield from builder.ready
            builder.ready.clear()
        _feed(member, parser, None)
        yield from builder.ready


def _parser() -> tuple[DefusedXMLParser, _Expat]:
    """Return a parser that refuses document types and entities, and the expat below it."""
    parser = DefusedXMLParser(target=_Nobody(), forbid_dtd=True, forbid_entities=True, forbid_external=True)
    return parser, cast(_Expat, parser.parser)


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
    """Return the name of the root element as the start of the file shows it, or ""; looked at once."""
    known: dict[str, str] = view.source.kept.setdefault(ROOTS, {})
    if member.path not in known:
        known[member.path] = _root_tag(view.head(member))
    return known[member.path]


def _root_tag(head: bytes) -> str:
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
