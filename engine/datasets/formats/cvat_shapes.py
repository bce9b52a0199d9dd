"""The shapes of CVAT's XML as labels: what each element says, in px."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from engine.datasets.formats.base import clean_class
from engine.datasets.formats.conventions import class_of
from engine.datasets.formats.mask_pixels import from_rows, place_crop
from engine.datasets.formats.xml_files import Node, finite, whole
from engine.datasets.labels import ClassHead, Label, Point, Polygons

CORNERS = 32  # of the outline that an ellipse becomes
IGNORED = "ignored"
"""The attribute by which a label says that it is neither object nor background."""
SVG_TAG = re.compile(r"<(?:line|circle|path|polyline)\b[^>]*>")
SVG_WORD = re.compile(r'([\w-]+)="([^"]*)"')

Size = tuple[int, int] | None
Heads = Mapping[str, ClassHead]


def label_of(node: Node, name: str, size: Size, heads: Heads) -> Label:
    """Read one shape; raises ``ValueError`` with the reason when it cannot be used."""
    read = READERS.get(node.tag)
    if read is None:
        raise ValueError(f"a shape of the kind “{node.tag}” cannot be used")
    name = clean_class(name)
    if not name:
        raise ValueError("a shape without a class")
    given = [(one.attributes.get("name", ""), one.text) for one in node.all("attribute")]
    ignored = (IGNORED, "true") in given
    attributes = [("occluded", "1")] if node.attributes.get("occluded") == "1" else []
    attributes += [pair for pair in given if pair != (IGNORED, "true")]
    label = Label(class_of(name, ignored), ignored=ignored, attributes=tuple(attributes), line=node.line)
    return read(node, label, size, heads)


def with_points(heads: Heads, name: str) -> tuple[str, ...]:
    """Return the names of the points of a class, or none."""
    return heads[name].points if name in heads else ()


def ring_of(text: str | None) -> list[float]:
    """Read ``x,y;x,y``; raises ``ValueError``."""
    ring: list[float] = []
    for pair in (text or "").strip().split(";"):
        x, comma, y = pair.partition(",")
        if not comma:
            raise ValueError(f"“{pair.strip()[:40]}” is no pair of coordinates")
        ring += [finite(x), finite(y)]
    return ring


def _tag(_node: Node, label: Label, _size: Size, _heads: Heads) -> Label:
    return label


def _box(node: Node, label: Label, _size: Size, _heads: Heads) -> Label:
    x1, y1, x2, y2 = (finite(node.attributes.get(side)) for side in ("xtl", "ytl", "xbr", "ybr"))
    turn = math.radians(finite(node.attributes.get("rotation", "0")))
    if turn % math.pi == 0:
        return replace(label, box=(x1, y1, x2, y2))
    middle = ((x1 + x2) / 2, (y1 + y2) / 2)
    ring = _turned([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], middle, turn)
    return _outlined(label, ring, "a turned box became its outline")


def _ellipse(node: Node, label: Label, _size: Size, _heads: Heads) -> Label:
    cx, cy, rx, ry = (finite(node.attributes.get(part)) for part in ("cx", "cy", "rx", "ry"))
    turn = math.radians(finite(node.attributes.get("rotation", "0")))
    steps = (2 * math.pi * step / CORNERS for step in range(CORNERS))
    corners = [(cx + rx * math.cos(step), cy + ry * math.sin(step)) for step in steps]
    return _outlined(label, _turned(corners, (cx, cy), turn), f"an ellipse became {CORNERS} corners")


def _turned(corners: Iterable[tuple[float, float]], middle: tuple[float, float], turn: float) -> list[float]:
    """Turn corners about a middle, clockwise on the screen, as CVAT does."""
    (cx, cy), sine, cosine = middle, math.sin(turn), math.cos(turn)
    ring: list[float] = []
    for x, y in corners:
        ring += [
            cx + (x - cx) * cosine - (y - cy) * sine,
            cy + (x - cx) * sine + (y - cy) * cosine,
        ]
    return ring


def _outlined(label: Label, ring: list[float], repair: str) -> Label:
    xs, ys = ring[0::2], ring[1::2]
    box = (min(xs), min(ys), max(xs), max(ys))
    return replace(label, box=box, mask=Polygons.of([ring]), repairs=(repair,))


def _polygon(node: Node, label: Label, _size: Size, _heads: Heads) -> Label:
    return replace(label, mask=Polygons.of([ring_of(node.attributes.get("points"))]))


def _mask(node: Node, label: Label, size: Size, _heads: Heads) -> Label:
    """Read CVAT's own run lengths, row by row within the box left, top, width, height."""
    if size is None:
        raise ValueError("a mask of an image without a size")
    left, top, width, height = (
        whole(node.attributes.get(part)) for part in ("left", "top", "width", "height")
    )
    runs = [whole(run) for run in node.attributes.get("rle", "").split(",")]
    return replace(label, mask=place_crop(from_rows(runs, width, height), left, top, size))


