"""Writing an import into the database: all rows in one transaction, or none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import Split
from engine.datasets.account import Account
from engine.datasets.geometry import geometry_of, kind_of
from engine.datasets.intake import Taken
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.datasets.newcomers import Incoming, Newcomer, choose_splits
from engine.datasets.present import Present, geometry_text, present_images
from engine.datasets.resplit import current_rule
from engine.errors import InputError, LimitError
from engine.storage.database import new_id
from engine.storage.tables import AnnotationRow, ClassRow, FileRow, ImageRow, Project

Mode = Literal["new", "add", "replace"]
CHUNK = 2_000  # values in one statement; SQLite takes 32,766


@dataclass(frozen=True)
class Committed:
    """What was written; ``notes`` are sentences for the report."""

    images: int
    annotations: int
    splits_of_set: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Target:
    """An image that the import writes: a new one, or one that is there and gets labels."""

    id: str
    incoming: Incoming
    new: bool
    split: Split | None


def commit_rows(
    session: Session,
    project: Project,
    import_id: str,
    incoming: Sequence[Incoming],
    account: Account,
    heads: Sequence[ClassHead] = (),
    *,
    mode: Mode,
    class_limit: int,
) -> Committed:
    """Write classes, files, images, annotations and splits; each row gets its outcome in ``account``.

    ``heads`` are the classes as the set lists them. Runs in the caller's write transaction. Raises
    ``LimitError`` when there would be too many classes, ``InputError`` when nameless points do not agree.
    """
    present = present_images(session, project.id)
    sort_out = _for_replacing if mode == "replace" else _for_adding
    targets = [target for item in incoming if (target := sort_out(item, present, account)) is not None]
    if mode == "replace":
        _clear(session, project.id, present, targets)
        present = {}
    notes = []
    if (already := len(incoming) - len([target for target in targets if target.new])) and mode != "replace":
        notes.append(f"{already:,} of the images were in the project already or could not be added.")
    notes += _same_pixels(targets, present)
    rule = current_rule(session, project.id)
    newcomers = [Newcomer.of(target.incoming, target.split) for target in targets]
    chosen, of_set, note = choose_splits(newcomers, list(present.values()), rule)
    notes += [note] if note else []
    classes = _classes(session, project.id, targets, heads, class_limit)
    _insert_files(session, [target.incoming.taken for target in targets])
    _write_images(session, project.id, import_id, targets, chosen)
    annotations = _write_annotations(session, project.id, targets, classes)
    # The log's number moves on, so that edits before and after the import can be told apart.
    project.edit_seq += 1
    session.flush()
    return Committed(len(targets), annotations, of_set, tuple(notes))


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sort key that puts "class 2" before "class 10"."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return tuple((piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces)


def _same_pixels(targets: Sequence[_Target], present: dict[str, Present]) -> list[str]:
    """Say which new images hold the pixels of others, in the project or in the set itself."""
    new = [target.incoming.taken for target in targets if target.new]
    known = {image.sha256: image.path for image in present.values()}
    old = [taken for taken in new if taken.sha256 in known]
    notes = []
    if old:
        notes.append(
            f"{len(old):,} of the new images are in the project already under another name, "
            f"such as “{old[0].path}”, which is “{known[old[0].sha256]}”."
        )
    counted = Counter(taken.sha256 for taken in new if taken.sha256 not in known)
    extra = sum(count - 1 for count in counted.values())
    if extra:
        notes.append(f"{extra:,} of the new images are exact copies of others in the set.")
    return notes


def _for_adding(item: Incoming, present: dict[str, Present], account: Account) -> _Target | None:
    """Decide about one image when what is there stays as it is."""
    old = present.get(item.row.path)
    if old is None:
        _count_used(item, account)
        return _Target(new_id(), item, True, item.row.split)
    if old.sha256 != item.taken.sha256:
        reason = "another picture is in the project under this path; rename it, or replace the set"
        account.skip_image(item.row.path, reason)
        _skip_labels(item, account, reason)
        return None
    account.image(item.row.path, item.row.repairs)
    fresh = frozenset((label.name, geometry_text(geometry_of(label))) for label in item.labels)
    if item.labels and old.labels and fresh != old.labels:
        told = f"as “{old.names[0]}”" if len(old.labels) == 1 and old.names else "with other labels"
        _skip_labels(item, account, f"the image is in the project {told}; that stays")
        return None
    _count_labels(item, account)
    unlabelled = not old.labels and not old.negative
    return _Target(old.id, item, False, old.split) if unlabelled and (fresh or item.negative) else None


def _skip_labels(item: Incoming, account: Account, reason: str) -> None:
    for label in (*item.labels, *item.merged):
        account.skip_label(*_origin(item.row, label), reason)


def _for_replacing(item: Incoming, present: dict[str, Present], account: Account) -> _Target:
    """Decide about one image when the set takes the place of what is there."""
    _count_used(item, account)
    old = present.get(item.row.path)
    same = old is not None and old.sha256 == item.taken.sha256
    return _Target(old.id if old is not None and same else new_id(), item, not same, item.row.split)


def _count_used(item: Incoming, account: Account) -> None:
    account.image(item.row.path, (*item.row.repairs, *item.taken.repairs))
    _count_labels(item, account)


def _count_labels(item: Incoming, account: Account) -> None:
    for label in item.labels:
        account.label(*_origin(item.row, label), label.repairs)
    for label in item.merged:
        account.label(*_origin(item.row, label), label.repairs)


def _origin(row: ImageLabels, label: Label) -> tuple[str, int | None]:
    """Say where a label stands."""
    return (label.file or row.file or row.path), (label.line if label.line is not None else row.line)


def _clear(
    session: Session, project_id: str, present: dict[str, Present], targets: Sequence[_Target]
) -> None:
    """Leave out all images but those that come again, and take all labels off the head.

    An image that stands under the path of another picture makes room for it.
    """
    session.execute(update(ImageRow).where(ImageRow.project_id == project_id).values(left_out=True))
    again = [target.id for target in targets if not target.new]
    for start in range(0, len(again), CHUNK):
        part = ImageRow.id.in_(again[start : start + CHUNK])
        session.execute(update(ImageRow).where(part).values(left_out=False))
    head = (AnnotationRow.project_id == project_id) & AnnotationRow.on_head
    session.execute(update(AnnotationRow).where(head).values(on_head=False))
    for target in targets:
        old = present.get(target.incoming.row.path)
        if old is not None and target.new:
            # Results of earlier runs go on showing the old picture, under a path of its own.
            aside = f"{old.path} (replaced, {old.id})"
            session.execute(update(ImageRow).where(ImageRow.id == old.id).values(path=aside))


def _classes(
    session: Session, project_id: str, targets: Sequence[_Target], heads: Sequence[ClassHead], limit: int
) -> dict[str, str]:
    """Return class ids by name, adding the new ones behind those that are there.

    They come in the set's own order, and those that it does not list after them in natural order.
    """
    rows = session.scalars(select(ClassRow).where(ClassRow.project_id == project_id)).all()
    ids = {row.name: row.id for row in rows}
    used = {name for target in targets for name in target.incoming.names}
    listed = {head.name: head for head in heads if head.name}
    names = [*listed, *sorted(used - listed.keys(), key=natural)]
    for row in rows:
        if row.name in used or row.name in listed:
            row.deleted_at = None
    fresh = [name for name in names if name not in ids]
    if len(ids) + len(fresh) > limit:
        raise LimitError(f"The project would have {len(ids) + len(fresh):,} classes; {limit:,} is the limit.")
    position = max((row.position for row in rows), default=-1) + 1
    numbered = _numbered_points(targets, listed)
    made = [
        {"id": new_id(), "project_id": project_id, "name": name, "position": position + number}
        | _keypoints(listed.get(name), numbered.get(name))
        for number, name in enumerate(fresh)
    ]
    _insert(session, ClassRow, made)
    return ids | {str(row["name"]): str(row["id"]) for row in made}


def _numbered_points(targets: Sequence[_Target], listed: Mapping[str, ClassHead]) -> dict[str, list[str]]:
    """Give numbers to the points of those classes for which the set names no points.

    Raises ``InputError`` when the objects of one class have different numbers of points.
    """
    counts: dict[str, int] = {}
    for label in (label for target in targets for label in target.incoming.labels):
        head = listed.get(label.name)
        if not label.points or not label.name or (head is not None and head.points):
            continue
        if counts.setdefault(label.name, len(label.points)) != len(label.points):
            raise InputError(
                f"Objects of “{label.name}” have {counts[label.name]} and {len(label.points)} points "
                "without names.",
                "Name the points, or make classes of their own.",
            )
    return {name: [str(number + 1) for number in range(count)] for name, count in counts.items()}


def _keypoints(head: ClassHead | None, numbered: list[str] | None) -> dict[str, Any]:
    points = list(head.points) if head and head.points else numbered
    skeleton = [list(bone) for bone in head.skeleton] if head and head.skeleton else None
    return {"points": points, "skeleton": skeleton}


def _insert_files(session: Session, taken: Sequence[Taken]) -> None:
    wanted = {one.sha256: one for one in taken}
    digests = list(wanted)
    for start in range(0, len(digests), CHUNK):
        part = digests[start : start + CHUNK]
        for digest in session.scalars(select(FileRow.sha256).where(FileRow.sha256.in_(part))):
            del wanted[digest]
    columns = ("sha256", "bytes", "format", "mode", "width", "height")
    _insert(session, FileRow, [{name: getattr(one, name) for name in columns} for one in wanted.values()])


def _write_images(
    session: Session,
    project_id: str,
    import_id: str,
    targets: Sequence[_Target],
    chosen: Sequence[Split],
) -> None:
    at, made = utc_now(), []
    for target, split in zip(targets, chosen, strict=True):
        if target.new:
            made.append(_image_values(target, split) | {"project_id": project_id, "import_id": import_id})
            made[-1]["added_at"] = at
        else:
            session.execute(
                update(ImageRow)
                .where(ImageRow.id == target.id)
                .values(
                    split=split,
                    revision=ImageRow.revision + 1,
                    negative=target.incoming.negative,
                    group_key=func.coalesce(ImageRow.group_key, target.incoming.row.group),
                )
            )
    _insert(session, ImageRow, made)


def _image_values(target: _Target, split: Split) -> dict[str, Any]:
    taken = target.incoming.taken
    return {
        "id": target.id,
        "path": target.incoming.row.path,
        "sha256": taken.sha256,
        "width": taken.width,
        "height": taken.height,
        "split": split,
        "left_out": False,
        "revision": 0,
        "negative": target.incoming.negative,
        "group_key": target.incoming.row.group,
    }


def _write_annotations(
    session: Session, project_id: str, targets: Sequence[_Target], classes: dict[str, str]
) -> int:
    """Write all labels, a chunk at a time: there may be a million."""
    written, chunk = 0, []
    for row in _annotations(project_id, targets, classes):
        chunk.append(row)
        if len(chunk) == CHUNK:
            _insert(session, AnnotationRow, chunk)
            written, chunk = written + len(chunk), []
    _insert(session, AnnotationRow, chunk)
    return written + len(chunk)


def _annotations(
    project_id: str, targets: Sequence[_Target], classes: dict[str, str]
) -> Iterator[dict[str, Any]]:
    at = utc_now()
    for target in targets:
        for label in target.incoming.labels:
            yield {
                "id": new_id(),
                "project_id": project_id,
                "image_id": target.id,
                "class_id": classes[label.name] if label.name else None,
                "kind": kind_of(label),
                "geometry": geometry_of(label) or None,
                "on_head": True,
                "created_at": at,
            }


def _insert(session: Session, table: type[Any], rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        session.execute(insert(table), rows)
