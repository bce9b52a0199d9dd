"""DeepLabCut's tables of points: ``CollectedData_*.csv`` with three or four header rows.

Layout: https://deeplabcut.github.io/DeepLabCut/docs/standardDeepLabCut_UserGuide.html. The header names
scorer, (individuals,) bodyparts and coords of each column; the index is the picture's path in one cell or
in three (``labeled-data``, video, picture). DeepLabCut knows individuals and no classes: ``mouse1`` and
``mouse2`` are two of the class mouse, and any other name is an animal of that name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from engine.contracts.datasets import LabelSchema
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
from engine.datasets.formats.csv_columns import is_image_name
from engine.datasets.formats.csv_rows import cell_of, is_nothing, number
from engine.datasets.formats.deeplabcut_write import ANIMAL, write
from engine.datasets.formats.tables import Table, open_table
from engine.datasets.formats.yaml_files import read_yaml
from engine.datasets.labels import ClassHead, ImageLabels, Label, Point
from engine.errors import InputError

KEPT = "deeplabcut"
HEADS = ("scorer", "individuals", "bodyparts", "coords")
SINGLE = "single"
"""The individual of points that exist once, such as the corners of a box."""


@dataclass(frozen=True)
class _Individual:
    """One individual: its class, and the columns of x and y of its points."""

    name: str
    individual: str
    points: tuple[str, ...]
    columns: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Collected:
    """One table: its number of header rows and of index columns, and its individuals."""

    table: Table
    header: int
    index: int
    individuals: tuple[_Individual, ...]

    @property
    def path(self) -> str:
        """The file."""
        return self.table.member.path

    def name(self, cells: Sequence[str]) -> str:
        """Return the picture that a record is about."""
        return "/".join(cell for cell in cells[: self.index] if cell.strip())


def recognise(view: SourceView) -> Recognition | None:
    """Recognise tables that start with scorer, bodyparts and coords."""
    tables = _tables(view)
    if not tables:
        return None
    heads = _heads(tables, ())
    rows = sum(1 for one in tables for _ in one.table.rows(one.header))
    points = len({point for head in heads for point in head.points})
    told = f"{number_of(len(tables), 'table')} of DeepLabCut with {number_of(points, 'point')}"
    reason = f"{told}, {tables[0].path} the first"
    return Recognition(reason, ("points",), tuple(head.name for head in heads), rows, _schemas(tables))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read each image with its individuals; the folder of a video is its group.

    A point without coordinates is not labelled; an individual without any point is not there; a row
    without any point holds nothing. With ``options.schema`` only classes with these points are read.

    Raises ``InputError`` when two people's tables label the same pictures, or there is no table.
    """
    tables = _tables(view)
    _refuse_unclear(tables)
    skeleton, notes = _skeleton(view)
    heads = _heads(tables, skeleton)
    if len(_schemas(tables)) > 1 and options.schema:
        points = next((head.points for head in heads if head.name == options.schema), ())
        heads = tuple(head for head in heads if head.points == points)
    wanted = {head.name for head in heads}
    others = [one for one in tables if all(own.name not in wanted for own in one.individuals)]
    kept = [one for one in tables if one not in others]
    if others:
        rows = sum(1 for one in others for _ in one.table.rows(one.header))
        notes += (f"{number_of(rows, 'picture')} with other points: for a project of their own.",)
    return Reading(_rows(view, kept, wanted, unlisted=not others), heads, notes=notes)


def _rows(
    view: SourceView, tables: Sequence[_Collected], wanted: set[str], *, unlisted: bool
) -> Iterator[Row]:
    done: set[str] = set()
    for one in tables:
        for line, cells in one.table.rows(one.header):
            try:
                path = _find(view, one, cells)
            except LookupError as error:
                yield missing_image(one.path, line, one.name(cells), error)
                continue
            if path in done:
                yield repaired(one.path, line, f"“{path}” is listed twice; its first row counts")
                continue
            done.add(path)
            yield from _image(one, path, line, cells, wanted)
    for member in view.images:
        if unlisted and member.path not in done:
            yield ImageLabels(member.path, group=_video(member.path))


def _image(one: _Collected, path: str, line: int, cells: Sequence[str], wanted: set[str]) -> Iterator[Row]:
    labels: list[Label] = []
    issues: list[LabelIssue] = []
    empty = True
    for individual in one.individuals:
        try:
            points = tuple(_points(individual, cells))
        except ValueError as error:
            issues.append(skipped(one.path, line, f"{individual.individual or individual.name}: {error}"))
            continue
        if not any(seen for _, _, seen in points):
            continue
        empty = False
        if individual.name in wanted:
            own = (("individual", individual.individual),) if individual.individual else ()
            labels.append(Label(individual.name, points=points, attributes=own, line=line))
    yield from issues
    negative = empty and not issues
    yield ImageLabels(path, tuple(labels), None, one.path, line, negative, group=_video(path))


def _points(individual: _Individual, cells: Sequence[str]) -> Iterator[Point]:
    for name, (x, y) in zip(individual.points, individual.columns, strict=True):
        places = cell_of(cells, x), cell_of(cells, y)
        if all(map(is_nothing, places)):
            yield 0.0, 0.0, 0
        elif any(map(is_nothing, places)):
            raise ValueError(f"point “{name}” has only one coordinate")
        else:
            yield number(places[0]), number(places[1]), 2


