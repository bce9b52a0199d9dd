"""A table with a column for the image, one for its class and optionally one for the split."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.contracts.datasets import SPLITS, Split
from engine.datasets.archive import IMAGE_SUFFIXES, Member, reading
from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    repaired,
    skipped,
    split_of,
)
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError, LimitError
from engine.settings import Limits

PATH_NAMES = frozenset(
    {"path", "file", "filename", "file_name", "filepath", "file_path", "name", "picture", "img", "img_path"}
    | {"image", "images", "image_path", "image_name", "imagepath", "imagename"}
)
LABEL_NAMES = frozenset({"label", "labels", "class", "classes", "class_name", "target", "category"})
SPLIT_COLUMNS = frozenset({"split", "set", "subset", "partition", "dataset"})
DELIMITERS = ",;\t"
SUFFIXES = (".csv", ".tsv")
SAMPLE = 64 * 1024  # characters looked at to find delimiter and header
WRITTEN = "labels.csv"


@dataclass(frozen=True)
class _Table:
    """A label table: where it is and which columns mean what; ``header`` lines come first."""

    member: Member
    encoding: str
    delimiter: str
    header: int
    path: int
    label: int
    split: int | None
    whole: Split | None  # the split of all rows, when the file's name says so

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line on which each record ends (1-based) with its cells."""
        with reading(self.member) as stream:
            text = io.TextIOWrapper(stream, encoding=self.encoding, newline="")
            reader = csv.reader(text, delimiter=self.delimiter)
            try:
                for number, cells in enumerate(reader):
                    if number >= self.header and any(cell.strip() for cell in cells):
                        yield reader.line_num, cells
            except (csv.Error, UnicodeDecodeError) as error:
                raise InputError(
                    f"“{self.member.path}” cannot be read after line {reader.line_num} ({error}).",
                    "Save it as CSV in UTF-8.",
                ) from error


