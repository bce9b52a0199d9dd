"""Small sets for tests of formats: every kind of label, and the names that files and classes really have."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from engine.contracts.datasets import LabelKind
from engine.datasets import masks
from engine.datasets.formats.base import DatasetFormat, ExportSet
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons
from tests.formats import digest

POINTS = ("nose", "left ear", "right ear")
SKELETON = ((0, 1), (0, 2))
SIZE = (48, 40)
HOSTILE_NAMES = (
    "a b.png",
    " leading.png",
    "trailing .png",
    "two  spaces.png",
    "日本.png",
    "Cafe\u0301.png",  # NFD
    "caf\u00e9 2.png",  # NFC
    "it's.png",
    'a "quote".png',
    "“curly”.png",
    "=cmd|' /C calc'!A0.png",
    "+1.png",
    "-dash.png",
    "@at.png",
    "😀.png",
    ".hidden.png",
    "..two.png",
    "a,b;c\tx.png",
    "%20.png",
    "100%.png",
    "#1 hash.png",
    "<b>&amp;.png",
    "back`tick$HOME.png",
    "x" * 176 + ".png",
    "ü" * 88 + ".png",
    "y" * 250 + ".png",
    "same.png",
    "same.jpg",
    "same.2.png",
    "one/same.png",
    "two/same.png",
    "two/Same.png",
    "two/same.png/inner.png",
    f"{'l' * 170}/{'m' * 170}/same.png",
    f"{'l' * 170}/{'n' * 170}/same.png",
    "SAME.PNG",
    "train/inner.png",
    "labels/inner.png",
    "images/inner.png",
    "masks/inner_mask.png",
    "1.png",
    "0001.png",
)
"""Names that files really have."""
HOSTILE_CLASSES = (
    "a b",
    "日本",
    "caf\u00e9",
    "it's",
    'say "x"',
    "=HYPERLINK(1)",
    "-1",
    "+x",
    "@y",
    "😀",
    "a,b",
    "a;b",
    "a|b",
    "a:b",
    "#5",
    "100%",
    "%20",
    "<img src=x onerror=alert(1)>",
    "&amp;",
    "12",
    "nan",
    "null",
    "true",
    "train",
    "background",
    "void",
    "{x: 1}",
    "[x]",
    "\\n",
    "a/b",
    ".hidden",
    "x" * 90,
)


def draw(folder: Path, number: int, size: tuple[int, int] = SIZE) -> Path:
    """Draw a picture that no other number has."""
    path = folder / f"{number:05d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (number % 256, number // 256 % 256, 7)).save(path)
    return path


def heads_of(kind: LabelKind, names: Iterable[str]) -> tuple[ClassHead, ...]:
    """Classes of a kind; for points, all have the same."""
    if kind == "points":
        return tuple(ClassHead(name, POINTS, SKELETON) for name in names)
    return tuple(map(ClassHead, names))


def labels_of(kind: LabelKind, names: Sequence[str], number: int) -> tuple[Label, ...]:
    """Labels of a kind for the ``number``-th image; all differ, their classes go through ``names``."""
    turn = itertools.cycle([*names[number % len(names) :], *names[: number % len(names)]])
    at = number % 7 + 0.25
    attributes = (("colour", "rød"), ("note", 'a "b", <c>; =d'))
    if kind == "class":
        return (Label(next(turn)),)
    if kind == "tags":
        return tuple(Label(name) for name in dict.fromkeys((next(turn), next(turn))))
    if kind == "box":
        return (Label(next(turn), (at, 2.5, at + 20.125, 33.0)),)
    if kind == "boxes":
        return (
            Label(next(turn), (at, 2.5, at + 20.125, 33.0), attributes=attributes),
            Label(next(turn), (0.0, 0.0, 48.0, 40.0)),
            Label(next(turn), (30.0, at, 40.1, at + 1 / 3), ignored=True),
        )
    if kind == "points":
        first = next(turn)
        return (
            Label(
                first,
                (at, 3.0, 40.0, 39.0),
                points=((at + 1, 5.5, 2), (20.0, 30.0, 1), (0.0, 0.0, 0)),
                attributes=attributes,
            ),
            # Of the same class, since a format that lists no points knows only those that are labelled.
            Label(first, (1.0, 1.0, 30.0, 31.0), points=((2.0, 3.0, 2), (4.0, 3.0, 2), (9.5, 8.0, 2))),
        )
    return _masked(kind, turn, number, attributes)


def _masked(
    kind: LabelKind, turn: Iterator[str], number: int, attributes: tuple[tuple[str, str], ...]
) -> tuple[Label, ...]:
    shift = number % 7
    drawn = np.zeros((SIZE[1], SIZE[0]), bool)
    drawn[24:38, 4 + shift : 20 + shift] = True
    drawn[24:30, 12 + shift : 20 + shift] = False
    runs = masks.encode(drawn)
    if kind == "regions":
        other = np.zeros_like(drawn)
        other[2 + shift : 20, 10:40] = True
        void = np.zeros_like(drawn)
        void[0:2] = True
        one, two = next(turn), next(turn)
        regions = [Label(one, mask=runs)] + ([Label(two, mask=masks.encode(other))] if two != one else [])
        return (*regions, Label("", mask=masks.encode(void), ignored=True))
    ring = [2.5 + shift, 1.0, 30.0 + shift, 2.25, 38.0, 20.5, 10.0, 22.0]
    crowd = np.zeros_like(drawn)
    crowd[30:40, 40:48] = True
    return (
        Label(next(turn), (2.0, 1.0, 38.5, 23.0), Polygons.of([ring]), attributes=attributes),
        Label(next(turn), mask=runs, box=masks.box_of(runs)),
        Label(next(turn), (40.0, 30.0, 48.0, 40.0), masks.encode(crowd), ignored=True),
    )


def make_set(
    folder: Path,
    kind: LabelKind,
    names: Sequence[str],
    classes: Sequence[str] = ("cat", "dog"),
    first: int = 0,
) -> tuple[dict[str, ImageLabels], ExportSet]:
    """Draw a set of images with labels; some are negatives, some nobody has labelled.

    Returns the rows by the hash of their picture, and the set for a writer.
    """
    by_content: dict[str, ImageLabels] = {}
    pairs = []
    for number, name in enumerate(names, start=first):
        source = draw(folder, number)
        empty = number % 9 in (3, 4) and kind != "class"
        row = ImageLabels(
            name,
            () if empty or number % 9 == 5 else labels_of(kind, list(classes), number),
            ("train", "val", "test")[number % 3],
            negative=empty,
            size=SIZE,
            group=(None, "patient 1", "Patient/ü, 2", "labeled-data")[number % 4],
        )
        by_content[digest(source)] = row
        pairs.append((row, source))
    return by_content, ExportSet(kind, heads_of(kind, classes), iter(pairs))


@contextmanager
def written(known: DatasetFormat, out: ExportSet, folder: Path) -> Iterator[Path]:
    """Write a set; the folder is there for the ``with``."""
    assert known.write is not None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        target = Path(place) / "set"
        target.mkdir()
        known.write(out, target)
        yield target
