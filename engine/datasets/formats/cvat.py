"""CVAT's XML 1.1, for images and for videos.

A listed image without shapes is a negative; a picture that no file lists is not labelled. Polygons of
one class that share a ``group_id`` are the parts of one object. Frames of a video are found by the
number at the end of their names; tracks run through frames, so a video is held in memory whole.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePosixPath

from engine.contracts.datasets import LabelKind, LabelSchema, Split
from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    DatasetFormat,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    missing_image,
    number_of,
    skipped,
    split_of,
)
from engine.datasets.formats.cvat_shapes import Heads, Size, heads_of, label_of
from engine.datasets.formats.cvat_write import write
from engine.datasets.formats.own_kind import stated_first, stated_kind
from engine.datasets.formats.xml_files import Node, finite, root_tag, size_of, stream_xml, whole
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons
from engine.errors import InputError

LOOKED_AT = 2_000  # images or tracks that are read to recognise a set
PARTS = ("meta", "image", "track")
NUMBER = re.compile(r"(\d{1,18})$")
KINDS: dict[str, tuple[LabelKind, ...]] = {
    "skeleton": ("points",),
    "mask": ("masks", "regions", "boxes"),
    "polygon": ("masks", "regions", "boxes"),
    "ellipse": ("masks", "regions", "boxes"),
    "box": ("boxes",),
    "points": ("points",),
    "tag": ("class", "tags"),
}
"""What each shape can be labels of; shapes that a set has come in this order."""


@dataclass
class _Seen:
    """What a first look finds: shapes by kind, classes, and how many points each class has."""

    shapes: Counter[str] = field(default_factory=Counter)
    heads: dict[str, ClassHead] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)
    points: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    images: int = 0
    most_tags: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    pictures: Counter[frozenset[str]] = field(default_factory=Counter)
    """Images by the classes on them."""

    def take(self, part: Node) -> None:
        """Count what one part of a file holds."""
        if part.tag == "meta":
            for head in heads_of(part):
                self.heads.setdefault(head.name, head)
            return
        self.images += part.tag == "image"
        shapes = [node for node in part.children if node.attributes.get("outside") != "1"]
        self.most_tags = max(self.most_tags, sum(node.tag == "tag" for node in shapes))
        on_it = set()
        for node in shapes:
            self.shapes[node.tag] += 1
            name = clean_class(node.attributes.get("label") or part.attributes.get("label", ""))
            self.names[name] = None
            self.labels[name] += 1
            on_it.add(name)
            if node.tag == "points":
                self.points[name][node.attributes.get("points", "").count(";") + 1] += 1
        if part.tag == "image":
            self.pictures[frozenset(on_it)] += 1

    def classes(self) -> dict[str, ClassHead]:
        """Return the classes as listed, then those that only shapes name; loose points get numbers."""
        heads = dict(self.heads)
        for name in self.names:
            if name:
                heads.setdefault(name, ClassHead(name))
        for name, counts in self.points.items():
            if name and not heads[name].points:
                most = counts.most_common(1)[0][0]
                heads[name] = replace(heads[name], points=tuple(str(n) for n in range(1, most + 1)))
        return heads


def recognise(view: SourceView) -> Recognition | None:
    """Recognise XML files whose root is ``annotations`` with images or tracks."""
    files = _files(view)
    if not files:
        return None
    seen = _look(view, files, LOOKED_AT)
    kinds = list(dict.fromkeys(kind for shape in KINDS if seen.shapes[shape] for kind in KINDS[shape]))
    if "class" in kinds and seen.most_tags > 1:
        kinds.remove("class")
    heads = seen.classes()
    videos = "for videos" if not seen.images else "for images"
    names = ", ".join(f"“{member.path}”" for member in files[:3])
    own = stated_first(kinds, (stated_kind(view.head(member)) for member in files))
    return Recognition(f"CVAT's XML {videos}: {names}", own, tuple(heads), len(view.images), _schemas(heads))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read all files of CVAT in the source.

    Raises ``InputError`` for damaged XML, XML with a document type, and an image that is listed twice.
    """
    files = _files(view)
    seen = _look(view, files, None if options.kind == "points" else 0)
    heads = seen.classes()
    chosen = _chosen(heads, options.schema) if options.kind == "points" else heads
    # Classes without points stay: what of them cannot be used is told label by label.
    left_out = frozenset(name for name, head in heads.items() if head.points and name not in chosen)
    notes = _left_out(seen, left_out)
    return Reading(_Rows(view, files, heads, left_out).rows(), tuple(chosen.values()), notes=notes)


