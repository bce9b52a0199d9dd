"""The results of one annotation of Label Studio, gathered into labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from engine.datasets import masks
from engine.datasets.formats.base import clean_class
from engine.datasets.formats.brush_runs import unpack
from engine.datasets.formats.conventions import CORNERS, class_of
from engine.datasets.formats.json_files import items, number, pair, record, size_in, words
from engine.datasets.labels import ClassHead, Label, Point, Polygons
from engine.datasets.preprocessing import MAX_PIXELS

IGNORED = "ignored"
"""The name of the choice by which a region says that it is neither object nor background."""
SHAPES = ("rectangle", "polygon", "keypoint", "brush", "ellipse")
Result = dict[str, Any]
Size = tuple[int, int] | None


@dataclass
class Found:
    """Labels (in shares of width and height), why others are none, and the declared size."""

    labels: list[Label] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    size: Size = None


def class_names(result: Result) -> list[str]:
    """Return the classes that a result names: of its region, or chosen for the image."""
    kind, value = words(result.get("type")), record(result.get("value"))
    keys = [kind, "labels"] if kind != "choices" else ["choices"]
    named = next((items(value[key]) for key in keys if key in value), [])
    return [name for one in named if (name := clean_class(words(one)))]


class Regions:
    """Results by the region that they are about; what has no shape is about the whole image."""

    def __init__(self, results: list[Result]) -> None:
        self.order: dict[str, list[Result]] = {}
        for place, result in enumerate(results):
            key = words(result.get("id")) or f"result {place}"
            if result.get("type") != "relation":
                self.order.setdefault(key, []).append(result)
        self.shapes = {key: shape for key, parts in self.order.items() if (shape := _shape_of(parts))}
        self.points: dict[str, list[str]] = {}
        for key, shape in self.shapes.items():
            parent = words(shape.get("parentID"))
            of_region = parent in self.shapes and _kind(self.shapes[parent]) != "keypoint"
            if _kind(shape) == "keypoint" and of_region:
                self.points.setdefault(parent, []).append(key)
        self.children = {key for keys in self.points.values() for key in keys}

    def classes(self, key: str) -> list[str]:
        """Return the classes of a region, each once."""
        parts = [part for part in self.order[key] if part.get("type") != "choices"]
        return list(dict.fromkeys(name for part in parts for name in class_names(part)))

    def points_by_class(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each class with the names of points that one of its objects has."""
        for key, shape in self.shapes.items():
            if key in self.children:
                continue
            own = [name for child in self.points.get(key, []) for name in self.classes(child)[:1]]
            for name in self.classes(key):
                yield name, list(dict.fromkeys([name] if _kind(shape) == "keypoint" else own))

    def labels(self, tags: bool, heads: dict[str, ClassHead]) -> Found:
        """Make the labels: of the whole image when ``tags``, else of its regions."""
        found = Found()
        for key, parts in self.order.items():
            if found.size is None:
                found.size = size_in(parts[0].get("original_width"), parts[0].get("original_height"))
            if tags and key not in self.shapes:
                chosen = [part for part in parts if part.get("type") == "choices"]
                found.labels += [Label(name) for part in chosen for name in class_names(part)]
            if tags or key in self.children:
                continue
            try:
                found.labels += self.region(key, heads)
            except ValueError as error:
                found.faults.append(str(error))
                found.faults += [f"{error} (of its object)" for _ in self.points.get(key, [])]
        return found

    def region(self, key: str, heads: dict[str, ClassHead]) -> list[Label]:
        """Make the labels of one region, one for each of its classes; raises ``ValueError``."""
        shape = self.shapes.get(key)
        if shape is None:
            kinds = {words(part.get("type")) for part in self.order[key]}
            if kinds <= {"choices", "textarea", "rating", "number", "taxonomy"}:
                return []  # about the whole image; not what is wanted here
            raise ValueError(f"a region of the kind “{', '.join(sorted(kinds))[:40]}” cannot be used")
        names = self.classes(key)
        if not names:
            raise ValueError("a region without a class")
        if shape.get("image_rotation"):
            raise ValueError("the picture was turned in Label Studio; turn the file and label it again")
        label = READERS[_kind(shape)](shape, replace(self.plain(key), name=names[0]))
        made = []
        for name in names:
            one = replace(label, name=class_of(name, label.ignored))
            made.append(
                replace(one, points=self.keypoints(key, heads.get(name))) if key in self.points else one
            )
        return made

    def plain(self, key: str) -> Label:
        """Return what a region says beside its place."""
        attributes: list[tuple[str, str]] = []
        for part in self.order[key]:
            value = record(part.get("value"))
            given = {"choices": "choices", "textarea": "text"}.get(words(part.get("type")), "")
            told = value.get(given)
            for word in [told] if isinstance(told, str) else items(told):
                attributes.append((words(part.get("from_name")), words(word)))
        ignored = (IGNORED, "true") in attributes
        return Label(
            "", ignored=ignored, attributes=tuple(pair for pair in attributes if pair != (IGNORED, "true"))
        )

    def keypoints(self, key: str, head: ClassHead | None) -> tuple[Point, ...]:
        """Return the points of an object in the order of its class; raises ``ValueError``."""
        found: dict[str, Point] = {}
        for child in self.points[key]:
            name = next(iter(self.classes(child)), "")
            if not name or name in found:
                raise ValueError(f"the point “{name}” stands twice at its object")
            x, y = _at(self.shapes[child])
            found[name] = (x, y, 2)
        names = head.points if head and head.points else tuple(found)
        return tuple(found.get(name, (0.0, 0.0, 0)) for name in names)


