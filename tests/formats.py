"""What tests of formats share: reading a set as an import does, and sets of hostile names.

``read_set`` follows the import step by step (recognise, expand, read, decode the masks, settle, place,
fit), without its processes and its database.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from engine.contracts.datasets import LabelKind, Outcome
from engine.datasets import fitting, masks, placing
from engine.datasets.archive import Member, open_source, read_member
from engine.datasets.class_list import natural
from engine.datasets.fitting import Fitted
from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    Feature,
    LabelIssue,
    Reading,
    ReadOptions,
    Recognition,
    SourceView,
)
from engine.datasets.geometry import box_around
from engine.datasets.labels import ClassHead, ImageLabels, Label, Mask, Polygons, Rle
from engine.datasets.mask_pictures import read_mask
from engine.datasets.mask_values import Extent, settle
from engine.datasets.placing import Picture, Placed
from engine.datasets.preprocessing import UnreadableImageError
from engine.settings import Limits

SAME_AREA = 0.98
"""Intersection over union from which an outline and its pixels are the same."""


@dataclass(frozen=True)
class ReadSet:
    """A set as it would go into a project: rows in px, fitted to a kind, each with its bytes' hash."""

    rows: dict[str, ImageLabels]
    heads: tuple[ClassHead, ...]
    reading: Reading
    recognition: Recognition | None
    files: dict[str, Path]
    skipped: list[tuple[str, int | None, str]] = field(default_factory=list)
    repaired: list[tuple[str, int | None, str]] = field(default_factory=list)
    merged: int = 0

    @property
    def by_content(self) -> dict[str, ImageLabels]:
        """Rows by the hash of their picture."""
        found = {digest(self.files[path]): row for path, row in self.rows.items()}
        assert len(found) == len(self.rows)
        return found

    def export(self, kind: LabelKind) -> ExportSet:
        """Give it to a writer as an export would."""
        rows = ((row, self.files[path]) for path, row in self.rows.items())
        return ExportSet(kind, self.heads, rows)


def read_set(
    known: DatasetFormat,
    folder: Path,
    kind: LabelKind,
    options: ReadOptions | None = None,
    *,
    rescale: bool = False,
) -> ReadSet:
    """Read a folder of files as an import does."""
    options = options or ReadOptions(kind)
    with tempfile.TemporaryDirectory() as scratch:
        source = open_source((("set", folder),), Limits(), Path(scratch))
        view = SourceView(source)
        recognition = known.recognise(view)
        if known.expand is not None:
            inside = known.expand(view, Path(scratch))
            view = SourceView(replace(source, members=(*source.members, *inside)), view.opened, view.kept)
        reading = known.read(view, options)
        found = ReadSet({}, (), reading, recognition, {})
        rows: list[ImageLabels] = []
        for row in reading.rows:
            if isinstance(row, LabelIssue):
                _note(found, row)
            else:
                assert row.path not in found.files, f"“{row.path}” comes twice"
                found.files[row.path] = Path(view.by_path[row.path].file)
                rows.append(row)
        pictures = {row.path: _picture(view.by_path[row.path]) for row in rows}
        names = [head.name for head in reading.classes]
        settled_rows, more = _settle(rows, reading, view, pictures, found)
        for row in settled_rows:
            placed = placing.place(row, pictures[row.path], swap_boxes=options.swap_boxes, rescale=rescale)
            fitted = fitting.fit(placed.labels, kind, (pictures[row.path].width, pictures[row.path].height))
            _account(found, row, placed, fitted)
            found.rows[row.path] = _as_kept(row, fitted, pictures[row.path])
    used = {label.name for row in found.rows.values() for label in row.labels if label.name}
    extra = [head for head in more if head.name not in names]
    names += [head.name for head in extra]
    rest = [ClassHead(name) for name in sorted(used - set(names), key=natural)]
    return replace(found, heads=(*(head for head in reading.classes if head.name), *extra, *rest))


