"""One record of a label table: its cells as labels."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.contracts.datasets import Split
from engine.datasets.formats.base import SourceView, clean_class, split_of
from engine.datasets.formats.conventions import class_of
from engine.datasets.formats.csv_columns import BINARY, NOTHING, BoxStyle, Columns
from engine.datasets.formats.tables import Table
from engine.datasets.labels import Box, Label, Point

OBJECT = "object"
"""The class of objects in a table that names none."""
NO = frozenset({"no", "0", "false", "n"})
YES = frozenset({"1", "1.0", "true", "yes", "y"})
MOST_PX = 2**31
QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
PYTHON_LIST = re.compile(rf"\[\s*(?:(?:{QUOTED})\s*(?:,\s*(?:{QUOTED})\s*)*)?\]")


@dataclass(frozen=True)
class Listing:
    """A table with the meaning of its columns; ``split`` is that of all rows, when its name says so.

    ``homes`` are the folders in which a name is looked for first. ``by_folder``: the folder of an image
    is its split.
    """

    table: Table
    columns: Columns
    split: Split | None = None
    homes: tuple[str, ...] = ("",)
    by_folder: bool = False

    @property
    def path(self) -> str:
        """The file."""
        return self.table.member.path

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line and cells of each data record."""
        return self.table.rows(self.columns.header)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one record says about its image.

    Without labels and not ``negative`` it only lists the image. ``problem`` is why its label cannot be
    used.
    """

    file: str
    line: int
    labels: tuple[Label, ...] = ()
    split: Split | None = None
    unknown_split: str = ""
    negative: bool = False
    size: tuple[int, int] | None = None
    group: str | None = None
    problem: str = ""


def find_image(view: SourceView, listing: Listing, cells: Sequence[str]) -> str:
    """Return the path of the image that a record is about; raises ``LookupError`` with the reason."""
    raw = cells[listing.columns.path] if listing.columns.path < len(cells) else ""
    known: dict[str, str] = view.kept.setdefault(f"images of {listing.path}", {})
    if raw not in known:
        known[raw] = _look_up(view, listing, raw)
    return known[raw]


def _look_up(view: SourceView, listing: Listing, raw: str) -> str:
    name = unicodedata.normalize("NFC", raw).replace("\\", "/")
    for home in listing.homes:
        for written in (name, name.strip().removeprefix("./")):
            member = view.by_path.get(f"{home}/{written}" if home else written)
            if member is not None and member.is_image:
                return member.path
    try:
        return view.resolve(raw)
    except LookupError:
        stems = view.resolve.of_stem(name.strip()) if name.strip() and "/" not in name else ()
        if len(stems) == 1:  # tables of ids leave the ending away
            return stems[0]
        raise


def folder_split(path: str) -> Split | None:
    """Return the one split that the folders of a path name, or None."""
    found = {split_of(part) for part in path.split("/")[:-1]} - {None}
    return found.pop() if len(found) == 1 else None


def cell_of(cells: Sequence[str], column: int | None) -> str:
    """Return a cell without outer blanks; empty when the record is too short."""
    return cells[column].strip() if column is not None and column < len(cells) else ""


def number(cell: str) -> float:
    """Return the number in a cell; raises ``ValueError`` with the reason."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"“{cell[:40]}” is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"“{cell[:40]}” is no finite number")
    return value


def is_nothing(cell: str) -> bool:
    """Whether a cell of numbers is empty or says so (NaN)."""
    return cell.strip().casefold() in NOTHING


def box_cells(columns: Columns, cells: Sequence[str]) -> list[str]:
    """Return the four cells of a box, or what stands in its only cell; empty when nothing is there."""
    if columns.box_style != "list":
        found = [cell_of(cells, column) for column in columns.box]
        return [] if all(map(is_nothing, found)) else found
    one = cell_of(cells, columns.box[0]).strip("[]() \t")
    return [] if is_nothing(one) else [part for part in re.split(r"[,;\s]+", one) if part]


def split_tags(cell: str, separators: str) -> list[str]:
    """Return the tags in a cell: a JSON list, Python's way of writing one, or separated names."""
    if cell.startswith("["):
        try:
            values = json.loads(cell)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, list) and not any(isinstance(one, list | dict) for one in values):
            return [str(one) for one in values if one is not None]
        if PYTHON_LIST.fullmatch(cell):
            return [re.sub(r"\\(.)", r"\1", one[1:-1]) for one in re.findall(QUOTED, cell)]
    return re.split(f"[{re.escape(separators)}]", cell) if separators else [cell]


