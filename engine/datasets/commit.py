"""Writing an import into the database: all rows in one transaction, or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import Split
from engine.datasets import editlog
from engine.datasets.account import Account
from engine.datasets.arrivals import Target, for_adding, for_replacing, same_pixels, sentences
from engine.datasets.class_list import align_points, points_in_use, write_classes
from engine.datasets.geometry import kind_of
from engine.datasets.intake import Taken
from engine.datasets.labels import ClassHead
from engine.datasets.newcomers import Incoming, Newcomer, choose_splits
from engine.datasets.present import Present, present_images
from engine.datasets.resplit import current_rule
from engine.storage.tables import AnnotationRow, Base, FileRow, ImageRow, Project, UtcDateTime

Mode = Literal["new", "add", "replace"]
CHUNK = 2_000  # values in one statement; SQLite takes 32,766


@dataclass(frozen=True)
class Terms:
    """How an import goes in: beside what is there or in its place, how many classes there may be, by whom."""

    import_id: str
    mode: Mode
    class_limit: int
    person: str | None = None


@dataclass(frozen=True)
class Committed:
    """What was written; ``notes`` are sentences for the report."""

    images: int
    annotations: int
    splits_of_set: bool
    notes: tuple[str, ...]


def commit_rows(
    session: Session,
    project: Project,
    incoming: Sequence[Incoming],
    account: Account,
    heads: Sequence[ClassHead],
    terms: Terms,
) -> Committed:
    """Write classes, files, images, annotations and splits; each row gets its outcome in ``account``.

    ``heads`` are the classes as the set lists them. Runs in the caller's write transaction. Raises
    ``LimitError`` when there would be too many classes, ``InputError`` when points do not agree, with each
    other or with the project's.
    """
    present = present_images(session, project.id)
    replacing = terms.mode == "replace"
    theirs = {} if replacing else points_in_use(session, project.id)
    aligned = align_points(theirs, incoming, heads)
    sort_out = for_replacing if replacing else for_adding
    sorted_out = [sort_out(item, present, account) for item in aligned.incoming]
    targets = [target for target, _ in sorted_out if target is not None]
    notes = [*aligned.notes, *sentences(fate for _, fate in sorted_out)]
    _make_room(session, present, targets)
    if replacing:
        notes += _clear(session, project.id, present, targets, terms.person)
        present = {}
    notes += same_pixels(targets, present)
    newcomers = [Newcomer.of(target.incoming, target.split) for target in targets]
    chosen, of_set, note = choose_splits(newcomers, list(present.values()), current_rule(session, project.id))
    notes += [note] if note else []
    used = frozenset(name for target in targets for name in target.incoming.names)
    classes = write_classes(session, project.id, used, aligned.heads, terms.class_limit, retire=replacing)
    _insert_files(session, [target.incoming.taken for target in targets])
    _write_images(session, project.id, terms.import_id, targets, chosen)
    annotations = _write_annotations(session, project.id, targets, classes)
    # The log's number moves on, so that edits before and after the import can be told apart.
    project.edit_seq += 1
    session.flush()
    return Committed(len(targets), annotations, of_set, tuple(notes))


def _make_room(session: Session, present: Mapping[str, Present], targets: Sequence[Target]) -> None:
    """Put aside the images under whose path another picture comes."""
    for target in targets:
        old = present.get(target.incoming.row.path)
        if old is not None and target.new:
            # Results of earlier runs go on showing the old picture, under a path of its own.
            aside = f"{old.path} (replaced, {old.id})"
            session.execute(update(ImageRow).where(ImageRow.id == old.id).values(path=aside))


def _clear(
    session: Session,
    project_id: str,
    present: Mapping[str, Present],
    targets: Sequence[Target],
    person: str | None,
) -> list[str]:
    """Take all images out of use but those that come again, and all labels off the head.

    The log says of those that a person had left out that they are back. Returns notes.
    """
    session.execute(update(ImageRow).where(ImageRow.project_id == project_id).values(left_out=True))
    again = {target.id for target in targets if not target.new}
    editlog.use(session, sorted(again), left_out=False)
    head = (AnnotationRow.project_id == project_id) & AnnotationRow.on_head
    session.execute(update(AnnotationRow).where(head).values(on_head=False))
    back = [image.id for image in present.values() if image.by_hand and image.id in again]
    if not back:
        return []
    sentence = f"{editlog.count_images(len(back))} brought back by a set that replaced the one before"
    entry = editlog.Entry("leave_out", sentence, None, person)
    editlog.write(session, project_id, entry, [editlog.Change(one, left_out_before=True) for one in back])
    return [f"Left out by a person before, and back with this set: {editlog.count_images(len(back))}."]


def _insert_files(session: Session, taken: Sequence[Taken]) -> None:
    wanted = {one.sha256: one for one in taken}
    digests = list(wanted)
    for start in range(0, len(digests), CHUNK):
        part = digests[start : start + CHUNK]
        for digest in session.scalars(select(FileRow.sha256).where(FileRow.sha256.in_(part))):
            del wanted[digest]
    rows = ((one.sha256, one.bytes, one.format, one.mode, one.width, one.height) for one in wanted.values())
    _insert(session, FileRow, rows)


def _write_images(
    session: Session,
    project_id: str,
    import_id: str,
    targets: Sequence[Target],
    chosen: Sequence[Split],
) -> None:
    at, made = _stored_now(session), []
    # What comes back takes the labels of the set; those of before stay in the versions that hold them.
    for part in editlog.chunks([target.id for target in targets if not target.new]):
        head = AnnotationRow.image_id.in_(part) & AnnotationRow.on_head
        session.execute(update(AnnotationRow).where(head).values(on_head=False))
    for target, split in zip(targets, chosen, strict=True):
        if target.new:
            item, taken = target.incoming, target.incoming.taken
            made.append(
                (target.id, project_id, item.row.path, taken.sha256, taken.width, taken.height, split,
                 item.row.group, False, item.negative, 0, import_id, at)
            )  # fmt: skip
        else:
            session.execute(
                update(ImageRow)
                .where(ImageRow.id == target.id)
                .values(
                    split=split,
                    left_out=False,
                    revision=ImageRow.revision + 1,
                    negative=target.incoming.negative,
                    group_key=func.coalesce(ImageRow.group_key, target.incoming.row.group),
                )
            )
    _insert(session, ImageRow, made)


def _write_annotations(
    session: Session, project_id: str, targets: Sequence[Target], classes: dict[str, str]
) -> int:
    """Write all labels; there may be a million. Returns how many."""
    count = sum(len(target.incoming.labels) for target in targets)
    at, ids = _stored_now(session), _new_ids(count)
    rows = (
        (next(ids), project_id, target.id, classes[label.name] if label.name else None, kind_of(label), text,
         True, None, at)
        for target in targets
        for label, text in zip(target.incoming.labels, target.incoming.geometry, strict=True)
    )  # fmt: skip
    _insert(session, AnnotationRow, rows)
    return count


def _new_ids(count: int) -> Iterator[str]:
    """Give ids such as ``new_id`` makes, in order: the database's index is then written from one end on."""
    while True:
        drawn = np.sort(np.frombuffer(os.urandom(8 * count), np.uint64) >> np.uint64(16))
        if (drawn[1:] != drawn[:-1]).all():
            return map("{:012x}".format, drawn.tolist())


def _stored_now(session: Session) -> Any:
    """Give the time as the driver takes it."""
    dialect = session.connection().dialect
    bind = UtcDateTime().dialect_impl(dialect).bind_processor(dialect)
    return bind(utc_now()) if bind is not None else utc_now()


def _insert(session: Session, table: type[Base], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows with the values of all columns, in the table's order, as the driver takes them.

    To convert each value takes SQLAlchemy longer than SQLite needs to store it, while all others wait.
    """
    columns: Table = Base.metadata.tables[table.__tablename__]
    connection, names = session.connection(), columns.columns.keys()
    statement = insert(columns).compile(dialect=connection.dialect)
    rest = iter(rows)
    while part := list(islice(rest, CHUNK)):
        by_name = [] if statement.positional else [dict(zip(names, row, strict=True)) for row in part]
        connection.exec_driver_sql(statement.string, by_name or part)
