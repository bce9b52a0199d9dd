"""Versions: the working head frozen as a content-addressed manifest, and what changed since.

A manifest is JSON lines: the first line holds the classes and the set's preprocessing, each further
line one image in path order. The same head gives the same bytes, hence the same name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from sqlalchemy import ColumnElement, Executable, Row, Text, func, select
from sqlalchemy import cast as cast_column
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import SPLITS, ClassInfo, LabelItem, Split
from engine.datasets import editlog
from engine.datasets.changes import differences
from engine.datasets.geometry import json_text, stored_text
from engine.errors import NotFoundError
from engine.settings import Settings
from engine.storage.blobs import BlobStore
from engine.storage.database import Database, new_id
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow, Project, VersionRow

FORMAT = 1
PORTION = 1_000  # rows that the database hands over at a time
NO_LABELS = '"labels":[]'  # in JSON only as a member: within a text its quotes would be escaped
ATTRIBUTES, BOX = '{"attributes":', '"box":'
_DECODER, _ENCODER = json.JSONDecoder(), json.JSONEncoder(ensure_ascii=False)


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
    negative: bool = False
    group: str | None = None


_HeadLabel = tuple[str, str, str | None]
"""Id, class id and geometry as ``geometry_text`` writes it."""
_HeadImage = tuple[dict[str, Any], list[_HeadLabel]]


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
        """Return the images of one split that have been labelled, those with nothing on them too."""
        return tuple(
            image for image in self.images if image.split == split and (image.labels or image.negative)
        )


def head_manifest(session: Session, project_id: str) -> Manifest:
    """Read the working head: images that are not left out, with the labels on the head."""
    header, images = _head(session, project_id)
    return Manifest(
        classes=tuple(ClassInfo(**info) for info in header["classes"]),
        images=tuple(
            _image({**values, "labels": [_label_values(*label) for label in labels]})
            for values, labels in images
        ),
        preprocessing=header["preprocessing"],
    )


def _label_values(key: str, class_id: str, geometry: str | None) -> dict[str, Any]:
    return {"id": key, "class_id": class_id, **json.loads(geometry or "{}")}


def encode(manifest: Manifest) -> bytes:
    """Write a manifest as JSON lines; equal manifests give equal bytes."""
    header = {
        "format": FORMAT,
        "classes": [_class_values(info.model_dump()) for info in manifest.classes],
        "preprocessing": manifest.preprocessing,
    }
    lines = [_line(header)]
    for image in manifest.images:
        labels = [label.model_dump(exclude_defaults=True) for label in image.labels]
        lines.append(_line(_image_values({**vars(image), "labels": labels})))
    return b"".join(lines)


def decode(content: bytes) -> Manifest:
    """Read what ``encode`` wrote."""
    header, *rows = [json.loads(line) for line in content.splitlines()]
    return Manifest(
        classes=tuple(ClassInfo(**info) for info in header["classes"]),
        images=tuple(_image(row) for row in rows),
        preprocessing=header["preprocessing"],
    )


def _image(values: dict[str, Any]) -> ManifestImage:
    labels = tuple(LabelItem(**label) for label in values["labels"])
    return ManifestImage(**{**values, "split": as_split(values["split"]), "labels": labels})


def _head(session: Session, project_id: str) -> tuple[dict[str, Any], Iterator[_HeadImage]]:
    """Give what the lines of the head's manifest say: the header, and the images, lazily, by path."""
    project = session.get(Project, project_id)
    if project is None:
        raise NotFoundError("This project does not exist.", "It may have been deleted.")
    in_use = (ImageRow.project_id == project_id) & ImageRow.left_out.is_(False)
    counted = (
        select(AnnotationRow.class_id, func.count())
        .join(ImageRow, ImageRow.id == AnnotationRow.image_id)
        .where(in_use, AnnotationRow.on_head)
        .group_by(AnnotationRow.class_id)
    )
    counts = {row[0]: row[1] for row in session.execute(counted)}
    classes = (
        select(ClassRow)
        .where(ClassRow.project_id == project_id, ClassRow.deleted_at.is_(None))
        .order_by(ClassRow.position)
    )
    header = {
        "format": FORMAT,
        "classes": [
            _class_values(
                {
                    "id": row.id,
                    "name": row.name,
                    "position": row.position,
                    "images": counts.get(row.id, 0),
                    "points": row.points,
                    "skeleton": row.skeleton,
                }
            )
            for row in session.scalars(classes)
        ],
        "preprocessing": dict(project.preprocessing),
    }
    return header, _head_images(session, in_use)


