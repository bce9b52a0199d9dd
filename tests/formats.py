"""What tests of formats share: reading a set as an import does, and sets of hostile names.

``read_set`` follows the import step by step (recognise, expand, read, decode the masks, settle, place,
fit), without its processes and its database.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from engine.contracts.datasets import LabelKind, Outcome
from engine.datasets import fitting, masks, placing
from engine.datasets.archive import Member, open_source, read_member
from engine.datasets.commit import natural
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

POINTS = ("nose", "left ear", "right ear")
SKELETON = ((0, 1), (0, 2))
SAME_AREA = 0.98
"""Intersection over union from which an outline and its pixels are the same."""
SIZE = (48, 40)
HOSTILE_NAMES = (
    "a b.png",
    " leading.png",
    "trailing .png",
    "two  spaces.png",
    "日本.png",
    "Cafe\u0301.png",  # NFD
    "caf\u00e9 2.png",  # NFC
    "it's.png",
    'a "quote".png',
    "“curly”.png",
    "=cmd|' /C calc'!A0.png",
    "+1.png",
    "-dash.png",
    "@at.png",
    "😀.png",
    ".hidden.png",
    "..two.png",
    "a,b;c\tx.png",
    "%20.png",
    "100%.png",
    "#1 hash.png",
    "<b>&amp;.png",
    "back`tick$HOME.png",
    "x" * 176 + ".png",
    "ü" * 88 + ".png",
    "y" * 250 + ".png",
    "same.png",
    "same.jpg",
    "same.2.png",
    "one/same.png",
    "two/same.png",
    "two/Same.png",
    "SAME.PNG",
    "train/inner.png",
    "labels/inner.png",
    "images/inner.png",
    "masks/inner_mask.png",
    "1.png",
    "0001.png",
)
"""Names that files really have."""
HOSTILE_CLASSES = (
    "a b",
    "日本",
    "caf\u00e9",
    "it's",
    'say "x"',
    "=HYPERLINK(1)",
    "-1",
    "+x",
    "@y",
    "😀",
    "a,b",
    "a;b",
    "a|b",
    "a:b",
    "#5",
    "100%",
    "%20",
    "<img src=x onerror=alert(1)>",
    "&amp;",
    "12",
    "nan",
    "null",
    "true",
    "train",
    "background",
    "void",
    "{x: 1}",
    "[x]",
    "\\n",
    "a/b",
    ".hidden",
    "x" * 90,
)


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


def draw(folder: Path, number: int, size: tuple[int, int] = SIZE) -> Path:
    """Draw a picture that no other number has."""
    path = folder / f"{number:05d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (number % 256, number // 256 % 256, 7)).save(path)
    return path


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
    return told


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


# -- sets to write ---------------------------------------------------------------------------------------


def heads_of(kind: LabelKind, names: Iterable[str]) -> tuple[ClassHead, ...]:
    """Classes of a kind; for points, all have the same."""
    if kind == "points":
        return tuple(ClassHead(name, POINTS, SKELETON) for name in names)
    return tuple(map(ClassHead, names))


def labels_of(kind: LabelKind, names: Sequence[str], number: int) -> tuple[Label, ...]:
    """Labels of a kind for the ``number``-th image; all differ, their classes go through ``names``."""
    turn = itertools.cycle(names[number % len(names) :] + names[: number % len(names)])
    at = number % 7 + 0.25
    attributes = (("colour", "rød"), ("note", 'a "b", <c>; =d'))
    if kind == "class":
        return (Label(next(turn)),)
    if kind == "tags":
        return tuple(Label(name) for name in dict.fromkeys((next(turn), next(turn))))
    if kind == "box":
        return (Label(next(turn), (at, 2.5, at + 20.125, 33.0)),)
    if kind == "boxes":
        return (
            Label(next(turn), (at, 2.5, at + 20.125, 33.0), attributes=attributes),
            Label(next(turn), (0.0, 0.0, 48.0, 40.0)),
            Label(next(turn), (30.0, at, 40.1, at + 1 / 3), ignored=True),
        )
    if kind == "points":
        first = next(turn)
        return (
            Label(
                first,
                (at, 3.0, 40.0, 39.0),
                points=((at + 1, 5.5, 2), (20.0, 30.0, 1), (0.0, 0.0, 0)),
                attributes=attributes,
            ),
            # Of the same class, since a format that lists no points knows only those that are labelled.
            Label(first, (1.0, 1.0, 30.0, 31.0), points=((2.0, 3.0, 2), (4.0, 3.0, 2), (9.5, 8.0, 2))),
        )
    return _masked(kind, turn, number, attributes)


def _masked(
    kind: LabelKind, turn: Iterator[str], number: int, attributes: tuple[tuple[str, str], ...]
) -> tuple[Label, ...]:
    shift = number % 7
    drawn = np.zeros((SIZE[1], SIZE[0]), bool)
    drawn[24:38, 4 + shift : 20 + shift] = True
    drawn[24:30, 12 + shift : 20 + shift] = False
    runs = masks.encode(drawn)
    if kind == "regions":
        other = np.zeros_like(drawn)
        other[2 + shift : 20, 10:40] = True
        void = np.zeros_like(drawn)
        void[0:2] = True
        one, two = next(turn), next(turn)
        regions = [Label(one, mask=runs)] + ([Label(two, mask=masks.encode(other))] if two != one else [])
        return (*regions, Label("", mask=masks.encode(void), ignored=True))
    ring = [2.5 + shift, 1.0, 30.0 + shift, 2.25, 38.0, 20.5, 10.0, 22.0]
    crowd = np.zeros_like(drawn)
    crowd[30:40, 40:48] = True
    return (
        Label(next(turn), (2.0, 1.0, 38.5, 23.0), Polygons.of([ring]), attributes=attributes),
        Label(next(turn), mask=runs, box=masks.box_of(runs)),
        Label(next(turn), (40.0, 30.0, 48.0, 40.0), masks.encode(crowd), ignored=True),
    )


def make_set(
    folder: Path,
    kind: LabelKind,
    names: Sequence[str],
    classes: Sequence[str] = ("cat", "dog"),
    first: int = 0,
) -> tuple[dict[str, ImageLabels], ExportSet]:
    """Draw a set of images with labels; some are negatives, some nobody has labelled.

    Returns the rows by the hash of their picture, and the set for a writer.
    """
    by_content: dict[str, ImageLabels] = {}
    pairs = []
    for number, name in enumerate(names, start=first):
        source = draw(folder, number)
        empty = number % 9 in (3, 4) and kind != "class"
        row = ImageLabels(
            name,
            () if empty or number % 9 == 5 else labels_of(kind, list(classes), number),
            ("train", "val", "test")[number % 3],
            negative=empty,
            size=SIZE,
        )
        by_content[digest(source)] = row
        pairs.append((row, source))
    return by_content, ExportSet(kind, heads_of(kind, classes), iter(pairs))


@contextmanager
def written(known: DatasetFormat, out: ExportSet, folder: Path) -> Iterator[Path]:
    """Write a set; the folder is there for the ``with``."""
    assert known.write is not None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        target = Path(place) / "set"
        target.mkdir()
        known.write(out, target)
        yield target
