"""What a dataset format is: how it is recognised, read and written.

A reader is a lazy iterable of rows, so that any reader can feed any writer.
"""

from __future__ import annotations

import posixpath
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from engine.contracts.datasets import ImportIssue, LabelKind, LabelSchema, Outcome, Split
from engine.datasets.archive import Member, Source, read_whole, reading
from engine.datasets.labels import ClassHead, ImageLabels, MaskValues
from engine.errors import InputError, LimitError
from engine.settings import Limits

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
HEAD_BYTES = 64 * 1024
"""What is looked at to tell what a file is."""
SMALL_FILE_BYTES = 64 * 2**20
"""Label files that are read whole (one per image, lists, headers)."""


@dataclass(frozen=True)
class LabelIssue:
    """One label row that is no image's: skipped, or repaired by merging it into another row."""

    issue: ImportIssue


Row = ImageLabels | LabelIssue


def skipped(file: str, line: int | None, reason: str) -> LabelIssue:
    """Say that one label is not used."""
    return LabelIssue(ImportIssue(file=file, line=line, outcome=Outcome.SKIPPED, reason=reason))


class AmbiguousNameError(LookupError):
    """A label file names an image in a way that fits several; to choose one would be a guess.

    ``paths`` are two of the ``count`` images that it fits.
    """

    def __init__(self, name: str, paths: tuple[str, str], count: int) -> None:
        super().__init__(f"{count} images of this name are in the source; give the whole path")
        self.name = name
        self.paths = paths
        self.count = count

    def refusal(self, file: str) -> InputError:
        """Return what a person is told of the label file that does so."""
        more = f" ({self.count:,} images have this name)" if self.count > 2 else ""
        return InputError(
            f"“{self.name[:200]}” in “{file}” can mean “{self.paths[0]}” or “{self.paths[1]}”{more}.",
            "Write the whole path there, or give the pictures different names.",
        )


def missing_image(file: str, line: int | None, name: str, error: LookupError) -> LabelIssue:
    """Say that a label's image is not in the source; raises ``InputError`` when several could be meant."""
    if isinstance(error, AmbiguousNameError):
        raise error.refusal(file) from error
    return skipped(file, line, f"missing image “{name[:200]}”: {error}")


def repaired(file: str, line: int | None, reason: str) -> LabelIssue:
    """Say that one label was merged into another row."""
    return LabelIssue(ImportIssue(file=file, line=line, outcome=Outcome.REPAIRED, reason=reason))


@dataclass(frozen=True)
class Recognition:
    """Why a source looks like a format, in words, with what it seems to hold.

    ``kinds`` are the kinds of label that it holds, the one that most people would want first.
    ``schemas`` are the sorts of labels that cannot share a project, as keypoints of different numbers.
    """

    reason: str
    kinds: tuple[LabelKind, ...]
    classes: tuple[str, ...] = ()
    images: int = 0
    schemas: tuple[LabelSchema, ...] = ()

    def schemas_for(self, kind: LabelKind) -> tuple[LabelSchema, ...]:
        """Return the sorts to choose from for a kind of label: those of keypoints serve points alone."""
        return tuple(schema for schema in self.schemas if kind == "points" or not schema.points)

    def of_schema(self, name: str) -> Recognition:
        """Return what is known of one sort of labels; all of it when there is none of this name."""
        one = next((schema for schema in self.schemas if name and schema.name == name), None)
        if one is None:
            return self
        return replace(
            self,
            reason=one.reason or self.reason,
            classes=one.classes or self.classes,
            images=one.images or self.images,
        )


@dataclass(frozen=True)
class ReadOptions:
    """What a person decided about reading; a reader heeds what concerns it.

    ``kind``: what the labels are for. ``schema``: name of the sort of keypoints. ``merge_classes``:
    classes listed twice are one. ``swap_boxes``: corners that stand the wrong way round are exchanged.
    """

    kind: LabelKind
    schema: str = ""
    merge_classes: bool = False
    swap_boxes: bool = False


@dataclass(frozen=True)
class Reading:
    """A source being read: the rows, lazily, and what is known before the first.

    ``classes`` stand in the set's own order, those without a label too; a class that only a row names
    needs no entry. ``notes`` are sentences for the report. ``ahead`` are paths of pictures that are
    certainly rows, where they are known this early: their decoding can begin before the rows are read.
    """

    rows: Iterable[Row]
    classes: tuple[ClassHead, ...] = ()
    mask_values: MaskValues = field(default_factory=MaskValues)
    notes: tuple[str, ...] = ()
    ahead: Sequence[str] = ()


