"""Tables (CSV, TSV, Parquet) that list images with a class, tags, boxes or points.

Each row names an image; what its other columns mean is told from the header and, where that is silent,
from the cells (``csv_columns``, ``csv_survey``). Several tables are one set when their names say which
split each is (``csv_choice``).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from engine.contracts.datasets import SPLITS, LabelKind
from engine.datasets.formats.base import (
    DatasetFormat,
    LabelIssue,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    missing_image,
    number_of,
    repaired,
    skipped,
)
from engine.datasets.formats.csv_choice import Surveyed, label_tables, refuse_unclear
from engine.datasets.formats.csv_rows import Entry, entry_of, find_image, folder_split
from engine.datasets.formats.csv_survey import classes_of, kinds_of
from engine.datasets.formats.csv_write import write
from engine.datasets.labels import ClassHead, ImageLabels, Label

__all__ = ["FORMAT", "clean_class", "read", "recognise", "write"]

TWICE = "“{}” is listed twice; counted once"
WORDS: dict[LabelKind, tuple[str, str]] = {
    "class": ("image", "with a class"),
    "tags": ("image", "with tags"),
    "boxes": ("object", "with a box"),
    "points": ("object", "with points"),
}
Together = tuple[str, list[Entry]]
"""An image and all its rows."""


def recognise(view: SourceView) -> Recognition | None:
    """Recognise tables with a column for the image and others for its labels."""
    tables, _ = label_tables(view)
    if not tables:
        return None
    columns = tables[0][0].columns
    each = [kinds_of(listing.columns, facts) for listing, facts in tables]
    kinds = tuple(kind for kind in each[0] if all(kind in found for found in each)) or each[0]
    files = ", ".join(listing.path for listing, _ in tables)
    images = set().union(*(facts.seen for _, facts in tables))
    rows = sum(facts.rows for _, facts in tables)
    objects = sum(sum(facts.objects.values()) for _, facts in tables)
    thing, told = WORDS[kinds[0]]
    lists = "lists" if len(tables) == 1 else "list"
    reason = f"{files} {lists} {number_of(objects if columns.has_geometry else rows, thing)} {told}"
    split = any(one.columns.split is not None or one.split or one.by_folder for one, _ in tables)
    reason += " and a split" if split else " and no split"
    if columns.separators:
        reason += f", separated by “{columns.separators}”"
    if columns.points:
        reason += f" ({number_of(len(columns.points), 'point')})"
    if columns.relative:
        reason += ", as shares of width and height"
    names = dict.fromkeys(chain.from_iterable(classes_of(one.columns, facts) for one, facts in tables))
    return Recognition(
        reason,
        kinds,
        tuple(names) if columns.tags else tuple(sorted(names)),
        len(images) if columns.has_geometry else rows,
    )


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read each image of the source once, with the labels that the tables give.

    A row whose image is missing or ambiguous is skipped. An image with two different classes keeps none
    unless tags are wanted; the same row twice counts as repaired. Images that no row names carry no
    label.

    Raises ``InputError`` when it is not clear which of several tables holds the labels.
    """
    tables, notes = label_tables(view)
    refuse_unclear(tables)
    union = options.kind == "tags" or tables[0][0].columns.union
    heads: dict[str, ClassHead] = {}
    for listing, facts in tables:
        points = tuple(one.name for one in listing.columns.points)
        if points or listing.columns.tags:
            for name in classes_of(listing.columns, facts):
                heads.setdefault(name, ClassHead(name, points))
    rows = _rows(view, tables, options.swap_boxes, union)
    return Reading(rows, tuple(heads.values()), notes=notes, ahead=view.image_paths)


def _rows(view: SourceView, tables: Sequence[Surveyed], swap: bool, union: bool) -> Iterator[Row]:
    columns, done = tables[0][0].columns, set()
    for found in _by_image(view, tables, swap):
        if isinstance(found, LabelIssue):
            yield found
            continue
        path, entries = found
        done.add(path)
        good = [entry for entry in entries if not entry.problem]
        for entry in entries:
            if entry.problem:
                yield skipped(entry.file, entry.line, entry.problem)
        if columns.has_geometry or union:
            labels = yield from _together(path, good, columns.has_geometry)
        else:
            labels = yield from _alike(path, good)
        negative = bool(good) and len(good) == len(entries) and all(entry.negative for entry in good)
        yield replace(_image(path, entries, columns.relative), labels=tuple(labels), negative=negative)
    for member in view.images:
        if member.path not in done:
            yield ImageLabels(member.path)


