"""dlib's XML, as its tool imglab writes it: boxes with named parts.

A box without a label is called "object". Coordinates are px; width and height count whole pixels, so the
right edge is left + width. Several files may list the same image (with and without landmarks) as long
as they agree about its objects; what names more parts is taken. An image that is listed without a box is
a negative.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TextIO

from engine.contracts.datasets import LabelKind, Split
from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    AmbiguousNameError,
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    repaired,
    skipped,
)
from engine.datasets.formats.conventions import VOID, class_of, file_splits, weave
from engine.datasets.formats.writing import ImageNames
from engine.datasets.formats.xml_files import (
    Node,
    content,
    finite,
    quoted,
    root_tag,
    size_of,
    spelt,
    stream_xml,
)
from engine.datasets.geometry import box_around
from engine.datasets.labels import ClassHead, ImageLabels, Label, Point
from engine.errors import InputError

NO_NAME = "object"
PLACES = ("top", "left", "width", "height", "ignore")
ALIKE = 0.5  # overlap above which boxes of two files are of the same object
UNUSED = ("annotated", "0")
"""What we write at an image that is not labelled; others leave it out, and so do those who read it."""


def recognise(view: SourceView) -> Recognition | None:
    """Recognise XML files whose root is ``dataset`` with a list of images."""
    files = _files(view)
    if not files:
        return None
    names: dict[str, None] = {}
    parts = False
    for member in files:
        for number, image in enumerate(stream_xml(view, member, ["image"])):
            names |= dict.fromkeys(_name(box) for box in image.all("box"))
            parts = parts or any(box.child("part") for box in image.all("box"))
            if number > 2_000:
                break
    kinds: tuple[LabelKind, ...] = ("points", "boxes") if parts else ("boxes",)
    shown = ", ".join(f"“{member.path}”" for member in files[:3])
    return Recognition(f"dlib's XML: {shown}", kinds, tuple(names), len(view.images))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read all files; points are named by the parts, in the order in which boxes list them.

    Raises ``InputError`` for damaged XML, XML with a document type, and files that disagree about an
    image's boxes.
    """
    files = _files(view)
    heads = _heads(view, files) if options.kind == "points" else {}
    rows = _Rows(view, heads)
    return Reading(rows.rows(files), tuple(heads.values()))


def _files(view: SourceView) -> list[Member]:
    return [
        member
        for member in view.named(".xml")
        if root_tag(view, member) == "dataset" and b"<images" in view.head(member)
    ]


def _name(box: Node) -> str:
    return clean_class(box.word("label")) or NO_NAME


def _heads(view: SourceView, files: Iterable[Member]) -> dict[str, ClassHead]:
    """Find the points of each class: a name that is new stands behind the one it follows in its box."""
    found: dict[str, list[str]] = {}
    for member in files:
        for image in stream_xml(view, member, ["image"]):
            for box in image.all("box"):
                points = found.setdefault(_name(box), [])
                weave(points, [part.attributes.get("name", "") for part in box.all("part")])
    return {name: ClassHead(name, tuple(points)) for name, points in found.items()}


@dataclass(frozen=True)
class _Listed:
    """What one file lists about an image, with how many parts it names."""

    row: ImageLabels
    parts: int


