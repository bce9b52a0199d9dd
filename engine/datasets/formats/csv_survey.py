"""One pass over all cells of a label table, for what its header leaves open.

It settles how labels in one cell are separated, which columns are classes of their own, whether a box in
one cell is its corners or corner and size, and whether coordinates are px or shares of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from engine.contracts.datasets import LabelKind, Split
from engine.datasets.formats.base import SourceView, clean_class
from engine.datasets.formats.csv_columns import BINARY, NOTHING, BoxStyle, Columns, plain
from engine.datasets.formats.csv_rows import (
    OBJECT,
    Listing,
    box_cells,
    cell_of,
    find_image,
    folder_split,
    is_nothing,
    number,
    split_tags,
)
from engine.settings import Limits

SHARES = (-0.5, 1.5)
"""Between these lie coordinates that are shares of the image, some of them a little outside it."""
ENOUGH_BOXES = 10  # from which on boxes in one cell prove that they are corners
ODD_BOXES = 0.05  # share of boxes that may be wrong without putting that in doubt
COMMA_NAMES = frozenset({"tag", "tags", "keywords"})


@dataclass
class Survey:
    """What the cells of a table say together.

    ``values`` are the distinct cells of the label column, up to the largest number of classes.
    ``objects`` counts labels by image. ``answers`` are the distinct cells of each one-hot column.
    ``single``: each row names exactly one class. ``folders``: the split that the folders of each image
    name, where they name one. ``keys`` tells rows apart, to compare tables. ``grouped``: the
    rows of each image follow one another; ``seen`` are the paths of the images. ``groups``: some row names
    what its image belongs to.
    """

    rows: int = 0
    values: dict[str, None] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    several: bool = False
    objects: dict[str, int] = field(default_factory=dict)
    answers: dict[int, set[str]] = field(default_factory=dict)
    single: bool = True
    low: float = 0.0
    high: float = 0.0
    whole: bool = True
    sized: bool = True
    boxes: int = 0
    odd_boxes: int = 0
    folders: set[Split | None] = field(default_factory=set)
    keys: set[int] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    last: str = ""
    grouped: bool = True
    groups: bool = False


def survey(view: SourceView, listing: Listing) -> tuple[Listing, Survey]:
    """Read a whole table once; returns it with what its cells told, and the facts themselves."""
    facts, columns = Survey(), listing.columns
    for _, cells in listing.rows():
        facts.rows += 1
        _place(view, listing, facts, cells)
        if columns.box or columns.points:
            _geometry(columns, facts, cells)
        elif columns.tags:
            _one_hot(columns, facts, cells)
    return replace(listing, columns=_settled(listing, facts)), facts


def kinds_of(columns: Columns, facts: Survey) -> tuple[LabelKind, ...]:
    """Return the kinds of label that a table holds, the likeliest first."""
    if columns.points:
        return ("points", "boxes") if columns.box else ("points",)
    if columns.box:
        return ("boxes", "box") if set(facts.objects.values()) <= {0, 1} else ("boxes",)
    if columns.tags:
        return ("class", "tags") if facts.single and facts.rows else ("tags",)
    if columns.lists:
        one_each = not facts.several and all(len(one) == 1 for one in _lists(columns, facts))
        return ("tags", "class") if one_each else ("tags",)
    return ("class", "tags") if facts.several else ("class",)


def classes_of(columns: Columns, facts: Survey) -> tuple[str, ...]:
    """Return the names of the classes: columns in their order, else sorted."""
    if columns.tags:
        return tuple(dict.fromkeys(clean_class(columns.names[n]) for n in columns.tags))
    if columns.has_geometry and columns.label is None:
        return (OBJECT,)
    names = {clean_class(name) for one in _lists(columns, facts) for name in one}
    return tuple(sorted(name for name in names if name))


def _lists(columns: Columns, facts: Survey) -> Iterator[list[str]]:
    for value in facts.values:
        yield split_tags(value, columns.separators) if columns.lists else [value]


def _place(view: SourceView, listing: Listing, facts: Survey, cells: Sequence[str]) -> None:
    columns = listing.columns
    try:
        path = find_image(view, listing, cells)
        facts.grouped = facts.grouped and (path == facts.last or path not in facts.seen)
        facts.seen.add(path)
        facts.last = path
        facts.folders.add(folder_split(path))
    except LookupError:
        path = cell_of(cells, columns.path)
    facts.groups = facts.groups or bool(cell_of(cells, columns.group))
    value = cell_of(cells, columns.label)
    facts.keys.add(hash((path, value, *(cell_of(cells, n) for n in columns.box))))
    if columns.has_geometry:
        there = bool(columns.points) or bool(box_cells(columns, cells))
        facts.objects[path] = facts.objects.get(path, 0) + there
        value = value if there else ""
    elif value and facts.first.setdefault(path, value) != value:
        facts.several = True
    if value and len(facts.values) <= Limits().classes:
        facts.values[value] = None


def _geometry(columns: Columns, facts: Survey, cells: Sequence[str]) -> None:
    box = box_cells(columns, cells) if columns.box else []
    places = [cell_of(cells, n) for one in columns.points for n in (one.x, one.y)]
    try:
        values = [number(cell) for cell in (*box, *places) if not is_nothing(cell)]
    except ValueError:
        return  # reading it says why
    if not values:
        return
    facts.low, facts.high = min(facts.low, *values), max(facts.high, *values)
    facts.whole = facts.whole and all(value == int(value) for value in values)
    size = [cell_of(cells, n) for n in columns.size or ()]
    facts.sized = facts.sized and bool(size) and not any(map(is_nothing, size))
    if columns.box_style == "list" and len(box) == 4:
        facts.boxes += 1
        facts.odd_boxes += values[2] <= values[0] or values[3] <= values[1]


def _one_hot(columns: Columns, facts: Survey, cells: Sequence[str]) -> None:
    found = {n: cell_of(cells, n).casefold() for n in columns.tags}
    if all(cell in NOTHING for cell in found.values()):
        return
    for n, cell in found.items():
        answers = facts.answers.setdefault(n, set())
        if len(answers) <= len(BINARY):
            answers.add("" if cell in NOTHING else cell)
    facts.single = facts.single and sum(BINARY.get(cell, False) for cell in found.values()) == 1


def _settled(listing: Listing, facts: Survey) -> Columns:
    columns = listing.columns
    if columns.tags:
        return replace(columns, tags=tuple(n for n in columns.tags if _answers(facts, n)))
    if columns.lists and columns.label is not None:
        comma = "," if plain(columns.names[columns.label]) in COMMA_NAMES else ""
        plain_cells = [value for value in facts.values if not value.startswith("[")]
        used = [mark for mark in "|;" + comma if any(mark in value for value in plain_cells)]
        separators = "".join(used[:1])
        listed = bool(separators) or columns.union or len(plain_cells) < len(facts.values)
        return replace(columns, separators=separators, lists=listed)
    if not columns.has_geometry:
        return columns
    low, high = SHARES
    relative = low <= facts.low and 0 < facts.high <= high and not (facts.whole and facts.sized)
    if columns.box_style != "list":
        return replace(columns, relative=relative)
    return replace(columns, relative=relative, in_cell=_in_cell(facts))


def _answers(facts: Survey, column: int) -> bool:
    found = facts.answers.get(column, set()) - {""}
    return bool(found) and found <= BINARY.keys() and not ("-1" in found and found & {"0", "0.0"})


def _in_cell(facts: Survey) -> BoxStyle | None:
    """Tell corners from corner and size: a right edge always lies right of the left one, a width does not.

    None when a few boxes can be read both ways.
    """
    if facts.odd_boxes > ODD_BOXES * facts.boxes:
        return "size"
    return "corners" if facts.boxes >= ENOUGH_BOXES or not facts.boxes else None
