"""LabelMe: one JSON file per image, with shapes, and flags of the whole image.

As in LabelMe itself, shapes of one label and one ``group_id`` are one object. Points in the group of an
object are its keypoints, named by their labels; a point without a group is an object of its own.
``imageData`` (the picture itself, as text) is not read. A file without shapes makes a negative.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from engine.contracts.datasets import LabelKind
from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    AmbiguousNameError,
    DatasetFormat,
    LabelIssue,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    number_of,
    skipped,
)
from engine.datasets.formats.conventions import CORNERS, circle, class_of, folder_splits, weave
from engine.datasets.formats.json_files import (
    DamagedJsonError,
    items,
    load_json,
    number,
    pair,
    record,
    size_in,
    words,
)
from engine.datasets.formats.labelme_write import CLASS_WORD, HIDDEN, write
from engine.datasets.formats.mask_pixels import place_crop
from engine.datasets.formats.own_kind import stated_first, stated_kind
from engine.datasets.labels import ClassHead, ImageLabels, Label, Point, Polygons, Rle
from engine.datasets.preprocessing import DECODER_ERRORS, open_image
from engine.errors import InputError

LOOKED_AT = 100  # files that are read to recognise a set
SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
OF_LABELME = re.compile(rb'"(imagePath|shape_type|imageData|imageHeight)"\s*:')
NO_CLASS = "object"
"""The class of keypoints in a group without an object."""
TAG_KINDS: tuple[LabelKind, ...] = ("class", "tags")


def recognise(view: SourceView) -> Recognition | None:
    """Recognise JSON files with ``shapes`` and a path of an image."""
    files = _files(view)
    if not files:
        return None
    names: dict[str, None] = {}
    types: set[str] = set()
    flags: dict[str, None] = {}
    said: list[LabelKind | None] = []
    for member in files[:: max(1, len(files) // LOOKED_AT)][:LOOKED_AT]:
        try:
            content = record(load_json(view, member))
        except DamagedJsonError:
            continue
        said.append(stated_kind(view.head(member)))
        flags |= dict.fromkeys(record(content.get("flags")))
        for shape in map(record, items(content.get("shapes"))):
            kind = words(shape.get("shape_type")) or "polygon"
            types.add(kind)
            grouped = kind == "point" and shape.get("group_id") is not None
            names |= {} if grouped else {clean_class(words(shape.get("label"))): None}
    kinds: list[LabelKind] = ["points"] if "point" in types else []
    kinds += ["masks", "regions", "boxes"] if types & {"polygon", "mask", "circle"} else []
    kinds += ["boxes"] if "rectangle" in types and "boxes" not in kinds else []
    kinds += ["tags"] if flags and not kinds else []
    classes = tuple(name for name in (names if types else flags) if name)
    own = stated_first(kinds, said) or ("boxes",)
    return Recognition(f"{len(files):,} JSON files of LabelMe", own, classes, len(view.images))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read the flags where classes of whole images are wanted, else the shapes.

    Raises ``InputError`` when two files describe one image.
    """
    files = _files(view)
    heads: dict[str, ClassHead] = {}
    if options.kind == "points":
        heads = _point_heads(view, files)
    elif options.kind in TAG_KINDS:
        heads = _flag_heads(view, files[:LOOKED_AT])
    rows = _rows(view, files, options.kind in TAG_KINDS, heads if options.kind == "points" else None)
    return Reading(rows, tuple(heads.values()))


def _files(view: SourceView) -> list[Member]:
    found = []
    for member in view.named(".json"):
        head = view.head(member)
        if SHAPES.search(head) and OF_LABELME.search(head):
            found.append(member)
    return found


def _flag_heads(view: SourceView, files: Iterable[Member]) -> dict[str, ClassHead]:
    heads: dict[str, ClassHead] = {}
    for content in _contents(view, files):
        for name in map(clean_class, record(content.get("flags"))):
            heads.setdefault(name, ClassHead(name))
    return heads


def _point_heads(view: SourceView, files: Iterable[Member]) -> dict[str, ClassHead]:
    """Find the points of each class by reading all files once."""
    found: dict[str, list[str]] = {}
    for content in _contents(view, files):
        for group in _groups(items(content.get("shapes"))):
            names = [clean_class(words(shape.get("label"))) for _, shape in group.points]
            weave(found.setdefault(group.name, []), list(dict.fromkeys(names)))
    return {name: ClassHead(name, tuple(points)) for name, points in found.items() if name}


def _contents(view: SourceView, files: Iterable[Member]) -> Iterator[dict[str, Any]]:
    for member in files:
        try:
            yield record(load_json(view, member))
        except DamagedJsonError:
            continue  # reported when the rows are read


# -- images -------------------------------------------------------------------------------------------


