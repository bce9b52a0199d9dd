"""What differs between two versions, and going back to one.

Manifests are read a line at a time and compared as values, since a version may hold a million labels.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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
from engine.datasets.editlog import Change, Entry, Values
from engine.datasets.manifest import as_split, freeze_version
from engine.errors import ConflictError, InputError, NotFoundError
from engine.settings import Settings
from engine.storage.blobs import BlobStore
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow, Project, VersionRow


@dataclass
class _Frozen:
    """What a comparison holds of a version: each image's split and what is said of it, and counts."""

    classes: dict[str, str]
    images: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Now:
    """An image as it is in the project."""

    sha256: str
    left_out: bool
    columns: Values


def compare(session: Session, settings: Settings, project_id: str, before: int, after: int) -> VersionDiff:
    """Say what differs between two versions by number; raises ``NotFoundError``."""
    old = _frozen(settings, find_version(session, project_id, before))
    new = _frozen(settings, find_version(session, project_id, after))
    both = [image_id for image_id in new.images if image_id in old.images]
    diff = VersionDiff(
        before=before,
        after=after,
        added=tuple(image_id for image_id in new.images if image_id not in old.images),
        left_out=tuple(image_id for image_id in old.images if image_id not in new.images),
        relabelled=tuple(key for key in both if old.images[key][1] != new.images[key][1]),
        moved=tuple(
            SplitMove(image=key, before=as_split(old.images[key][0]), after=as_split(new.images[key][0]))
            for key in both
            if old.images[key][0] != new.images[key][0]
        ),
        classes_added=tuple(name for key, name in new.classes.items() if key not in old.classes),
        classes_removed=tuple(name for key, name in old.classes.items() if key not in new.classes),
        classes_renamed=tuple(
            ClassRename(id=key, before=old.classes[key], after=name)
            for key, name in new.classes.items()
            if key in old.classes and old.classes[key] != name
        ),
        counts=tuple(
            ClassChange(id=key, name=name, before=old.counts[key], after=new.counts[key])
            for key, name in (old.classes | new.classes).items()
            if old.counts[key] != new.counts[key]
        ),
    )
    return diff.model_copy(update={"changes": _words(diff)})


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
    header, *images = _lines(settings, find_version(session, project_id, number))
    wanted = {row["id"]: row for row in images}
    now = _images_now(session, project_id)
    _expect_there(number, wanted, now)
    changes = {image_id: Change(image_id) for image_id in now}
    _restore_labels(session, project_id, wanted, changes)
    _restore_use(session, wanted, now, changes)
    for image_id, before in editlog.set_images(session, _columns(wanted, now)).items():
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


def _lines(settings: Settings, version: VersionRow) -> Iterator[Values]:
    """Read a manifest: its header, then its images; what most images do not have may be missing."""
    with BlobStore(settings.files).path(version.manifest).open("rb") as handle:
        for line in handle:
            yield json.loads(line)


def _frozen(settings: Settings, version: VersionRow) -> _Frozen:
    lines = _lines(settings, version)
    found = _Frozen({info["id"]: info["name"] for info in next(lines)["classes"]})
    for row in lines:
        said = [_said(label) for label in row["labels"]]
        found.counts.update(label["class_id"] for label in row["labels"])
        found.images[row["id"]] = (row["split"], f"{bool(row.get('negative'))} {sorted(said)}")
    return found


def _said(label: Mapping[str, Any]) -> str:
    """Give what a label says, without its id; an empty value says nothing."""
    return json.dumps(
        {name: value for name, value in label.items() if name != "id" and value}, sort_keys=True
    )


def _words(diff: VersionDiff) -> str:
    parts = (
        (diff.relabelled, "label changed", "labels changed"),
        (diff.left_out, "image left out", "images left out"),
        (diff.added, "image added", "images added"),
        (diff.moved, "image moved to another split", "images moved to another split"),
        (diff.classes_added, "class added", "classes added"),
        (diff.classes_removed, "class removed", "classes removed"),
        (diff.classes_renamed, "class renamed", "classes renamed"),
    )
    told = ((len(found), one, many) for found, one, many in parts if found)
    return ", ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in told)


def _images_now(session: Session, project_id: str) -> dict[str, _Now]:
    columns = [getattr(ImageRow, name) for name in editlog.IMAGE_COLUMNS]
    query = select(ImageRow.id, ImageRow.sha256, ImageRow.left_out, *columns)
    rows = session.execute(query.where(ImageRow.project_id == project_id).order_by(ImageRow.path))
    return {
        row.id: _Now(row.sha256, row.left_out, {name: getattr(row, name) for name in editlog.IMAGE_COLUMNS})
        for row in rows
    }


def _expect_there(number: int, wanted: Mapping[str, Values], now: Mapping[str, _Now]) -> None:
    gone = [row["path"] for key, row in wanted.items() if key not in now or now[key].sha256 != row["sha256"]]
    if gone:
        raise ConflictError(
            f"Version {number} cannot be restored: {len(gone):,} of its images are no longer in the project, "
            f"such as “{gone[0]}”.",
            "Import that set again.",
        )


def _restore_labels(
    session: Session, project_id: str, wanted: Mapping[str, Values], changes: Mapping[str, Change]
) -> None:
    """Put the version's labels on the head, and note which go; ``editlog.write`` takes those off."""
    present: dict[str, set[str]] = defaultdict(set)
    on_head = select(AnnotationRow.image_id, AnnotationRow.id).where(
        AnnotationRow.project_id == project_id, AnnotationRow.on_head
    )
    for image_id, label in session.execute(on_head):
        present[image_id].add(label)
    back: list[str] = []
    for image_id, row in wanted.items():
        labels = {label["id"] for label in row["labels"]}
        changes[image_id].removed = sorted(present[image_id] - labels)
        changes[image_id].added = sorted(labels - present[image_id])
        back += changes[image_id].added
    there = 0
    for part in editlog.chunks(back):
        query = select(func.count()).where(AnnotationRow.id.in_(part), AnnotationRow.project_id == project_id)
        there += session.scalar(query) or 0
    if there != len(back):
        raise ConflictError(f"{len(back) - there:,} labels of this version are no longer in the project.")
    editlog.put_on_head(session, back, on_head=True)


def _restore_use(
    session: Session,
    wanted: Mapping[str, Values],
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


def _columns(wanted: Mapping[str, Values], now: Mapping[str, _Now]) -> dict[str, Values]:
    """Return what has to change of the images; who stands under the path of another makes room."""
    values: dict[str, Values] = {}
    for image_id, row in wanted.items():
        target = {
            "split": row["split"],
            "negative": bool(row.get("negative")),
            "path": row["path"],
            "group_key": row.get("group"),
        }
        values[image_id] = {name: new for name, new in target.items() if now[image_id].columns[name] != new}
    paths = {row["path"] for row in wanted.values()}
    for image_id, image in now.items():
        if image_id not in wanted and (path := image.columns["path"]) in paths:
            values[image_id] = {"path": f"{path} (replaced, {image_id})"}
    return {image_id: changed for image_id, changed in values.items() if changed}


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