def _kind(result: Result) -> str:
    return words(result.get("type")).removesuffix("labels")


def _shape_of(parts: list[Result]) -> Result | None:
    """Return the result of a region that holds its shape; the shape may stand in several."""
    return next((part for part in parts if _kind(part) in SHAPES), None)


def _size(result: Result) -> tuple[int, int]:
    size = size_in(result.get("original_width"), result.get("original_height"))
    if size is None:
        raise ValueError("the size of the picture is not said")
    return size


def _at(result: Result) -> tuple[float, float]:
    value = record(result.get("value"))
    return number(value.get("x")) / 100, number(value.get("y")) / 100


def _rectangle(result: Result, label: Label) -> Label:
    value = record(result.get("value"))
    x, y = _at(result)
    width, height = number(value.get("width")) / 100, number(value.get("height")) / 100
    turn = number(value.get("rotation") or 0)
    if turn % 360 == 0:
        return replace(label, box=(x, y, x + width, y + height))
    # Label Studio turns about the upper left corner, clockwise, in px.
    corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    return _outlined(label, _turned(corners, (x, y), turn, _size(result)), "a turned box became its outline")


def _ellipse(result: Result, label: Label) -> Label:
    value = record(result.get("value"))
    wide, high = number(value.get("radiusX")) / 100, number(value.get("radiusY")) / 100
    steps = (2 * math.pi * step / CORNERS for step in range(CORNERS))
    corners = [(wide * math.cos(step), high * math.sin(step)) for step in steps]
    turn = number(value.get("rotation") or 0)
    size = _size(result) if turn % 360 else (1, 1)
    return _outlined(label, _turned(corners, _at(result), turn, size), f"an ellipse became {CORNERS} corners")


def _turned(
    corners: list[tuple[float, float]], middle: tuple[float, float], degrees: float, size: tuple[int, int]
) -> list[float]:
    """Turn corners (shares, from the middle) clockwise on the screen; returns x, y, x, y, ... in shares."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    ratio = size[1] / size[0]
    ring: list[float] = []
    for x, y in corners:
        ring += [
            middle[0] + x * cosine - y * ratio * sine,
            middle[1] + x / ratio * sine + y * cosine,
        ]
    return ring


def _outlined(label: Label, ring: list[float], repair: str) -> Label:
    xs, ys = ring[0::2], ring[1::2]
    box = (min(xs), min(ys), max(xs), max(ys))
    return replace(label, box=box, mask=Polygons.of([ring]), repairs=(repair,))


def _polygon(result: Result, label: Label) -> Label:
    corners = [pair(point) for point in items(record(result.get("value")).get("points"))]
    return replace(label, mask=Polygons.of([[part / 100 for corner in corners for part in corner]]))


def _keypoint(result: Result, label: Label) -> Label:
    x, y = _at(result)
    return replace(label, points=((x, y, 2),))


def _brush(result: Result, label: Label) -> Label:
    width, height = _size(result)
    if width * height > MAX_PIXELS:
        raise ValueError(f"a mask of {width} x {height} px")
    value = record(result.get("value"))
    try:
        data = bytes(items(value.get("rle")))
    except (ValueError, TypeError) as error:
        raise ValueError("its runs are no bytes") from error
    return replace(label, mask=masks.encode(unpack(data, width, height)))


READERS: dict[str, Callable[[Result, Label], Label]] = {
    "rectangle": _rectangle,
    "polygon": _polygon,
    "keypoint": _keypoint,
    "brush": _brush,
    "ellipse": _ellipse,
}
