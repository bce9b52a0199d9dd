"""The classes of a project when an import is written: which there are, in which order, with which points."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.datasets.labels import ClassHead, Label
from engine.datasets.newcomers import Incoming
from engine.errors import InputError, LimitError
from engine.storage.database import new_id
from engine.storage.tables import ClassRow

Bones = list[list[int]]


@dataclass(frozen=True)
class Aligned:
    """The images of an import with points in the project's order, the classes of the set, and notes."""

    incoming: Sequence[Incoming]
    heads: Sequence[ClassHead]
    notes: tuple[str, ...] = ()


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sort key that puts "class 2" before "class 10"."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return tuple((piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces)


def points_in_use(session: Session, project_id: str) -> dict[str, tuple[str, ...]]:
    """Return the names of the points of each class in use that has any."""
    rows = session.scalars(_classes_of(project_id).where(ClassRow.deleted_at.is_(None)))
    return {row.name: tuple(row.points) for row in rows if row.points}


def align_points(
    theirs: Mapping[str, tuple[str, ...]], incoming: Sequence[Incoming], heads: Sequence[ClassHead]
) -> Aligned:
    """Bring the points of the set into the order that the project's classes give them, by their names.

    ``theirs`` are the points of the project's classes; a class that is not among them takes the set's.
    Points for which the set has no names are numbered from 1. Raises ``InputError`` when the points are
    others than the project's, or when objects of one class have different numbers of nameless points.
    """
    heads, counts = _with_points(incoming, heads)
    orders: dict[str, tuple[int, ...]] = {}
    for head in heads:
        wanted = theirs.get(head.name)
        if head.name in counts and wanted is not None and wanted != head.points:
            orders[head.name] = _order(head, wanted)
    if not orders:
        return Aligned(incoming, heads)
    notes = tuple(
        f"The points of “{head.name}” stand in another order in the set ({', '.join(head.points)}); "
        "they were put into that of the project."
        for head in heads
        if head.name in orders
    )
    return Aligned(
        [_reordered(item, orders) for item in incoming],
        [_reordered_head(head, orders[head.name]) if head.name in orders else head for head in heads],
        notes,
    )


def _with_points(
    incoming: Sequence[Incoming], heads: Sequence[ClassHead]
) -> tuple[list[ClassHead], Mapping[str, int]]:
    """Give all heads, nameless points numbered, and how many points the objects of each class have."""
    used = dict.fromkeys(label.name for item in incoming for label in item.labels if label.name)
    named = {head.name: head for head in _merged(heads, used)}
    counts: dict[str, int] = {}
    for label in (label for item in incoming for label in item.labels):
        if not label.points or not label.name:
            continue
        if counts.setdefault(label.name, len(label.points)) == len(label.points):
            continue
        if label.name not in named or not named[label.name].points:
            raise InputError(
                f"Objects of “{label.name}” have {counts[label.name]} and {len(label.points)} points "
                "without names.",
                "Name the points, or make classes of their own.",
            )
    for name, count in counts.items():
        head = named.setdefault(name, ClassHead(name))
        if not head.points:
            named[name] = replace(head, points=tuple(str(number + 1) for number in range(count)))
    return list(named.values()), counts


def _merged(heads: Sequence[ClassHead], used: dict[str, None]) -> Iterator[ClassHead]:
    """Give the classes of a set by the names in use, where names that differ only in case were merged."""
    named = {head.name for head in heads}
    folded = {name.casefold(): name for name in reversed(used)}
    for head in heads:
        name = head.name if head.name in used else folded.get(head.name.casefold(), head.name)
        if name == head.name:
            yield head
        elif name not in named:
            named.add(name)
            yield replace(head, name=name)


def _order(head: ClassHead, wanted: tuple[str, ...]) -> tuple[int, ...]:
    """Return for each point of the project its place in the set; raises ``InputError``."""
    if len(set(wanted)) != len(wanted) or sorted(wanted) != sorted(head.points):
        raise InputError(
            f"The points of “{head.name}” are {', '.join(wanted)} in the project, "
            f"but {', '.join(head.points)} in the set.",
            "Take this set into a project of its own.",
        )
    return tuple(head.points.index(name) for name in wanted)


def _reordered(item: Incoming, orders: Mapping[str, tuple[int, ...]]) -> Incoming:
    if not any(label.points and label.name in orders for label in item.labels):
        return item
    labels = (_reordered_label(label, orders.get(label.name)) for label in item.labels)
    return replace(item, labels=tuple(labels))


def _reordered_label(label: Label, order: tuple[int, ...] | None) -> Label:
    if order is None or not label.points:
        return label
    if len(label.points) != len(order):
        raise InputError(
            f"An object of “{label.name}” has {len(label.points)} points, but {len(order)} have names.",
            "Mend the set.",
        )
    return replace(label, points=tuple(label.points[place] for place in order))


def _reordered_head(head: ClassHead, order: tuple[int, ...]) -> ClassHead:
    return replace(
        head,
        points=tuple(head.points[place] for place in order),
        skeleton=tuple((order.index(one), order.index(other)) for one, other in head.skeleton),
    )


def write_classes(
    session: Session,
    project_id: str,
    used: frozenset[str],
    heads: Sequence[ClassHead],
    limit: int,
    *,
    retire: bool,
) -> dict[str, str]:
    """Return class ids by name, adding those that are new or come back behind those in use.

    They come in the set's own order, and those that it does not list after them in natural order.
    ``retire``: the set takes the place of all; its classes come first, and no others stay in use. Raises
    ``LimitError``.
    """
    rows = {row.name: row for row in session.scalars(_classes_of(project_id))}
    listed = {head.name: head for head in heads if head.name}
    names = [*listed, *sorted(used - listed.keys(), key=natural)]
    staying = [] if retire else [row for row in rows.values() if row.deleted_at is None]
    stay = {row.name for row in staying}
    coming = [name for name in names if name not in stay]
    if len(stay) + len(coming) > limit:
        raise LimitError(
            f"The project would have {len(stay) + len(coming):,} classes; {limit:,} is the limit."
        )
    for row in staying:
        _complete(row, listed.get(row.name))
    if retire:
        # The rows stay, for the versions that hold these classes.
        for row in rows.values():
            row.deleted_at = row.deleted_at or utc_now()
    first = max((row.position for row in staying), default=-1) + 1
    for position, name in enumerate(coming, first):
        row = rows.get(name) or ClassRow(id=new_id(), project_id=project_id, name=name)
        row.deleted_at, row.position, head = None, position, listed.get(name)
        row.points, row.skeleton = _points(head), _skeleton(head)
        session.add(row)
        rows[name] = row
    session.flush()
    return {name: row.id for name, row in rows.items()}


def _classes_of(project_id: str) -> Select[ClassRow]:
    return select(ClassRow).where(ClassRow.project_id == project_id)


def _complete(row: ClassRow, head: ClassHead | None) -> None:
    """Add to a class what only the set says of it: its points, and how they are joined."""
    row.points = row.points or _points(head)
    if row.points == _points(head):
        row.skeleton = row.skeleton or _skeleton(head)


def _points(head: ClassHead | None) -> list[str] | None:
    return list(head.points) if head and head.points else None


def _skeleton(head: ClassHead | None) -> Bones | None:
    return [list(bone) for bone in head.skeleton] if head and head.skeleton else None
