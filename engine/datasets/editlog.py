"""The log of edits: how one batch is written, found again by its key, and put back.

All functions run inside the caller's write transaction, which holds the database's write lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import EditReceipt
from engine.errors import ConflictError, NotFoundError
from engine.storage.database import new_id
from engine.storage.tables import AnnotationRow, ClassRow, EditRow, ImageRow, Person, Project

CHUNK = 2_000  # ids in one statement; SQLite takes 32,766 values
IMAGE_COLUMNS = ("split", "negative", "path", "group_key")
"""What a batch changes of an image beside its labels and its use, kept in ``EditRow.before``."""
PROJECT_COLUMNS = ("preprocessing", "split_rule")
CLASS_COLUMNS = ("name", "position", "points", "skeleton")
Values = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What all rows of one batch in the log share."""

    kind: str
    description: str
    key: str | None
    person: str | None
    undoes: str | None = None


@dataclass
class Change:
    """What one edit does to one image, or (without an image) to the project and its classes."""

    image_id: str | None
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    left_out_before: bool | None = None
    before: Values | None = None


def receipt(session: Session, project_id: str, key: str | None) -> EditReceipt | None:
    """Return the receipt of the batch with this key, when it was written already."""
    if key is None:
        return None
    query = select(func.count(), func.count(EditRow.image_id), func.max(EditRow.description)).where(
        EditRow.project_id == project_id, EditRow.batch == key
    )
    rows, changed, description = session.execute(query).one()
    return EditReceipt(batch=key, changed=changed, message=description) if rows else None


def write(session: Session, project_id: str, entry: Entry, changes: Sequence[Change]) -> EditReceipt:
    """Take ``removed`` off the head, raise the revisions and append the batch to the log.

    The caller has made the other changes that ``changes`` names.
    """
    if not changes:
        return EditReceipt(batch="", changed=0, message="Nothing to change.")
    batch = entry.key or new_id()
    know(session, entry.person)
    put_on_head(session, [label for change in changes for label in change.removed], on_head=False)
    images = [change.image_id for change in changes if change.image_id is not None]
    for part in chunks(images):
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
                "undoes": entry.undoes,
                "description": entry.description,
                "person_id": entry.person,
                "at": at,
                **vars(change),
            }
            for number, change in enumerate(changes)
        ],
    )
    session.flush()
    return EditReceipt(batch=batch, changed=len(images), message=entry.description)


def put_on_head(session: Session, annotation_ids: Sequence[str], *, on_head: bool) -> None:
    """Put labels on the head, or take them off."""
    for part in chunks(annotation_ids):
        session.execute(update(AnnotationRow).where(AnnotationRow.id.in_(part)).values(on_head=on_head))


def use(session: Session, image_ids: Sequence[str], *, left_out: bool) -> None:
    """Leave images out, or bring them back."""
    for part in chunks(image_ids):
        session.execute(update(ImageRow).where(ImageRow.id.in_(part)).values(left_out=left_out))


def put_back(session: Session, project_id: str, rows: Sequence[EditRow]) -> dict[int, Values]:
    """Put back what the rows of one batch hold in ``before``; returns what stood there, by row id."""
    images = {row.image_id: row.before for row in rows if row.image_id is not None and row.before}
    stood = set_images(session, images)
    found = {row.id: stood[row.image_id] for row in rows if row.image_id is not None and row.before}
    for row in rows:
        if row.image_id is None and row.before:
            found[row.id] = set_project(session, project_id, row.before)
    return found


def set_images(session: Session, values: Mapping[str, Values]) -> dict[str, Values]:
    """Set columns of images by id; returns what stood there, in the same shape.

    Paths may change places with each other. Raises ``ConflictError`` when a path is taken by an image
    that is not among these.
    """
    stood: dict[str, Values] = {}
    for part in chunks(list(values)):
        columns = (ImageRow.id, *(getattr(ImageRow, name) for name in IMAGE_COLUMNS))
        for row in session.execute(select(*columns).where(ImageRow.id.in_(part))):
            stood[row.id] = {name: getattr(row, name) for name in values[row.id]}
    paths = [image_id for image_id, wanted in values.items() if "path" in wanted]
    # No image has a path that begins with two slashes, so these stand in nobody's way.
    _update(session, ImageRow, [{"id": image_id, "path": f"//moving/{image_id}"} for image_id in paths])
    _expect_free(session, [values[image_id]["path"] for image_id in paths], paths)
    for names in sorted({tuple(sorted(wanted)) for wanted in values.values()}):
        _update(
            session,
            ImageRow,
            [{"id": key, **wanted} for key, wanted in values.items() if tuple(sorted(wanted)) == names],
        )
    return stood