def _head_images(session: Session, in_use: ColumnElement[bool]) -> Iterator[_HeadImage]:
    """Walk images and their labels side by side, both by path, so that a large set is never held whole."""
    columns = ("id", "path", "sha256", "width", "height", "split", "negative", "group_key")
    images = select(*(getattr(ImageRow, name) for name in columns)).where(in_use).order_by(ImageRow.path)
    geometry = cast_column(AnnotationRow.geometry, Text)
    labels = (
        select(AnnotationRow.image_id, AnnotationRow.id, AnnotationRow.class_id, geometry)
        .join(ImageRow, ImageRow.id == AnnotationRow.image_id)
        .where(in_use, AnnotationRow.on_head)
        .order_by(ImageRow.path, AnnotationRow.id)
    )
    grouped = groupby(_rows(session, labels), key=itemgetter(0))
    ahead = next(grouped, None)
    for row in _rows(session, images):
        own: list[_HeadLabel] = []
        if ahead is not None and ahead[0] == row.id:
            own = [(key, class_id or "", stored_text(text)) for _, key, class_id, text in ahead[1]]
            ahead = next(grouped, None)
        values = dict(zip(columns, row, strict=True))
        values["group"] = values.pop("group_key")
        yield _image_values(values), own


def _rows(session: Session, query: Executable) -> Iterator[Row[*tuple[Any, ...]]]:
    """Read rows some at a time; from the connection, since a session takes longer than the database."""
    return iter(session.connection().execute(query).yield_per(PORTION))


def _image_values(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what most images do not have, so that a manifest stays what it was before they could."""
    return {name: value for name, value in values.items() if value or name not in ("negative", "group")}


def _class_values(values: dict[str, Any]) -> dict[str, Any]:
    optional = ("objects", "points", "skeleton")
    return {name: value for name, value in values.items() if value or name not in optional}


def walk_manifest(path: Path) -> tuple[Manifest, Iterator[ManifestImage]]:
    """Read a manifest a line at a time: its head (without images), and the images, lazily."""
    lines = _lines(path)
    header = next(lines)
    classes = tuple(ClassInfo(**info) for info in header["classes"])
    return Manifest(classes, (), header["preprocessing"]), map(_image, lines)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as handle:
        for line in handle:
            yield json.loads(line)


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


def freeze_version(
    session: Session, settings: Settings, project_id: str, reason: str, person: str | None = None
) -> VersionRow:
    """Freeze the head as a version inside the caller's write transaction.

    Returns the last version when the head is still the same. ``reason`` is import, train, export,
    restore or manual; ``person`` is who asked for it.
    """
    session.flush()
    header, lines = _head(session, project_id)
    store = BlobStore(settings.files)
    images = 0

    def content() -> Iterator[bytes]:
        nonlocal images
        yield _line(header)
        for values, labels in lines:
            images += 1
            yield _image_line(values, labels)

    digest = store.put_stream(content())
    last = last_version(session, project_id)
    if last is not None and last.manifest == digest:
        return last
    project = session.get_one(Project, project_id)
    changes = ""
    if last is not None:
        changes = differences(store.path(last.manifest), store.path(digest)).words()
    editlog.know(session, person)
    version = VersionRow(
        id=new_id(),
        project_id=project_id,
        number=1 if last is None else last.number + 1,
        reason=reason,
        manifest=digest,
        images=images,
        edit_seq=project.edit_seq,
        person_id=person,
        changes=f"{changes} since version {last.number}" if last is not None and changes else changes,
        created_at=utc_now(),
    )
    session.add(version)
    session.flush()
    return version


def as_split(value: str | None) -> Split | None:
    """Give a stored split its type; raises ``ValueError`` for what is no split."""
    if value is None:
        return None
    return SPLITS[SPLITS.index(cast("Split", value))]


def _line(value: dict[str, Any]) -> bytes:
    return json_text(value).encode() + b"\n"


def _image_line(values: dict[str, Any], labels: list[_HeadLabel]) -> bytes:
    """Give what ``_line`` would, without reading and writing the geometry again."""
    before, after = json_text({**values, "labels": []}).split(NO_LABELS)
    written = ",".join([_label_text(*label) for label in labels])
    return f'{before}"labels":[{written}]{after}\n'.encode()


def _label_text(key: str, class_id: str, geometry: str | None) -> str:
    """Put class and id among the members of a geometry, in the order of names: only two come before them."""
    ids = f'"class_id":{_ENCODER.encode(class_id)},"id":{_ENCODER.encode(key)}'
    if geometry is None:
        return f"{{{ids}}}"
    end = 0
    if geometry.startswith(ATTRIBUTES):
        _, end = _DECODER.raw_decode(geometry, len(ATTRIBUTES))
    if geometry.startswith(BOX, end + 1):
        end = geometry.index("]", end) + 1
    return f"{geometry[:end]},{ids}{geometry[end:]}" if end else f"{{{ids},{geometry[1:]}"
