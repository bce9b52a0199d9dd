"""The table that says which object is where in which mask picture, with its class.

Columns: image, mask, class, and where a mask holds several objects their value in it; ignored (1 or
empty) and attributes (JSON, pairs of name and value) may be there. A row without a mask says that
nothing is on the image.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from engine.datasets.archive import Member
from engine.datasets.formats.base import LabelIssue, Row, SourceView, clean_class, missing_image, skipped
from engine.datasets.formats.mask_folders import IMAGE_WORDS
from engine.datasets.formats.tables import csv_records
from engine.datasets.formats.text_lists import FolderSplits, class_names, first_lines
from engine.datasets.labels import ClassHead, ImageLabels, Label, MaskFile
from engine.datasets.mask_values import told
from engine.errors import InputError

NEEDED = frozenset({"image", "mask", "class"})
COLUMNS = ("image", "mask", "value", "class", "ignored", "attributes")
NAME = "objects.csv"
LIST = "classes.txt"
MOST_VALUE = 10  # digits


@dataclass
class _Found:
    """What the table says of one image."""

    negative: bool = False
    seen: set[tuple[tuple[str, str], ...]] = field(default_factory=set)
    labels: list[Label] = field(default_factory=list)
    masks: dict[str, MaskFile] = field(default_factory=dict)


def find_table(view: SourceView, *, values: bool) -> Member | None:
    """Return the table nearest to the root whose objects have values in their masks, or have none."""
    for member in sorted(view.named(".csv"), key=lambda m: (m.path.count("/"), m.path)):
        lines = first_lines(view, member, 1)
        names = set(_header(lines, member.path))
        if is_object_table(names) and ("value" in names) == values:
            return member
    return None


def read_table(view: SourceView, member: Member) -> Iterator[Row]:
    """Yield each image with its masks, and the rows that cannot be used; a file is read once, whole."""
    found: dict[str, _Found] = {}
    masks: set[str] = set()
    for line, cells in _records(view, member):
        issue = _take(view, member, line, cells, found)
        if issue is not None:
            yield issue
    for entry in found.values():
        masks.update(entry.masks)
    images = [image.path for image in view.images if image.path not in masks]
    splits = FolderSplits(images, IMAGE_WORDS)
    for path in images:
        entry = found.get(path, _Found())
        yield ImageLabels(
            path,
            tuple(entry.labels),
            splits(path),
            file=member.path,
            negative=entry.negative and not entry.masks,
            masks=tuple(entry.masks.values()),
        )


def classes_beside(view: SourceView, member: Member) -> tuple[ClassHead, ...]:
    """Return the classes that the list beside the table names, in order; none without a list."""
    path = str(PurePosixPath(member.path).with_name(LIST))
    if path not in view.by_path:
        return ()
    names, _ = class_names(view, view.by_path[path])
    return tuple(ClassHead(name) for name in dict.fromkeys(names))


class TableWriter:
    """Writes the table row by row; use it in a ``with``."""

    def __init__(self, folder: Path, classes: tuple[ClassHead, ...], *, values: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{head.name}\n" for head in classes)
        (folder / LIST).write_text(text, "utf-8", newline="\n")
        self._columns = [name for name in COLUMNS if values or name != "value"]
        self._stream = (folder / NAME).open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._stream, self._columns, extrasaction="ignore", lineterminator="\n")
        self._writer.writeheader()

    def __enter__(self) -> TableWriter:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._stream.close()

    def add(self, image: str, mask: str = "", label: Label | None = None, value: int = 0) -> None:
        """Write one object; without a label, that nothing is on the image."""
        row: dict[str, str] = {"image": image, "mask": mask}
        if label is not None:
            said = json.dumps(label.attributes, ensure_ascii=False) if label.attributes else ""
            ignored = "1" if label.ignored else ""
            row |= {"value": str(value), "class": label.name, "ignored": ignored, "attributes": said}
        self._writer.writerow(row)


def is_object_table(header: Iterable[str]) -> bool:
    """Whether these names of columns are those of a table of objects in masks."""
    return {cell.strip().casefold() for cell in header} >= NEEDED


def _header(lines: Sequence[str], path: str) -> list[str]:
    """Return the names of the columns; none when the first line is no CSV, so no table of ours."""
    try:
        _, cells = next(csv_records(lines, path), (0, []))
    except InputError:
        return []
    return [cell.strip().casefold() for cell in cells]


def _records(view: SourceView, member: Member) -> Iterator[tuple[int, Mapping[str, str]]]:
    records = csv_records(io.StringIO(view.text(member), newline=""), member.path)
    _, header = next(records, (0, []))
    names = [cell.strip().casefold() for cell in header]
    for line, cells in records:
        if any(cells):
            yield line, dict(zip(names, cells, strict=False))


def _take(
    view: SourceView, member: Member, line: int, cells: Mapping[str, str], found: dict[str, _Found]
) -> LabelIssue | None:
    """Take one row in; returns why it cannot be used."""
    image, mask = cells.get("image", ""), cells.get("mask", "")
    try:
        path = _resolved(view, member, image)
    except LookupError as error:
        return missing_image(member.path, line, image, error)
    entry = found.setdefault(path, _Found())
    if not mask.strip():
        entry.negative = True
        return None
    try:
        picture = _resolved(view, member, mask)
        label = _label(cells, picture, line, member.path)
    except LookupError as error:
        return skipped(member.path, line, f"missing mask “{mask}”: {error}")
    except ValueError as error:
        return skipped(member.path, line, str(error))
    place = label.attributes[:2]
    if place in entry.seen:
        return skipped(member.path, line, "the object is listed twice")
    entry.seen.add(place)
    entry.labels.append(label)
    entry.masks.setdefault(picture, MaskFile(picture, "objects" if "value" in cells else "object"))
    return None


def _resolved(view: SourceView, member: Member, name: str) -> str:
    """Return the picture that a cell names: from the table's own folder, else from anywhere."""
    near = str(PurePosixPath(member.path).parent / name)
    if near in view.by_path and view.by_path[near].is_image:
        return near
    return view.resolve(name)


def _label(cells: Mapping[str, str], mask: str, line: int, file: str) -> Label:
    """Make the label that names an object; raises ``ValueError`` with the reason when it cannot be."""
    number = cells.get("value", "0").strip()
    if not number.isdecimal() or len(number) > MOST_VALUE:
        raise ValueError(f"“{number[:40]}” is no value of a mask")
    said = cells.get("attributes", "")
    return Label(
        clean_class(cells.get("class", "")),
        ignored=cells.get("ignored", "").strip() == "1",
        attributes=(*told(mask, int(number)), *(_attributes(said) if said else ())),
        file=file,
        line=line,
    )


def _attributes(text: str) -> tuple[tuple[str, str], ...]:
    try:
        pairs: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("its attributes are no JSON") from error
    fine = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in pairs
    )
    if not fine:
        raise ValueError("its attributes are no pairs of name and value")
    return tuple((pair[0], pair[1]) for pair in pairs)
