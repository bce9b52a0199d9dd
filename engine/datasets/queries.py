"""What the Data screen asks of the working head; a fixed number of statements, however large it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from engine.contracts.datasets import (
    SPLITS,
    ClassInfo,
    DatasetSummary,
    ImageFilter,
    ImageItem,
    ImageOrder,
    ImagePage,
    ImportReport,
    LabelItem,
    SizeSummary,
    VersionInfo,
)
from engine.datasets.edits import undoable
from engine.datasets.manifest import as_split, last_version
from engine.errors import NotFoundError
from engine.storage.tables import AnnotationRow, ClassRow, EditRow, ImageRow, ImportRow, RunRow, VersionRow

PAGE_LIMIT = 2_000


def summary(session: Session, project_id: str) -> DatasetSummary:
    """Count images, classes and splits of the working head."""
    in_use = (ImageRow.project_id == project_id) & ImageRow.left_out.is_(False)
    counted = session.execute(select(ImageRow.split, func.count()).where(in_use).group_by(ImageRow.split))
    splits = {split: count for split, count in counted if split}
    images = _count(session, in_use)
    on_head = select(AnnotationRow.id).where(AnnotationRow.image_id == ImageRow.id, AnnotationRow.on_head)
    unlabelled = _count(session, in_use & ~ImageRow.negative & ~on_head.exists())
    version = last_version(session, project_id)
    report = last_import(session, project_id)
    return DatasetSummary(
        images=images,
        left_out=_count(session, (ImageRow.project_id == project_id) & ImageRow.left_out.is_(True)),
        unlabelled=unlabelled,
        classes=classes(session, project_id),
        splits={split: splits.get(split, 0) for split in SPLITS},
        splits_of_set=report is not None and report.splits_of_set,
        sizes=_sizes(session, in_use, images),
        version=None if version is None else version_info(version),
        changed_since_version=0 if version is None else _changed(session, project_id, version.edit_seq),
        undo=_undo_sentence(session, project_id),
    )


def has_images(session: Session, project_id: str) -> bool:
    """Whether a project holds images, left out or not."""
    query = select(ImageRow.id).where(ImageRow.project_id == project_id).limit(1)
    return session.scalars(query).first() is not None


def classes(session: Session, project_id: str) -> tuple[ClassInfo, ...]:
    """List the classes by position, with the number of images on the head that carry each."""
    counts = (
        select(
            AnnotationRow.class_id,
            func.count(AnnotationRow.image_id.distinct()).label("images"),
            func.count().label("objects"),
        )
        .join(ImageRow, ImageRow.id == AnnotationRow.image_id)
        .where(ImageRow.project_id == project_id, ImageRow.left_out.is_(False), AnnotationRow.on_head)
        .group_by(AnnotationRow.class_id)
        .subquery()
    )
    query = (
        select(ClassRow, func.coalesce(counts.c.images, 0), func.coalesce(counts.c.objects, 0))
        .outerjoin(counts, counts.c.class_id == ClassRow.id)
        .where(ClassRow.project_id == project_id, ClassRow.deleted_at.is_(None))
        .order_by(ClassRow.position)
    )
    return tuple(
        ClassInfo(
            id=row.id,
            name=row.name,
            position=row.position,
            images=images,
            objects=objects,
            points=tuple(row.points or ()),
            skeleton=tuple((one, other) for one, other in row.skeleton or ()),
        )
        for row, images, objects in session.execute(query)
    )


def images(
    session: Session,
    project_id: str,
    chosen: ImageFilter | None = None,
    offset: int = 0,
    limit: int = 60,
    order: ImageOrder = "path",
    *,
    labels: bool = True,
) -> ImagePage:
    """Return a slice of the images that match, at most ``PAGE_LIMIT``; without ``labels`` it is faster."""
    condition = _condition(project_id, chosen or ImageFilter())
    query = (
        select(ImageRow)
        .where(condition)
        .order_by(*([_turn()] if order == "mixed" else []), ImageRow.path)
        .offset(max(0, offset))
        .limit(max(0, min(limit, PAGE_LIMIT)))
    )
    items = _items(session, session.scalars(query).all(), labels=labels)
    return ImagePage(items=items, total=_count(session, condition), offset=offset)


def _turn() -> ColumnElement[int]:
    """Return an image's place among those of its class: sorted by it, one of each class comes in turn."""
    label = (
        select(func.min(AnnotationRow.class_id))
        .where(AnnotationRow.image_id == ImageRow.id, AnnotationRow.on_head)
        .scalar_subquery()
    )
    return func.row_number().over(partition_by=label, order_by=ImageRow.path)


def image(session: Session, project_id: str, image_id: str) -> ImageItem:
    """Return one image, left out or not; raises ``NotFoundError`` when the project has none such."""
    query = select(ImageRow).where(ImageRow.project_id == project_id, ImageRow.id == image_id)
    found = _items(session, session.scalars(query).all())
    if not found:
        raise NotFoundError("This image does not exist in the project.", "It may have been replaced.")
    return found[0]


