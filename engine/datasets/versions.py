"""What differs between two versions, and going back to one.

Manifests are read a line at a time, since a version may hold a million labels.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.contracts.datasets import (
    ClassChange,
    ClassRename,
    EditReceipt,
    SplitMove,
    VersionDiff,
)
from engine.datasets import editlog
from engine.datasets.changes import differences
from engine.datasets.editlog import Change, Entry, Values
from engine.datasets.manifest import as_split, freeze_version
from engine.errors import ConflictError, InputError, NotFoundError
from engine.settings import Settings
from engine.storage.blobs import BlobStore
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow, Project, VersionRow


@dataclass
class _Target:
    """What a restored version asks of the images that it holds; ``columns`` only where they differ."""

    images: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    columns: dict[str, Values] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Now:
    """An image as it is in the project."""

    sha256: str
    left_out: bool
    columns: Values


def compare(session: Session, settings: Settings, project_id: str, before: int, after: int) -> VersionDiff:
    """Say what differs between two versions by number; raises ``NotFoundError``."""
    first, second = (find_version(session, project_id, number) for number in (before, after))
    found = differences(_path(settings, first), _path(settings, second), count=True)
    old, new = found.classes_before, found.classes_after
    return VersionDiff(
        before=before,
        after=after,
        added=tuple(found.added),
        left_out=tuple(found.left_out),
        relabelled=tuple(found.relabelled),
        moved=tuple(
            SplitMove(image=key, before=as_split(was), after=as_split(now)) for key, was, now in found.moved
        ),
        classes_added=tuple(new[key] for key in found.classes_added),
        classes_removed=tuple(old[key] for key in found.classes_removed),
        classes_renamed=tuple(
            ClassRename(id=key, before=old[key], after=new[key]) for key in found.classes_renamed
        ),
        counts=tuple(
            ClassChange(id=key, name=name, before=found.counts_before[key], after=found.counts_after[key])
            for key, name in {**old, **new}.items()
            if found.counts_before[key] != found.counts_after[key]
        ),
        changes=found.words(),
    )


def freeze(
    session: Session, settings: Settings, project_id: str, reason: str, person: str | None = None
) -> VersionRow:
    """Freeze the head as ``freeze_version`` does, and note who did it.

    Returns the last version when the head is still the same. Raises ``InputError`` when there is nothing
    to freeze.
    """
    in_use = (ImageRow.project_id == project_id) & ImageRow.left_out.is_(False)
    if not session.scalar(select(func.count()).select_from(ImageRow).where(in_use)):
        raise InputError("There are no images to make a version of.", "Import some first.")
    return freeze_version(session, settings, project_id, reason, person)


def restore(
    session: Session,
    settings: Settings,
    project_id: str,
    number: int,
    key: str | None = None,
    person: str | None = None,
) -> EditReceipt:
    """Make the head what it was in a version: images, labels, splits, classes and preprocessing.

    One undoable batch in the log; then the head is frozen with the reason "restore". Images that came
    later are left out. Where another picture has since taken an image's path, that one makes room, as it
    does in an import that replaces. Raises ``NotFoundError`` for an unknown version and ``ConflictError``
    when something that the version holds is no longer there.
    """
    if (done := editlog.receipt(session, project_id, key)) is not None:
        return done
    lines = _lines(settings, find_version(session, project_id, number))
    header = next(lines)
    now = _images_now(session, project_id)
    changes = {image_id: Change(image_id) for image_id in now}
    target = _read_target(session, lines, now, changes)
    _expect_there(number, target)
    _put_labels_back(session, project_id, changes)
    _restore_use(session, target.images, now, changes)
    for image_id, before in editlog.set_images(session, _columns(target, now)).items():
        changes[image_id].before = before
    made = [change for change in changes.values() if change != Change(change.image_id)]
    if values := _project_values(session, project_id, header):
        made.append(Change(None, before=editlog.set_project(session, project_id, values)))
    entry = Entry("restore", f"Version {number} restored", key, person)
    receipt = editlog.write(session, project_id, entry, made)
    freeze(session, settings, project_id, "restore", person)
    return receipt


def find_version(session: Session, project_id: str, number: int) -> VersionRow:
    """Return a version by its number; raises ``NotFoundError``."""
    query = select(VersionRow).where(VersionRow.project_id == project_id, VersionRow.number == number)
    row = session.scalars(query).first()
    if row is None:
        raise NotFoundError(f"There is no version {number} of this dataset.", "See the list of versions.")
    return row


def _path(settings: Settings, version: VersionRow) -> Path:
    return BlobStore(settings.files).path(version.manifest)


def _lines(settings: Settings, version: VersionRow) -> Iterator[Values]:
    """Read a manifest: its header, then its images; what most images do not have may be missing."""
    with _path(settings, version).open("rb") as handle:
        for line in handle:
            yield json.loads(line)


def _images_now(session: Session, project_id: str) -> dict[str, _Now]:
    columns = [getattr(ImageRow, name) for name in editlog.IMAGE_COLUMNS]
    query = select(ImageRow.id, ImageRow.sha256, ImageRow.left_out, *columns)
    rows = session.execute(query.where(ImageRow.project_id == project_id).order_by(ImageRow.path))
    return {
        row.id: _Now(row.sha256, row.left_out, {name: getattr(row, name) for name in editlog.IMAGE_COLUMNS})
        for row in rows
    }


def _read_target(
    session: Session, lines: Iterator[Values], now: Mapping[str, _Now], changes: Mapping[str, Change]
) -> _Target:
    """Read what a version holds, some images at a time; notes in ``changes`` which labels go and come."""
    target = _Target()
    labels: dict[str, set[str]] = {}
    for row in lines:
        key = row["id"]
        target.images.add(key)
        target.paths.add(row["path"])
        if key not in now or now[key].sha256 != row["sha256"]:
            target.gone.append(row["path"])
            continue
        wanted = {
            "split": row["split"],
            "negative": bool(row.get("negative")),
            "path": row["path"],
            "group_key": row.get("group"),
        }
        if changed := {name: new for name, new in wanted.items() if now[key].columns[name] != new}:
            target.columns[key] = changed
        labels[key] = {label["id"] for label in row["labels"]}
        if len(labels) == editlog.CHUNK:
            _note_labels(session, labels, changes)
            labels = {}
    _note_labels(session, labels, changes)
    return target


def _note_labels(session: Session, labels: Mapping[str, set[str]], changes: Mapping[str, Change]) -> None:
    """Note for some images which of the labels on the head go, and which come back."""
    present: dict[str, set[str]] = defaultdict(set)
    query = select(AnnotationRow.image_id, AnnotationRow.id)
    query = query.where(AnnotationRow.image_id.in_(list(labels)), AnnotationRow.on_head)
    for image_id, label in session.execute(query):
        present[image_id].add(label)
    for image_id, wanted in labels.items():
        changes[image_id].removed = sorted(present[image_id] - wanted)
        changes[image_id].added = sorted(wanted - present[image_id])


def _expect_there(number: int, target: _Target) -> None:
    if target.gone:
        raise ConflictError(
            f"Version {number} cannot be restored: {len(target.gone):,} of its images are no longer in the "
            f"project, such as “{target.gone[0]}”.",
            "Import that set again.",
        )


def _put_labels_back(session: Session, project_id: str, changes: Mapping[str, Change]) -> None:
    """Put the version's labels on the head; ``editlog.write`` takes off those that go."""
    back = [label for change in changes.values() for label in change.added]
    there = 0
    for part in editlog.chunks(back):
        query = select(func.count()).where(AnnotationRow.id.in_(part), AnnotationRow.project_id == project_id)
        there += session.scalar(query) or 0
    if there != len(back):
        raise ConflictError(f"{len(back) - there:,} labels of this version are no longer in the project.")
    editlog.put_on_head(session, back, on_head=True)


