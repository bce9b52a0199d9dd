"""One mask picture per image whose values number objects (0: none), of 8 or 16 bits.

Classes come from a table ``objects.csv`` (image, mask, value, class), or from a JSON or CSV beside each
mask (``{"1": "cell"}``; value, class); without any, all objects are of one class.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    number_of,
)
from engine.datasets.formats.mask_drawing import blank, label_pixels, save_mask
from engine.datasets.formats.mask_folders import (
    are_masks,
    are_numbered,
    find_pairs,
    look,
    rows_of,
)
from engine.datasets.formats.mask_lists import LIST_BYTES, find_list
from engine.datasets.formats.object_table import TableWriter, classes_beside, find_table, read_table
from engine.datasets.formats.tables import named_records
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ImageLabels, Label, MaskValues
from engine.datasets.mask_values import told
from engine.datasets.paths import without_suffix
from engine.errors import InputError

WORDS = frozenset({"instance", "instances", "instanceids", "objects", "nuclei", "segmentationobject"})
MOST_OBJECTS = 65_535
VALUES = frozenset({"value", "id", "index", "instance", "object"})
CLASSES = frozenset({"class", "label", "name", "category"})


def recognise(view: SourceView) -> Recognition | None:
    """Recognise a table with values, or pairs whose masks number objects."""
    table = find_table(view, values=True)
    if table is not None:
        heads = tuple(head.name for head in classes_beside(view, table))
        return Recognition(f"“{table.path}” lists the objects in the masks", ("masks", "regions"), heads)
    pairs = find_pairs(view)
    paths = sorted(pairs.masks.values())
    if not paths or not are_masks(view, paths, MaskValues()):
        return None
    listed = bool(find_list(view).path)
    tables = sum(_table_of(view, path) is not None for path in paths)
    called = any(WORDS & set(path.casefold().split("/")) for path in paths)
    if not (tables or called or (not listed and are_numbered(look(view, paths, MaskValues())))):
        return None
    told_by = f", {tables:,} with a list of classes" if tables else ""
    reason = f"{number_of(len(paths), 'mask')} whose values number objects{told_by}, as {paths[0]}"
    return Recognition(reason, ("masks", "regions"), images=len(pairs.images))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read masks of objects; which kind of label they become is decided later."""
    table = find_table(view, values=True)
    if table is not None:
        return Reading(read_table(view, table), classes_beside(view, table))
    pairs = find_pairs(view)
    rows = _with_classes(view, rows_of(pairs, "objects"))
    return Reading(rows, notes=pairs.notes, ahead=pairs.images)


def write(out: ExportSet, folder: Path) -> None:
    """Write ``images``, ``masks`` (values from 1), ``objects.csv`` and ``classes.txt``.

    Objects that overlap go into further pictures of the same image. Raises ``InputError`` when a label
    has no mask or there are more than 65,535 objects on an image.
    """
    names = ImageNames(folder, flat=True, unique_stems=True)
    with TableWriter(folder, out.classes, values=True) as table:
        for row, source in out.rows:
            image = names.place(row.path, source, f"images/{row.split}" if row.split else "images")
            if row.negative and not row.labels:
                table.add(image)
            place = PurePosixPath(image).relative_to("images")
            layers: list[NDArray[np.uint16]] = []
            for value, label in enumerate(row.labels, 1):
                layer = _draw(row, label, value, layers)
                table.add(image, _layer_name(place, layer), label, value)
            for layer, drawn in enumerate(layers):
                save_mask(drawn, folder / _layer_name(place, layer))


def _layer_name(place: PurePosixPath, layer: int) -> str:
    top = f"masks-{layer + 1}" if layer else "masks"
    return str(PurePosixPath(top, *place.parts[:-1], f"{place.stem}.png"))


def _draw(row: ImageLabels, label: Label, value: int, layers: list[NDArray[np.uint16]]) -> int:
    """Draw an object into the first layer in which it covers nothing; returns which."""
    if value > MOST_OBJECTS:
        raise InputError(f"“{row.path}” has more than {MOST_OBJECTS:,} objects.", "Export it as COCO.")
    pixels = label_pixels(row, label)
    layer = next((at for at, drawn in enumerate(layers) if not drawn[pixels].any()), len(layers))
    if layer == len(layers):
        layers.append(blank(row))
    layers[layer][pixels] = value
    return layer


def _with_classes(view: SourceView, rows: Iterator[Row]) -> Iterator[Row]:
    """Add what the list beside each mask says of its objects."""
    for row in rows:
        if isinstance(row, ImageLabels) and row.masks:
            mask = row.masks[0].path
            member = _table_of(view, mask)
            if member is not None:
                yield replace(row, labels=tuple(_labels(view, member, mask)), file=member.path)
                continue
        yield row


def _table_of(view: SourceView, mask: str) -> Member | None:
    bare = without_suffix(mask)
    for suffix in (".json", ".csv"):
        member = view.by_path.get(bare + suffix)
        if member is not None and member.size <= LIST_BYTES:
            return member
    return None


def _labels(view: SourceView, member: Member, mask: str) -> Iterator[Label]:
    """Yield a label for each entry; raises ``InputError`` when the file is no such list."""
    text = view.text(member)
    entries = (
        _json_entries(text) if member.path.lower().endswith(".json") else _csv_entries(text, member.path)
    )
    for line, value, name in entries:
        if not value.isdecimal() or len(value) > 10 or not name:
            raise InputError(
                f"“{member.path}” gives a class to “{value[:40]}”, which is no value of a mask.",
                'Let it say the class by value, as in {"1": "cell"}.',
            )
        yield Label(name, attributes=told(mask, int(value)), file=member.path, line=line)


def _json_entries(text: str) -> Iterator[tuple[int | None, str, str]]:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    for value, entry in content.items() if isinstance(content, dict) else ():
        name = entry
        if isinstance(entry, dict):
            name = next((entry[key] for key in sorted(CLASSES & entry.keys())), "")
        yield None, value, clean_class(name) if isinstance(name, str) else ""
    if not isinstance(content, dict):
        yield None, "damaged JSON", ""


def _csv_entries(text: str, path: str) -> Iterator[tuple[int | None, str, str]]:
    records = named_records(text, path)
    _, names = next(records)
    value = next((name for name in names if name in VALUES), None)
    title = next((name for name in names if name in CLASSES), None)
    for line, row in records:
        yield line, row[value].strip() if value else "", clean_class(row[title]) if title else ""


FORMAT = DatasetFormat(
    name="instance_masks",
    title="Masks that number objects",
    carries=frozenset({"masks", "regions"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "runs", "ignored", "attributes", "classes"}),
)
