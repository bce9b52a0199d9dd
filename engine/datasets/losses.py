"""What an export would lose: what a set holds, by name and number, against what a format keeps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from engine.contracts.datasets import SPLITS, LabelKind
from engine.datasets.formats.base import DatasetFormat, Feature
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow

MOST_NAMED = 4
"""As many names are written out; how many more there are is said behind them."""
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
HIDDEN = 1
"""Visibility of a point that is there but covered."""


@dataclass(frozen=True)
class Holdings:
    """What a set holds that a format could lose.

    ``images``: in each split, with nothing on them ("negatives"), and in how many "groups" some are.
    ``labels``: how many have what a geometry can have, by the feature that keeps it. ``attributes``: labels
    by the name of an attribute. ``classes``: names in their order, with the number of labels. ``points``
    and ``lines``: how many the skeletons have.
    """

    images: Counter[str] = field(default_factory=Counter)
    labels: Counter[Feature] = field(default_factory=Counter)
    attributes: Counter[str] = field(default_factory=Counter)
    classes: tuple[tuple[str, int], ...] = ()
    points: int = 0
    lines: int = 0


def losses(known: DatasetFormat, held: Holdings, kind: LabelKind) -> tuple[str, ...]:
    """Say in sentences what of a set with labels of a kind a format does not keep."""
    keeps = known.keeps_of(kind)
    told = (_SENTENCES[feature](held) for feature in _SENTENCES if feature not in keeps)
    caveat = known.caveats.get(kind, "") if held.labels.total() else ""
    return tuple(filter(None, (*told, caveat)))


def holdings(session: Session, project_id: str, kind: LabelKind) -> Holdings:
    """Find what the working head of a project holds that a format could lose."""
    used = (ImageRow.project_id == project_id) & ImageRow.left_out.is_(False)
    images: Counter[str] = Counter()
    for split, number in session.execute(
        select(ImageRow.split, func.count()).where(used).group_by(ImageRow.split)
    ):
        images[split or ""] += number
    others = func.count().filter(ImageRow.negative), func.count(ImageRow.group_key.distinct())
    images["negatives"], images["groups"] = session.execute(select(*others).where(used)).one()
    on_head = used & AnnotationRow.on_head
    of_class = _count_classes(session, on_head)
    rows = session.scalars(
        select(ClassRow)
        .where(ClassRow.project_id == project_id, ClassRow.deleted_at.is_(None))
        .order_by(ClassRow.position)
    ).all()
    points, lines = _skeleton(kind, [(row.points, row.skeleton) for row in rows])
    return Holdings(
        images,
        _count_labels(session, on_head, kind),
        _count_attributes(session, on_head),
        tuple((row.name, of_class[row.id]) for row in rows),
        points,
        lines,
    )


def holdings_of(manifest: Path, kind: LabelKind) -> Holdings:
    """Find what a frozen version holds that a format could lose, reading its manifest a line at a time."""
    images: Counter[str] = Counter()
    labels: Counter[Feature] = Counter()
    attributes: Counter[str] = Counter()
    of_class: Counter[str] = Counter()
    groups: set[str] = set()
    with manifest.open("rb") as handle:
        header = json.loads(handle.readline())
        for line in handle:
            row = json.loads(line)
            images[row["split"] or ""] += 1
            images["negatives"] += bool(row.get("negative"))
            groups.update(filter(None, [row.get("group")]))
            for label in row["labels"]:
                of_class[label["class_id"]] += 1
                attributes.update(list(label.get("attributes") or ()))
                labels.update(f for name, f in _MEMBERS.items() if label.get(name) and _counts(f, kind))
                labels["visibility"] += kind == "points" and _hidden(label.get("points") or ())
    images["groups"] = len(groups)
    classes = header["classes"]
    points, lines = _skeleton(kind, [(one.get("points"), one.get("skeleton")) for one in classes])
    named = tuple((one["name"], of_class[one["id"]]) for one in classes)
    return Holdings(images, labels, attributes, named, points, lines)


_MEMBERS: Mapping[str, Feature] = {
    "polygons": "outlines",
    "rle": "runs",
    "box": "boxes",
    "ignored": "ignored",
    "attributes": "attributes",
}
"""Members of a geometry, by the feature that keeps them."""


def _counts(feature: Feature, kind: LabelKind) -> bool:
    """Whether a feature is something beside the labels themselves."""
    return feature != "boxes" or kind in ("masks", "points")


def _hidden(points: Sequence[Sequence[float]]) -> bool:
    return any(point[2] == HIDDEN for point in points)


def _skeleton(
    kind: LabelKind, classes: Sequence[tuple[list[str] | None, list[list[int]] | None]]
) -> tuple[int, int]:
    """Count points and lines of all classes."""
    if kind != "points":
        return 0, 0
    return sum(len(points or ()) for points, _ in classes), sum(len(lines or ()) for _, lines in classes)


def _count_classes(session: Session, on_head: ColumnElement[bool]) -> Counter[str]:
    query = (
        select(AnnotationRow.class_id, func.count())
        .join(ImageRow, ImageRow.id == AnnotationRow.image_id)
        .where(on_head)
        .group_by(AnnotationRow.class_id)
    )
    return Counter({class_id: number for class_id, number in session.execute(query) if class_id})


def _count_labels(session: Session, on_head: ColumnElement[bool], kind: LabelKind) -> Counter[Feature]:
    """Count the labels that have each member of a geometry, in one walk over them."""
    members = {name: feature for name, feature in _MEMBERS.items() if _counts(feature, kind)}
    there = [func.json_type(AnnotationRow.geometry, f"$.{name}").is_not(None) for name in members]
    query = select(*(func.count().filter(one) for one in there))
    query = query.select_from(AnnotationRow).join(ImageRow, ImageRow.id == AnnotationRow.image_id)
    found: Counter[Feature] = Counter(
        dict(zip(members.values(), session.execute(query.where(on_head)).one(), strict=True))
    )
    if kind == "points":
        point = func.json_each(AnnotationRow.geometry, "$.points").table_valued("value", name="point")
        hidden = (
            select(func.count(AnnotationRow.id.distinct()))
            .select_from(AnnotationRow)
            .join(ImageRow, ImageRow.id == AnnotationRow.image_id)
            .join(point, true())
            .where(on_head, func.json_extract(point.c.value, "$[2]") == HIDDEN)
        )
        found["visibility"] = session.scalar(hidden) or 0
    return found


def _count_attributes(session: Session, on_head: ColumnElement[bool]) -> Counter[str]:
    one = func.json_each(AnnotationRow.geometry, "$.attributes").table_valued("key", name="attribute")
    query = (
        select(one.c.key, func.count())
        .select_from(AnnotationRow)
        .join(ImageRow, ImageRow.id == AnnotationRow.image_id)
        .join(one, true())
        .where(on_head)
        .group_by(one.c.key)
    )
    return Counter({str(name): number for name, number in session.execute(query)})


def _named(names: Sequence[str]) -> str:
    """Write the first names; how many more there are stands behind them."""
    if len(names) > MOST_NAMED:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED:,} more"
    return ", ".join(names)


def _many(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _lost_splits(held: Holdings) -> str:
    parts = [f"{held.images[name]:,} {SPLIT_NAMES[name]}" for name in SPLITS if held.images[name]]
    if not parts:
        return ""
    return f"Which images train, validate and test is lost ({', '.join(parts)})."


def _lost_negatives(held: Holdings) -> str:
    number = held.images["negatives"]
    if not number:
        return ""
    if number == 1:
        return "1 image with nothing on it looks like one that nobody has labelled."
    return f"{number:,} images with nothing on them look like images that nobody has labelled."


def _lost_attributes(held: Holdings) -> str:
    found = sorted(held.attributes.items(), key=lambda one: (-one[1], one[0]))
    named = [f"{name} (of {_many(number, 'label')})" for name, number in found]
    return f"Attributes of labels are left out: {_named(named)}." if named else ""


def _lost_skeleton(held: Holdings) -> str:
    if not held.points:
        return ""
    lines = f" and {_many(held.lines, 'line')} between them" if held.lines else ""
    return f"The names of {_many(held.points, 'point')}{lines} are left out."


def _lost_classes(held: Holdings) -> str:
    """Say which classes have no label to carry their names, and whether their order says something."""
    unused = [name for name, number in held.classes if not number]
    used = [name for name, number in held.classes if number]
    told = []
    if unused:
        many = "A class without a label is" if len(unused) == 1 else "Classes without a label are"
        told.append(f"{many} lost: {_named(unused)}.")
    if used != sorted(used):
        told.append(f"The order of the classes is lost: {_named(used)}.")
    return " ".join(told)


def _lost_groups(held: Holdings) -> str:
    number = held.images["groups"]
    return f"Which images belong together is lost: {_many(number, 'group')}." if number else ""


def _lost(feature: Feature, one: str, many: str) -> Callable[[Holdings], str]:
    """Make the sentence on labels that have something; ``one`` and ``many`` take their number."""

    def told(held: Holdings) -> str:
        number = held.labels[feature]
        return (one if number == 1 else many).format(f"{number:,}") if number else ""

    return told


_SENTENCES: Mapping[Feature, Callable[[Holdings], str]] = {
    "splits": _lost_splits,
    "negatives": _lost_negatives,
    "outlines": _lost("outlines", "{} outline becomes pixels.", "{} outlines become pixels."),
    "runs": _lost(
        "runs",
        "{} mask becomes an outline, which loses holes and single pixels.",
        "{} masks become outlines, which loses holes and single pixels.",
    ),
    "boxes": _lost(
        "boxes",
        "The box of {} label is drawn anew around its mask or points.",
        "The boxes of {} labels are drawn anew around their masks or points.",
    ),
    "visibility": _lost(
        "visibility",
        "Hidden points, which {} label has, look like visible ones.",
        "Hidden points, which {} labels have, look like visible ones.",
    ),
    "ignored": _lost(
        "ignored",
        "{} region that does not count is left out or counts.",
        "{} regions that do not count are left out or count.",
    ),
    "attributes": _lost_attributes,
    "skeleton": _lost_skeleton,
    "classes": _lost_classes,
    "groups": _lost_groups,
}
"""What is said of a feature that is not kept; empty where the set has nothing of it."""
