"""Writes a set as one table, ``labels.csv``, beside a folder of images."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.conventions import VOID
from engine.datasets.formats.csv_columns import columns_of_header
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError

WRITTEN = "labels.csv"
IMAGES = "images"
BOX = ("xmin", "ymin", "xmax", "ymax")
ABOUT = ("ignored", "width", "height", "split", "labelled", "group")

Records = Callable[[ImageLabels, str], Iterator[list[str]]]
"""The records of one image, whose path in the set comes second."""


def write(out: ExportSet, folder: Path) -> None:
    """Copy images under ``folder/images`` and write ``folder/labels.csv``.

    A class is a column ``label``, tags a column of JSON lists (``[]``: none of them), objects one row
    each, with box and points. The column ``labelled`` tells an image that holds nothing from one that
    nobody has looked at, ``group`` which belong together. Class names are written as they are; a
    spreadsheet must be told that they are text.

    Raises ``InputError`` when the classes have different points, or an object has no box.
    """
    header, records = _layout(out)
    names = ImageNames(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / WRITTEN).open("w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(header)
        for row, source in out.rows:
            table.writerows(records(row, names.place(row.path, source, IMAGES)))


def _layout(out: ExportSet) -> tuple[list[str], Records]:
    if out.kind == "tags":
        return ["path", "tags", "split", "group"], _tags
    if out.kind in ("box", "boxes"):
        return ["path", "label", *BOX, *ABOUT], _boxes
    if out.kind == "points":
        points = _point_names(out)
        header = ["path", "label", *BOX, *(f"{name}_{end}" for name in points for end in "xyv"), *ABOUT]
        return header, lambda row, name: _points(row, name, len(points))
    return ["path", "label", "split", "labelled", "group"], _class


def _class(row: ImageLabels, path: str) -> Iterator[list[str]]:
    yield [path, row.names[0] if row.names else "", row.split or "", _labelled(row), row.group or ""]


def _tags(row: ImageLabels, path: str) -> Iterator[list[str]]:
    tags = json.dumps(row.names, ensure_ascii=False) if row.labels or row.negative else ""
    yield [path, tags, row.split or "", row.group or ""]


def _boxes(row: ImageLabels, path: str) -> Iterator[list[str]]:
    for label in row.labels:
        if label.box is None:
            raise InputError(f"A label of “{row.path}” has no box.", "A table of boxes cannot hold it.")
        yield [path, label.name or VOID, *map(_number, label.box), *_about(row, label)]
    if not row.labels:
        yield [path, "", *[""] * len(BOX), *_about(row, None)]


def _points(row: ImageLabels, path: str, count: int) -> Iterator[list[str]]:
    for label in row.labels:
        if len(label.points or ()) not in (0, count):
            raise InputError(f"An object on “{row.path}” has not {count} points, as the others have.")
        box = [_number(value) for value in label.box] if label.box else [""] * len(BOX)
        places = [_number(value) for point in label.points or () for value in point]
        yield [path, label.name or VOID, *box, *(places or [""] * 3 * count), *_about(row, label)]
    if not row.labels:
        yield [path, "", *[""] * (len(BOX) + 3 * count), *_about(row, None)]


def _about(row: ImageLabels, label: Label | None) -> list[str]:
    width, height = row.size or ("", "")
    ignored = "" if label is None else str(int(label.ignored))
    return [ignored, str(width), str(height), row.split or "", _labelled(row), row.group or ""]


def _labelled(row: ImageLabels) -> str:
    return "yes" if row.labels or row.negative else "no"


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _point_names(out: ExportSet) -> tuple[str, ...]:
    """Return the names of the points, or p1, p2, ... when they could not be read back from a header."""
    known = {head.points for head in out.classes}
    if len({len(points) for points in known}) != 1 or not all(known):
        raise InputError(
            "The classes have different points, and one table has the same columns for all.",
            "Export as COCO, or one class at a time.",
        )
    points = next(iter(known))
    numbered = tuple(f"p{number}" for number in range(1, len(points) + 1))
    header = ["path", "label", *BOX, *(f"{name}_{end}" for name in points for end in "xyv"), *ABOUT]
    read = columns_of_header(header)
    same = len(known) == 1 and read is not None and tuple(one.name for one in read.points) == points
    return points if same else numbered