def set_project(session: Session, project_id: str, values: Values) -> Values:
    """Set columns of the project, and under ``classes`` of its classes by id; returns what stood there.

    A class's columns are name, position, points, skeleton and ``deleted`` (yes or no). Raises
    ``ConflictError`` when a name is taken by a class that is not among these.
    """
    project = session.get_one(Project, project_id)
    stood: Values = {}
    for name in PROJECT_COLUMNS:
        if name in values:
            stood[name] = getattr(project, name)
            setattr(project, name, values[name])
    if classes := values.get("classes"):
        stood["classes"] = _set_classes(session, project_id, classes)
    session.flush()
    return stood


def _set_classes(session: Session, project_id: str, values: Mapping[str, Values]) -> dict[str, Values]:
    rows = {row.id: row for row in session.scalars(select(ClassRow).where(ClassRow.project_id == project_id))}
    others = {row.name for row in rows.values() if row.id not in values}
    stood: dict[str, Values] = {}
    for class_id, wanted in values.items():
        row = rows[class_id]
        if wanted.get("name") in others:
            raise ConflictError(
                f"Another class is called “{wanted['name']}” now.", "Give that class another name first."
            )
        now = {name: getattr(row, name) for name in CLASS_COLUMNS} | {"deleted": row.deleted_at is not None}
        stood[class_id] = {name: now[name] for name in wanted}
        row.name = f"//moving/{class_id}" if "name" in wanted else row.name
    session.flush()
    for class_id, wanted in values.items():
        for name in CLASS_COLUMNS:
            if name in wanted:
                setattr(rows[class_id], name, wanted[name])
        if "deleted" in wanted:
            rows[class_id].deleted_at = utc_now() if wanted["deleted"] else None
    return stood


def _expect_free(session: Session, paths: Sequence[str], image_ids: Sequence[str]) -> None:
    if not paths:
        return
    project = select(ImageRow.project_id).where(ImageRow.id == image_ids[0]).scalar_subquery()
    for part in chunks(paths):
        query = select(ImageRow.path).where(ImageRow.project_id == project, ImageRow.path.in_(part))
        if (taken := session.scalars(query.limit(1)).first()) is not None:
            raise ConflictError(
                f"Another picture is in the project as “{taken}” now.", "Import that set again."
            )


def _update(session: Session, table: type[ImageRow], rows: Sequence[Values]) -> None:
    for start in range(0, len(rows), CHUNK):
        session.execute(update(table), rows[start : start + CHUNK])


def known_images(session: Session, project_id: str, image_ids: Sequence[str]) -> dict[str, bool]:
    """Return whether each image is left out, in the order asked; raises ``NotFoundError``."""
    found: dict[str, bool] = {}
    wanted = list(dict.fromkeys(image_ids))
    for part in chunks(wanted):
        query = select(ImageRow.id, ImageRow.left_out)
        query = query.where(ImageRow.project_id == project_id, ImageRow.id.in_(part))
        found.update((image_id, left_out) for image_id, left_out in session.execute(query))
    if len(found) != len(wanted):
        raise NotFoundError(f"{len(wanted) - len(found)} of these images are not in the project.")
    return {image_id: found[image_id] for image_id in wanted}


def chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    """Cut a list of ids into parts that fit in one statement."""
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]


def count_images(number: int) -> str:
    """Say how many images, in words."""
    return "1 image" if number == 1 else f"{number:,} images"


def know(session: Session, person: str | None) -> None:
    """Add the person's row before rows that name it."""
    if person is not None and session.get(Person, person) is None:
        session.add(Person(id=person, name=person))
        session.flush()
