"""What an export would lose: what a set holds, against what a format keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from sqlalchemy import ColumnElement, String, cast, select
from sqlalchemy.orm import Session

from engine.contracts.datasets import LabelKind
from engine.datasets.formats.base import DatasetFormat, Feature
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow

SENTENCES: Mapping[Feature, str] = {
    "splits": "Train, validation and test are not told apart.",
    "negatives": "Images with nothing on them look like images that nobody has labelled.",
    "outlines": "Outlines become pixels.",
    "runs": "Masks become outlines, which loses holes and single pixels.",
    "boxes": "Boxes are drawn anew around the masks or points.",
    "visibility": "Hidden and visible points are not told apart.",
    "ignored": "Regions that do not count are left out or count.",
    "attributes": "Attributes of labels are left out.",
    "skeleton": "Names of points and the lines between them are left out.",
    "classes": "Classes without a label, or their order, are lost.",
    "groups": "Which images belong together (a patient, a video) is lost.",
}


def losses(known: DatasetFormat, present: Iterable[Feature], kind: LabelKind) -> tuple[str, ...]:
    """Say in sentences what of a set with labels of a kind a format does not keep."""
    held = set(present)
    told = [text for feature, text in SENTENCES.items() if feature in held - known.keeps_of(kind)]
    return (*told, *([known.caveats[kind]] if kind in known.caveats else []))


def features(session: Session, project_id: str, kind: LabelKind) -> frozenset[Feature]:
    """Find what the working head of a project holds that a format could lose."""
    own = (ImageRow.project_id == project_id) & ImageRow.left_out.is_(False)
    found: set[Feature] = {"classes"}
    if _any(session, own & ImageRow.split.is_not(None)):
        found.add("splits")
    if _any(session, own & ImageRow.negative):
        found.add("negatives")
    if _any(session, own & ImageRow.group_key.is_not(None)):
        found.add("groups")
    text = cast(AnnotationRow.geometry, String)
    for word, feature in _WORDS.items():
        if _any_label(session, project_id, text.like(f'%"{word}"%')):
            found.add(feature)
    if "boxes" in found and kind not in ("masks", "points"):
        found.remove("boxes")  # the boxes are the labels themselves
    named = select(ClassRow.id).where(ClassRow.project_id == project_id, ClassRow.points.is_not(None))
    if kind == "points" and session.scalars(named.limit(1)).first() is not None:
        found.add("skeleton")
    return frozenset(found)


def features_of(manifest: Path, kind: LabelKind) -> frozenset[Feature]:
    """Find what a frozen version holds that a format could lose, reading its manifest a line at a time."""
    found: set[Feature] = {"classes"}
    with manifest.open("rb") as handle:
        header = json.loads(handle.readline())
        for line in handle:
            row = json.loads(line)
            found.update(feature for name, feature in _OF_IMAGE.items() if row.get(name))
            held = {name for label in row["labels"] for name, value in label.items() if value}
            found.update(feature for name, feature in _WORDS.items() if name in held)
    if kind not in ("masks", "points"):
        found.discard("boxes")
    if kind == "points" and any(info.get("points") for info in header["classes"]):
        found.add("skeleton")
    return frozenset(found)


_OF_IMAGE: Mapping[str, Feature] = {"split": "splits", "negative": "negatives", "group": "groups"}
_WORDS: Mapping[str, Feature] = {
    "polygons": "outlines",
    "rle": "runs",
    "box": "boxes",
    "points": "visibility",
    "ignored": "ignored",
    "attributes": "attributes",
}


def _any(session: Session, condition: ColumnElement[bool]) -> bool:
    return session.scalars(select(ImageRow.id).where(condition).limit(1)).first() is not None


def _any_label(session: Session, project_id: str, condition: ColumnElement[bool]) -> bool:
    query = select(AnnotationRow.id).where(
        AnnotationRow.project_id == project_id, AnnotationRow.on_head, condition
    )
    return session.scalars(query.limit(1)).first() is not None