def _left_out(seen: _Seen, names: frozenset[str]) -> tuple[str, ...]:
    """Say how much of the set the chosen sort of keypoints does not concern."""
    labels = sum(seen.labels[name] for name in names)
    pictures = sum(count for on_it, count in seen.pictures.items() if on_it and on_it <= names)
    parts = [number_of(*one) for one in ((pictures, "picture"), (labels, "label")) if one[0]]
    return (
        (f"Of other sorts of keypoints, for a project of their own: {' and '.join(parts)}.",) if parts else ()
    )


def _files(view: SourceView) -> list[Member]:
    return [member for member in view.named(".xml") if root_tag(view, member) == "annotations"]


def _look(view: SourceView, files: Iterable[Member], most: int | None) -> _Seen:
    """Look at the classes of each file and at its first images and tracks (None: at all)."""
    seen = _Seen()
    for member in files:
        parts = stream_xml(view, member, PARTS)
        for part in islice(parts, None if most is None else most + 1):
            seen.take(part)
    return seen


def _schemas(heads: Mapping[str, ClassHead]) -> tuple[LabelSchema, ...]:
    """Return the sorts of keypoints, each called after its first class, when there are several."""
    sorts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for head in heads.values():
        if head.points:
            sorts[head.points].append(head.name)
    found = (
        LabelSchema(
            name=names[0],
            title=f"{', '.join(names)} ({number_of(len(points), 'point')})",
            points=len(points),
            classes=tuple(names),
        )
        for points, names in sorts.items()
    )
    return tuple(found) if len(sorts) > 1 else ()


def _chosen(heads: dict[str, ClassHead], schema: str) -> dict[str, ClassHead]:
    """Keep the classes that have the points of the chosen sort (of the first, when none is chosen)."""
    with_points = [head for head in heads.values() if head.points]
    first = next((head for head in with_points if schema in ("", head.name)), None)
    if first is None:
        if schema:
            raise InputError(f"There is no sort of keypoints called “{schema}”.", "Choose another.")
        return heads
    return {head.name: head for head in with_points if head.points == first.points}