def _by_image(view: SourceView, tables: Sequence[Surveyed], swap: bool) -> Iterator[LabelIssue | Together]:
    """Yield each image with all its rows, and the rows that are no image's.

    Only where the rows of an image lie apart are the labels of all images held in memory.
    """
    seen = [facts.seen for _, facts in tables]
    apart = not all(facts.grouped for _, facts in tables) or len(set().union(*seen)) < sum(map(len, seen))
    taken: dict[str, list[Entry]] = {}
    for listing, _ in tables:
        for line, cells in listing.rows():
            try:
                path = find_image(view, listing, cells)
            except LookupError as error:
                name = cells[listing.columns.path].strip() if listing.columns.path < len(cells) else ""
                yield missing_image(listing.path, line, name, error)
                continue
            if not apart and path not in taken:
                yield from taken.items()
                taken.clear()
            entry = entry_of(listing, line, cells, swap)
            if listing.by_folder:
                entry = replace(entry, split=folder_split(path))
            taken.setdefault(path, []).append(entry)
    yield from taken.items()


def _image(path: str, entries: Sequence[Entry], relative: bool) -> ImageLabels:
    """Return what the rows of an image say besides their labels."""
    splits = {entry.split for entry in entries if entry.split}
    unknown = dict.fromkeys(entry.unknown_split for entry in entries if entry.unknown_split)
    repairs = [f"the split “{name}” is not known" for name in unknown]
    if len(splits) > 1:
        repairs.append(f"it is listed in several splits ({', '.join(sorted(splits))})")
    return ImageLabels(
        path,
        # Listed as training and as test, an image must not count as test: the first in order holds.
        split=next((known for known in SPLITS if known in splits), None),
        file=entries[0].file,
        line=entries[0].line,
        relative=relative,
        size=next((entry.size for entry in entries if entry.size), None),
        group=next((entry.group for entry in entries if entry.group), None),
        repairs=tuple(repairs),
    )


def _together(path: str, entries: Sequence[Entry], geometry: bool) -> Generator[Row, None, list[Label]]:
    """Return the labels of all rows; tags each once."""
    labels: dict[str | int, Label] = {}
    some = any(entry.labels for entry in entries)
    for number, entry in enumerate(entries):
        if not entry.labels and some and entry.negative:
            yield skipped(entry.file, entry.line, f"“{path}” is said to hold nothing, and has labels")
        elif not entry.labels and (some or number):
            yield repaired(entry.file, entry.line, TWICE.format(path))
        known = len(labels)
        for label in entry.labels:
            key = known if geometry else label.name
            labels.setdefault(key, _placed(label, entry, entries[0]))
        if entry.labels and len(labels) == known:
            yield repaired(entry.file, entry.line, TWICE.format(path))
    return list(labels.values())


def _alike(path: str, entries: Sequence[Entry]) -> Generator[Row, None, list[Label]]:
    """Return the labels on which all rows agree; rows that do not are skipped."""
    said = {tuple(label.name for label in entry.labels) for entry in entries if entry.labels}
    contrary = bool(said) and any(entry.negative for entry in entries)
    if len(said) > 1 or contrary:
        named = ", ".join(sorted(" + ".join(names) for names in said)) + (" and nothing" if contrary else "")
        for entry in entries:
            yield skipped(entry.file, entry.line, f"“{path}” stands under {named}; which is right?")
        return []
    for entry in entries[1:]:
        yield repaired(entry.file, entry.line, TWICE.format(path))
    telling = next((entry for entry in entries if entry.labels), None)
    return [_placed(label, telling, entries[0]) for label in telling.labels] if telling else []


def _placed(label: Label, entry: Entry, first: Entry) -> Label:
    """Name the file of a label where it is not that of its image's row."""
    return label if entry.file == first.file else replace(label, file=entry.file)


FORMAT = DatasetFormat(
    name="csv_table",
    title="CSV or Parquet table",
    carries=frozenset({"class", "tags", "box", "boxes", "points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "boxes", "visibility", "ignored", "groups"}),
)
