"""YOLO: a text file beside each image, one object a line, coordinates as shares of the image.

Five columns are a box (class, centre x, centre y, width, height), an odd number from seven on an outline
(class, x, y, x, y, ...; oriented boxes are outlines of four corners), and with ``kpt_shape`` a box followed
by keypoints. See docs.ultralytics.com/datasets for detect, segment, pose and obb.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from engine.contracts.datasets import LabelKind, Split
from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    DatasetFormat,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    number_of,
    skipped,
)
from engine.datasets.formats.text_lists import (
    FolderSplits,
    LabelTexts,
    ask_for_doubles,
    first_lines,
    first_split,
    lines,
    some,
)
from engine.datasets.formats.yolo_write import write
from engine.datasets.formats.yolo_yaml import NAMES_FILES, Header, YamlSplits, find_header, yaml_splits
from engine.datasets.labels import Box, ImageLabels, Label, Point, Polygons
from engine.errors import InputError, LimitError
from engine.settings import Limits

FOLDERS = (("images", "labels"),)
BESIDE = frozenset({"images", "labels"})
SAMPLE = 200  # label files that are looked at to recognise the format
LARGEST_SHARE = 2.0
"""Above it a coordinate is in px: a share may pass 1 where an object reaches out of its image."""
LARGEST_PIXEL = 100_000.0
"""Above it a number is damage; no image is as large."""
MOST_CLASSES = Limits().classes
DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+")


@dataclass(frozen=True)
class Line:
    """One line as numbers: the class, the rest (packed), and what was put right to read it."""

    index: int
    values: array[float]
    repairs: tuple[str, ...] = ()


Text = list[tuple[int, Line | str]]
"""The lines of a file by their numbers: what each says, or why it says nothing."""


def parse_line(text: str) -> Line:
    """Read one line; raises ``ValueError`` with the reason when it is no line of numbers."""
    repairs: tuple[str, ...] = ()
    if "," in text or ";" in text:
        text, repairs = _without_commas(text)
    # float() takes more than a label file may hold: “1_0” and digits of other scripts.
    if "_" in text or not text.isascii():
        raise ValueError("it holds something that is no number")
    try:
        values = tuple(map(float, text.split()))
    except ValueError:
        raise ValueError("it holds something that is no number") from None
    if not all(map(math.isfinite, values)):
        raise ValueError("a number is not finite")
    if len(values) < 5:
        raise ValueError(f"it has {number_of(len(values), 'column')}; a box has 5")
    if not values[0].is_integer() or abs(values[0]) >= 2**53:
        raise ValueError(f"the class {text.split()[0][:20]} is no whole number")
    if max(map(abs, values[1:])) > LARGEST_PIXEL:
        raise ValueError("a coordinate is far outside any image")
    return Line(int(values[0]), array("d", values[1:]), repairs)


def _without_commas(text: str) -> tuple[str, tuple[str, ...]]:
    cells = text.split()
    if "." not in text and len(cells) >= 5 and all(map(DECIMAL_COMMA.fullmatch, cells[1:])):
        return text.replace(",", "."), ("decimal commas read as points",)
    return text.replace(",", " ").replace(";", " "), ("commas between the columns left out",)


def points_of(values: Sequence[float], dims: int) -> tuple[Point, ...]:
    """Read keypoints of 2 or 3 values; raises ``ValueError`` when a visibility is none of 0, 1 and 2.

    With 2 values a point at 0, 0 or left of or above the image is one that is not labelled.
    """
    found: list[Point] = []
    for start in range(0, len(values), dims):
        x, y = values[start], values[start + 1]
        seen = values[start + 2] if dims == 3 else (0.0 if x < 0 or y < 0 or (x == 0 and y == 0) else 2.0)
        if seen not in (0.0, 1.0, 2.0):
            raise ValueError(f"the visibility {seen:g} is none of 0, 1 and 2")
        found.append((x, y, int(seen)))
    return tuple(found)


def shape(
    values: Sequence[float], points: int, dims: int
) -> tuple[Box | None, Polygons | None, tuple[Point, ...]]:
    """Turn the numbers behind a class into box, outline or points; raises ``ValueError`` with the reason."""
    count = len(values)
    if count == 4 or (points and count == 4 + points * dims):
        x, y, width, height = values[:4]
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return box, None, points_of(values[4:], dims) if count > 4 else ()
    if points:
        raise ValueError(
            f"it has {number_of(count + 1, 'column')}; {number_of(points, 'point')} of {dims} values "
            f"need {5 + points * dims}"
        )
    if count < 6 or count % 2:
        raise ValueError(f"it has {number_of(count + 1, 'column')}; a box has 5, an outline 7, 9, 11, ...")
    return None, Polygons.of([values]), ()


@dataclass
class Survey:
    """What a first pass over the label files finds, before anything is decided."""

    indices: Counter[int] = field(default_factory=Counter)
    columns: Counter[int] = field(default_factory=Counter)
    bad: int = 0
    pixels: int = 0
    first_pixel: str = ""
    points: int = 0  # of 3 values, as far as all lines agree
    hidden: bool = False  # a visibility of 2 has been seen, which no outline could hold

    def take(self, where: str, line: Line) -> None:
        """Count one line."""
        self.indices[line.index] += 1
        if len(self.indices) > MOST_CLASSES:
            raise LimitError(f"The labels use more than {MOST_CLASSES:,} classes.")
        count = len(line.values)
        self.columns[count] += 1
        if max(map(abs, line.values)) > LARGEST_SHARE:
            self.pixels += 1
            self.first_pixel = self.first_pixel or where
        if count > 4:
            seen = line.values[6::3]
            fits = count % 3 == 1 and all(value in (0.0, 1.0, 2.0) for value in seen)
            same = self.points in (0, (count - 4) // 3)
            self.points = (count - 4) // 3 if fits and same else -1
            self.hidden = self.hidden or 2.0 in seen

    def keypoints(self) -> int:
        """Count the points of a set that does not say ``kpt_shape``, if its lines can be nothing else.

        All lines must be of one length, each third value a visibility, and an outline impossible.
        """
        longer = [count for count in self.columns if count > 4]
        return self.points if self.points > 0 and (longer[0] % 2 or self.hidden) else 0


@dataclass(frozen=True)
class _Set:
    """One set: its header, which text belongs to which image, and the texts that belong to none.

    ``read`` holds what the texts say until it has become labels.
    """

    header: Header
    texts: LabelTexts
    read: dict[str, Text]
    splits: YamlSplits
    folders: FolderSplits
    strays: tuple[Member, ...]

    def split(self, path: str) -> tuple[Split | None, tuple[str, ...]]:
        """Give the split of an image and what had to be put right."""
        if not self.splits.of_image:
            return self.folders(path), ()
        listed = self.splits.of_image.get(path, set())
        several = f"it is listed in several splits ({', '.join(sorted(listed))})"
        return first_split(listed), (several,) if len(listed) > 1 else ()


def recognise(view: SourceView) -> Recognition | None:
    """Recognise text files of numbers that pair with images."""
    texts = _pair(view)
    paired = sorted(texts.paired)
    step = max(len(paired) // SAMPLE, 1)
    survey = Survey()
    for path in paired[::step]:
        for line in first_lines(view, view.by_path[path]):
            _look(survey, path, line)
    try:
        header = find_header(SourceView(view.source), _names_files(view, texts))
    except InputError:
        # What is wrong with the header is said, with its hint, when the set is read.
        header = Header()
    good = sum(survey.indices.values())
    # Where its YAML says what it is, a set without a line, or with damaged ones, is YOLO all the same:
    # taken for pictures without labels, it would lose them without a word.
    said = header.names is not None and header.file.lower().endswith((".yaml", ".yml"))
    if good <= survey.bad and not (said and (survey.bad or header.parts)):
        return None
    points = header.points or survey.keypoints()
    kinds = _kinds(survey, points)
    heads = tuple(head.name for head in header.heads(sorted(survey.indices)))
    named = f", classes in {header.file}" if header.file else ""
    reason = f"{len(paired):,} text files with numbers, one for each image{named}"
    return Recognition(reason, kinds, heads, len(view.images))


def _look(survey: Survey, path: str, text: str) -> Line | str:
    """Count a line, and return what it says or why it says nothing."""
    try:
        line = parse_line(text)
    except ValueError as error:
        survey.bad += 1
        return str(error)
    survey.take(path, line)
    return line


def _kinds(survey: Survey, points: int) -> tuple[LabelKind, ...]:
    if points:
        return ("points", "boxes")
    return ("masks", "boxes") if any(count > 4 for count in survey.columns) else ("boxes",)


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read each image with the lines of its text file.

    All label files are read first, since only together they say what they hold. Raises ``InputError`` when
    coordinates are in px, a class is not in the list, or a file could belong to two images;
    ``QuestionError`` for a class listed twice.
    """
    texts = _pair(view)
    texts.refuse_ambiguous()
    header = find_header(view, _names_files(view, texts))
    if header.names is not None:
        ask_for_doubles(header.names.values(), header.file, options.merge_classes)
    survey, read_texts = _survey(view, texts)
    notes = list(header.notes)
    if not header.points and survey.keypoints():
        header = replace(header, points=survey.keypoints(), dims=3)
        notes.append(
            f"Each line ends in {number_of(header.points, 'point')}; the set has no kpt_shape that says so."
        )
    _refuse_wrong(survey, header)
    splits = yaml_splits(view, header)
    folders = FolderSplits(view.image_paths, BESIDE)
    found = _Set(header, texts, read_texts, splits, folders, _strays(view, texts, splits.lists))
    heads = header.heads(sorted(survey.indices))
    return Reading(_rows(view, found), heads, notes=(*notes, *splits.notes), ahead=view.image_paths)