def versions(session: Session, project_id: str) -> tuple[VersionInfo, ...]:
    """List the versions, newest first."""
    query = select(VersionRow).where(VersionRow.project_id == project_id).order_by(VersionRow.number.desc())
    runs: dict[str, list[int]] = defaultdict(list)
    numbers = select(RunRow.version_id, RunRow.number).where(RunRow.project_id == project_id)
    for version_id, number in session.execute(numbers.order_by(RunRow.number)):
        runs[version_id].append(number)
    return tuple(version_info(row, runs[row.id]) for row in session.scalars(query))


def version_info(row: VersionRow, runs: Sequence[int] = ()) -> VersionInfo:
    """Give a version as a record; ``runs`` are the numbers of the runs made from it."""
    return VersionInfo(
        id=row.id,
        number=row.number,
        reason=row.reason,
        created_at=row.created_at,
        images=row.images,
        changes=row.changes,
        person=row.person_id or "",
        runs=tuple(runs),
    )


def last_import(session: Session, project_id: str) -> ImportReport | None:
    """Return the account of the newest import, or None."""
    query = select(ImportRow.report).where(ImportRow.project_id == project_id)
    report = session.scalars(query.order_by(ImportRow.created_at.desc()).limit(1)).first()
    return None if report is None else ImportReport.model_validate(report)


def _condition(project_id: str, chosen: ImageFilter) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = [ImageRow.project_id == project_id]
    if chosen.left_out is not None:
        parts.append(ImageRow.left_out.is_(chosen.left_out))
    if chosen.splits:
        parts.append(ImageRow.split.in_(chosen.splits))
    if chosen.image_ids:
        parts.append(ImageRow.id.in_(chosen.image_ids))
    label = select(AnnotationRow.id).where(AnnotationRow.image_id == ImageRow.id, AnnotationRow.on_head)
    if chosen.unlabelled:
        parts.append(~label.exists() & ~ImageRow.negative)
    if chosen.class_ids:
        parts.append(label.where(AnnotationRow.class_id.in_(chosen.class_ids)).exists())
    condition = parts[0]
    for part in parts[1:]:
        condition = condition & part
    return condition


def _labels(session: Session, rows: Sequence[ImageRow]) -> dict[str, list[LabelItem]]:
    labels: dict[str, list[LabelItem]] = defaultdict(list)
    found = select(AnnotationRow).where(
        AnnotationRow.image_id.in_([row.id for row in rows]), AnnotationRow.on_head
    )
    for label in session.scalars(found.order_by(AnnotationRow.id)):
        item = LabelItem(id=label.id, class_id=label.class_id or "", **(label.geometry or {}))
        labels[label.image_id].append(item)
    return labels


def _items(session: Session, rows: Sequence[ImageRow], *, labels: bool = True) -> tuple[ImageItem, ...]:
    found = _labels(session, rows) if labels else {}
    return tuple(
        ImageItem(
            id=row.id,
            path=row.path,
            sha256=row.sha256,
            width=row.width,
            height=row.height,
            split=as_split(row.split),
            labels=tuple(found.get(row.id, ())),
            left_out=row.left_out,
            revision=row.revision,
            negative=row.negative,
        )
        for row in rows
    )


def _sizes(session: Session, condition: ColumnElement[bool], count: int) -> SizeSummary | None:
    if count == 0:
        return None
    by_area = (
        select(ImageRow.width, ImageRow.height)
        .where(condition)
        .order_by(ImageRow.width * ImageRow.height, ImageRow.id)
    )
    smallest, median, largest = (
        session.execute(by_area.offset(position).limit(1)).one() for position in (0, count // 2, count - 1)
    )
    return SizeSummary(smallest=smallest, largest=largest, median=median)


def _changed(session: Session, project_id: str, since: int) -> int:
    """Count the images whose labels, use or split differ from when the log stood at ``since``.

    An undo puts the same annotation back, so an annotation that was moved an even number of times
    stands where it stood. Of the other columns, the first value since then is held against today's.
    """
    moved: dict[str, set[str]] = defaultdict(set)
    first: dict[str, dict[str, Any]] = defaultdict(dict)
    later = (EditRow.project_id == project_id) & (EditRow.seq > since) & EditRow.image_id.is_not(None)
    columns = (EditRow.image_id, EditRow.removed, EditRow.added, EditRow.left_out_before, EditRow.before)
    for image_id, removed, added, left_out_before, before in session.execute(
        select(*columns).where(later).order_by(EditRow.seq)
    ):
        toggled = {*removed, *added} | ({"left out"} if left_out_before is not None else set())
        moved[image_id] ^= toggled
        first[image_id] = (before or {}) | first[image_id]
    changed = {image_id for image_id, toggled in moved.items() if toggled}
    touched = select(EditRow.image_id).where(later, EditRow.before.is_not(None))
    for row in session.scalars(select(ImageRow).where(ImageRow.id.in_(touched))):
        if any(getattr(row, name) != value for name, value in first[row.id].items()):
            changed.add(row.id)
    return len(changed)


def _undo_sentence(session: Session, project_id: str) -> str:
    batch = undoable(session, project_id)
    if batch is None:
        return ""
    query = select(EditRow.description).where(EditRow.project_id == project_id, EditRow.batch == batch)
    return session.scalars(query.limit(1)).one()


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(ImageRow).where(condition)) or 0
