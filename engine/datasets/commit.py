"""Writing an import into the database: all rows in one transaction, or none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import Split
from engine.datasets import splits
from engine.datasets.account import Account
from engine.datasets.formats.base import ImageLabels
from engine.datasets.intake import Taken
from engine.datasets.manifest import as_split
from engine.errors import LimitError
from engine.storage.database import new_id
from engine.storage.tables import AnnotationRow, ClassRow, FileRow, ImageRow, Project

Mode = Literal["new", "add", "replace"]
CHUNK = 2_000  # values in one statement; SQLite takes 32,766
SEED = 0  # of the split; the same set imported twice is split the same way


@dataclass(frozen=True)
class Incoming:
    """One image of the import that could be read, with its labels."""

    row: ImageLabels
    taken: Taken

    @property
    def label(self) -> str | None:
        """The name of its class, or None."""
        return self.row.labels[0] if self.row.labels else None


@dataclass(frozen=True)
class Committed:
    """What was written; ``notes`` are sentences for the report."""

    images: int
    annotations: int
    splits_of_set: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Present:
    """An image that the project holds already."""

    id: str
    path: str
    sha256: str
    split: Split | None
    label: str | None
    left_out: bool


@dataclass(frozen=True)
class _Target:
    """An image that the import writes: a new one, or one that is there and gets labels."""

    id: str
    incoming: Incoming
    new: bool
    split: Split | None


def commit_rows(
    session: Session,
    project: Project,
    import_id: str,
    incoming: Sequence[Incoming],
    account: Account,
    *,
    mode: Mode,
    class_limit: int,
) -> Committed:
    """Write classes, files, images, annotations and splits; each row gets its outcome in ``account``.

    Runs in the caller's write transaction. Raises ``LimitError`` when there would be too many classes.
    """
    present = _present(session, project.id)
    sort_out = _for_replacing if mode == "replace" else _for_adding
    targets = [target for item in incoming if (target := sort_out(item, present, account)) is not None]
    if mode == "replace":
        _clear(session, project.id, present, targets)
        present = {}
    notes = []
    if (already := len(incoming) - len([target for target in targets if target.new])) and mode != "replace":
        notes.append(f"{already:,} of the images were in the project already or could not be added.")
    chosen, of_set, note = _choose_splits(targets, list(present.values()))
    notes += [note] if note else []
    classes = _classes(session, project.id, targets, class_limit)
    _insert_files(session, [target.incoming.taken for target in targets])
    _write_images(session, project.id, import_id, targets, chosen)
    annotations = _write_annotations(session, project.id, targets, classes)
    # The log's number moves on, so that edits before and after the import can be told apart.
    project.edit_seq += 1
    session.flush()
    return Committed(len(targets), annotations, of_set, tuple(notes))


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sort key that puts "class 2" before "class 10"."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return tuple((piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces)


def _present(session: Session, project_id: str) -> dict[str, _Present]:
    labels = (
        select(AnnotationRow.image_id, ClassRow.name)
        .join(ClassRow, ClassRow.id == AnnotationRow.class_id)
        .where(AnnotationRow.project_id == project_id, AnnotationRow.on_head)
    )
    label_of = dict(session.execute(labels).all())
    columns = (ImageRow.id, ImageRow.path, ImageRow.sha256, ImageRow.split, ImageRow.left_out)
    rows = session.execute(select(*columns).where(ImageRow.project_id == project_id))
    return {
        path: _Present(image_id, path, sha, as_split(split), label_of.get(image_id), left_out)
        for image_id, path, sha, split, left_out in rows
    }


def _for_adding(item: Incoming, present: dict[str, _Present], account: Account) -> _Target | None:
    """Decide about one image when what is there stays as it is."""
    old = present.get(item.row.path)
    if old is None:
        _count_used(item, account)
        return _Target(new_id(), item, True, item.row.split)
    file, line = _origin(item.row)
    if old.sha256 != item.taken.sha256:
        reason = "another picture is in the project under this path; rename it, or replace the set"
        account.skip_image(item.row.path, reason)
        if item.label is not None:
            account.skip_label(file, line, reason)
        return None
    account.image(item.row.path)
    if item.label is None:
        return None
    if old.label not in (None, item.label):
        account.skip_label(file, line, f"the image is in the project as “{old.label}”; that stays")
        return None
    account.label(file, line, item.row.repairs)
    return _Target(old.id, item, False, old.split) if old.label is None else None


def _for_replacing(item: Incoming, present: dict[str, _Present], account: Account) -> _Target:
    """Decide about one image when the set takes the place of what is there."""
    _count_used(item, account)
    old = present.get(item.row.path)
    same = old is not None and old.sha256 == item.taken.sha256
    return _Target(old.id if old is not None and same else new_id(), item, not same, item.row.split)


def _count_used(item: Incoming, account: Account) -> None:
    account.image(item.row.path, item.taken.repairs)
    if item.label is not None:
        file, line = _origin(item.row)
        account.label(file, line, item.row.repairs)


def _origin(row: ImageLabels) -> tuple[str, int | None]:
    return (row.file or row.path), row.line


def _clear(
    session: Session, project_id: str, present: dict[str, _Present], targets: Sequence[_Target]
) -> None:
    """Leave out all images but those that come again, and take all labels off the head.

    An image that stands under the path of another picture makes room for it.
    """
    session.execute(update(ImageRow).where(ImageRow.project_id == project_id).values(left_out=True))
    again = [target.id for target in targets if not target.new]
    for start in range(0, len(again), CHUNK):
        part = ImageRow.id.in_(again[start : start + CHUNK])
        session.execute(update(ImageRow).where(part).values(left_out=False))
    head = (AnnotationRow.project_id == project_id) & AnnotationRow.on_head
    session.execute(update(AnnotationRow).where(head).values(on_head=False))
    for target in targets:
        old = present.get(target.incoming.row.path)
        if old is not None and target.new:
            # Results of earlier runs go on showing the old picture, under a path of its own.
            aside = f"{old.path} (replaced, {old.id})"
            session.execute(update(ImageRow).where(ImageRow.id == old.id).values(path=aside))


def _choose_splits(targets: Sequence[_Target], present: Sequence[_Present]) -> tuple[list[Split], bool, str]:
    """Return the split of each target, whether the set brought them, and a note."""
    labels = [target.incoming.label for target in targets]
    own = [target.split for target in targets]
    if not present:
        completed = splits.complete(labels, own, SEED)
        if completed is not None:
            return completed.splits, True, completed.note
        return splits.assign(labels, SEED), False, ""
    used = [image for image in present if not image.left_out]
    known = [*(image.split for image in used), *own]
    given = splits.assign([*(image.label for image in used), *labels], SEED, existing=known)
    return given[len(used) :], any(split is not None for split in own), ""


def _classes(session: Session, project_id: str, targets: Sequence[_Target], limit: int) -> dict[str, str]:
    """Return class ids by name, adding the new ones in natural order behind those that are there."""
    rows = session.scalars(select(ClassRow).where(ClassRow.project_id == project_id)).all()
    ids = {row.name: row.id for row in rows}
    names = {target.incoming.label for target in targets if target.incoming.label is not None}
    for row in rows:
        if row.name in names:
            row.deleted_at = None
    fresh = sorted(names - ids.keys(), key=natural)
    if len(ids) + len(fresh) > limit:
        raise LimitError(f"The project would have {len(ids) + len(fresh):,} classes; {limit:,} is the limit.")
    position = max((row.position for row in rows), default=-1) + 1
    made = [
        {"id": new_id(), "project_id": project_id, "name": name, "position": position + number}
        for number, name in enumerate(fresh)
    ]
    _insert(session, ClassRow, made)
    return ids | {str(row["name"]): str(row["id"]) for row in made}


def _insert_files(session: Session, taken: Sequence[Taken]) -> None:
    wanted = {one.sha256: one for one in taken}
    digests = list(wanted)
    for start in range(0, len(digests), CHUNK):
        part = digests[start : start + CHUNK]
        for digest in session.scalars(select(FileRow.sha256).where(FileRow.sha256.in_(part))):
            del wanted[digest]
    columns = ("sha256", "bytes", "format", "mode", "width", "height")
    _insert(session, FileRow, [{name: getattr(one, name) for name in columns} for one in wanted.values()])


def _write_images(
    session: Session,
    project_id: str,
    import_id: str,
    targets: Sequence[_Target],
    chosen: Sequence[Split],
) -> None:
    at, made = utc_now(), []
    for target, split in zip(targets, chosen, strict=True):
        if target.new:
            made.append(_image_values(target, split) | {"project_id": project_id, "import_id": import_id})
            made[-1]["added_at"] = at
        else:
            session.execute(
                update(ImageRow)
                .where(ImageRow.id == target.id)
                .values(split=split, revision=ImageRow.revision + 1)
            )
    _insert(session, ImageRow, made)


def _image_values(target: _Target, split: Split) -> dict[str, Any]:
    taken = target.incoming.taken
    return {
        "id": target.id,
        "path": target.incoming.row.path,
        "sha256": taken.sha256,
        "width": taken.width,
        "height": taken.height,
        "split": split,
        "left_out": False,
        "revision": 0,
    }


def _write_annotations(
    session: Session, project_id: str, targets: Sequence[_Target], classes: dict[str, str]
) -> int:
    at = utc_now()
    made = [
        {
            "id": new_id(),
            "project_id": project_id,
            "image_id": target.id,
            "class_id": classes[target.incoming.label],
            "kind": "class",
            "on_head": True,
            "created_at": at,
        }
        for target in targets
        if target.incoming.label is not None
    ]
    _insert(session, AnnotationRow, made)
    return len(made)


def _insert(session: Session, table: type[Any], rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        session.execute(insert(table), rows)