def entry_of(listing: Listing, line: int, cells: Sequence[str], swap: bool) -> Entry:
    """Return what a record says. ``swap``: corners that stand the wrong way round are exchanged."""
    columns = listing.columns
    named = cell_of(cells, columns.split)
    split = split_of(named) if named else listing.split
    labels: tuple[Label, ...] = ()
    negative, problem = False, ""
    if cell_of(cells, columns.labelled).casefold() not in NO:
        try:
            labels, negative = _labels_of(columns, line, cells, swap)
        except ValueError as error:
            problem = str(error)
    return Entry(
        listing.path,
        line,
        labels,
        split,
        named if named and split is None else "",
        negative,
        _size(columns, cells),
        cell_of(cells, columns.group) or None,
        problem,
    )


Labels = tuple[tuple[Label, ...], bool]
"""Labels, and whether the record says that nothing is there."""


def _labels_of(columns: Columns, line: int, cells: Sequence[str], swap: bool) -> Labels:
    if columns.has_geometry:
        return _object(columns, line, cells, swap)
    if columns.tags:
        return _one_hot(columns, line, cells)
    cell = cell_of(cells, columns.label)
    names = split_tags(cell, columns.separators) if columns.lists else [cell]
    known = dict.fromkeys(name for name in map(clean_class, names) if name)
    said = cell_of(cells, columns.labelled).casefold() in YES
    return tuple(Label(name, line=line) for name in known), not known and (said or cell.startswith("["))


def _one_hot(columns: Columns, line: int, cells: Sequence[str]) -> Labels:
    found = {column: cell_of(cells, column).casefold() for column in columns.tags}
    empty = [column for column, cell in found.items() if cell in NOTHING]
    if len(empty) == len(found):
        return (), False
    if empty:
        raise ValueError(f"the cell for “{columns.names[empty[0]]}” is empty")
    names = [clean_class(columns.names[column]) for column, cell in found.items() if BINARY[cell]]
    return tuple(Label(name, line=line) for name in names), not names


def _object(columns: Columns, line: int, cells: Sequence[str], swap: bool) -> Labels:
    name = clean_class(cell_of(cells, columns.label)) if columns.label is not None else OBJECT
    numbers = box_cells(columns, cells) if columns.box else []
    places = [cell_of(cells, n) for one in columns.points for n in (one.x, one.y, one.visibility)]
    seen = columns.points and (not all(map(is_nothing, places)) or bool(name and columns.label is not None))
    if not numbers and not seen:
        return (), True
    if not name:
        raise ValueError("the object has no class")
    box, repairs = _box(columns, numbers, swap) if numbers else (None, ())
    points = tuple(_point(columns, cells)) if seen else None
    ignored = cell_of(cells, columns.ignored).casefold() in YES
    label = Label(class_of(name, ignored), box, points=points, ignored=ignored, line=line, repairs=repairs)
    return (label,), False


def _box(columns: Columns, cells: Sequence[str], swap: bool) -> tuple[Box, tuple[str, ...]]:
    if len(cells) != 4 or any(map(is_nothing, cells)):
        raise ValueError("the box is not four numbers")
    style: BoxStyle = columns.in_cell or columns.box_style
    box = CORNERS[style](*map(number, cells))
    if not all(map(math.isfinite, box)):
        raise ValueError("the box is too large")
    x1, y1, x2, y2 = box
    if swap and (x2 < x1 or y2 < y1):
        return (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), ("its corners were exchanged",)
    return box, ()


CORNERS: dict[BoxStyle, Callable[[float, float, float, float], Box]] = {
    "corners": lambda x1, y1, x2, y2: (x1, y1, x2, y2),
    "size": lambda x, y, width, height: (x, y, x + width, y + height),
    "centre": lambda x, y, width, height: (
        x - width / 2,
        y - height / 2,
        x + width / 2,
        y + height / 2,
    ),
}


def _point(columns: Columns, cells: Sequence[str]) -> Iterator[Point]:
    for one in columns.points:
        x, y = cell_of(cells, one.x), cell_of(cells, one.y)
        if is_nothing(x) and is_nothing(y):
            yield 0.0, 0.0, 0
            continue
        if is_nothing(x) or is_nothing(y):
            raise ValueError(f"point “{one.name}” has only one coordinate")
        visibility = 2.0
        if one.visibility is not None:
            seen = cell_of(cells, one.visibility)
            visibility = 2.0 if is_nothing(seen) else number(seen)
        if visibility not in (0, 1, 2):
            raise ValueError(f"point “{one.name}” has the visibility {visibility:g}, not 0, 1 or 2")
        yield number(x), number(y), int(visibility)


def _size(columns: Columns, cells: Sequence[str]) -> tuple[int, int] | None:
    """Return the declared size; None when the table says nothing that can be one (the image itself knows)."""
    if columns.size is None:
        return None
    try:
        width, height = (number(cell_of(cells, column)) for column in columns.size)
    except ValueError:
        return None
    plausible = all(0 < side < MOST_PX and side == int(side) for side in (width, height))
    return (int(width), int(height)) if plausible else None
