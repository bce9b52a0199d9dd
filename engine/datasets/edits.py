"""Edits of the working head: each a batch in the log, repeatable by its key, and undoable.

All functions run inside the caller's write transaction, which holds the database's write lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import ClassInfo, EditReceipt
from engine.errors import ConflictError, InputError, LimitError, NotFoundError
from engine.settings import Limits
from engine.storage.database import new_id
from engine.storage.tables import AnnotationRow, ClassRow, EditRow, ImageRow, Person, Project, VersionRow

CHUNK = 2_000  # ids in one statement; SQLite takes 32,766 values
CLASS_NAME_LENGTH = 200


@dataclass(frozen=True)
class _Entry:
    """What all rows of one batch in the log share."""

    kind: str
    description: str
    key: str | None
    person: str | None
    undoes: str | None = None


@dataclass
class _Change:
    """What one edit does to one image."""

    image_id: str
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    left_out_before: bool | None = None


def change_class(
    session: Session,
    project_id: str,
    image_ids: Sequence[str],
    class_id: str,
    key: str | None = None,
    person: str | None = None,
) -> EditReceipt:
    """Make ``class_id`` the one class of these images; the same ``key`` again changes nothing.

    Raises ``NotFoundError`` for a class or an image that is not in the project.
    """
    if (receipt := _receipt(session, project_id, key)) is not None:
        return receipt
    target = session.get(ClassRow, class_id)
    if target is None or target.project_id != project_id or target.deleted_at is not None:
        raise NotFoundError("This class does not exist in the project.", "Choose another one.")
    images = _images(session, project_id, image_ids)
    present = _head(session, list(images))
    changes, fresh = [], []
    for image_id in images:
        labels = present.get(image_id, [])
        if [label.class_id for label in labels] == [class_id]:
            continue
        annotation = _annotation(project_id, image_id, class_id, person)
        fresh.append(annotation)
        changes.append(_Change(image_id, [label.id for label in labels], [str(annotation["id"])]))
    if fresh:
        _know(session, person)
        session.execute(insert(AnnotationRow), fresh)
    sentence = f"{_count(len(changes))} changed to “{target.name}”"
    return _write(session, project_id, _Entry("change_class", sentence, key, person), changes)


def leave_out(
    session: Session,
    project_id: str,
    image_ids: Sequence[str],
    left_out: bool = True,
    key: str | None = None,
    person: str | None = None,
) -> EditReceipt:
    """Leave images out of later versions, or bring them back; the files stay."""
    if (receipt := _receipt(session, project_id, key)) is not None:
        return receipt
    images = _images(session, project_id, image_ids)
    changes = [
        _Change(image_id, left_out_before=before) for image_id, before in images.items() if before != left_out
    ]
    for part in _chunks([change.image_id for change in changes]):
        session.execute(update(ImageRow).where(ImageRow.id.in_(part)).values(left_out=left_out))
    sentence = f"{_count(len(changes))} {'left out' if left_out else 'brought back'}"
    return _write(session, project_id, _Entry("leave_out", sentence, key, person), changes)


def undo(
    session: Session, project_id: str, key: str | None = None, person: str | None = None
) -> EditReceipt | None:
    """Take back the newest edit that still stands; None when there is none.

    The undo is itself a batch in the log. Raises ``ConflictError`` when an import has since changed
    the labels that it would restore.
    """
    if (receipt := _receipt(session, project_id, key)) is not None:
        return receipt
    batch = undoable(session, project_id)
    if batch is None:
        return None
    rows = session.scalars(
        select(EditRow).where(EditRow.project_id == project_id, EditRow.batch == batch).order_by(EditRow.seq)
    ).all()
    added = [annotation for row in rows for annotation in row.added]
    removed = [annotation for row in rows for annotation in row.removed]
    _expect_on_head(session, added)
    _put_on_head(session, added, on_head=False)
    _put_on_head(session, removed, on_head=True)
    for before in (True, False):
        back = [row.image_id for row in rows if row.left_out_before is before]
        for part in _chunks(back):
            session.execute(update(ImageRow).where(ImageRow.id.in_(part)).values(left_out=before))
    changes = [
        _Change(
            row.image_id,
            removed=list(row.added),
            added=list(row.removed),
            left_out_before=None if row.left_out_before is None else not row.left_out_before,
        )
        for row in rows
    ]
    sentence = f"Undone: {rows[0].description}"
    entry = _Entry(rows[0].kind, sentence, key, person, undoes=batch)
    return _write(session, project_id, entry, changes)


def undoable(session: Session, project_id: str) -> str | None:
    """Return the batch that ``undo`` would take back: the newest that neither is nor was undone.

    An import closes the log: what was edited before it is not undone over it.
    """
    undone = select(EditRow.undoes).where(EditRow.project_id == project_id, EditRow.undoes.is_not(None))
    imported = select(func.coalesce(func.max(VersionRow.edit_seq), 0)).where(
        VersionRow.project_id == project_id, VersionRow.reason == "import"
    )
    query = (
        select(EditRow.batch)
        .where(
            EditRow.project_id == project_id,
            EditRow.undoes.is_(None),
            EditRow.batch.not_in(undone),
            EditRow.seq > imported.scalar_subquery(),
        )
        .order_by(EditRow.seq.desc())
        .limit(1)
    )
    return session.scalars(query).first()


def add_class(session: Session, project_id: str, name: str) -> ClassInfo:
    """Add a class at the end of the list; the class of that name, when there is one already.

    Raises ``InputError`` for an empty or overlong name, ``LimitError`` over the number of classes.
    """
    name = " ".join(name.split())
    if not name or len(name) > CLASS_NAME_LENGTH:
        raise InputError(f"A class name has 1 to {CLASS_NAME_LENGTH} characters.")
    if session.get(Project, project_id) is None:
        raise NotFoundError("This project does not exist.")
    rows = session.scalars(select(ClassRow).where(ClassRow.project_id == project_id)).all()
    for row in rows:
        if row.name == name:
            row.deleted_at = None
            return ClassInfo(id=row.id, name=row.name, position=row.position)
    if len(rows) >= Limits().classes:
        raise LimitError(f"A project has at most {Limits().classes:,} classes.")
    position = max((row.position for row in rows), default=-1) + 1
    row = ClassRow(id=new_id(), project_id=project_id, name=name, position=position)
    session.add(row)
    session.flush()
    return ClassInfo(id=row.id, name=name, position=position)


def _receipt(session: Session, project_id: str, key: str | None) -> EditReceipt | None:
    """Return the receipt of the batch with this key, when it was written already."""
    if key is None:
        return None
    query = select(func.count(), func.max(EditRow.description)).where(
        EditRow.project_id == project_id, EditRow.batch == key
    )
    changed, description = session.execute(query).one()
    return EditReceipt(batch=key, changed=changed, message=description) if changed else None


def _images(session: Session, project_id: str, image_ids: Sequence[str]) -> dict[str, bool]:
    """Return whether each image is left out, in the order asked."""
    found: dict[str, bool] = {}
    wanted = list(dict.fromkeys(image_ids))
    for part in _chunks(wanted):
        query = select(ImageRow.id, ImageRow.left_out)
        query = query.where(ImageRow.project_id == project_id, ImageRow.id.in_(part))
        found.update((image_id, left_out) for image_id, left_out in session.execute(query))
    if len(found) != len(wanted):
        raise NotFoundError(f"{len(wanted) - len(found)} of these images are not in the project.")
    return {image_id: found[image_id] for image_id in wanted}


def _head(session: Session, image_ids: Sequence[str]) -> dict[str, list[AnnotationRow]]:
    labels: dict[str, list[AnnotationRow]] = {}
    for part in _chunks(image_ids):
        query = select(AnnotationRow).where(AnnotationRow.image_id.in_(part), AnnotationRow.on_head)
        for row in session.scalars(query):
            labels.setdefault(row.image_id, []).append(row)
    return labels


def _annotation(project_id: str, image_id: str, class_id: str, person: str | None) -> dict[str, object]:
    return {
        "id": new_id(),
        "project_id": project_id,
        "image_id": image_id,
        "class_id": class_id,
        "kind": "class",
        "on_head": True,
        "person_id": person,
        "created_at": utc_now(),
    }


def _expect_on_head(session: Session, annotation_ids: Sequence[str]) -> None:
    standing = 0
    for part in _chunks(annotation_ids):
        query = select(func.count()).where(AnnotationRow.id.in_(part), AnnotationRow.on_head)
        standing += session.scalar(query) or 0
    if standing != len(annotation_ids):
        raise ConflictError(
            "An import has changed these labels since, so the edit cannot be undone.",
            "Change the labels by hand.",
        )


def _put_on_head(session: Session, annotation_ids: Sequence[str], *, on_head: bool) -> None:
    for part in _chunks(annotation_ids):
        session.execute(update(AnnotationRow).where(AnnotationRow.id.in_(part)).values(on_head=on_head))


def _write(session: Session, project_id: str, entry: _Entry, changes: Sequence[_Change]) -> EditReceipt:
    """Take ``removed`` off the head, raise the revisions and append the batch to the log."""
    if not changes:
        return EditReceipt(batch="", changed=0, message="Nothing to change.")
    batch = entry.key or new_id()
    _know(session, entry.person)
    _put_on_head(session, [label for change in changes for label in change.removed], on_head=False)
    for part in _chunks([change.image_id for change in changes]):
        session.execute(update(ImageRow).where(ImageRow.id.in_(part)).values(revision=ImageRow.revision + 1))
    project = session.get_one(Project, project_id, with_for_update=True)
    first, at = project.edit_seq + 1, utc_now()
    project.edit_seq += len(changes)
    session.execute(
        insert(EditRow),
        [
            {
                "project_id": project_id,
                "seq": first + number,
                "batch": batch,
                "kind": entry.kind,
                "image_id": change.image_id,
                "removed": change.removed,
                "added": change.added,
                "left_out_before": change.left_out_before,
                "undoes": entry.undoes,
                "description": entry.description,
                "person_id": entry.person,
                "at": at,
            }
            for number, change in enumerate(changes)
        ],
    )
    session.flush()
    return EditReceipt(batch=batch, changed=len(changes), message=entry.description)


def _chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]


def _count(number: int) -> str:
    return "1 image" if number == 1 else f"{number:,} images"


def _know(session: Session, person: str | None) -> None:
    """Add the person's row before rows that name it."""
    if person is not None and session.get(Person, person) is None:
        session.add(Person(id=person, name=person))
        session.flush()
