"""Writes points as DeepLabCut's tables for several animals, one a video."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ClassHead, ImageLabels
from engine.errors import InputError

ANIMAL = "animal"
"""The class of individuals that are not called after one."""
FOLDER = "labeled-data"
SCORER = "labels"
TABLE = f"CollectedData_{SCORER}.csv"
NO_GROUP = "images"


def write(out: ExportSet, folder: Path) -> None:
    """Copy images to ``folder/labeled-data/group`` and write a table beside them.

    The individuals of a class are its name with _1, _2, ...; visibility is kept as far as that a point
    that is not labelled has no coordinates. An object without any such point is not written.

    Raises ``InputError`` when an object has no points, or not as many as its class.
    """
    names = ImageNames(folder, flat=True)
    videos: dict[str, str] = {}
    most = {head.name: 1 for head in out.classes}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        for row, source in out.rows:
            video = _video(row.group, videos)
            objects = _objects(row, out)
            for name, found in objects.items():
                most[name] = max(most[name], len(found))
            path = names.place(row.path, source, f"{FOLDER}/{video}")
            if row.labels or row.negative:
                spool.write(json.dumps([video, path.rpartition("/")[2], objects]) + "\n")
        for video in videos.values():
            _write_table(folder / FOLDER / video / TABLE, video, out.classes, most, spool)


def _video(group: str | None, videos: dict[str, str]) -> str:
    """Return a folder's name for a group, its own for each."""
    key = group or ""
    if key not in videos:
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", group or NO_GROUP).strip("-")[:60] or NO_GROUP
        name, count = base, 1
        while name.casefold() in {FOLDER, *(known.casefold() for known in videos.values())}:
            count += 1
            name = f"{base}-{count}"
        videos[key] = name
    return videos[key]


def _objects(row: ImageLabels, out: ExportSet) -> dict[str, list[Any]]:
    """Return the coordinates of each object by class, a cell each."""
    points = {head.name: len(head.points) for head in out.classes}
    objects: dict[str, list[Any]] = {}
    for label in row.labels:
        if len(label.points or ()) != points[label.name] or not label.points:
            raise InputError(
                f"An object on “{row.path}” has not the {points[label.name]} points of “{label.name}”.",
                "DeepLabCut holds nothing but points.",
            )
        cells = [repr(float(at)) if seen else "" for x, y, seen in label.points for at in (x, y)]
        objects.setdefault(label.name, []).append(cells)
    return objects


def _write_table(
    path: Path, video: str, heads: tuple[ClassHead, ...], most: dict[str, int], spool: IO[str]
) -> None:
    columns = list(_columns(heads, most))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["scorer", "", "", *[SCORER] * len(columns)])
        table.writerow(["individuals", "", "", *(individual for individual, _, _ in columns)])
        table.writerow(["bodyparts", "", "", *(part for _, part, _ in columns)])
        table.writerow(["coords", "", "", *(axis for _, _, axis in columns)])
        spool.seek(0)
        for line in spool:
            own, name, objects = json.loads(line)
            if own == video:
                table.writerow([FOLDER, video, name, *_cells(heads, most, objects)])


def _columns(heads: tuple[ClassHead, ...], most: dict[str, int]) -> Iterator[tuple[str, str, str]]:
    for head in heads:
        for one in range(1, most[head.name] + 1):
            yield from ((f"{head.name}_{one}", point, axis) for point in head.points for axis in "xy")


def _cells(heads: tuple[ClassHead, ...], most: dict[str, int], objects: dict[str, Any]) -> Iterator[str]:
    for head in heads:
        found = objects.get(head.name, [])
        for cells in found:
            yield from cells
        yield from [""] * ((most[head.name] - len(found)) * 2 * len(head.points))