def _survey(view: SourceView, texts: LabelTexts) -> tuple[Survey, dict[str, Text]]:
    """Read all texts of images; their numbers stay packed, which is no more than their labels will be."""
    survey, found = Survey(), dict[str, Text]()
    for path in sorted(texts.paired):
        numbered = lines(view, view.by_path[path])
        found[path] = [(number, _look(survey, f"{path}, line {number}", line)) for number, line in numbered]
    return survey, found


def _refuse_wrong(survey: Survey, header: Header) -> None:
    names = header.names
    wrong = sorted(
        index for index in survey.indices if index < 0 or (names is not None and index not in names)
    )
    if wrong:
        listed = (
            f"{number_of(len(names), 'class', 'classes')} of “{header.file}”"
            if names is not None
            else "classes from 0 on"
        )
        raise InputError(
            f"The labels use {some(wrong, 20)}, which is none of the {listed}.",
            "Complete the list of classes, or correct the labels; a list may also start at 0 instead of 1.",
        )
    if survey.pixels:
        what = "1 line holds" if survey.pixels == 1 else f"{survey.pixels:,} lines hold"
        raise InputError(
            f"{what} coordinates in px ({survey.first_pixel}); YOLO's are shares of the image from 0 to 1.",
            "Divide x and width by the width of the image, y and height by its height, in all files.",
        )