def _rows(
    view: SourceView, files: list[Member], flags: bool, heads: dict[str, ClassHead] | None
) -> Iterator[Row]:
    splits = folder_splits(member.path for member in view.images)
    taken: dict[str, str] = {}
    for member in files:
        try:
            content = record(load_json(view, member))
        except DamagedJsonError as error:
            yield skipped(member.path, None, error.message)
            continue
        shapes = items(content.get("shapes"))
        try:
            path = _image_of(view, member, words(content.get("imagePath")))
        except AmbiguousNameError as error:
            raise error.refusal(member.path) from error
        except LookupError as error:
            reason = f"missing image “{words(content.get('imagePath'))}”: {error}"
            for _ in shapes or [None]:
                yield skipped(member.path, None, reason)
            continue
        if taken.setdefault(path, member.path) != member.path:
            raise InputError(
                f"“{taken[path]}” and “{member.path}” both describe “{path}”.", "Take one of them out."
            )
        size = size_in(content.get("imageWidth"), content.get("imageHeight"))
        row = ImageLabels(path, split=splits.get(path), file=member.path, size=size)
        if flags:
            yield _flagged(row, record(content.get("flags")))
            continue
        labels, issues = _labels(member.path, shapes, size, heads)
        yield from issues
        yield replace(row, labels=tuple(labels), negative=not shapes)
    for image in view.images:
        if image.path not in taken:
            yield ImageLabels(image.path, split=splits.get(image.path))


def _flagged(row: ImageLabels, given: dict[str, Any]) -> ImageLabels:
    """Return a row with the flags that are set; one with flags but none set is a negative."""
    tags = tuple(Label(clean_class(name)) for name, on in given.items() if on is True and name.strip())
    return replace(row, labels=tags, negative=bool(given) and not tags)


def _image_of(view: SourceView, member: Member, name: str) -> str:
    """Find the image by its path from the file, by the file's own name, or by the name alone."""
    folder = posixpath.dirname(member.path)
    wanted = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
    if wanted in view.by_path and view.by_path[wanted].is_image:
        return wanted
    stem = PurePosixPath(member.path).stem
    beside = view.resolve.in_folder(folder, stem)
    if len(beside) == 1:
        return beside[0]
    try:
        return view.resolve(name)
    except LookupError:
        same = view.resolve.of_stem(stem)
        if len(same) == 1:
            return same[0]
        raise


# -- shapes -------------------------------------------------------------------------------------------