def recognise(view: SourceView) -> Recognition | None:
    """Recognise a table whose header names an image and a class, or whose first cell is an image."""
    tables = _tables(view)
    if not tables:
        return None
    names: dict[str, None] = {}
    images = 0
    for table in tables:
        for _, cells in table.rows():
            images += 1
            if len(names) <= Limits().classes and table.label < len(cells):
                names[clean_class(cells[table.label])] = None
    files = ", ".join(table.member.path for table in tables)
    reason = f"{files} lists images with a class" + (" and a split" if _has_splits(tables) else "")
    return Recognition(reason, ("class",), tuple(sorted(name for name in names if name)), images)


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read each image of the source once, with the label that the table gives.

    A row whose image is missing or ambiguous is skipped; an image with two different labels keeps
    none; the same row twice counts as repaired. Images that no row names carry no label.

    Raises ``InputError`` when it is not clear which of several tables holds the labels.
    """
    tables = _tables(view)
    _refuse_unclear(tables)
    return Reading(_rows(view, tables))


def _rows(view: SourceView, tables: Sequence[_Table]) -> Iterator[Row]:
    taken: dict[str, list[_Entry]] = {}
    for table in tables:
        for line, cells in table.rows():
            entry = _entry(table, line, cells)
            try:
                path = view.resolve(entry.name)
            except LookupError as error:
                yield skipped(entry.file, entry.line, f"missing image “{entry.name}”: {error}")
                continue
            taken.setdefault(path, []).append(entry)
    for member in view.images:
        yield from _image_rows(member.path, taken.get(member.path, []))


def write(out: ExportSet, folder: Path) -> None:
    """Copy images under ``folder/images`` and write ``folder/labels.csv``.

    Class names are written as they are; a spreadsheet must be told that they are text.
    """
    names = ImageNames(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / WRITTEN).open("w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["path", "label", "split"])
        for row, source in out.rows:
            name = names.place(row.path, source, "images")
            table.writerow([name, row.names[0] if row.names else "", row.split or ""])


@dataclass(frozen=True)
class _Entry:
    """One row of a table."""

    name: str
    label: str
    split: Split | None
    unknown_split: str
    file: str
    line: int


def _entry(table: _Table, line: int, cells: Sequence[str]) -> _Entry:
    def cell(column: int | None) -> str:
        return cells[column].strip() if column is not None and column < len(cells) else ""

    named = cell(table.split)
    split = split_of(named) if named else table.whole
    unknown = named if named and split is None else ""
    return _Entry(cell(table.path), clean_class(cell(table.label)), split, unknown, table.member.path, line)


def _image_rows(path: str, entries: Sequence[_Entry]) -> Iterator[Row]:
    """Turn all rows of one image into one outcome each."""
    if not entries:
        yield ImageLabels(path)
        return
    first = entries[0]
    labels = {entry.label for entry in entries if entry.label}
    splits = {entry.split for entry in entries if entry.split}
    if len(labels) > 1:
        named = ", ".join(sorted(labels))
        for entry in entries:
            yield skipped(entry.file, entry.line, f"“{path}” stands under {named}; which is right?")
        yield ImageLabels(path, file=first.file, line=first.line)
        return
    repairs = [f"the split “{entry.unknown_split}” is not known" for entry in entries if entry.unknown_split]
    if len(splits) > 1:
        repairs.append(f"it is listed in several splits ({', '.join(sorted(splits))})")
    for entry in entries[1:]:
        yield repaired(entry.file, entry.line, f"“{path}” is listed twice; counted once")
    # Listed as training and as test, an image must not count as test: the first in order holds.
    split = next((known for known in SPLITS if known in splits), None)
    found = tuple(Label(name) for name in labels)
    yield ImageLabels(path, found, split, first.file, first.line, repairs=tuple(repairs))


def _tables(view: SourceView) -> list[_Table]:
    members = [m for m in view.source.members if PurePosixPath(m.path).suffix.lower() in SUFFIXES]
    found = (_table(member) for member in sorted(members, key=lambda m: m.path))
    return [table for table in found if table is not None]


def _table(member: Member) -> _Table | None:
    if member.size > Limits().label_file_bytes:
        raise LimitError(f"“{member.path}” is larger than {Limits().label_file_bytes >> 30} GiB.")
    with reading(member) as stream:
        start = stream.read(SAMPLE)
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # A character may be cut at the end of the sample; the rows themselves are decoded strictly.
    sample = start.decode(encoding, errors="ignore")
    lines = sample.splitlines()
    if not lines:
        return None
    delimiter = max(DELIMITERS, key=lines[0].count)
    first = next(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter), [])
    columns = [cell.strip().casefold().replace(" ", "_") for cell in first]
    path, label = _column(columns, PATH_NAMES), _column(columns, LABEL_NAMES)
    stem = split_of(PurePosixPath(member.path).stem)
    if path is not None and label is not None and path != label:
        return _Table(member, encoding, delimiter, 1, path, label, _column(columns, SPLIT_COLUMNS), stem)
    if len(columns) in (2, 3) and PurePosixPath(columns[0]).suffix in IMAGE_SUFFIXES:
        return _Table(member, encoding, delimiter, 0, 0, 1, 2 if len(columns) == 3 else None, stem)
    return None


def _column(columns: Sequence[str], names: frozenset[str]) -> int | None:
    found = [position for position, name in enumerate(columns) if name in names]
    return found[0] if found else None


def _has_splits(tables: Sequence[_Table]) -> bool:
    return any(table.split is not None or table.whole is not None for table in tables)


def _refuse_unclear(tables: Sequence[_Table]) -> None:
    if not tables:
        raise InputError(
            "There is no table with a column for the image and one for its class.",
            "Name the columns path and label.",
        )
    wholes = [table.whole for table in tables]
    if len(tables) > 1 and (None in wholes or len(set(wholes)) < len(wholes)):
        raise InputError(
            f"Several tables hold labels: {', '.join(table.member.path for table in tables)}.",
            "Keep one, or name them train, val and test.",
        )


FORMAT = DatasetFormat(
    name="csv_table",
    title="CSV table",
    carries=frozenset({"class"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits"}),
)
