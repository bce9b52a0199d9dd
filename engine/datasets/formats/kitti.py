"""KITTI object labels: ``label_2/000001.txt`` beside ``image_2/000001.png``, one object a line.

The 15 columns are type, truncated, occluded, alpha, the box in px (left, top, right, bottom), height,
width and length in m, x, y, z in m and rotation_y; results have a 16th, the score (readme.txt of the
KITTI object development kit). ``DontCare`` marks regions that neither count as object nor as background:
labels without a class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from engine.datasets import masks
from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    number_of,
    skipped,
)
from engine.datasets.formats.text_lists import FolderSplits, LabelTexts, first_lines, lines, rows_of_text
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError

FOLDERS = (("image_2", "label_2"), ("image_3", "label_3"), ("images", "labels"), ("image", "label"))
BESIDE = frozenset(name for pair in FOLDERS for name in pair)
IGNORED = "DontCare"
NOT_GIVEN = {
    "truncated": -1.0,
    "occluded": -1.0,
    "alpha": -10.0,
    "height": -1.0,
    "width": -1.0,
    "length": -1.0,
    "x": -1000.0,
    "y": -1000.0,
    "z": -1000.0,
    "rotation_y": -10.0,
}
"""The columns beside type and box, in order, with the value that means: not known."""
SPLIT_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
SAMPLE = 200  # label files that are looked at to recognise the format


def parse_line(text: str) -> Label:
    """Read one line; raises ``ValueError`` with the reason when it is no label.

    A type of several words is read too, as long as its last one is no number.
    """
    if "\ufffd" in text:
        raise ValueError("it holds characters that are no UTF-8")
    words = text.split()
    count = 0
    while count < len(words) - 1 and _is_number(words[-1 - count]):
        count += 1
    if count not in (14, 15):
        raise ValueError(f"it has {number_of(len(words), 'column')}; a type with 14 or 15 numbers is needed")
    name, cells = " ".join(words[:-count]), words[-count:]
    box = (float(cells[3]), float(cells[4]), float(cells[5]), float(cells[6]))
    if not all(math.isfinite(edge) for edge in box):
        raise ValueError("an edge of the box is not finite")
    named = zip(NOT_GIVEN, [*cells[:3], *cells[7:14]], strict=True)
    attributes = [(key, cell) for key, cell in named if float(cell) != NOT_GIVEN[key]]
    if count == 15:
        attributes.append(("score", cells[14]))
    ignored = name == IGNORED
    return Label("" if ignored else name, box, ignored=ignored, attributes=tuple(attributes))


def recognise(view: SourceView) -> Recognition | None:
    """Recognise text files whose lines are a type and 14 or 15 numbers."""
    texts = _pair(view)
    paired = sorted(texts.paired)
    good = bad = 0
    names: set[str] = set()
    for path in paired[:: max(len(paired) // SAMPLE, 1)]:
        for line in first_lines(view, view.by_path[path]):
            try:
                label = parse_line(line)
            except ValueError:
                bad += 1
                continue
            # Lines of numbers only are another format's outlines or keypoints.
            good, bad = (good, bad + 1) if _is_number(label.name) else (good + 1, bad)
            names |= set() if label.ignored else {label.name}
    if good <= bad:
        return None
    reason = f"{len(paired):,} text files with a type, a box and 3D columns"
    return Recognition(reason, ("boxes",), tuple(sorted(names)), len(view.images))


def read(view: SourceView, _options: ReadOptions) -> Reading:
    """Read each image with the lines of its text file; columns that are given become attributes.

    Raises ``InputError`` when a file could belong to two images.
    """
    texts = _pair(view)
    texts.refuse_ambiguous()
    return Reading(_rows(view, texts), ahead=view.image_paths)


def write(out: ExportSet, folder: Path) -> None:
    """Write ``training/image_2`` and ``training/label_2`` (``validation``, ``testing``; none: no folder).

    An image on which nothing is gets an empty file, one without labels gets none; ignored regions are
    ``DontCare`` and lose their class. Raises ``InputError`` for class names that would be read as others.
    """
    for head in out.classes:
        _check_name(head.name)
    files = ImageNames(folder, flat=True, unique_stems=True)
    for labels, source in out.rows:
        above = f"{SPLIT_FOLDERS[labels.split]}/" if labels.split else ""
        name = files.place(labels.path, source, f"{above}image_2")
        text = "".join(f"{line}\n" for label in labels.labels if (line := _line(label)))
        if text or labels.negative:
            target = folder / f"{above}label_2" / f"{PurePosixPath(name).stem}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")


def _label(line: str, number: int) -> Label:
    return replace(parse_line(line), line=number)


def _rows(view: SourceView, texts: LabelTexts) -> Iterator[Row]:
    splits = FolderSplits(view.image_paths, BESIDE)
    for member in view.images:
        row = ImageLabels(member.path, split=splits(member.path))
        yield from rows_of_text(view, row, texts.of_image.get(member.path), _label)
    yield from _stray_rows(view, texts)


def _stray_rows(view: SourceView, texts: LabelTexts) -> Iterator[Row]:
    for path in texts.strays():
        for number, line in lines(view, view.by_path[path]):
            # Beside images lie other texts too; what reads like a label is one without its image.
            if BESIDE & set(path.casefold().split("/")[:-1]) or _is_label(line):
                yield skipped(path, number, f"missing image “{PurePosixPath(path).stem}”")


def _is_label(line: str) -> bool:
    try:
        parse_line(line)
    except ValueError:
        return False
    return True


def _pair(view: SourceView) -> LabelTexts:
    if "kitti" not in view.kept:
        paths = [member.path for member in view.named(".txt")]
        view.kept["kitti"] = LabelTexts(view.image_paths, paths, FOLDERS)
    found: LabelTexts = view.kept["kitti"]
    return found


def _is_number(word: str) -> bool:
    if not word.isascii() or "_" in word:
        return False
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_name(name: str) -> None:
    words = name.split()
    if name == IGNORED or not words or (len(words) > 1 and _is_number(words[-1])):
        raise InputError(f"“{name}” cannot be a type in KITTI's files.", "Export as COCO instead.")


def _line(label: Label) -> str:
    box = label.box or (masks.box_of(label.mask) if label.mask is not None else None)
    if box is None:
        return ""
    given: Mapping[str, str] = {key: value for key, value in label.attributes if _is_number(value)}
    cells = [given.get(key, f"{unknown:g}") for key, unknown in NOT_GIVEN.items()]
    edges = [format(edge, ".12g") for edge in box]
    score = [given["score"]] if "score" in given else []
    name = IGNORED if label.ignored else label.name or IGNORED
    return " ".join([name, *cells[:3], *edges, *cells[3:], *score])


FORMAT = DatasetFormat(
    name="kitti",
    title="KITTI",
    carries=frozenset({"box", "boxes"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "ignored"}),
)