def _find(view: SourceView, one: _Collected, cells: Sequence[str]) -> str:
    name = one.name(cells).replace("\\", "/")
    beside = PurePosixPath(one.path).parent / PurePosixPath(name).name
    try:
        return view.resolve(name)
    except LookupError:
        member = view.by_path.get(str(beside))
        if member is None or not member.is_image:
            raise
        return member.path


def _video(path: str) -> str | None:
    """Return the folder of the video that a picture was taken from."""
    folders = path.split("/")[:-1]
    return folders[-1] if folders and folders[-1] != "labeled-data" else None


def _tables(view: SourceView) -> tuple[_Collected, ...]:
    if KEPT not in view.kept:
        found = [open_table(view, member) for member in view.named(".csv")]
        collected = [_collected(table) for table in found if table is not None]
        view.kept[KEPT] = tuple(one for one in collected if one is not None)
    tables: tuple[_Collected, ...] = view.kept[KEPT]
    return tables


def _collected(table: Table) -> _Collected | None:
    """Understand the header rows; None when they are something else, as a table of predictions is."""
    rows = [list(table.first), *table.sample[:3]]
    heads = {cells[0].strip().casefold(): cells for cells in rows if cells}
    names = [name for name in HEADS if name in heads]
    if names[:1] != ["scorer"] or names[-2:] != ["bodyparts", "coords"]:
        return None
    if [cells[0].strip().casefold() for cells in rows[: len(names)]] != names:
        return None
    coords = [cell.strip().casefold() for cell in heads["coords"]]
    index = next((n for n, cell in enumerate(coords) if cell == "x"), 0)
    body = coords[index:]
    if not index or any(coords[1:index]) or body != ["x", "y"] * (len(body) // 2):
        return None
    first = next(iter(table.sample[len(names) - 1 :]), None)
    if first is not None and not is_image_name((first[:index] or [""])[-1]):
        return None
    width = len(coords)
    if any(len(heads[name]) != width for name in names):
        return None
    individuals = heads.get("individuals", [""] * width)
    return _Collected(table, len(names), index, tuple(_individuals(individuals, heads["bodyparts"], index)))


def _individuals(individuals: Sequence[str], parts: Sequence[str], index: int) -> Iterator[_Individual]:
    columns: dict[str, list[int]] = defaultdict(list)
    for column in range(index, len(parts), 2):
        columns[individuals[column].strip()].append(column)
    for individual, own in columns.items():
        name, kept = _class_of(individual)
        points = tuple(parts[column].strip() for column in own)
        yield _Individual(name, kept, points, tuple((column, column + 1) for column in own))


def _class_of(individual: str) -> tuple[str, str]:
    """Return the class of an individual, and its name where it is one."""
    numbered = re.fullmatch(r"(.+?)(_?)\d+", individual)
    if not individual or (numbered and numbered[1] == "individual" and not numbered[2]):
        return ANIMAL, ""
    if numbered and clean_class(numbered[1]):
        return clean_class(numbered[1]), ""
    return (SINGLE, "") if individual == SINGLE else (ANIMAL, individual)


def _heads(tables: Sequence[_Collected], skeleton: Sequence[tuple[str, str]]) -> tuple[ClassHead, ...]:
    heads: dict[str, ClassHead] = {}
    for individual in (individual for one in tables for individual in one.individuals):
        at = {point: position for position, point in enumerate(individual.points)}
        pairs = tuple((at[a], at[b]) for a, b in skeleton if a in at and b in at)
        head = heads.setdefault(individual.name, ClassHead(individual.name, individual.points, pairs))
        if head.points != individual.points:
            raise InputError(
                f"“{individual.name}” has different points in the tables of DeepLabCut.",
                "Give all the same bodyparts in the same order.",
            )
    return tuple(heads.values())


def _schemas(tables: Sequence[_Collected]) -> tuple[LabelSchema, ...]:
    """Return the sorts of points: classes that share theirs, under the name of the first."""
    sorts: dict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    for individual in (individual for one in tables for individual in one.individuals):
        sorts[individual.points][individual.name] = None
    return tuple(
        LabelSchema(
            name=next(iter(own)),
            title=f"{', '.join(own)}: {number_of(len(points), 'point')}",
            points=len(points),
            classes=tuple(own),
        )
        for points, own in sorts.items()
    )


def _refuse_unclear(tables: Sequence[_Collected]) -> None:
    if not tables:
        raise InputError("There is no table of DeepLabCut.", "It is called CollectedData_….csv.")
    folders: dict[str, str] = {}
    for one in tables:
        folder = one.path.rpartition("/")[0]
        if folder in folders:
            raise InputError(
                f"“{folders[folder]}” and “{one.path}” label the same pictures.", "Keep one of them."
            )
        folders[folder] = one.path
    _heads(tables, ())


def _skeleton(view: SourceView) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the pairs of points in the project's config.yaml, and what is wrong with it."""
    for member in view.named("config.yaml"):
        try:
            found = read_yaml(view, member).get("skeleton")
        except InputError as error:
            return (), (f"The skeleton is not read: {error}",)
        pairs = [pair for pair in found if isinstance(pair, list)] if isinstance(found, list) else []
        return tuple(
            (a, b) for pair in pairs for a, b in pairwise(pair) if isinstance(a, str) and isinstance(b, str)
        ), ()
    return (), ()


FORMAT = DatasetFormat(
    name="deeplabcut",
    title="DeepLabCut",
    carries=frozenset({"points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"negatives", "classes", "groups"}),
)
