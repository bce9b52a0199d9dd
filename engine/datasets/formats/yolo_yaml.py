"""What a YOLO set says about itself: classes, keypoints and splits, from ``data.yaml`` or a list of names.

Of the YAML only the keys below are read; ``download`` and all others mean nothing here.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from engine.contracts.datasets import Split
from engine.datasets.archive import Member
from engine.datasets.formats.base import Row, SourceView, clean_class, missing_image
from engine.datasets.formats.text_lists import class_names, lines, some
from engine.datasets.formats.yaml_files import Plain, read_yaml
from engine.datasets.labels import ClassHead
from engine.errors import InputError, LimitError
from engine.settings import Limits

NAMES_FILES = frozenset({"classes.txt", "obj.names", "class_names.txt", "classes.names", "names.txt"})
PARTS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "test": "test"}
MOST_PLACES = 100  # folders or lists in one YAML
MOST_POINTS = 1_000
MOST_DEPTH = 16  # folders of a path that are compared
NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Header:
    """What is known before the first label.

    ``names`` by index, or None when the set does not name its classes. ``points`` with ``dims`` values
    each (2: x, y; 3: and visibility), 0 without keypoints. ``parts``: split, and folder or list of it.
    ``file`` holds the names; ``bases`` are the folders that ``parts`` may start from.
    """

    file: str = ""
    names: dict[int, str] | None = None
    points: int = 0
    dims: int = 0
    point_names: dict[int, tuple[str, ...]] = field(default_factory=dict)
    parts: tuple[tuple[Split, str], ...] = ()
    bases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def heads(self, found: Iterable[int]) -> tuple[ClassHead, ...]:
        """Give the classes in order; ``found`` are the indices in use, for sets without names."""
        names = self.names if self.names is not None else {index: class_name(index) for index in found}
        # A class that is listed twice, and may be merged, stands once.
        heads: dict[str, ClassHead] = {}
        for index in sorted(names):
            points = self.point_names.get(index) or tuple(f"point {n}" for n in range(1, self.points + 1))
            heads.setdefault(names[index], ClassHead(names[index], points))
        return tuple(heads.values())

    def name(self, index: int) -> str:
        """Give the name of a class."""
        return class_name(index) if self.names is None else self.names[index]


def class_name(index: int) -> str:
    """Name a class that the set does not name."""
    return f"class {index}"


def find_header(view: SourceView, names_files: Sequence[Member]) -> Header:
    """Read the set's YAML and list of names.

    Raises ``InputError`` when one cannot be read or says what cannot be, or when several disagree.
    """
    found = _read_all(view)
    header = Header()
    if found:
        headers = [_header(member, data) for member, data in found]
        header = headers[0]
        others = [other for other in headers if other.names != header.names]
        if others:
            raise InputError(
                f"“{header.file}” and “{others[0].file}” name different classes.", "Keep the right one."
            )
    if header.names is None and names_files:
        header = _with_names_file(view, header, names_files)
    return header


def _read_all(view: SourceView) -> list[tuple[Member, dict[str, Plain]]]:
    """Read the YAML files that describe a set, those nearest to the root first."""
    found: list[tuple[Member, dict[str, Plain]]] = []
    failure: InputError | None = None
    for member in sorted(view.named(".yaml", ".yml"), key=lambda m: (m.path.count("/"), m.path)):
        try:
            data = read_yaml(view, member)
        except InputError as error:
            # Another tool's file may be anything; one that speaks of names should have been readable.
            if b"names" in view.head(member) or member.path.lower().endswith("data.yaml"):
                failure = failure or error
            continue
        if "names" in data or "nc" in data:
            found.append((member, data))
    if failure is not None and not found:
        raise failure
    return found


def _header(member: Member, data: dict[str, Plain]) -> Header:
    names = _names(member.path, data.get("names"))
    names = _checked_number(member.path, data.get("nc"), names)
    points, dims = _keypoint_shape(member.path, data.get("kpt_shape"))
    point_names = _point_names(data.get("kpt_names"), points, names or {})
    notes = () if point_names or not data.get("kpt_names") else (f"kpt_names in “{member.path}” do not fit.",)
    path = data.get("path")
    own = posixpath.dirname(member.path)
    bases = (posixpath.join(own, path) if isinstance(path, str) else own, own, "")
    parts = [(split, place) for key, split in PARTS.items() for place in _places(data.get(key))]
    if len(parts) > MOST_PLACES:
        raise LimitError(f"“{member.path}” lists more than {MOST_PLACES} folders of images.")
    return Header(member.path, names, points, dims, point_names, tuple(parts), bases, notes)


def _places(value: Plain) -> list[str]:
    found = value if isinstance(value, list) else [value]
    return [place for place in found if isinstance(place, str)]


def _names(file: str, value: Plain) -> dict[int, str] | None:
    if value is None:
        return None
    if isinstance(value, list):
        value = {str(index): name for index, name in enumerate(value)}
    if not isinstance(value, dict):
        raise InputError(f"“names” in “{file}” is no list of class names.", "Write names: [cat, dog].")
    if len(value) > Limits().classes:
        raise LimitError(f"“{file}” lists {len(value):,} classes, more than {Limits().classes:,}.")
    named: dict[int, str] = {}
    for key, name in value.items():
        if not NUMBER.fullmatch(key) or int(key) in named:
            raise InputError(f"The class “{key[:40]}” in “{file}” has no number of its own.", "Write 0: cat.")
        named[int(key)] = clean_class(name) if isinstance(name, str) else ""
        if not named[int(key)]:
            raise InputError(f"Class {key} in “{file}” has no name.", "Give the class its name.")
    return named


def _checked_number(file: str, value: Plain, names: dict[int, str] | None) -> dict[int, str] | None:
    """Check ``nc`` against the names; without names, name the classes by their numbers."""
    if value is None:
        return names
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise InputError(f"“nc” in “{file}” is no number of classes.", "Write nc: 2.")
    number = int(value)
    if number > Limits().classes:
        raise LimitError(f"“{file}” has {number:,} classes, more than {Limits().classes:,}.")
    if names is None:
        return {index: class_name(index) for index in range(number)}
    if number != len(names):
        raise InputError(
            f"“{file}” says nc: {number}, but names {len(names)} classes.", "Correct the one that is wrong."
        )
    return names


def _keypoint_shape(file: str, value: Plain) -> tuple[int, int]:
    if value is None:
        return 0, 0
    texts = value if isinstance(value, list) else [value]
    numbers = [int(text) for text in texts if isinstance(text, str) and NUMBER.fullmatch(text)]
    if len(numbers) != 2 or len(texts) != 2 or not 1 <= numbers[0] <= MOST_POINTS or numbers[1] not in (2, 3):
        raise InputError(
            f"“kpt_shape” in “{file}” should be the number of points and 2 or 3 values each.",
            "Write kpt_shape: [17, 3].",
        )
    return numbers[0], numbers[1]


def _point_names(value: Plain, points: int, names: dict[int, str]) -> dict[int, tuple[str, ...]]:
    """Read the points' names, of all classes or class by class; those that do not fit count as none."""
    if isinstance(value, list):
        value = {str(index): value for index in names}
    found: dict[int, tuple[str, ...]] = {}
    for key, listed in value.items() if isinstance(value, dict) else ():
        if NUMBER.fullmatch(key) and isinstance(listed, list):
            texts = tuple(clean_class(name) for name in listed if isinstance(name, str))
            if len(texts) == len(listed) == points and all(texts):
                found[int(key)] = texts
    return found


