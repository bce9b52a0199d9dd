"""What differs between two frozen versions, found by walking both manifests side by side.

Both run by path, so that what is equal meets and is passed over unread. Of an image without a twin so far
(it is new, was left out, or has another path now) the place of its line waits; neither manifest is ever held.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic_core import from_json


@dataclass
class Differences:
    """What two versions say differently; images and classes by id, in the order of the later version.

    ``moved`` holds image, split before and split after. The counts are of labels by class: all of them
    when they were asked for, else those on lines that differ.
    """

    classes_before: Mapping[str, str]
    classes_after: Mapping[str, str]
    added: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    relabelled: list[str] = field(default_factory=list)
    moved: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    counts_before: Counter[str] = field(default_factory=Counter)
    counts_after: Counter[str] = field(default_factory=Counter)

    @property
    def classes_added(self) -> list[str]:
        """Classes that only the later version has."""
        return [key for key in self.classes_after if key not in self.classes_before]

    @property
    def classes_removed(self) -> list[str]:
        """Classes that only the earlier version has."""
        return [key for key in self.classes_before if key not in self.classes_after]

    @property
    def classes_renamed(self) -> list[str]:
        """Classes of both that are called otherwise."""
        before = self.classes_before
        return [key for key, name in self.classes_after.items() if before.get(key, name) != name]

    def words(self) -> str:
        """Say it in words, such as "3 labels changed, 2 images left out"; empty: nothing differs."""
        parts = (
            (self.relabelled, "label changed", "labels changed"),
            (self.left_out, "image left out", "images left out"),
            (self.added, "image added", "images added"),
            (self.moved, "image moved to another split", "images moved to another split"),
            (self.classes_added, "class added", "classes added"),
            (self.classes_removed, "class removed", "classes removed"),
            (self.classes_renamed, "class renamed", "classes renamed"),
        )
        told = ((len(found), one, many) for found, one, many in parts if found)
        return ", ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in told)


def differences(before: Path, after: Path, *, count: bool = False) -> Differences:
    """Compare two manifests as values: ids of labels say nothing, and 1 is 1.0.

    ``count`` reads the lines that are equal too, for the number of labels of each class.
    """
    with before.open("rb") as first, after.open("rb") as second:
        old, new = _Side(first), _Side(second)
        found = Differences(old.classes, new.classes, counts_before=old.counts, counts_after=new.counts)
        pairs: list[_Pair] = []
        while old.line or new.line:
            if old.line == new.line:
                if count:
                    labels = Counter(label["class_id"] for label in old.row["labels"])
                    old.counts.update(labels)
                    new.counts.update(labels)
                old.advance()
                new.advance()
            else:
                pairs += _step(old, new)
    pairs.sort(key=lambda pair: pair.now.at)
    found.added, found.left_out = list(new.waiting), list(old.waiting)
    found.relabelled = [now.id for _, now, relabelled in pairs if relabelled]
    found.moved = [(now.id, then.split, now.split) for then, now, _ in pairs if then.split != now.split]
    return found


class _Seen(NamedTuple):
    """An image of one manifest: its place there, and where its line begins and how long it is, in bytes."""

    at: int
    id: str
    split: str | None
    start: int
    size: int


class _Pair(NamedTuple):
    """An image of both manifests on lines that differ."""

    then: _Seen
    now: _Seen
    relabelled: bool


class _Side:
    """One manifest, a line at a time, with those images that have not met their twin."""

    def __init__(self, handle: BinaryIO) -> None:
        self.handle = handle
        self.line = handle.readline()
        self.start = 0
        self.classes: dict[str, str] = {info["id"]: info["name"] for info in self.row["classes"]}
        self.counts: Counter[str] = Counter()
        self.waiting: dict[str, _Seen] = {}
        self.at = 0
        self.advance()

    def advance(self) -> None:
        """Go to the next line; an empty one is the end."""
        self.at += 1
        self.start += len(self.line)
        self.line = self.handle.readline()
        self.__dict__.pop("row", None)

    @cached_property
    def row(self) -> dict[str, Any]:
        """The values of this line."""
        found: dict[str, Any] = from_json(self.line)
        return found

    def take(self) -> _Seen:
        """Sum up the image of this line and go to the next."""
        row = self.row
        self.counts.update(label["class_id"] for label in row["labels"])
        seen = _Seen(self.at, row["id"], row["split"], self.start, len(self.line))
        self.advance()
        return seen

    def said(self, seen: _Seen) -> str:
        """Read again what is said of an image: of most that wait, nobody ever asks."""
        row = json.loads(os.pread(self.handle.fileno(), seen.size, seen.start), parse_int=float)
        return f"{bool(row.get('negative'))} {sorted(_said(label) for label in row['labels'])}"


def _step(old: _Side, new: _Side) -> list[_Pair]:
    """Go on where the path comes first, on both sides when it is the same; give twins that have met.

    The order of paths only keeps few waiting: whatever it is, no twin is missed.
    """
    first = not new.line or bool(old.line and old.row["path"] <= new.row["path"])
    second = not old.line or bool(new.line and new.row["path"] <= old.row["path"])
    met = []
    if first:
        seen = old.take()
        if (twin := new.waiting.pop(seen.id, None)) is not None:
            met.append((seen, twin))
        else:
            old.waiting[seen.id] = seen
    if second:
        seen = new.take()
        if (twin := old.waiting.pop(seen.id, None)) is not None:
            met.append((twin, seen))
        else:
            new.waiting[seen.id] = seen
    pairs = (_Pair(then, now, old.said(then) != new.said(now)) for then, now in met)
    return [pair for pair in pairs if pair.relabelled or pair.then.split != pair.now.split]


def _said(label: Mapping[str, Any]) -> str:
    """Give what a label says, without its id; an empty value says nothing.

    Manifests are written with their keys in order, so what is equal reads the same.
    """
    return repr([(name, value) for name, value in label.items() if name != "id" and value])
