"""Edits of the working head: each a batch in the log, repeatable by its key, and undoable.

All functions run inside the caller's write transaction, which holds the database's write lock.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import ClassInfo, EditReceipt
from engine.datasets import editlog
from engine.datasets.editlog import Change, Entry
from engine.errors import ConflictError, InputError, LimitError, NotFoundError
from engine.settings import Limits
from engine.storage.database import new_id
from engine.storage.tables import AnnotationRow, ClassRow, EditRow, Project, VersionRow

CLASS_NAME_LENGTH = 200


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
    if (receipt := editlog.receipt(session, project_id, key)) is not None:
        return receipt
    target = session.get(ClassRow, class_id)
    if target is None or target.project_id != project_id or target.deleted_at is not None:
        raise NotFoundError("This class does not exist in the project.", "Choose another one.")
    images = editlog.known_images(session, project_id, image_ids)
    present = _head(session, list(images))
    changes, fresh = [], []
    for image_id in images:
        labels = present.get(image_id, [])
        if [label.class_id for label in labels] == [class_id]:
            continue
        annotation = _annotation(project_id, image_id, class_id, person)
        fresh.append(annotation)
        changes.append(Change(image_id, [label.id for label in labels], [str(annotation["id"])]))
    if fresh:
        editlog.know(session, person)
        session.execute(insert(AnnotationRow), fresh)
    sentence = f"{editlog.count_images(len(changes))} changed to “{target.name}”"
    return editlog.write(session, project_id, Entry("change_class", sentence, key, person), changes)


def leave_out(
    session: Session,
    project_id: str,
    image_ids: Sequence[str],
    left_out: bool = True,
    key: str | None = None,
    person: str | None = None,
) -> EditReceipt:
    """Leave images out of later versions, or bring them back; the files stay."""
    if (receipt := editlog.receipt(session, project_id, key)) is not None:
        return receipt
    images = editlog.known_images(session, project_id, image_ids)
    changes = [
        Change(image_id, left_out_before=before) for image_id, before in images.items() if before != left_out
    ]
    editlog.use(
        session, [image_id for image_id, before in images.items() if before != left_out], left_out=left_out
    )
    sentence = f"{editlog.count_images(len(changes))} {'left out' if left_out else 'brought back'}"
    return editlog.write(session, project_id, Entry("leave_out", sentence, key, person), changes)


def undo(
    session: Session, project_id: str, key: str | None = None, person: str | None = None
) -> EditReceipt | None:
    """Take back the newest edit that still stands; None when there is none.

    The undo is itself a batch in the log. Raises ``ConflictError`` when an import has since changed
    the labels that it would restore.
    """
    if (receipt := editlog.receipt(session, project_id, key)) is not None:
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
    editlog.put_on_head(session, added, on_head=False)
    editlog.put_on_head(session, removed, on_head=True)
    for before in (True, False):
        back = [row.image_id for row in rows if row.left_out_before is before and row.image_id is not None]
        editlog.use(session, back, left_out=before)
    stood = editlog.put_back(session, project_id, rows)
    changes = [
        Change(
            row.image_id,
            removed=list(row.added),
            added=list(row.removed),
            left_out_before=None if row.left_out_before is None else not row.left_out_before,
            before=stood.get(row.id),
        )
        for row in rows
    ]
    sentence = f"Undone: {rows[0].description}"
    entry = Entry(rows[0].kind, sentence, key, person, undoes=batch)
    return editlog.write(session, project_id, entry, changes)


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


def _head(session: Session, image_ids: Sequence[str]) -> dict[str, list[AnnotationRow]]:
    labels: dict[str, list[AnnotationRow]] = {}
    for part in editlog.chunks(image_ids):
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
    for part in editlog.chunks(annotation_ids):
        query = select(func.count()).where(AnnotationRow.id.in_(part), AnnotationRow.on_head)
        standing += session.scalar(query) or 0
    if standing != len(annotation_ids):
        raise ConflictError(
            "An import has changed these labels since, so the edit cannot be undone.",
            "Change the labels by hand.",
        )