@dataclass
class _Group:
    """Shapes that belong together, with their places in the file: parts of an object, and its points."""

    parts: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    points: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The class: of the object, else of a single point, else what a point says of its group."""
        if self.parts:
            return clean_class(words(self.parts[0][1].get("label")))
        first = self.points[0][1]
        if first.get("group_id") is None:
            return clean_class(words(first.get("label")))
        return clean_class(words(record(first.get("attributes")).get(CLASS_WORD))) or NO_CLASS


def _groups(shapes: list[Any]) -> list[_Group]:
    """Gather shapes; points go to the first object of their group."""
    groups: list[_Group] = []
    objects: dict[tuple[str, str], _Group] = {}
    first: dict[str, _Group] = {}
    loose: list[tuple[int, dict[str, Any]]] = []
    for place, shape in enumerate(map(record, shapes)):
        key = "" if shape.get("group_id") is None else str(shape["group_id"])
        if shape.get("shape_type") == "point":
            loose.append((place, shape))
            continue
        same = (words(shape.get("label")), key)
        if not key or same not in objects or not _joins(objects[same], shape):
            group = _Group()
            groups.append(group)
            if key:
                objects.setdefault(same, group)
                first.setdefault(key, group)
        else:
            group = objects[same]
        group.parts.append((place, shape))
    for place, shape in loose:
        key = "" if shape.get("group_id") is None else str(shape["group_id"])
        found = first.get(key) if key else None
        if found is None:
            found = _Group()
            groups.append(found)
            if key:
                first[key] = found
        found.points.append((place, shape))
    return sorted(groups, key=lambda group: (group.parts or group.points)[0][0])


def _joins(group: _Group, shape: dict[str, Any]) -> bool:
    """Whether a shape adds to an object: an outline to outlines, or a box and an outline to each other."""
    kinds = [part.get("shape_type") or "polygon" for _, part in [*group.parts, (0, shape)]]
    single = all(kinds.count(kind) <= 1 for kind in ("rectangle", "mask"))
    return single and set(kinds) in ({"polygon"}, {"rectangle", "polygon"}, {"rectangle", "mask"})


def _labels(
    file: str, shapes: list[Any], size: tuple[int, int] | None, heads: dict[str, ClassHead] | None
) -> tuple[list[Label], list[LabelIssue]]:
    """Make a label of each group; shapes that cannot be used are left out with their reasons."""
    labels, issues = [], []
    for group in _groups(shapes):
        label = None
        for place, shape in group.parts:
            try:
                part = _part(shape, group.name, size)
            except ValueError as error:
                issues.append(skipped(file, None, f"shape {place + 1}: {error}"))
            else:
                label = part if label is None else _joined(label, part)
        if group.points and (label is not None or not group.parts):
            points, faults = _points(group, heads)
            issues += [skipped(file, None, f"shape {place + 1}: {reason}") for place, reason in faults]
            if points is not None:
                label = replace(label or _plain(group.points[0][1], group.name), points=points)
        elif group.points:
            reason = "its object cannot be used"
            issues += [skipped(file, None, f"shape {place + 1}: {reason}") for place, _ in group.points]
        if label is not None:
            labels.append(label)
    return labels, issues


def _joined(label: Label, part: Label) -> Label:
    if isinstance(label.mask, Polygons) and isinstance(part.mask, Polygons):
        return replace(label, mask=Polygons((*label.mask.rings, *part.mask.rings)))
    return replace(label, box=label.box or part.box, mask=label.mask or part.mask)


def _points(
    group: _Group, heads: dict[str, ClassHead] | None
) -> tuple[tuple[Point, ...] | None, list[tuple[int, str]]]:
    """Return the keypoints in the order of their class (in that of the file when there is none)."""
    found: dict[str, Point] = {}
    faults = []
    for place, shape in group.points:
        name = clean_class(words(shape.get("label")))
        try:
            if not name or name in found:
                raise ValueError(f"the point “{name}” stands twice in its group" if name else "no label")
            x, y = pair((items(shape.get("points")) or [None])[0])
        except ValueError as error:
            faults.append((place, str(error)))
            continue
        found[name] = (x, y, 1 if record(shape.get("flags")).get(HIDDEN) is True else 2)
    names = heads[group.name].points if heads and group.name in heads else tuple(found)
    return (tuple(found.get(name, (0.0, 0.0, 0)) for name in names) if found else None), faults


def _plain(shape: dict[str, Any], name: str) -> Label:
    """Return what a shape says beside its place; raises ``ValueError`` without a class."""
    if not name:
        raise ValueError("no label")
    attributes = [
        (flag, "true") for flag, on in record(shape.get("flags")).items() if on is True and flag != HIDDEN
    ]
    note = words(shape.get("description"))
    attributes += [("description", note)] if note else []
    given = record(shape.get("attributes")).items()
    attributes += [
        (key, str(word)) for key, word in given if key != CLASS_WORD or shape.get("shape_type") != "point"
    ]
    ignored = shape.get("difficult") is True
    return Label(class_of(name, ignored), ignored=ignored, attributes=tuple(attributes))


def _part(shape: dict[str, Any], name: str, size: tuple[int, int] | None) -> Label:
    """Read one shape; raises ``ValueError`` with the reason when it cannot be used."""
    label = _plain(shape, name)
    kind = words(shape.get("shape_type")) or "polygon"
    corners = [pair(point) for point in items(shape.get("points"))]
    flat = [part for corner in corners for part in corner]
    if kind == "polygon":
        return replace(label, mask=Polygons.of([flat]))
    if kind == "rectangle" and len(corners) in (2, 4):
        xs, ys = flat[0::2], flat[1::2]
        return replace(label, box=(min(xs), min(ys), max(xs), max(ys)))
    if kind == "circle" and len(corners) == 2:
        ring = circle(*corners)
        return replace(label, mask=Polygons.of([ring]), repairs=(f"a circle became {CORNERS} corners",))
    if kind == "mask" and len(corners) == 2:
        return replace(label, mask=_mask(words(shape.get("mask")), corners[0], size))
    if kind in ("rectangle", "circle", "mask"):
        raise ValueError(f"a {kind} with {number_of(len(corners), 'point')}")
    raise ValueError(f"a shape of the kind “{kind[:40]}” cannot be used")


def _mask(text: str, corner: tuple[float, float], size: tuple[int, int] | None) -> Rle:
    """Read a mask: a picture (base64) that lies with its upper left at ``corner``."""
    if size is None:
        raise ValueError("a mask of an image without a size")
    try:
        with open_image(base64.b64decode(text, validate=True)) as picture:
            pixels = np.asarray(picture.convert("L")) != 0
    except binascii.Error as error:
        raise ValueError(f"its mask is no base64 ({error})") from error
    except DECODER_ERRORS as error:
        raise ValueError(f"its mask cannot be read ({error})") from error
    return place_crop(pixels, int(number(corner[0])), int(number(corner[1])), size)


FORMAT = DatasetFormat(
    name="labelme",
    title="LabelMe",
    carries=frozenset({"class", "tags", "box", "boxes", "regions", "masks", "points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset(
        {"splits", "negatives", "outlines", "runs", "boxes", "visibility", "ignored", "attributes"}
    ),
)