@dataclass
class _Rows:
    """Makes rows; an image that several files list is held until the last of them."""

    view: SourceView
    heads: dict[str, ClassHead]
    listed: Counter[str] = field(default_factory=Counter)
    held: dict[str, _Listed] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def rows(self, files: list[Member]) -> Iterator[Row]:
        """Yield the listed images, then those that no file lists."""
        if len(files) > 1:
            self.listed.update(
                path
                for member in files
                for image in stream_xml(self.view, member, ["image"])
                if (path := self.find(member, image)[0])
            )
        splits = file_splits(member.path for member in files)
        for member in files:
            split = splits.get(member.path)
            for image in stream_xml(self.view, member, ["image"]):
                yield from self.image(member, image, split)
        for picture in self.view.images:
            if picture.path not in self.seen:
                yield ImageLabels(picture.path)

    def find(self, member: Member, image: Node) -> tuple[str, str]:
        """Return the path of an image, or "" and the reason why there is none."""
        name = image.attributes.get("file", "")
        folder = str(PurePosixPath(member.path).parent)
        reason = "it has no name"
        for wanted in (f"{folder}/{name}", name):
            try:
                return self.view.resolve(wanted), ""
            except AmbiguousNameError as error:
                raise error.refusal(member.path) from error
            except LookupError as error:
                reason = str(error)
        return "", f"missing image “{name}”: {reason}"

    def image(self, member: Member, image: Node, split: Split | None) -> Iterator[Row]:
        """Yield one image with its boxes, or hold it for the other files that list it."""
        path, reason = self.find(member, image)
        boxes = image.all("box")
        if not path:
            for node in boxes or [image]:
                yield skipped(member.path, node.line, reason)
            return
        labels = []
        for box in boxes:
            try:
                labels.append(_label(box, member.path, self.heads))
            except ValueError as error:
                yield skipped(member.path, box.line, str(error))
        row = ImageLabels(
            path,
            tuple(labels),
            split,
            member.path,
            image.line,
            negative=not boxes and image.attributes.get(UNUSED[0]) != UNUSED[1],
            size=size_of(image.attributes.get("width"), image.attributes.get("height")),
        )
        listed = _Listed(row, sum(len(box.all("part")) for box in boxes))
        if path in self.held:
            listed = yield from self.merge(self.held.pop(path), listed)
        elif path in self.seen:
            raise InputError(f"“{path}” is listed twice in “{member.path}”.", "Take one of them out.")
        self.seen.add(path)
        self.listed[path] -= 1
        if self.listed[path] > 0:
            self.held[path] = listed
        else:
            yield listed.row

    def merge(self, one: _Listed, other: _Listed) -> Generator[Row, None, _Listed]:
        """Return the one with more parts, and yield the labels that it stands for too."""
        first, second = one.row, other.row
        if not _same_objects(first.labels, second.labels):
            raise InputError(
                f"“{first.file}” and “{second.file}” list other boxes for “{first.path}”.",
                "Take one of the files out.",
            )
        poorer, richer = (one, other) if one.parts < other.parts else (other, one)
        for label in poorer.row.labels:
            yield repaired(poorer.row.file, label.line, f"the same object stands in “{richer.row.file}”")
        repairs = first.repairs + second.repairs
        if first.split and second.split and first.split != second.split:
            repairs += (f"“{first.file}” says {first.split}, “{second.file}” {second.split}",)
        row = replace(richer.row, split=first.split or second.split, repairs=repairs)
        return _Listed(row, richer.parts)


def _same_objects(some: Sequence[Label], others: Sequence[Label]) -> bool:
    """Whether each box has its like among the others: files with landmarks may differ by a pixel."""
    if Counter((label.name, label.box) for label in some) == Counter((o.name, o.box) for o in others):
        return True
    left = list(others)
    for label in some:
        like = max(left, key=lambda other: _overlap(label, other), default=None)
        if like is None or like.name != label.name or _overlap(label, like) < ALIKE:
            return False
        left.remove(like)
    return not left


def _overlap(one: Label, other: Label) -> float:
    """Return the intersection over the union of two boxes; 1 for equal ones, empty ones too."""
    if one.box == other.box:
        return 1.0
    assert one.box is not None and other.box is not None
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = one.box, other.box
    shared = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    whole = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
    return shared / whole if whole > 0 else 0.0