def _restore_use(
    session: Session,
    wanted: set[str],
    now: Mapping[str, _Now],
    changes: Mapping[str, Change],
) -> None:
    for left_out in (True, False):
        turned = [
            key
            for key, image in now.items()
            if (key not in wanted) == left_out and image.left_out != left_out
        ]
        editlog.use(session, turned, left_out=left_out)
        for image_id in turned:
            changes[image_id].left_out_before = not left_out


def _columns(target: _Target, now: Mapping[str, _Now]) -> dict[str, Values]:
    """Return what has to change of the images; who stands under the path of another makes room."""
    room: dict[str, Values] = {
        image_id: {"path": f"{path} (replaced, {image_id})"}
        for image_id, image in now.items()
        if image_id not in target.images and (path := image.columns["path"]) in target.paths
    }
    return {**target.columns, **room}


def _project_values(session: Session, project_id: str, header: Values) -> Values:
    """Return what has to change of the project and its classes."""
    project = session.get_one(Project, project_id)
    values: Values = {}
    if project.preprocessing != header["preprocessing"]:
        values["preprocessing"] = header["preprocessing"]
    wanted = {info["id"]: info for info in header["classes"]}
    names = {info["name"] for info in wanted.values()}
    classes: dict[str, Values] = {}
    rows = session.scalars(select(ClassRow).where(ClassRow.project_id == project_id)).all()
    for row in rows:
        info = wanted.get(row.id)
        if info is None:
            target: Values = {"deleted": True}
            target |= {"name": f"{row.name} (replaced, {row.id})"} if row.name in names else {}
        else:
            target = {name: info.get(name) for name in editlog.CLASS_COLUMNS} | {"deleted": False}
        there = {name: getattr(row, name) for name in editlog.CLASS_COLUMNS}
        there["deleted"] = row.deleted_at is not None
        if changed := {name: new for name, new in target.items() if (there[name] or None) != (new or None)}:
            classes[row.id] = changed
    if missing := wanted.keys() - {row.id for row in rows}:
        raise ConflictError(f"{len(missing)} classes of this version are no longer in the project.")
    return values | ({"classes": classes} if classes else {})
