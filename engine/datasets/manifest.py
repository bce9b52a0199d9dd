"""Versions: the working head frozen as a content-addressed manifest, and what changed since.

A manifest is JSON lines: the first line holds the classes and the set's preprocessing, each further
line one image in path order. The same head gives the same bytes, hence the same name.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import SPLITS, ClassInfo, LabelItem, Split
from engine.errors import NotFoundError
from engine.settings import Settings
from engine.storage.blobs import BlobStore
from engine.storage.database import Database, new_id
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow, Project, VersionRow

FORMAT = 1


@dataclass(frozen=True)
class ManifestImage:
    """One image of a version; width and height in px, upright."""

    id: str
    path: str
    sha256: str
    width: int
    height: int
    split: Split | None
    labels: tuple[LabelItem, ...]


@dataclass(frozen=True)
class Manifest:
    """A frozen list of images and classes; ``ClassInfo.images`` counts within it.

    ``preprocessing`` is the set's own part of a ``Preprocessing`` record, keyed by its fields:
    ``background``, ``low``, ``high`` (missing keys: the record's defaults).
    """

    classes: tuple[ClassInfo, ...]
    images: tuple[ManifestImage, ...]
    preprocessing: dict[str, Any]

    def of_split(self, split: Split) -> tuple[ManifestImage, ...]:
        """Return the images of one split that carry a label."""
        return tuple(image for image in self.images if image.split == split and image.labels)


def head_manifest(session: Session, project_id: str) -> Manifest:
    """Read the working head: images that are not left out, with the labels on the head."""
    project = session.get(Project, project_id)
    if project is None:
        raise NotFoundError("This project does not exist.", "It may have been deleted.")
    labels: dict[str, list[LabelItem]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    annotations = (
        select(AnnotationRow.id, AnnotationRow.image_id, AnnotationRow.class_id, AnnotationRow.geometry)
        .join(ImageRow, ImageRow.id == AnnotationRow.image_id)
        .where(ImageRow.project_id == project_id, ImageRow.left_out.is_(False), AnnotationRow.on_head)
        .order_by(AnnotationRow.image_id, AnnotationRow.id)
    )
    for annotation_id, image_id, class_id, geometry in session.execute(annotations):
        labels[image_id].append(LabelItem(id=annotation_id, class_id=class_id, **(geometry or {})))
        counts[class_id] += 1
    images = (
        select(ImageRow.id, ImageRow.path, ImageRow.sha256, ImageRow.width, ImageRow.height, ImageRow.split)
        .where(ImageRow.project_id == project_id, ImageRow.left_out.is_(False))
        .order_by(ImageRow.path)
    )
    classes = (
        select(ClassRow)
        .where(ClassRow.project_id == project_id, ClassRow.deleted_at.is_(None))
        .order_by(ClassRow.position)
    )
    return Manifest(
        classes=tuple(
            ClassInfo(id=row.id, name=row.name, position=row.position, images=counts[row.id])
            for row in session.scalars(classes)
        ),
        images=tuple(
            ManifestImage(*row[:5], split=as_split(row[5]), labels=tuple(labels[row[0]]))
            for row in session.execute(images)
        ),
        preprocessing=dict(project.preprocessing),
    )


def encode(manifest: Manifest) -> bytes:
    """Write a manifest as JSON lines; equal manifests give equal bytes."""
    header = {
        "format": FORMAT,
        "classes": [info.model_dump() for info in manifest.classes],
        "preprocessing": manifest.preprocessing,
    }
    lines = [_line(header)]
    for image in manifest.images:
        labels = [label.model_dump(exclude_none=True) for label in image.labels]
        lines.append(_line({**vars(image), "labels": labels}))
    return b"".join(lines)


def decode(content: bytes) -> Manifest:
    """Read what ``encode`` wrote."""
    header, *rows = [json.loads(line) for line in content.splitlines()]
    return Manifest(
        classes=tuple(ClassInfo(**info) for info in header["classes"]),
        images=tuple(
            ManifestImage(**{**row, "labels": tuple(LabelItem(**label) for label in row["labels"])})
            for row in rows
        ),
        preprocessing=header["preprocessing"],
    )


def load_manifest(db: Database, settings: Settings, version_id: str) -> Manifest:
    """Load a version; raises ``NotFoundError`` when there is none with this id."""
    with db.read() as session:
        version = session.get(VersionRow, version_id)
    if version is None:
        raise NotFoundError("This version of the dataset does not exist.")
    return decode(BlobStore(settings.files).read(version.manifest))


def last_version(session: Session, project_id: str) -> VersionRow | None:
    """Return the newest version of a project, or None."""
    query = select(VersionRow).where(VersionRow.project_id == project_id)
    return session.scalars(query.order_by(VersionRow.number.desc()).limit(1)).first()


def freeze_version(session: Session, settings: Settings, project_id: str, reason: str) -> VersionRow:
    """Freeze the head as a version inside the caller's write transaction.

    Returns the last version when the head is still the same. ``reason`` is import, train, export,
    restore or manual.
    """
    session.flush()
    manifest = head_manifest(session, project_id)
    store = BlobStore(settings.files)
    digest = store.put(encode(manifest))
    last = last_version(session, project_id)
    if last is not None and last.manifest == digest:
        return last
    project = session.get_one(Project, project_id)
    changes = "" if last is None else describe_changes(decode(store.read(last.manifest)), manifest)
    version = VersionRow(
        id=new_id(),
        project_id=project_id,
        number=1 if last is None else last.number + 1,
        reason=reason,
        manifest=digest,
        images=len(manifest.images),
        edit_seq=project.edit_seq,
        changes=f"{changes} since version {last.number}" if last is not None and changes else changes,
        created_at=utc_now(),
    )
    session.add(version)
    session.flush()
    return version


def describe_changes(before: Manifest, after: Manifest) -> str:
    """Say in words what changed, such as "3 labels changed, 2 images left out"."""
    old = {image.id: image for image in before.images}
    new = {image.id: image for image in after.images}
    both = old.keys() & new.keys()
    labels = sum(_classes(old[key]) != _classes(new[key]) for key in both)
    splits = sum(old[key].split != new[key].split for key in both)
    names_before = {info.id: info.name for info in before.classes}
    names_after = {info.id: info.name for info in after.classes}
    renamed = sum(names_before[key] != names_after[key] for key in names_before.keys() & names_after.keys())
    parts = (
        (labels, "label changed", "labels changed"),
        (len(old.keys() - new.keys()), "image left out", "images left out"),
        (len(new.keys() - old.keys()), "image added", "images added"),
        (splits, "image moved to another split", "images moved to another split"),
        (len(names_after.keys() - names_before.keys()), "class added", "classes added"),
        (len(names_before.keys() - names_after.keys()), "class removed", "classes removed"),
        (renamed, "class renamed", "classes renamed"),
    )
    return ", ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in parts if count)


def as_split(value: str | None) -> Split | None:
    """Give a stored split its type; raises ``ValueError`` for what is no split."""
    if value is None:
        return None
    return SPLITS[SPLITS.index(cast("Split", value))]


def _classes(image: ManifestImage) -> list[tuple[str, Any]]:
    return sorted((label.class_id, label.box or ()) for label in image.labels)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