@dataclass
class _Rows:
    """Makes rows of the parts of files; ``left_out`` are classes with keypoints that were not chosen."""

    view: SourceView
    files: list[Member]
    heads: Heads
    left_out: frozenset[str]
    taken: dict[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        """Yield the listed images, then those that no file lists."""
        for member in self.files:
            tracks: list[Node] = []
            frames, size = 0, None
            for part in stream_xml(self.view, member, PARTS):
                if part.tag == "image":
                    yield from self.image(member, part)
                elif part.tag == "track":
                    tracks.append(part)
                else:
                    frames, size = _video(part)
            if tracks:
                yield from self.video(member, tracks, frames, size)
        for image in self.view.images:
            if image.path not in self.taken and not self.left_out:
                yield ImageLabels(image.path)

    def image(self, member: Member, part: Node) -> Iterator[Row]:
        """Yield one image with its shapes."""
        name, subset = part.attributes.get("name", ""), part.attributes.get("subset", "")
        every = [node for node in part.children if node.tag != "attribute"]
        shapes = [node for node in every if self.concerns(node)]
        if every and not shapes:
            return
        try:
            path = self.find(name, subset)
        except LookupError as error:
            for node in shapes or [part]:
                yield missing_image(member.path, node.line, name, error)
            return
        self.take(path, f"“{member.path}”, line {part.line}")
        size = size_of(part.attributes.get("width"), part.attributes.get("height"))
        labels: list[Label] = []
        groups: dict[tuple[str, str], int] = {}
        for node in shapes:
            try:
                label = label_of(node, node.attributes.get("label", ""), size, self.heads)
                self.add(labels, groups, node, label)
            except ValueError as error:
                yield skipped(member.path, node.line, str(error))
        split, repairs = _split(subset)
        negative = not shapes and part.attributes.get("annotated") != "0"
        yield ImageLabels(
            path, tuple(labels), split, member.path, part.line, negative, size=size, repairs=repairs
        )

    def add(self, labels: list[Label], groups: dict[tuple[str, str], int], node: Node, label: Label) -> None:
        """Add a label, or add an outline to the object that it belongs to."""
        group = node.attributes.get("group_id", "0")
        if node.tag != "polygon" or group in ("", "0"):
            labels.append(label)
            return
        place = groups.setdefault((label.name, group), len(labels))
        if place == len(labels):
            labels.append(label)
            return
        first = labels[place].mask
        assert isinstance(first, Polygons) and isinstance(label.mask, Polygons)
        labels[place] = replace(labels[place], mask=Polygons((*first.rings, *label.mask.rings)))

    def find(self, name: str, subset: str) -> str:
        """Return the path of an image; CVAT puts pictures below ``images`` and their subset."""
        reason = LookupError("it has no name")
        for wanted in (f"images/{subset}/{name}", f"{subset}/{name}", f"images/{name}", name):
            try:
                return self.view.resolve(wanted)
            except LookupError as error:
                reason = error
        raise reason

    def take(self, path: str, place: str) -> None:
        """Note that an image is listed; raises ``InputError`` when it already was."""
        if path in self.taken:
            raise InputError(
                f"“{path}” is listed twice: in {self.taken[path]} and in {place}.", "Take one of them out."
            )
        self.taken[path] = place

    def video(self, member: Member, tracks: list[Node], frames: int, size: Size) -> Iterator[Row]:
        """Yield the frames of a video with what the tracks say about them."""
        numbers = _by_number(image.path for image in self.view.images)
        shapes: dict[int, list[Label]] = {number: [] for number in numbers if number < frames}
        faulty: set[int] = set()
        for track in filter(self.concerns, tracks):
            for node in track.children:
                if node.tag == "attribute" or node.attributes.get("outside") == "1":
                    continue
                try:
                    number = whole(node.attributes.get("frame"))
                    shapes.setdefault(number, []).append(self.tracked(track, node, size))
                except ValueError as error:
                    yield skipped(member.path, node.line, str(error))
                    if (node.attributes.get("frame") or "").isdecimal():
                        faulty.add(int(finite(node.attributes["frame"])))
        for number, labels in sorted(shapes.items()):
            found = numbers.get(number, [])
            if self.left_out and not labels:
                continue  # another sort's, or nobody's
            if len(found) == 1:
                self.take(found[0], f"“{member.path}”")
                negative = not labels and number not in faulty
                yield ImageLabels(found[0], tuple(labels), file=member.path, negative=negative)
                continue
            reason = f"{len(found)} images end in its number" if found else "no image ends in its number"
            for label in labels:
                yield skipped(member.path, label.line, f"missing image “frame {number}”: {reason}")

    def tracked(self, track: Node, node: Node, size: Size) -> Label:
        """Read the shape of a track in one frame."""
        return label_of(node, track.attributes.get("label", ""), size, self.heads)

    def concerns(self, node: Node) -> bool:
        """Whether a shape or track is not of another sort of keypoints than the chosen one."""
        return clean_class(node.attributes.get("label", "")) not in self.left_out


def _split(subset: str) -> tuple[Split | None, tuple[str, ...]]:
    split = split_of(subset)
    known = split is not None or subset.casefold() in ("", "default")
    return split, () if known else (f"the subset “{subset}” is neither train, val nor test",)


def _video(meta: Node) -> tuple[int, Size]:
    """Return how many frames ``meta`` says that the video has, or 0, and their size."""
    frames, size = 0, None
    for node in [meta, *meta.children]:
        original = node.child("original_size")
        if original is not None:
            size = size_of(original.word("width"), original.word("height"))
        if node.word("size").isdecimal():
            frames = int(node.word("size"))
    return frames, size


def _by_number(paths: Iterable[str]) -> dict[int, list[str]]:
    numbers: dict[int, list[str]] = defaultdict(list)
    for path in paths:
        found = NUMBER.search(PurePosixPath(path).stem)
        if found:
            numbers[int(found.group(1))].append(path)
    return numbers


FORMAT = DatasetFormat(
    name="cvat",
    title="CVAT",
    carries=frozenset({"class", "tags", "box", "boxes", "regions", "masks", "points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset(
        {
            "splits",
            "negatives",
            "outlines",
            "runs",
            "visibility",
            "ignored",
            "attributes",
            "skeleton",
            "classes",
        }
    ),
)
