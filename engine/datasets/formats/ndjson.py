"""Ultralytics NDJSON: one JSON object a line, first the set, then its images with their labels.

Labels are rows of numbers as in YOLO's text files, by kind: ``boxes``, ``segments``, ``obb``, ``pose`` and
``classification``. Images are looked up by ``file``; their ``url`` is never opened. See
docs.ultralytics.com/datasets/detect, “Ultralytics NDJSON format”.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

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
    repaired,
    skipped,
    split_of,
)
from engine.datasets.formats.ndjson_labels import (
    KEYS,
    Head,
    Survey,
    label_of,
    merge,
    odd_labels,
    read_head,
    rows_of,
)
from engine.datasets.formats.text_lists import ask_for_doubles, some
from engine.datasets.formats.writing import ImageNames
from engine.datasets.formats.yolo import LARGEST_PIXEL
from engine.datasets.formats.yolo_write import RowsOfNumbers
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError

SUFFIXES = (".ndjson", ".jsonl")
WRITTEN = "dataset.ndjson"
MOST_BYTES = 16 * 2**20
"""Of one line; an image with 10,000 long outlines needs less."""
WANTED: dict[LabelKind, tuple[str, ...]] = {
    "boxes": ("boxes", "pose", "segments", "obb"),
    "box": ("boxes", "pose", "segments", "obb"),
    "masks": ("segments", "obb", "boxes", "pose"),
    "regions": ("segments", "obb", "boxes", "pose"),
    "points": ("pose", "boxes", "segments", "obb"),
    "class": ("classification",),
    "tags": ("classification",),
}
TASKS: dict[LabelKind, str] = {"masks": "segment", "points": "pose", "class": "classify", "tags": "classify"}
KEY_OF_TASK = {"detect": "boxes", "segment": "segments", "pose": "pose", "classify": "classification"}
SAMPLE = 200  # lines that are looked at to recognise the format


def recognise(view: SourceView) -> Recognition | None:
    """Recognise a file whose first line says that it is a dataset."""
    fresh = SourceView(view.source)  # looking at a file does not count as reading it
    for member in _files(fresh):
        survey = Survey()
        for number, (_, record) in enumerate(_records(fresh, member)):
            if number > SAMPLE:
                break
            survey.take(record, f"line {number + 2}")
        try:
            heads = read_head(member.path, _first(fresh, member) or {}).heads(sorted(survey.indices))
        except InputError:
            heads = ()  # why it cannot be read is said, with its hint, when it is
        names = tuple(head.name for head in heads)
        reason = f"{member.path} lists images with their labels"
        return Recognition(reason, survey.kinds(), names, len(view.images))
    return None


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read each image of the source, with the labels of its line.

    Where a line holds several kinds of label, the one that is wanted counts; others that describe the
    same objects are put into the same labels. Raises ``InputError`` when there are several such files,
    a class is not listed, coordinates are in px, or an image is listed twice in different ways.
    """
    members = _files(view)
    if len(members) != 1:
        named = some([member.path for member in members])
        raise InputError(f"There must be one file of labels, not {len(members)} ({named}).", "Keep one.")
    member = members[0]
    head = read_head(member.path, _first(view, member) or {})
    if head.names is not None:
        ask_for_doubles(head.names.values(), member.path, options.merge_classes)
    survey = Survey()
    for number, record in _records(view, member):
        survey.take(record, f"line {number}")
    survey.refuse(member.path, head)
    return Reading(_rows(view, member, head, options.kind), head.heads(sorted(survey.indices)))


def write(out: ExportSet, folder: Path) -> None:
    """Write ``dataset.ndjson`` and the images below ``images``.

    An image on which nothing is has an empty list of labels, one without labels has none. Ignored
    regions are left out, and each object is one outline, as in YOLO's files.
    """
    files = ImageNames(folder, flat=True, unique_stems=True)
    task = TASKS.get(out.kind, "detect")
    numbers = RowsOfNumbers(out.kind, out.classes)
    place = {head.name: index for index, head in enumerate(out.classes)}
    names = {str(index): head.name for index, head in enumerate(out.classes)}
    keypoints = numbers.keypoints() if any(head.points for head in out.classes) else {}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / WRITTEN).open("w", encoding="utf-8", newline="\n") as handle:
        handle.write(_text({"type": "dataset", "task": task, "class_names": names} | keypoints))
        for labels, source in out.rows:
            name = files.place(labels.path, source, "images").removeprefix("images/")
            width, height = labels.size or (0, 0)
            record: dict[str, Any] = {"type": "image", "file": name, "width": width, "height": height}
            record |= {"split": labels.split} if labels.split else {}
            if task == "classify":
                rows: list[Any] = [place[name] for name in labels.names]
            else:
                rows = [[int(row[0]), *row[1:]] for row in numbers.of(labels)]
            record["annotations"] = {KEY_OF_TASK[task]: rows} if rows or labels.negative else {}
            handle.write(_text(record))


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def _files(view: SourceView) -> list[Member]:
    return [member for member in view.named(*SUFFIXES) if _first(SourceView(view.source), member)]


