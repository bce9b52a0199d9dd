"""Which images belong together: what keeps it, and what says that it does not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from engine.bench.set_compare import Held, Rules, differences
from engine.contracts.datasets import ImageItem, LabelKind
from engine.datasets.formats import coco, csv_table
from engine.datasets.formats.base import ALL_FEATURES, DatasetFormat
from engine.datasets.formats.registry import FORMATS
from engine.datasets.losses import Holdings, losses
from tests.format_sets import make_set, written
from tests.formats import compare, read_set

SAID = "Which images belong together is lost: 2 groups."
GROUPED = Holdings(images=Counter(groups=2))
NAMES = [f"{number}.png" for number in range(12)]
KINDS: tuple[LabelKind, ...] = ("class", "tags", "boxes", "points")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", [coco.FORMAT, csv_table.FORMAT], ids=lambda known: known.name)
def test_groups_keep_their_names(known: DatasetFormat, kind: LabelKind, tmp_path: Path) -> None:
    if kind not in known.carries:
        return
    expected, out = make_set(tmp_path / "made", kind, NAMES)
    with written(known, out, tmp_path) as folder:
        found = read_set(known, folder, kind).by_content
    names = {key: row.group for key, row in expected.items()}
    assert {key: row.group for key, row in found.items()} == names
    assert {None, "patient 1"} < set(names.values())


def test_a_note_about_groups_needs_groups(tmp_path: Path) -> None:
    for some in (True, False):
        _, out = make_set(tmp_path / "made", "boxes", NAMES)
        rows = ((row if some else replace(row, group=None), source) for row, source in out.rows)
        with written(csv_table.FORMAT, replace(out, rows=rows), tmp_path) as folder:
            notes = read_set(csv_table.FORMAT, folder, "boxes").reading.notes
        assert any("stay together" in note for note in notes) == some


@pytest.mark.parametrize("group", [7, "", None, ["a"]])
def test_coco_takes_only_names_for_groups(group: object, tmp_path: Path) -> None:
    _, out = make_set(tmp_path / "made", "boxes", NAMES)
    with written(coco.FORMAT, out, tmp_path) as folder:
        for file in (folder / "annotations").iterdir():
            content = json.loads(file.read_text("utf-8"))
            content["images"] = [entry | {"group": group} for entry in content["images"]]
            file.write_text(json.dumps(content), "utf-8")
        assert {row.group for row in read_set(coco.FORMAT, folder, "boxes").rows.values()} == {None}


def test_formats_that_lose_groups_say_so() -> None:
    keeping = {known.name for known in FORMATS if SAID not in losses(known, GROUPED, "boxes")}
    assert keeping == {"coco", "csv_table", "deeplabcut"}


def test_comparisons_notice_groups(tmp_path: Path) -> None:
    expected, out = make_set(tmp_path / "made", "boxes", NAMES)
    with written(coco.FORMAT, out, tmp_path) as folder:
        found = read_set(coco.FORMAT, folder, "boxes")
        assert compare(expected, found, "boxes", ALL_FEATURES) == []
        mixed = {path: replace(row, group=row.group and "one") for path, row in found.rows.items()}
        lost = {path: replace(row, group=None) for path, row in found.rows.items()}
        for rows in (mixed, lost):
            assert compare(expected, replace(found, rows=rows), "boxes", ALL_FEATURES)
            assert compare(expected, replace(found, rows=rows), "boxes", ALL_FEATURES - {"groups"}) == []


def test_projects_are_compared_by_groups_where_they_are_kept() -> None:
    items = tuple(
        ImageItem(id=f"{n}", path=f"{n}.png", sha256=f"{n}", width=9, height=9, split=None, labels=())
        for n in range(4)
    )

    def held(*groups: str) -> Held:
        return Held((), items, {item.id: group for item, group in zip(items, groups, strict=True) if group})

    rules = Rules("boxes", ALL_FEATURES)
    start = held("a", "a", "b", "")
    for same in (start, held("x", "x", "y", ""), held("x", "x", "y", "images")):
        assert differences(start, same, rules) == []
    for other in (
        held("a", "b", "b", ""),
        held("", "", "", ""),
        held("a", "a", "a", ""),
        held("a", "a", "b", "b"),
    ):
        assert differences(start, other, rules)
        assert differences(start, other, Rules("boxes", ALL_FEATURES - {"groups"})) == []
