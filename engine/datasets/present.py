"""What a project holds already, as an import compares with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.contracts.datasets import Split
from engine.datasets.manifest import as_split
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow

Content = tuple[str, str]
"""Class and geometry of a label, as text, to tell whether two say the same."""


@dataclass(frozen=True)
class Present:
    """An image that the project holds already."""

    id: str
    path: str
    sha256: str
    split: Split | None
    labels: frozenset[Content]
    names: tuple[str, ...]
    left_out: bool
    negative: bool
    group: str | None


def present_images(session: Session, project_id: str) -> dict[str, Present]:
    """Return the images of a project by path, with what the labels on the head say."""
    labels: dict[str, list[Content]] = {}
    found = (
        select(AnnotationRow.image_id, ClassRow.name, AnnotationRow.geometry)
        .outerjoin(ClassRow, ClassRow.id == AnnotationRow.class_id)
        .where(AnnotationRow.project_id == project_id, AnnotationRow.on_head)
    )
    for image_id, name, geometry in session.execute(found):
        labels.setdefault(image_id, []).append((name or "", geometry_text(geometry)))
    columns = (
        ImageRow.id, ImageRow.path, ImageRow.sha256, ImageRow.split, ImageRow.left_out, ImageRow.negative,
        ImageRow.group_key,
    )  # fmt: skip
    rows = session.execute(select(*columns).where(ImageRow.project_id == project_id))
    return {
        row.path: Present(
            id=row.id,
            path=row.path,
            sha256=row.sha256,
            split=as_split(row.split),
            labels=frozenset(labels.get(row.id, ())),
            names=tuple(name for name, _ in labels.get(row.id, ()) if name),
            left_out=row.left_out,
            negative=row.negative,
            group=row.group_key,
        )
        for row in rows
    }


def geometry_text(geometry: dict[str, Any] | None) -> str:
    """Give a geometry as text that is equal for equal geometries."""
    return json.dumps(geometry or {}, sort_keys=True)
