"""MPII's human poses as a JSON list: one entry per person, with joints, their visibility, and the image.

Joints that are marked 0 are not labelled, whatever their place; hidden ones are not told apart from
visible ones. ``center`` and ``scale`` (of 200 px) are kept as attributes: they are no box.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    SMALL_FILE_BYTES,
    AmbiguousNameError,
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    skipped,
)
from engine.datasets.formats.conventions import file_splits
from engine.datasets.formats.json_files import (
    DamagedJsonError,
    items,
    load_json,
    number,
    pair,
    record,
    words,
)
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ClassHead, ImageLabels, Label, Point
from engine.errors import InputError

ENTRIES = re.compile(rb"^(?:\xef\xbb\xbf)?\s*\[\s*\{")
KEYS = (b'"joints"', b'"joints_vis"', b'"image"')
PERSON = "person"
JOINTS = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("pelvis", "thorax", "upper_neck", "head_top"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
)
"""MPII's 16 joints, in the order of its files."""
BONES = (
    *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
    *((8, 12), (12, 11), (11, 10), (8, 13), (13, 14), (14, 15)),
)


def recognise(view: SourceView) -> Recognition | None:
    """Recognise a JSON list of entries with joints, their visibility and an image."""
    files = _files(view)
    if not files:
        return None
    count, names = len(JOINTS), {PERSON: None}
    if files[0].size <= SMALL_FILE_BYTES:
        try:
            entries = [record(entry) for entry in items(load_json(view, files[0]))]
        except DamagedJsonError:
            entries = []  # reading says so
        count = _count(entries)
        names = dict.fromkeys(map(_name, entries))
    shown = ", ".join(f"“{member.path}”" for member in files[:3])
    reason = f"people with {count} joints, as MPII lists them: {shown}"
    return Recognition(reason, ("points",), tuple(names), len(view.images))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read all lists; images may stand in them several times, once for each person.

    Raises ``InputError`` for damaged JSON.
    """
    del options  # only joints are there
    files = _files(view)
    lists = [(member, [record(entry) for entry in items(load_json(view, member))]) for member in files]
    entries = [entry for _, some in lists for entry in some]
    count = _count(entries)
    points = JOINTS if count == len(JOINTS) else tuple(str(place) for place in range(1, count + 1))
    bones = BONES if count == len(JOINTS) else ()
    heads = tuple(ClassHead(name, points, bones) for name in dict.fromkeys(map(_name, entries)))
    return Reading(_rows(view, lists, count), heads)


def _files(view: SourceView) -> list[Member]:
    heads = ((member, view.head(member)) for member in view.named(".json"))
    return [member for member, head in heads if ENTRIES.match(head) and all(key in head for key in KEYS)]


def _count(entries: list[dict[str, Any]]) -> int:
    """Return how many joints most entries have."""
    counts = Counter(len(items(entry.get("joints"))) for entry in entries if items(entry.get("joints")))
    return counts.most_common(1)[0][0] if counts else len(JOINTS)


def _name(entry: dict[str, Any]) -> str:
    """Return the class: MPII knows people only; our own files may say another."""
    return clean_class(words(entry.get("category"))) or PERSON


def _rows(view: SourceView, lists: list[tuple[Member, list[dict[str, Any]]]], count: int) -> Iterator[Row]:
    splits = file_splits(member.path for member, _ in lists)
    found: dict[str, ImageLabels] = {}
    for member, entries in lists:
        for place, entry in enumerate(entries, 1):
            name = words(entry.get("image"))
            try:
                path = _image(view, name)
                labels = (_label(entry, member.path, count),) if items(entry.get("joints")) else ()
            except AmbiguousNameError as error:
                raise error.refusal(member.path) from error
            except LookupError as error:
                yield skipped(member.path, None, f"entry {place}: missing image “{name}”: {error}")
                continue
            except ValueError as error:
                yield skipped(member.path, None, f"entry {place}: {error}")
                labels = ()
            split = splits.get(member.path)
            old = found.get(path, ImageLabels(path, split=split, file=member.path))
            torn = () if split == old.split else (f"“{old.file}” and “{member.path}” differ about its split",)
            found[path] = ImageLabels(
                path, old.labels + labels, old.split, old.file, repairs=tuple({*old.repairs, *torn})
            )
    for image in view.images:
        yield found.get(image.path, ImageLabels(image.path))


def _image(view: SourceView, name: str) -> str:
    try:
        return view.resolve(f"images/{name}")
    except LookupError:
        return view.resolve(name)


def _label(entry: dict[str, Any], file: str, count: int) -> Label:
    """Read one person; raises ``ValueError`` with the reason when it cannot be used."""
    joints, seen = items(entry.get("joints")), items(entry.get("joints_vis"))
    if len(joints) != count or len(seen) != count:
        raise ValueError(f"{len(joints)} joints and {len(seen)} marks of visibility, {count} elsewhere")
    points: list[Point] = []
    for joint, mark in zip(joints, seen, strict=True):
        x, y = pair(joint)
        points.append((x, y, 2 if number(mark) > 0 else 0))
    attributes: list[tuple[str, str]] = []
    if "center" in entry:
        attributes.append(("center", ",".join(repr(at) for at in pair(entry["center"]))))
    if "scale" in entry:
        attributes.append(("scale", repr(number(entry["scale"]))))
    return Label(_name(entry), points=tuple(points), attributes=tuple(attributes), file=file)


# -- writing ------------------------------------------------------------------------------------------


def write(out: ExportSet, folder: Path) -> None:
    """Write ``train.json``, ``val.json``, ``test.json`` and ``labels.json`` (no split) beside ``images``.

    Raises ``InputError`` when a label has no points, or classes have points of several sorts.
    """
    if len({len(head.points) for head in out.classes if head.points}) > 1:
        raise InputError("The classes have different points; MPII's lists hold one sort.", "Export as COCO.")
    folder.mkdir(parents=True, exist_ok=True)
    names = ImageNames(folder)
    files: dict[str, TextIO] = {}
    try:
        for row, source in out.rows:
            name = names.place(row.path.removeprefix("images/"), source, under="images")
            key = row.split or "labels"
            for entry in _entries(row, name.removeprefix("images/")):
                before = ",\n"
                if key not in files:
                    files[key] = (folder / f"{key}.json").open("w", encoding="utf-8", newline="\n")
                    before = "[\n"
                files[key].write(before + json.dumps(entry, ensure_ascii=False))
        for file in files.values():
            file.write("\n]\n")
    finally:
        for file in files.values():
            file.close()


def _entries(row: ImageLabels, name: str) -> Iterator[dict[str, Any]]:
    if not row.labels and row.split:
        yield {"image": name, "joints": [], "joints_vis": []}
    for label in row.labels:
        if label.points is None:
            raise InputError(
                f"A label “{label.name}” of “{row.path}” has no points.", "Choose another format."
            )
        entry: dict[str, Any] = {
            "joints_vis": [int(visible > 0) for _, _, visible in label.points],
            "joints": [[x, y] for x, y, _ in label.points],
            "image": name,
            **_measures(label),
        }
        yield entry if label.name == PERSON else entry | {"category": label.name}


def _measures(label: Label) -> dict[str, Any]:
    """Return centre and scale (height over 200 px): as they were read, else from box or points."""
    given = dict(label.attributes)
    try:
        x, y = (float(part) for part in given["center"].split(","))
        return {"scale": float(given["scale"]), "center": [x, y]}
    except (KeyError, ValueError):
        pass  # not from MPII
    seen = [(x, y) for x, y, visible in label.points or () if visible]
    xs, ys = [x for x, _ in seen], [y for _, y in seen]
    box = label.box or ((min(xs), min(ys), max(xs), max(ys)) if seen else None)
    if box is None:
        return {}
    return {
        "scale": max(box[3] - box[1], box[2] - box[0]) / 200,
        "center": [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2],
    }


FORMAT = DatasetFormat(
    name="mpii",
    title="MPII poses",
    carries=frozenset({"points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits"}),
)