def _label(box: Node, file: str, heads: dict[str, ClassHead]) -> Label:
    """Read a box; raises ``ValueError`` with the reason when it cannot be used."""
    top, left, width, height = (finite(box.attributes.get(side)) for side in PLACES[:4])
    given = box.attributes
    attributes = [(key, word) for key, word in given.items() if key not in PLACES and word not in ("", "0")]
    name, ignored = _name(box), given.get("ignore", "0") not in ("", "0")
    return Label(
        class_of(name, ignored),
        (left, top, left + width, top + height),
        points=_parts(box, heads.get(name)),
        ignored=ignored,
        attributes=tuple(attributes),
        file=file,
        line=box.line,
    )


def _parts(box: Node, head: ClassHead | None) -> tuple[Point, ...] | None:
    if head is None or not box.child("part"):
        return None
    points: list[Point] = [(0.0, 0.0, 0)] * len(head.points)
    named = [part.attributes.get("name", "") for part in box.all("part")]
    if len(set(named)) < len(named):
        raise ValueError("two parts of a box have the same name")
    for name, part in zip(named, box.all("part"), strict=True):
        place = head.points.index(name)
        points[place] = (finite(part.attributes.get("x")), finite(part.attributes.get("y")), 2)
    return tuple(points)


# -- writing ------------------------------------------------------------------------------------------


def write(out: ExportSet, folder: Path) -> None:
    """Write ``train.xml``, ``val.xml``, ``test.xml`` and ``labels.xml`` (no split) above ``images``.

    Points that are not labelled are left out. Points without a box get one around them; raises
    ``InputError`` when that has no area.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ImageNames(folder)
    heads = {head.name: head for head in out.classes}
    files: dict[str, TextIO] = {}
    try:
        for row, source in out.rows:
            key = row.split or "labels"
            if key not in files:
                files[key] = (folder / f"{key}.xml").open("w", encoding="utf-8", newline="\n")
                files[key].write("<?xml version='1.0' encoding='UTF-8'?>\n<dataset>\n<images>\n")
            name = names.place(row.path.removeprefix("images/"), source, under="images")
            _write_image(files[key], name, row, heads)
        for file in files.values():
            file.write("</images>\n</dataset>\n")
    finally:
        for file in files.values():
            file.close()


def _write_image(file: TextIO, name: str, row: ImageLabels, heads: dict[str, ClassHead]) -> None:
    size = f" width='{row.size[0]}' height='{row.size[1]}'" if row.size else ""
    unused = "" if row.labels or row.negative else f" {UNUSED[0]}='{UNUSED[1]}'"
    file.write(f"  <image file={quoted(name)}{size}{unused}>\n")
    for label in row.labels:
        box = box_around(label)
        if box is None:
            raise InputError(f"A label “{label.name}” of “{row.path}” has no box.", "Choose another format.")
        x1, y1, x2, y2 = box
        sides = zip(PLACES, (y1, x1, _extent(x1, x2), _extent(y1, y2)), strict=False)
        words = [f"{side}='{spelt(at)}'" for side, at in sides]
        words += ["ignore='1'"] if label.ignored else []
        file.write(f"    <box {' '.join(words)}>\n      <label>{content(label.name or VOID)}</label>\n")
        for part, (x, y, visible) in zip(_names_of(heads, label), label.points or (), strict=True):
            if visible:
                file.write(f"      <part name={quoted(part)} x='{spelt(x)}' y='{spelt(y)}'/>\n")
        file.write("    </box>\n")
    file.write("  </image>\n")


def _extent(begin: float, end: float) -> float:
    """Return the float that, added to ``begin``, gives ``end`` again, if there is one near."""
    plain = end - begin
    near = (plain, math.nextafter(plain, math.inf), math.nextafter(plain, -math.inf))
    return next((extent for extent in near if begin + extent == end), plain)


def _names_of(heads: dict[str, ClassHead], label: Label) -> tuple[str, ...]:
    return heads[label.name].points if label.points is not None else ()


FORMAT = DatasetFormat(
    name="dlib",
    title="dlib (imglab)",
    carries=frozenset({"boxes", "points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "boxes", "ignored"}),
)
