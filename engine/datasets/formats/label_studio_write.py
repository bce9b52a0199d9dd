"""Writing Label Studio's JSON: ``tasks.json`` beside a folder ``images``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.brush_runs import pack
from engine.datasets.formats.conventions import VOID
from engine.datasets.formats.mask_pixels import pixels_of
from engine.datasets.formats.writing import ImageNames
from engine.datasets.geometry import box_around
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons
from engine.errors import InputError

Result = dict[str, Any]


def write(out: ExportSet, folder: Path) -> None:
    """Write a task per image; one that is not labelled has no annotation, a negative an empty one.

    Several outlines of one object become a brush mask, since no result of Label Studio holds them.
    Raises ``InputError`` when a label lacks what its kind needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ImageNames(folder)
    heads = {head.name: head for head in out.classes}
    with (folder / "tasks.json").open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for number, (row, source) in enumerate(out.rows, 1):
            name = names.place(row.path.removeprefix("images/"), source, under="images")
            task = _task(number, name, row, out.kind, heads)
            file.write(("\n" if number == 1 else ",\n") + json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")


def _task(number: int, name: str, row: ImageLabels, kind: str, heads: dict[str, ClassHead]) -> dict[str, Any]:
    annotations = []
    if row.labels or row.negative:
        if row.size is None:
            raise InputError(f"The size of “{row.path}” is not known.", "Export again.")
        results = [
            result
            for place, label in enumerate(row.labels)
            for result in _results(row, row.size, label, place, kind, heads)
        ]
        annotations = [{"id": number, "was_cancelled": False, "result": results}]
    data = {"image": name} | ({"split": row.split} if row.split else {})
    return {"id": number, "meta": {"labels": kind}, "annotations": annotations, "data": data}


def _results(
    row: ImageLabels, size: tuple[int, int], label: Label, place: int, kind: str, heads: dict[str, ClassHead]
) -> Iterator[Result]:
    """Yield the results of a label: its shape, its points, then what is said about it."""
    key = f"r{place}"
    common = {"original_width": size[0], "original_height": size[1], "image_rotation": 0, "to_name": "image"}
    if kind in ("class", "tags"):
        yield common | {
            "id": key,
            "from_name": "choice",
            "type": "choices",
            "value": {"choices": [label.name]},
        }
        return
    shape, value = _shape(row, size, label, kind)
    kind_of = f"{shape}labels"
    yield common | {
        "id": key,
        "from_name": "label",
        "type": kind_of,
        "value": value | {kind_of: [label.name or VOID]},
    }
    if kind == "points":
        for number, (name, (x, y, visible)) in enumerate(
            zip(heads[label.name].points, label.points or (), strict=bool(label.points))
        ):
            at = {"x": 100 * x / size[0], "y": 100 * y / size[1], "width": 0.5, "keypointlabels": [name]}
            point = {"id": f"{key}p{number}", "parentID": key, "type": "keypointlabels", "value": at}
            if visible:
                yield common | point | {"from_name": "point"}
    for name, word in label.attributes:
        yield common | {"id": key, "from_name": name, "type": "textarea", "value": {"text": [word]}}
    if label.ignored:
        yield common | {"id": key, "from_name": "ignored", "type": "choices", "value": {"choices": ["true"]}}


def _shape(row: ImageLabels, size: tuple[int, int], label: Label, kind: str) -> tuple[str, dict[str, Any]]:
    width, height = size
    if kind in ("masks", "regions") and label.mask is not None:
        if isinstance(label.mask, Polygons) and len(label.mask.rings) == 1:
            ring = label.mask.rings[0]
            points = [
                [100 * x / width, 100 * y / height] for x, y in zip(ring[0::2], ring[1::2], strict=True)
            ]
            return "polygon", {"points": points, "closed": True}
        return "brush", {"format": "rle", "rle": list(pack(pixels_of(label.mask, height, width)))}
    if kind in ("box", "boxes", "points") and (box := box_around(label)) is not None:
        x1, y1, x2, y2 = box
        return "rectangle", {
            "x": 100 * x1 / width,
            "y": 100 * y1 / height,
            "width": 100 * (x2 - x1) / width,
            "height": 100 * (y2 - y1) / height,
            "rotation": 0,
        }
    raise InputError(
        f"A label “{label.name}” of “{row.path}” has not what labels of the kind “{kind}” need here.",
        "Export it in another format.",
    )
