"""All formats together: whatever one format's reader gives, every other's writer takes and gives back.

Compared is all that the writer's ``keeps`` promises, and nothing else; pictures are known by their
bytes, since a writer may rename them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.contracts.datasets import LabelKind
from engine.datasets import masks
from engine.datasets.formats.base import DatasetFormat, ExportSet
from engine.datasets.formats.registry import FORMATS, recognise, serving
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError
from tests.format_sets import HOSTILE_CLASSES, HOSTILE_NAMES, draw, heads_of, make_set, written
from tests.formats import ReadSet, compare, digest, lost_heads, read_set
from tests.unit.format_cases import look

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
KINDS: tuple[LabelKind, ...] = ("class", "tags", "box", "boxes", "regions", "masks", "points")
WRITERS = [known for known in FORMATS if known.write is not None]
PAIRS = [(known, kind) for kind in KINDS for known in WRITERS if kind in known.carries]
IDS = [f"{known.name}-{kind}" for known, kind in PAIRS]


@pytest.mark.parametrize(("known", "kind"), PAIRS, ids=IDS)
def test_files_of_hostile_names_survive(known: DatasetFormat, kind: LabelKind, tmp_path: Path) -> None:
    expected, out = make_set(tmp_path / "made", kind, HOSTILE_NAMES)
    with written(known, out, tmp_path) as folder:
        found = read_set(known, folder, kind)
        assert compare(expected, found, kind, known.keeps_of(kind)) == []
        assert lost_heads(out.classes, found, kind, known.keeps_of(kind)) == []
        assert (found.skipped, found.repaired) == ([], [])
        assert serving(recognise(look(folder).source), kind)[0].format is known


@pytest.mark.parametrize(("known", "kind"), PAIRS, ids=IDS)
def test_classes_of_hostile_names_survive_or_are_refused(
    known: DatasetFormat, kind: LabelKind, tmp_path: Path
) -> None:
    taken = accepted(known, kind, HOSTILE_CLASSES, tmp_path)
    assert len(taken) > len(HOSTILE_CLASSES) / 3
    names = [f"{number}.png" for number in range(len(taken) + 5)]
    expected, out = make_set(tmp_path / "all", kind, names, taken)
    with written(known, out, tmp_path) as folder:
        found = read_set(known, folder, kind)
        assert compare(expected, found, kind, known.keeps_of(kind)) == []
        assert lost_heads(out.classes, found, kind, known.keeps_of(kind)) == []
        assert (found.skipped, found.repaired) == ([], [])


def accepted(known: DatasetFormat, kind: LabelKind, names: Sequence[str], folder: Path) -> list[str]:
    """Return the names that a writer takes; one that it refuses must stand in the reason."""
    _, out = make_set(folder / "made", kind, [f"{number}.png" for number in range(2 * len(names))], names)
    try:
        with written(known, out, folder):
            return list(names)
    except InputError as error:
        if len(names) == 1:
            assert names[0][:20] in str(error)
            return []
    half = len(names) // 2
    return [name for part in (names[:half], names[half:]) for name in accepted(known, kind, part, folder)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_feeds_every_writer(kind: LabelKind, tmp_path: Path) -> None:
    formats = [known for known in WRITERS if kind in known.carries]
    told = []
    for first in formats:
        _, out = make_set(tmp_path / "made", kind, ["a.png", "b c/ü.png", "b/a.png", "=x, y.png"], first=2)
        with written(first, out, tmp_path) as folder:
            start = read_set(first, folder, kind)
            for second in formats:
                told += [(first.name, second.name, text) for text in again(start, second, kind, tmp_path)]
    assert told == []


def again(start: ReadSet, known: DatasetFormat, kind: LabelKind, folder: Path) -> list[str]:
    """Write what was read in another format and say what is not the same there."""
    with written(known, start.export(kind), folder) as target:
        found = read_set(known, target, kind)
        return [
            *compare(start.by_content, found, kind, known.keeps_of(kind)),
            *lost_heads(start.heads, found, kind, known.keeps_of(kind)),
            *map(str, found.skipped + found.repaired),
        ]


def spots(*boxes: tuple[int, int, int, int]) -> Label:
    """A mask of 30 x 20 px in which each box turns its pixels over."""
    pixels = np.zeros((20, 30), np.bool_)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] ^= True
    runs = masks.encode(pixels)
    return Label("cat", masks.box_of(runs), runs)


ODDITIES: dict[str, tuple[LabelKind, tuple[int, int], tuple[Label, ...]]] = {
    "a picture of one pixel": ("boxes", (1, 1), (Label("cat", (0.0, 0.0, 1.0, 1.0)),)),
    "a box smaller than a pixel": ("boxes", (4096, 3), (Label("cat", (4095.9, 0.0, 4096.0, 0.1)),)),
    "the same box twice": ("boxes", (9, 9), (Label("cat", (1.0, 1.0, 2.0, 2.0)),) * 2),
    "the whole picture": ("masks", (30, 20), (spots((0, 0, 30, 20)),)),
    "a single pixel": ("masks", (30, 20), (spots((29, 19, 30, 20)),)),
    "two parts": ("masks", (30, 20), (spots((1, 1, 9, 9), (15, 5, 25, 18)),)),
    "a hole": ("masks", (30, 20), (spots((1, 1, 29, 19), (5, 5, 12, 12)),)),
    "parts that touch at a corner": ("masks", (30, 20), (spots((1, 1, 9, 9), (9, 9, 20, 18)),)),
    "two hundred objects": (
        "masks",
        (30, 20),
        tuple(spots((x, y, x + 1, y + 1)) for x in range(1, 29, 2) for y in range(1, 19, 2)),
    ),
    "points in the corners": (
        "points",
        (30, 20),
        (Label("cat", (0.0, 0.0, 30.0, 20.0), points=((0.0, 0.0, 2), (30.0, 20.0, 2), (15.0, 10.0, 1))),),
    ),
}


@pytest.mark.parametrize("what", ODDITIES)
def test_oddities_survive(what: str, tmp_path: Path) -> None:
    kind, size, labels = ODDITIES[what]
    pairs = []
    for number, split in enumerate(("train", "val")):
        source = draw(tmp_path / "made", number, size)
        pairs.append((ImageLabels(f"{number}.png", labels, split, size=size), source))  # type: ignore[arg-type]
    told = []
    for known in (known for known in WRITERS if kind in known.carries):
        expected = {digest(source): row for row, source in pairs}
        with written(known, ExportSet(kind, heads_of(kind, ["cat"]), iter(pairs)), tmp_path) as folder:
            found = read_set(known, folder, kind)
            told += [(known.name, text) for text in compare(expected, found, kind, known.keeps_of(kind))]
            told += [(known.name, str(issue)) for issue in found.skipped + found.repaired]
    assert told == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_that_goes_through_all_formats_stays_itself(kind: LabelKind, tmp_path: Path) -> None:
    """One after the other; what any of them on the way loses is left out of the comparison."""
    formats = [known for known in WRITERS if kind in known.carries]
    expected, out = make_set(tmp_path / "made", kind, HOSTILE_NAMES)
    keeps = set.intersection(*(set(known.keeps_of(kind)) for known in formats))
    for number, known in enumerate(formats):
        target = tmp_path / f"{number}"
        target.mkdir()
        assert known.write is not None
        known.write(out, target)
        found = read_set(known, target, kind)
        assert compare(expected, found, kind, keeps) == [], f"after {known.name}"
        out = found.export(kind)
