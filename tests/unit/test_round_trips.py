"""All formats together: whatever one format's reader gives, every other's writer takes and gives back.

Compared is all that the writer's ``keeps`` promises, and nothing else; pictures are known by their
bytes, since a writer may rename them.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from engine.contracts.datasets import LabelKind
from engine.datasets.formats.base import DatasetFormat
from engine.datasets.formats.registry import FORMATS, recognise
from engine.errors import InputError
from tests.formats import (
    HOSTILE_CLASSES,
    HOSTILE_NAMES,
    ReadSet,
    compare,
    lost_heads,
    make_set,
    read_set,
    written,
)
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
        assert recognise(look(folder).source, kind)[0].format is known


@pytest.mark.parametrize(("known", "kind"), PAIRS, ids=IDS)
def test_classes_of_hostile_names_survive_or_are_refused(
    known: DatasetFormat, kind: LabelKind, tmp_path: Path
) -> None:
    taken = ["cat"]
    for name in HOSTILE_CLASSES:
        _, out = make_set(tmp_path / "one", kind, ["a.png", "b.png"], ("cat", name))
        try:
            with written(known, out, tmp_path):
                taken.append(name)
        except InputError as error:
            assert name[:20] in str(error)
    assert len(taken) > len(HOSTILE_CLASSES) / 3
    names = [f"{number}.png" for number in range(len(taken) + 5)]
    expected, out = make_set(tmp_path / "all", kind, names, taken)
    with written(known, out, tmp_path) as folder:
        found = read_set(known, folder, kind)
        assert compare(expected, found, kind, known.keeps_of(kind)) == []
        assert lost_heads(out.classes, found, kind, known.keeps_of(kind)) == []
        assert (found.skipped, found.repaired) == ([], [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_feeds_every_writer(kind: LabelKind, tmp_path: Path) -> None:
    formats = [known for known in WRITERS if kind in known.carries]
    told = []
    for first in formats:
        _, out = make_set(tmp_path / "made", kind, ["a.png", "b c/ü.png", "b/a.png", "=x, y.png"], first=2)
        with written(first, out, tmp_path) as folder:
            start = read_set(first, folder, kind)
            for second in formats:
                told += [
                    f"{first.name} to {second.name}: {text}" for text in again(start, second, kind, tmp_path)
                ]
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_that_goes_through_all_formats_stays_itself(kind: LabelKind, tmp_path: Path) -> None:
    """One after the other; what any of them on the way loses is left out of the comparison."""
    formats = [known for known in WRITERS if kind in known.carries]
    expected, out = make_set(tmp_path / "made", kind, HOSTILE_NAMES)
    keeps = set.intersection(*(set(known.keeps_of(kind)) for known in formats))
    for number, known in enumerate(itertools.chain(formats, reversed(formats))):
        target = tmp_path / f"{number}"
        target.mkdir()
        assert known.write is not None
        known.write(out, target)
        found = read_set(known, target, kind)
        assert compare(expected, found, kind, keeps) == [], f"after {known.name}"
        out = found.export(kind)