def _rows(view: SourceView, found: _Set) -> Iterator[Row]:
    yield from found.splits.issues
    for path in view.image_paths:
        text = found.texts.of_image.get(path)
        split, repairs = found.split(path)
        if text is None:
            yield ImageLabels(path, split=split, relative=True, repairs=repairs)
            continue
        # A text of one image alone: what is ambiguous has been refused.
        read_lines = found.read.pop(text)
        labels = []
        for number, line in read_lines:
            try:
                labels.append(_label(line, number, found.header))
            except ValueError as error:
                yield skipped(text, number, str(error))
        yield ImageLabels(
            path, tuple(labels), split, text, negative=not read_lines, relative=True, repairs=repairs
        )
    for stray in found.strays:
        for number, _ in lines(view, stray):
            yield skipped(stray.path, number, f"missing image “{PurePosixPath(stray.path).stem}”")


def _label(line: Line | str, number: int, header: Header) -> Label:
    """Make a label; raises ``ValueError`` with the reason when a line is none."""
    if isinstance(line, str):
        raise ValueError(line)
    box, mask, points = shape(line.values, header.points, header.dims)
    name = header.name(line.index)
    return Label(name, box, mask, points or None, line=number, repairs=line.repairs)


def _pair(view: SourceView) -> LabelTexts:
    if "yolo" not in view.kept:
        paths = [member.path for member in view.named(".txt")]
        view.kept["yolo"] = LabelTexts(view.image_paths, paths, FOLDERS)
    found: LabelTexts = view.kept["yolo"]
    return found


def _names_files(view: SourceView, texts: LabelTexts) -> list[Member]:
    """Find the lists of class names; an image called “classes.jpg” may own the file of that name."""
    return [
        member
        for member in view.named(".txt", ".names")
        if member.path.rpartition("/")[2].casefold() in NAMES_FILES and member.path not in texts.paired
    ]


def _strays(view: SourceView, texts: LabelTexts, lists: frozenset[str]) -> tuple[Member, ...]:
    """Find the label files whose image is missing; other texts beside images are none."""
    others = {member.path for member in _names_files(view, texts)} | lists
    found = [view.by_path[path] for path in texts.strays() if path not in others]
    return tuple(m for m in found if "labels" in m.path.casefold().split("/")[:-1] or _holds_labels(view, m))


def _holds_labels(view: SourceView, member: Member) -> bool:
    survey = Survey()
    for line in first_lines(view, member):
        _look(survey, member.path, line)
    return sum(survey.indices.values()) > survey.bad


FORMAT = DatasetFormat(
    name="yolo",
    title="YOLO",
    carries=frozenset({"box", "boxes", "masks", "points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "outlines", "visibility", "classes"}),
)