def _with_names_file(view: SourceView, header: Header, files: Sequence[Member]) -> Header:
    read = [(member, *class_names(view, member)) for member in files]
    member, names, empty = read[0]
    for other, others, _ in read[1:]:
        if others != names:
            raise InputError(
                f"“{member.path}” and “{other.path}” name different classes.", "Keep the right one."
            )
    note = f"{empty:,} empty lines at the end of “{member.path}” were left out."
    notes = (*header.notes, note) if empty else header.notes
    return replace(header, file=member.path, names=dict(enumerate(names)), notes=notes)


@dataclass(frozen=True)
class YamlSplits:
    """The splits of images as the YAML lists them; ``lists`` are the text files that were read."""

    of_image: dict[str, set[Split]]
    lists: frozenset[str]
    issues: tuple[Row, ...]
    notes: tuple[str, ...]


def yaml_splits(view: SourceView, header: Header) -> YamlSplits:
    """Find the images of each split; a folder that is not in the source is noted, not an error."""
    found: dict[str, set[Split]] = defaultdict(set)
    lists: set[str] = set()
    issues: list[Row] = []
    missing: list[str] = []
    homes = {path.rpartition("/")[0] or "." for path in view.image_paths}
    folders = homes | {str(above) for home in homes for above in PurePosixPath(home).parents}
    texts = {member.path for member in view.named(".txt")}
    known: dict[str, list[str]] = defaultdict(list)
    for path in folders | texts:
        known[posixpath.basename(path)].append(path)
    for split, place in header.parts:
        where = _resolve(place, header.bases, known)
        if where is None:
            missing.append(place)
        elif where in texts:
            lists.add(where)
            _take_list(view, where, split, found, issues)
        else:
            prefix = "" if where == "." else f"{where}/"
            for member in view.images:
                if member.path.startswith(prefix):
                    found[member.path].add(split)
    note = f"{some(missing)} in “{header.file}” is not in the source."
    return YamlSplits(found, frozenset(lists), tuple(issues), (note,) if missing else ())


def _take_list(
    view: SourceView, path: str, split: Split, found: dict[str, set[Split]], issues: list[Row]
) -> None:
    for line, name in lines(view, view.by_path[path]):
        try:
            found[view.resolve(name)].add(split)
        except LookupError as error:
            issues.append(missing_image(path, line, name, error))


def _resolve(place: str, bases: Sequence[str], known: dict[str, list[str]]) -> str | None:
    """Find the folder or file that a YAML means: from its own place, else the one that ends like it."""
    plain = place.strip().replace("\\", "/")
    for start in bases:
        direct = posixpath.normpath(posixpath.join(start, plain)).lstrip("/")
        if direct in known.get(posixpath.basename(direct), ()):
            return direct
    parts = [part for part in plain.split("/") if part not in ("", ".", "..")]
    for first in range(max(len(parts) - MOST_DEPTH, 0), len(parts)):
        end = "/".join(parts[first:])
        found = [path for path in known.get(parts[-1], ()) if path == end or path.endswith(f"/{end}")]
        if found:
            return found[0] if len(found) == 1 else None
    return None