@dataclass(frozen=True)
class SourceView:
    """A source as one format sees it, with an index of its files.

    ``opened`` collects the paths that were read as labels, ``kept`` what a format wants to keep between
    recognising and reading, by a name of its own.
    """

    source: Source
    opened: set[str] = field(default_factory=set, compare=False)
    kept: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def images(self) -> tuple[Member, ...]:
        """The pictures, in path order."""
        return self.source.images_in_order

    @property
    def image_paths(self) -> tuple[str, ...]:
        """Their paths, in order."""
        return self.source.image_paths

    @property
    def by_path(self) -> dict[str, Member]:
        """All files by path."""
        return self.source.by_path

    @property
    def resolve(self) -> ImageIndex:
        """Look-up of images by the names that label files use."""
        index: ImageIndex | None = self.source.kept.get("index")
        if index is None:
            # One for all formats that look at the source.
            index = self.source.kept["index"] = ImageIndex(member.path for member in self.source.images)
        return index

    def named(self, *suffixes: str) -> tuple[Member, ...]:
        """Return the files with one of these endings (lower case), in path order."""
        return tuple(member for path, member in self.source.by_lower_path if path.endswith(suffixes))

    def open(self, member: Member) -> AbstractContextManager[BinaryIO]:
        """Open a label file for streaming; raises ``LimitError`` above the largest size."""
        if member.size > Limits().label_file_bytes:
            raise LimitError(
                f"“{member.path}” is larger than {Limits().label_file_bytes >> 30} GiB.",
                "Split it into several files.",
            )
        self.opened.add(member.path)
        return reading(member)

    def head(self, member: Member) -> bytes:
        """Return the start of a file; looking at it does not count as reading it."""
        with reading(member) as stream:
            return stream.read(HEAD_BYTES)

    def content(self, member: Member) -> bytes:
        """Return a whole small label file; raises ``LimitError`` when it is not small."""
        with self.open(member) as stream:
            found = read_whole(stream, member.size, SMALL_FILE_BYTES)
        if len(found) > SMALL_FILE_BYTES:
            raise LimitError(f"“{member.path}” is larger than {SMALL_FILE_BYTES >> 20} MiB.")
        return found

    def text(self, member: Member) -> str:
        """Return a small label file as text (UTF-8, with or without a mark, or UTF-16 with one).

        Raises ``InputError`` when it is in another encoding.
        """
        content = self.content(member)
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            raise InputError(f"“{member.path}” is no text in UTF-8.", "Save it in UTF-8.") from error


@dataclass(frozen=True)
class ExportSet:
    """What a writer gets: rows in px of the upright image, each with its file and its true ``size``.

    ``classes`` in order; every name in a label is among them.
    """

    kind: LabelKind
    classes: tuple[ClassHead, ...]
    rows: Iterable[tuple[ImageLabels, Path]]


Feature = Literal[
    "splits",
    "negatives",  # nothing is on it, told apart from: not labelled
    "outlines",  # polygons as polygons
    "runs",  # masks of any shape, pixel by pixel
    "boxes",  # a box of its own, besides mask or points
    "visibility",  # of points
    "ignored",  # that a region does not count; of which class it is, is not promised
    "attributes",
    "skeleton",
    "classes",  # their order, and those without a label
    "groups",  # which images belong together
]
"""Something about a set that a format can carry or loses."""
ALL_FEATURES: frozenset[Feature] = frozenset(get_args(Feature))