def _first(view: SourceView, member: Member) -> dict[str, Any] | None:
    """Give the first line if it says that it describes a dataset."""
    with view.open(member) as stream:
        line = stream.readline(MOST_BYTES + 1)
    try:
        record = _parse(line)
    except ValueError:
        return None
    return record if record.get("type") == "dataset" else None


def _parse(line: bytes) -> dict[str, Any]:
    """Read one line; raises ``ValueError`` with the reason."""
    if len(line) > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES >> 20} MiB")
    try:
        found = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON ({error.msg})") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object with keys")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"it holds {text}")


def _lines(view: SourceView, member: Member) -> Iterator[tuple[int, bytes]]:
    """Yield the lines behind the first that are not empty; what is too long is cut and passed over."""
    with view.open(member) as stream:
        number = 0
        while line := stream.readline(MOST_BYTES + 1):
            number += 1
            while not line.endswith(b"\n") and len(line) > MOST_BYTES:
                rest = stream.readline(MOST_BYTES)
                if not rest or rest.endswith(b"\n"):
                    break
            if number > 1 and line.strip():
                yield number, line


def _records(view: SourceView, member: Member) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines that can be read."""
    for number, line in _lines(view, member):
        try:
            yield number, _parse(line)
        except ValueError:
            continue  # the rows say so


def _rows(view: SourceView, member: Member, head: Head, kind: LabelKind) -> Iterator[Row]:
    seen: dict[str, bytes] = {}
    for number, line in _lines(view, member):
        try:
            record = _parse(line)
            path = _image(view, record)
        except AmbiguousNameError as error:
            raise error.refusal(member.path) from error
        except (ValueError, LookupError) as error:
            yield from _lost(member.path, number, line, str(error))
            continue
        digest = hashlib.sha256(line.strip()).digest()
        if path in seen:
            if seen[path] != digest:
                raise InputError(
                    f"“{path}” stands twice in “{member.path}”, with different labels.",
                    "Keep the right line.",
                )
            yield from (
                repaired(member.path, number, f"“{path}” is listed twice; counted once")
                for _ in range(max(_count(record), 1))
            )
            continue
        seen[path] = digest
        yield from _image_rows(_row(path, record, member.path, number), record, head, kind)
    for image in view.images:
        if image.path not in seen:
            yield ImageLabels(image.path)


def _lost(file: str, number: int, line: bytes, reason: str) -> Iterator[Row]:
    """Account for each label of a line that cannot be used."""
    try:
        count = _count(_parse(line))
    except ValueError:
        count = 1
    for _ in range(max(count, 1)):
        yield skipped(file, number, reason)


def _count(record: dict[str, Any]) -> int:
    return sum(map(len, rows_of(record).values())) + sum(1 for _ in odd_labels(record))


def _image(view: SourceView, record: dict[str, Any]) -> str:
    """Find the image of a line; raises ``LookupError`` or ``ValueError`` with the reason."""
    name = record.get("file")
    if not isinstance(name, str) or not name:
        raise ValueError("it names no file")
    # The same file name may stand in the folder of each split.
    folders = [f"images/{record.get('split')}/", f"{record.get('split')}/", "images/"]
    for folder in folders if "://" not in name else []:
        try:
            return view.resolve(folder + name)
        except LookupError:
            continue
    try:
        return view.resolve(name)
    except AmbiguousNameError:
        raise
    except LookupError as error:
        raise LookupError(f"missing image “{name[:200]}”: {error}") from error


def _row(path: str, record: dict[str, Any], file: str, number: int) -> ImageLabels:
    named = record.get("split")
    split: Split | None = split_of(named) if isinstance(named, str) else None
    unknown = (f"the split “{str(named)[:40]}” is not known",) if named and split is None else ()
    sides: list[Any] = [record.get("width"), record.get("height")]
    size = (int(sides[0]), int(sides[1])) if all(_is_side(side) for side in sides) else None
    return ImageLabels(path, split=split, file=file, line=number, relative=True, size=size, repairs=unknown)


def _is_side(value: object) -> bool:
    return type(value) is int and 0 < value < LARGEST_PIXEL


def _image_rows(row: ImageLabels, record: dict[str, Any], head: Head, kind: LabelKind) -> Iterator[Row]:
    for reason in odd_labels(record):
        yield skipped(row.file, row.line, reason)
    found = rows_of(record)
    filled = [key for key in (*WANTED.get(kind, ()), *KEYS) if found.get(key)]
    if not filled:
        yield replace(row, negative=bool(found) and not any(odd_labels(record)))
        return
    key, others = filled[0], [other for other in dict.fromkeys(filled) if other != filled[0]]
    made: list[Label | None] = []
    for numbers in found[key]:
        try:
            made.append(label_of(numbers, key, head))
        except ValueError as error:
            made.append(None)
            yield skipped(row.file, row.line, f"{key}: {error}")
    for other in others:
        same, reason = merge(made, found[other], other, head)
        if reason:
            yield from (skipped(row.file, row.line, reason) for _ in found[other])
        made = same
    yield replace(row, labels=tuple(replace(label, line=row.line) for label in made if label is not None))


FORMAT = DatasetFormat(
    name="ndjson",
    title="Ultralytics NDJSON",
    carries=frozenset({"class", "tags", "box", "boxes", "masks", "points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "outlines", "visibility", "classes"}),
)
