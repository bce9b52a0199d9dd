"""What several formats leave to habit: splits as folders, the order of named points, round shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from engine.contracts.datasets import Split
from engine.datasets.formats.base import split_of

NO_SPLIT = "unsplit"
"""The folder of exported images without a split, beside those of splits."""
VOID = "void"
"""The label of regions that do not count and have no class, where a format needs a label for them."""
CORNERS = 32  # of the outline that a circle becomes


def class_of(name: str, ignored: bool) -> str:
    """Return the class of a label; "" for a region that does not count and is only called ``VOID``."""
    return "" if ignored and name == VOID else name


def folder_splits(paths: Iterable[str]) -> dict[str, Split]:
    """Take splits from folders (``train/a.jpg``) where at least two splits have one.

    The first folder on the way that names a split (or none, ``unsplit``) decides.
    """
    splits: dict[str, Split] = {}
    known: dict[str, Split | None] = {}
    for path in paths:
        folder = path[: path.rfind("/") + 1]
        if folder not in known:
            known[folder] = _first_split(folder.split("/"))
        if (split := known[folder]) is not None:
            splits[path] = split
    return splits if len(set(splits.values())) > 1 else {}


def _first_split(folders: Sequence[str]) -> Split | None:
    for folder in folders:
        if (split := split_of(folder)) is not None or folder == NO_SPLIT:
            return split
    return None


def file_splits(paths: Iterable[str]) -> dict[str, Split]:
    """Take splits from words in the names of label files (``faces_train.xml``) where one is for training."""
    splits: dict[str, Split] = {}
    for path in paths:
        parts = re.split(r"[^a-z]+", PurePosixPath(path).stem.lower())
        split = next((found for part in parts if (found := split_of(part))), None)
        if split is not None:
            splits[path] = split
    return splits if "train" in splits.values() else {}


def weave(points: list[str], named: Sequence[str]) -> None:
    """Put new names behind the one that each follows in ``named``, or before the first known one.

    So the order of all points is found although no object has all of them.
    """
    known = [points.index(name) for name in named if name in points]
    place = known[0] if known else len(points)
    for name in named:
        if name not in points:
            points.insert(place, name)
        place = points.index(name) + 1


def circle(middle: tuple[float, float], edge: tuple[float, float]) -> list[float]:
    """Return the outline (x, y, x, y, ...) of a circle about ``middle`` through ``edge``."""
    radius = math.dist(middle, edge)
    steps = (2 * math.pi * step / CORNERS for step in range(CORNERS))
    return [
        part
        for step in steps
        for part in (middle[0] + radius * math.cos(step), middle[1] + radius * math.sin(step))
    ]