def _settle(
    rows: Sequence[ImageLabels],
    reading: Reading,
    view: SourceView,
    pictures: dict[str, Picture],
    found: ReadSet,
) -> tuple[list[ImageLabels], tuple[ClassHead, ...]]:
    if not any(row.masks for row in rows):
        return list(rows), ()
    decoded = {}
    for path in {mask.path for row in rows for mask in row.masks}:
        try:
            decoded[path] = read_mask(read_member(view.by_path[path]), reading.mask_values.colors or None)
        except UnreadableImageError as error:
            decoded[path] = str(error)  # type: ignore[assignment]
    extents = {path: Extent(one.width, one.height, one.orientation) for path, one in pictures.items()}
    settled = settle(rows, decoded, extents, reading.mask_values)
    kept = []
    for row in settled.rows:
        if isinstance(row, LabelIssue):
            _note(found, row)
        else:
            kept.append(row)
    return kept, settled.classes


def _note(found: ReadSet, row: LabelIssue) -> None:
    notes = found.skipped if row.issue.outcome is Outcome.SKIPPED else found.repaired
    notes.append((row.issue.file, row.issue.line, row.issue.reason))


def _account(found: ReadSet, row: ImageLabels, placed: Placed, fitted: Fitted) -> None:
    assert len(placed.labels) + len(placed.skipped) == len(row.labels)
    for label, reason in (*placed.skipped, *fitted.skipped):
        found.skipped.append((label.file or row.file or row.path, label.line or row.line, reason))
    for label in (*fitted.labels, *fitted.merged):
        if label.repairs:
            found.repaired.append(
                (label.file or row.file or row.path, label.line or row.line, "; ".join(label.repairs))
            )


def _as_kept(row: ImageLabels, fitted: Fitted, picture: Picture) -> ImageLabels:
    """Give the row as the database keeps it."""
    labels = tuple(replace(label, file="", line=None, repairs=()) for label in fitted.labels)
    return ImageLabels(
        row.path,
        labels,
        row.split,
        negative=row.negative and not labels,
        size=(picture.width, picture.height),
        group=row.group,
    )


def _picture(member: Member) -> Picture:
    with Image.open(io.BytesIO(read_member(member))) as image:
        turned = image.getexif().get(0x0112, 1)
        width, height = image.size
    return Picture(*((height, width) if turned >= placing.SIDEWAYS else (width, height)), turned)


