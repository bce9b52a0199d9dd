"""What a project holds already, as an import compares with it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from engine.contracts.datasets import Split
from engine.datasets.geometry import stored_text
from engine.datasets.manifest import as_split
from engine.storage.tables import AnnotationRow, ClassRow, EditRow, ImageRow

Content = tuple[str, str | None]
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
    by_hand: bool = False
    """Whether it is a person who left it out."""

    @property
    def idle(self) -> bool:
        """Whether it is out of use without a person having said so of it: replaced, or not in a version."""
        return self.left_out and not self.by_hand


def present_images(session: Session, project_id: str) -> dict[str, Present]:
    """Return the images of a project by path, with what the labels on the head say."""
    labels: dict[str, list[Content]] = {}
    found = (
        select(AnnotationRow.image_id, ClassRow.name, cast(AnnotationRow.geometry, Text))
        .outerjoin(ClassRow, ClassRow.id == AnnotationRow.class_id)
        .where(AnnotationRow.project_id == project_id, AnnotationRow.on_head)
    )
    for image_id, name, geometry in session.execute(found):
        labels.setdefault(image_id, []).append((name or "", stored_text(geometry)))
    by_hand = left_out_by_hand(session, project_id)
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
            by_hand=row.left_out and row.id in by_hand,
        )
        for row in rows
    }


def left_out_by_hand(session: Session, project_id: str) -> set[str]:
    """Return the images that a person left out by an edit which stands; an import may have changed it since.

    The last edit of an image's use that was not undone decides. Restoring a version takes images out of use
    too, but says nothing of them one by one.
    """
    undone = select(EditRow.undoes).where(EditRow.project_id == project_id, EditRow.undoes.is_not(None))
    query = (
        select(EditRow.image_id, EditRow.kind, EditRow.left_out_before)
        .where(
            EditRow.project_id == project_id,
            EditRow.left_out_before.is_not(None),
            EditRow.undoes.is_(None),
            EditRow.batch.not_in(undone),
        )
        .order_by(EditRow.seq)
    )
    found = {
        image_id: kind == "leave_out" and not before for image_id, kind, before in session.execute(query)
    }
    return {image_id for image_id, out in found.items() if out and image_id is not None}