@dataclass(frozen=True)
class DatasetFormat:
    """One format: a name for the command line, a title for people, and its three functions.

    ``carries`` are the kinds of label that it can hold; which tasks learn them, it does not know.
    ``recognise`` returns None when the source is something else. ``read`` may raise ``InputError`` when
    the source would teach wrong labels. ``write`` makes a set that ``read`` gives back, but for what is
    not in ``keeps``, or what ``loses`` names for a kind of label;
    ``caveats`` say in a sentence what else of a kind may be lost. ``expand`` lists pictures that lie inside
    larger files, as members of their own; what must be unpacked for that goes into the given folder and
    stays there until the import ends.
    """

    name: str
    title: str
    carries: frozenset[LabelKind]
    recognise: Callable[[SourceView], Recognition | None]
    read: Callable[[SourceView, ReadOptions], Reading]
    write: Callable[[ExportSet, Path], None] | None = None
    keeps: frozenset[Feature] = frozenset()
    loses: Mapping[LabelKind, frozenset[Feature]] = field(default_factory=dict, hash=False)
    caveats: Mapping[LabelKind, str] = field(default_factory=dict, hash=False)
    expand: Callable[[SourceView, Path], tuple[Member, ...]] | None = None

    def keeps_of(self, kind: LabelKind) -> frozenset[Feature]:
        """Return what is kept of labels of one kind."""
        return self.keeps - self.loses.get(kind, frozenset())


class ImageIndex:
    """Finds an image by the name that a label file gives; nothing outside the source is looked at.

    The paths are kept backwards, part by part, and sorted: those with one end follow one another, so that
    a name is found in logarithmic time however many images have it.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = dict.fromkeys(paths)

    def __call__(self, name: str) -> str:
        """Return the one path that ``name`` means; raises ``LookupError`` with the reason.

        ``AmbiguousNameError``, a ``LookupError``, when there are several.

        The whole name, or one end of it that is a whole path in the source, must match: ``a/b.jpg``
        finds ``root/a/b.jpg``, and ``/home/me/a/b.jpg`` finds ``a/b.jpg`` but not ``c/b.jpg``.
        """
        if "://" in name:
            raise LookupError("it is an address, and nothing is fetched")
        # A name may begin or end with a space; only when there is no such name, it is the text's own.
        spelt, parts = _parts(name), _parts(name.strip())
        if spelt and self._ending_in(spelt[-1:]):
            parts = spelt
        if "/".join(parts) in self._paths:
            return "/".join(parts)
        longer = self._ending_in(parts) if parts else range(0)
        if len(longer) == 1:
            return _forwards(self._backwards[longer[0]])
        if longer:
            first, second = (_forwards(self._backwards[at]) for at in longer[:2])
            raise AmbiguousNameError(name, (first, second), len(longer))
        for start in range(max(1, len(parts) - self._depth), len(parts)):
            if (end := "/".join(parts[start:])) in self._paths:
                return end
        raise LookupError("no image of this name is in the source")

    def of_stem(self, stem: str) -> Sequence[str]:
        """Return all images whose file name without its ending is ``stem``."""
        return self._by_stem.get(unicodedata.normalize("NFC", stem), ())

    def in_folder(self, folder: str, stem: str) -> Sequence[str]:
        """Return the images of one folder whose file name without its ending is ``stem``."""
        return self._by_place.get((folder, unicodedata.normalize("NFC", stem)), ())

    # Each is made when a format asks for it first: most sets need one of them, or none.

    @cached_property
    def _backwards(self) -> list[str]:
        return sorted(map(_backwards, self._paths))

    @cached_property
    def _depth(self) -> int:
        return max((path.count("/") + 1 for path in self._paths), default=0)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path in self._paths:
            found[posixpath.splitext(posixpath.basename(path))[0]].append(path)
        return found

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for path in self._paths:
            folder, name = posixpath.split(path)
            found[folder, posixpath.splitext(name)[0]].append(path)
        return found

    def _ending_in(self, parts: Sequence[str]) -> range:
        """Return where the paths stand that end in these parts."""
        end = "/".join(reversed(parts))
        # Behind "/" comes "0": all that begins with the one lies before the other.
        return range(bisect_left(self._backwards, f"{end}/"), bisect_left(self._backwards, f"{end}0"))


def _backwards(path: str) -> str:
    return "/".join(reversed(path.split("/"))) + "/"


def _forwards(path: str) -> str:
    return "/".join(reversed(path[:-1].split("/")))


def split_of(name: str) -> Split | None:
    """Return the split that a folder or a cell names, or None."""
    return SPLIT_NAMES.get(name.strip().casefold())


def number_of(count: int, one: str, several: str = "") -> str:
    """Return a number with what it counts: "1 label", "1,200 labels"; ``several`` where "s" does not do."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def clean_class(name: str) -> str:
    """Return a class name in NFC with plain single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _parts(name: str) -> list[str]:
    plain = unicodedata.normalize("NFC", name).replace("\\", "/")
    return [part for part in plain.split("/") if part not in ("", ".", "..")]
