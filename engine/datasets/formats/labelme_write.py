"""Writing LabelMe: a JSON file beside each image, in a folder of its split."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from engine.contracts.datasets import LabelKind
from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.conventions import NO_SPLIT, VOID
from engine.datasets.formats.mask_pixels import pixels_of
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ClassHead, ImageLabels, Label, Rle
from engine.errors import InputError

HIDDEN = "occluded"
"""The flag of a point that is there but hidden."""
CLASS_WORD = "class"
"""The attribute by which points without an object say what they are points of."""
MOST_FLAGS = 100
"""Up to so many classes, each file lists all of them as flags, as LabelMe does; else only its own."""

Shape = dict[str, Any]


def write(out: ExportSet, folder: Path) -> None:
    """Write flags for classes of whole images, else shapes; an image that is not labelled gets no file.

    Raises ``InputError`` for a label without any shape.
    """
    names = ImageNames(folder, unique_stems=True)
    heads = {head.name: head for head in out.classes}
    for row, source in out.rows:
        path = PurePosixPath(row.path)
        inner = path.parts[1:] if path.parts[0] in ("train", "val", "test", NO_SPLIT) else path.parts
        name = names.place("/".join(inner) or row.path, source, under=row.split or NO_SPLIT)
        if not row.labels and not row.negative:
            continue
        flags: dict[str, bool] = {}
        shapes: list[Shape] = []
        if out.kind in ("class", "tags"):
            listed = heads if len(heads) <= MOST_FLAGS else row.names
            flags = {known: known in row.names for known in [*listed, *row.names]} or {"": False}
        else:
            groups = count(1)
            shapes = [shape for label in row.labels for shape in _shapes(row, label, heads, out.kind, groups)]
        _save(folder / name, row, out.kind, flags, shapes)


def _save(
    image: Path, row: ImageLabels, kind: LabelKind, flags: dict[str, bool], shapes: list[Shape]
) -> None:
    width, height = row.size or (None, None)
    content = {
        "version": "5.5.0",
        "labels": kind,  # LabelMe keeps keys that it does not know
        "flags": flags,
        "shapes": shapes,
        "imagePath": image.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    target = image.with_suffix(".json")
    target.write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8", newline="\n")


def _shapes(
    row: ImageLabels, label: Label, heads: dict[str, ClassHead], kind: str, groups: Iterator[int]
) -> Iterator[Shape]:
    """Yield the shapes of a label; several of them share the number of a group."""
    parts = list(_parts(row, label, kind))
    points: list[Shape] = []
    if kind == "points" and label.points is not None:
        points = list(_points(label, heads[label.name], bare=not parts))
    if not parts and not points:
        raise InputError(
            f"A label “{label.name}” of “{row.path}” has no shape that LabelMe can hold.",
            "Export it in another format.",
        )
    group = next(groups) if len(parts) > 1 or points else None
    for part in parts + points:
        yield part | {"group_id": group}


def _parts(row: ImageLabels, label: Label, kind: str) -> Iterator[Shape]:
    if label.box is not None and (kind in ("box", "boxes", "points") or label.mask is not None):
        x1, y1, x2, y2 = label.box
        yield _shape(label, "rectangle", [[x1, y1], [x2, y2]])
    if kind not in ("masks", "regions"):
        return
    if isinstance(label.mask, Rle):
        yield _mask(row, label, label.mask)
    elif label.mask is not None:
        for ring in label.mask.rings:
            yield _shape(label, "polygon", [list(at) for at in zip(ring[0::2], ring[1::2], strict=True)])


def _shape(label: Label, kind: str, points: list[list[float]]) -> Shape:
    shape: Shape = {"label": label.name or VOID, "points": points, "shape_type": kind, "flags": {}}
    if label.ignored:
        shape["difficult"] = True
    if label.attributes:
        shape["attributes"] = dict(label.attributes)
    return shape


def _points(label: Label, head: ClassHead, bare: bool) -> Iterator[Shape]:
    """Yield the labelled points; ``bare`` ones have no object, so the first says all about it."""
    for name, (x, y, visible) in zip(head.points, label.points or (), strict=True):
        if not visible:
            continue
        shape: Shape = {"label": name, "points": [[x, y]], "shape_type": "point", "flags": {}}
        if visible == 1:
            shape["flags"] = {HIDDEN: True}
        if bare:
            shape["attributes"] = {CLASS_WORD: label.name, **dict(label.attributes)}
            shape["difficult"] = label.ignored
        yield shape


def _mask(row: ImageLabels, label: Label, mask: Rle) -> Shape:
    pixels = pixels_of(mask, mask.height, mask.width)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not rows.size:
        raise InputError(f"A mask “{label.name}” of “{row.path}” is empty.", "Take it out.")
    top, bottom, left, right = (int(at) for at in (rows[0], rows[-1], columns[0], columns[-1]))
    stream = io.BytesIO()
    Image.fromarray(pixels[top : bottom + 1, left : right + 1]).save(stream, "PNG")
    shape = _shape(label, "mask", [[left, top], [right, bottom]])
    return shape | {"mask": base64.b64encode(stream.getvalue()).decode("ascii")}