def _points(node: Node, label: Label, _size: Size, heads: Heads) -> Label:
    ring = ring_of(node.attributes.get("points"))
    points = tuple((x, y, 2) for x, y in zip(ring[0::2], ring[1::2], strict=True))
    known = with_points(heads, label.name)
    if known and len(known) != len(points):
        raise ValueError(f"“{label.name}” has {len(points)} points here and {len(known)} elsewhere")
    return replace(label, points=points)


def _skeleton(node: Node, label: Label, _size: Size, heads: Heads) -> Label:
    known = with_points(heads, label.name)
    if not known:
        raise ValueError(f"the points of “{label.name}” are not described in the file")
    points: list[Point] = [(0.0, 0.0, 0)] * len(known)
    for one in node.all("points"):
        name = clean_class(one.attributes.get("label", ""))
        if name not in known:
            raise ValueError(f"“{label.name}” has no point “{name}”")
        ring = ring_of(one.attributes.get("points"))
        if len(ring) != 2:
            raise ValueError(f"the point “{name}” has {len(ring) // 2} places")
        hidden = one.attributes.get("occluded") == "1"
        visible = 0 if one.attributes.get("outside") == "1" else 1 if hidden else 2
        points[known.index(name)] = (ring[0], ring[1], visible)
    return replace(label, points=tuple(points))


READERS: dict[str, Callable[[Node, Label, Size, Heads], Label]] = {
    "tag": _tag,
    "box": _box,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "mask": _mask,
    "points": _points,
    "skeleton": _skeleton,
}


def heads_of(meta: Node) -> list[ClassHead]:
    """Return the classes that ``meta`` lists, in order; points of skeletons are no classes."""
    labels = list(_labels(meta))
    parts: dict[str, list[str]] = {}
    for label in labels:
        if label.word("parent"):
            parts.setdefault(clean_class(label.word("parent")), []).append(clean_class(label.word("name")))
    heads: dict[str, ClassHead] = {}
    for label in labels:
        name = clean_class(label.word("name"))
        if not name or label.word("parent"):
            continue
        points = tuple(dict.fromkeys(parts.get(name, []))) if label.word("type") == "skeleton" else ()
        heads.setdefault(name, ClassHead(name, points, _edges(label.word("svg"), points)))
    return list(heads.values())


def _labels(node: Node) -> Iterable[Node]:
    for child in node.children:
        if child.tag == "labels":
            yield from child.all("label")
        else:
            yield from _labels(child)


def _edges(svg: str, points: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Read the edges of a skeleton from its drawing; nodes are known by name, else by their number."""
    tags = [{key: html.unescape(word) for key, word in SVG_WORD.findall(tag)} for tag in SVG_TAG.findall(svg)]
    place = {str(number): number - 1 for number in range(1, len(points) + 1)}
    for tag in tags:
        name = clean_class(tag.get("data-label-name", ""))
        if "data-node-id" in tag and name in points:
            place[tag["data-node-id"]] = points.index(name)
    pairs = [
        (place.get(tag.get("data-node-from", "")), place.get(tag.get("data-node-to", "")))
        for tag in tags
        if tag.get("data-type") == "edge"
    ]
    return tuple((one, other) for one, other in pairs if one is not None and other is not None)
