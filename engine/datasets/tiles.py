"""What a gallery shows of many images: their labels counted, not read."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from engine.contracts.datasets import ClassCount, ClassInfo, ImageItem
from engine.contracts.overlays import ImageTile
from engine.storage.tables import AnnotationRow

BARE = "class"
"""The kind of a label that is a class and nothing that could be drawn."""


@dataclass
class _Counted:
    """The labels of one image: how many of each class, ignored ones, and what tells them from others."""

    classes: dict[str, int] = field(default_factory=dict)
    ignored: int = 0
    drawn: int = 0
    newest: str = ""


def tiles(
    session: Session, images: Sequence[ImageItem], classes: Sequence[ClassInfo]
) -> tuple[ImageTile, ...]:
    """Count the labels of images in one statement, however many there are."""
    counted = _count(session, [image.id for image in images])
    known = {c.id: c for c in classes}
    look = _digest(f"{c.id} {c.position} {c.points} {c.skeleton} {c.name}" for c in classes)
    return tuple(_tile(image, counted[image.id], known, look) for image in images)


def _tile(image: ImageItem, counted: _Counted, known: Mapping[str, ClassInfo], look: str) -> ImageTile:
    present = [(known[c], count) for c, count in counted.classes.items() if c in known]
    present.sort(key=lambda pair: (-pair[1], pair[0].position))
    parts = (look, str(image.revision), str(counted.drawn), str(counted.ignored), counted.newest)
    return ImageTile(
        image=image,
        classes=tuple(ClassCount(name=c.name, position=c.position, count=count) for c, count in present),
        ignored=counted.ignored,
        look=_digest(parts) if counted.drawn else "",
    )


def _count(session: Session, image_ids: Sequence[str]) -> defaultdict[str, _Counted]:
    drawn = AnnotationRow.kind != BARE
    ignored = case((drawn & AnnotationRow.geometry["ignored"].as_boolean().is_(True), 1), else_=0)
    query = (
        select(
            AnnotationRow.image_id,
            AnnotationRow.class_id,
            func.count(),
            func.sum(ignored),
            func.sum(case((drawn, 1), else_=0)),
            func.max(AnnotationRow.id),
        )
        .where(AnnotationRow.image_id.in_(image_ids), AnnotationRow.on_head)
        .group_by(AnnotationRow.image_id, AnnotationRow.class_id)
    )
    found: defaultdict[str, _Counted] = defaultdict(_Counted)
    for image_id, class_id, labels, without, with_place, newest in session.execute(query):
        counted = found[image_id]
        if class_id is not None and labels > without:
            counted.classes[class_id] = labels - without
        counted.ignored += without
        counted.drawn += with_place
        counted.newest = max(counted.newest, newest)
    return found


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
