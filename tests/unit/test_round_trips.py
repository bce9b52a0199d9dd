"""All formats together: whatever one format's reader gives, every other's writer takes and gives back.

Compared is all that the writer's ``keeps`` promises, and nothing else; pictures are known by their
bytes, since a writer may rename them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.contracts.datasets import LabelKind
from engine.datasets.formats.base import DatasetFormat
from engine.datasets.formats.registry import FORMATS, recognise
from engine.errors import InputError
from tests.format_sets import HOSTILE_CLASSES, HOSTILE_NAMES, make_set, written
from tests.formats import ReadSet, compare, lost_heads, read_set
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