def digest(path: Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- what is the same ------------------------------------------------------------------------------------


def differences(
    expected: ImageLabels, found: ImageLabels, kind: LabelKind, keeps: Collection[Feature]
) -> Iterator[str]:
    """Say how a row differs from what a format should have kept of another."""
    if "splits" in keeps and found.split != expected.split:
        yield f"split {found.split} instead of {expected.split}"
    if "negatives" in keeps and found.negative != expected.negative:
        yield f"negative {found.negative} instead of {expected.negative}"
    if found.size != expected.size:
        yield f"size {found.size} instead of {expected.size}"
    rest = list(found.labels)
    for label in expected.labels:
        same = next((one for one in rest if same_label(label, one, kind, keeps, found.size)), None)
        if same is not None:
            rest.remove(same)
        elif not label.ignored or "ignored" in keeps:
            yield f"no label like {label}"
    if rest := [label for label in rest if "ignored" in keeps or not label.ignored]:
        yield f"labels from nowhere: {rest}"


def same_label(
    one: Label, other: Label, kind: LabelKind, keeps: Collection[Feature], size: tuple[int, int] | None
) -> bool:
    """Whether a label is what a format keeps of another."""
    if "ignored" in keeps and one.ignored != other.ignored:
        return False
    # Of which class a region is that does not count, no format promises.
    if one.name != other.name and not (one.ignored and other.name == ""):
        return False
    if "attributes" in keeps and sorted(one.attributes) != sorted(other.attributes):
        return False
    # Formats whose points belong to a box draw it around them.
    box = box_around(one) if one.box is None and other.box is not None and one.points else one.box
    boxes_count = kind in ("box", "boxes") or "boxes" in keeps
    if boxes_count and not _same_numbers(box, other.box):
        return False
    if not _same_points(one, other, keeps):
        return False
    return _same_mask(one.mask, other.mask, keeps, size or (0, 0))


def _same_numbers(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None:
        return one is other
    if len(one) != len(other):
        return False
    return all(abs(a - b) <= max(0.01, 1e-6 * max(abs(a), abs(b))) for a, b in zip(one, other, strict=True))


def _same_points(one: Label, other: Label, keeps: Collection[Feature]) -> bool:
    if one.points is None or other.points is None:
        return one.points is other.points
    if len(one.points) != len(other.points):
        return False
    for (x, y, seen), (u, v, again) in zip(one.points, other.points, strict=True):
        if "visibility" in keeps and seen != again:
            return False
        if bool(seen) != bool(again) or (seen and not _same_numbers((x, y), (u, v))):
            return False
    return True


def _same_mask(
    one: Mask | None, other: Mask | None, keeps: Collection[Feature], size: tuple[int, int]
) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, Rle) and "runs" in keeps:
        return one == other
    if isinstance(one, Polygons) and isinstance(other, Polygons) and "outlines" in keeps:
        if len(one.rings) == len(other.rings):
            return all(_same_numbers(a, b) for a, b in zip(one.rings, other.rings, strict=True))
        if len(other.rings) > 1:
            return False
    elif isinstance(one, Polygons) and {"outlines", "runs"} <= set(keeps):
        return False
    return iou(one, other, size) >= SAME_AREA


def iou(one: Mask, other: Mask, size: tuple[int, int]) -> float:
    """Intersection over union of two masks in pixels."""
    width, height = size
    a, b = (masks.decode(masks.to_runs(mask, height, width)) for mask in (one, other))
    either = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / either if either else 1.0


def compare(
    expected: dict[str, ImageLabels], found: ReadSet, kind: LabelKind, keeps: Collection[Feature]
) -> list[str]:
    """Compare two sets, pictures matched by content; returns every difference, with the names."""
    again = found.by_content
    told = [f"{expected[key].path!r} is gone" for key in expected.keys() - again.keys()]
    told += [f"{again[key].path!r} from nowhere" for key in again.keys() - expected.keys()]
    for key, row in expected.items():
        if key in again:
            told += [
                f"{row.path!r} as {again[key].path!r}: {text}"
                for text in differences(row, again[key], kind, keeps)
            ]
    return [*told, *(lost_groups(expected, again) if "groups" in keeps else ())]


def lost_groups(expected: dict[str, ImageLabels], again: dict[str, ImageLabels]) -> Iterator[str]:
    """Say which images do not belong together as before; what a group is called is not promised.

    Images that had no group may have got one, of which no other is.
    """
    pairs = {(row.group, again[key].group) for key, row in expected.items() if key in again}
    for group in {old for old, _ in pairs if old is not None}:
        if len(names := {new for old, new in pairs if old == group}) > 1 or None in names:
            yield f"the group {group} became {names}"
    for group in {new for _, new in pairs if new is not None}:
        if len(names := {old for old, new in pairs if new == group}) > 1:
            yield f"the groups {names} became {group}"


def lost_heads(
    expected: Sequence[ClassHead], found: ReadSet, kind: LabelKind, keeps: Collection[Feature]
) -> list[str]:
    """Compare classes, as far as a format keeps them."""
    told = []
    if "classes" in keeps and [head.name for head in found.heads] != [head.name for head in expected]:
        told.append(f"classes {[head.name for head in found.heads]}")
    if kind == "points" and "skeleton" in keeps:
        again = {head.name: head for head in found.heads}
        told += [f"{again[one.name]}" for one in expected if one.name in again and again[one.name] != one]
    return told
