"""The benchmark of real sets can fail: what is not as it was is noticed, what a format loses is not asked."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.api import Lensmith
from engine.bench.at_once import run_here
from engine.bench.set_compare import Held, Rules, differences, hold
from engine.bench.set_figures import SETS, RealSet, at
from engine.bench.sets import measure_set
from engine.bench.workspace import quiet_workspace
from engine.contracts.datasets import ClassInfo, ImageItem, LabelItem
from engine.datasets import masks
from engine.datasets.formats.base import ALL_FEATURES, Feature
from engine.tasks.registry import TASKS
from tests.workspace import settings_in

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Lensmith]:
    with quiet_workspace(settings_in(tmp_path / "home")) as lensmith:
        yield lensmith


def draw(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(file)


def boxes_in_csv(root: Path) -> Path:
    for number in range(4):
        draw(root / f"{number}.png", number)
    rows = [(f"{n}.png", name, 1 + n, 2, 9 + n, 12.5) for n in range(4) for name in ("cat", "dog")]
    with (root / "labels.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([("filename", "class", "xmin", "ymin", "xmax", "ymax"), *rows])
    return root


def folders(root: Path) -> Path:
    for number in range(6):
        draw(root / "train" / ("ant", "bee")[number % 2] / f"{number}.png", number)
    return root


def taken(house: Lensmith, source: Path) -> str:
    done = run_here(house, house.datasets.start_import(source, name="x", any_folder=True))
    assert done.problem == ""
    return done.project


def again(house: Lensmith, project: str, format: str, target: Path, old: str, new: str) -> Held:
    """Export, change the first ``old`` in the labels, and import."""
    assert run_here(house, house.dataset_exports.start(project, format, to=target)).problem == ""
    file = next(file for file in sorted(target.rglob("*.*")) if file.suffix in (".json", ".csv"))
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    return hold(house, taken(house, target))


def test_a_box_that_moved_is_noticed_and_nothing_else(house: Lensmith, tmp_path: Path) -> None:
    project = taken(house, boxes_in_csv(tmp_path / "set"))
    changed = again(house, project, "csv_table", tmp_path / "out", "12.5", "12.0")
    (text,) = differences(hold(house, project), changed, Rules("boxes", frozenset({"splits", "boxes"})))
    assert "12.5 is not there again (2 are)" in text


def test_a_class_that_changed_is_noticed_and_nothing_else(house: Lensmith, tmp_path: Path) -> None:
    project = taken(house, folders(tmp_path / "set"))
    changed = again(house, project, "csv_table", tmp_path / "out", ",ant", ",bee")
    (text,) = differences(hold(house, project), changed, Rules("class", frozenset({"splits"})))
    assert "labelled bee instead of ant" in text


def test_a_row_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes_in_csv(tmp_path / "set")
    monkeypatch.setattr("engine.bench.sets.round_trips", lambda *_: {"coco": [], "voc": ["a box moved"]})
    known = RealSet("drawn", "detection", 5, {"cat": 4, "dog": 3}, "this test", prepare=at("set"))
    row = measure_set(settings_in(tmp_path / "home"), tmp_path, known)
    assert row["wrong"] == ["4 images instead of 5", "{'cat': 4, 'dog': 4} instead of {'cat': 4, 'dog': 3}"]
    assert (row["ratio"], row["same"], row["differ"]) == (0.5, ["coco"], {"voc": ["a box moved"]})
    assert (row["task"], row["format"], row["kept"]) == ("detection", "csv_table", 12)


def test_a_question_is_answered_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes_in_csv(tmp_path / "set")
    with (tmp_path / "set" / "labels.csv").open("a") as handle:
        handle.write("missing.png,cat,1,1,2,2\n")
    monkeypatch.setattr("engine.bench.sets.round_trips", lambda *_: {"coco": []})
    known = RealSet("drawn", "detection", 4, {"cat": 4, "dog": 4}, "this test", skipped=1, prepare=at("set"))
    row = measure_set(settings_in(tmp_path / "home"), tmp_path, known)
    assert row["wrong"] == [] and row["asked"].startswith("1 of 9 labels (11 %) would be skipped")


def test_a_set_that_must_be_refused(tmp_path: Path) -> None:
    boxes_in_csv(tmp_path / "set")
    with (tmp_path / "set" / "labels.csv").open("a") as handle:
        handle.write("missing.png,cat,1,1,2,2\n")
    known = RealSet("drawn", "detection", 4, {}, "this test", refused="1 of 9", prepare=at("set"))
    assert measure_set(settings_in(tmp_path / "home"), tmp_path, known)["ratio"] == 1.0
    other = replace(known, refused="2 of 9")
    row = measure_set(settings_in(tmp_path / "home"), tmp_path, other)
    assert row["ratio"] == 0.0 and "1 of 9" in row["wrong"][0]


def test_the_table_of_sets_names_known_tasks_and_each_set_once() -> None:
    assert {one.task for one in SETS} <= {spec.name for spec in TASKS}
    assert len({one.name for one in SETS}) == len(SETS)


# -- single rules ----------------------------------------------------------------------------------

CLASS = ClassInfo(id="c", name="cat", position=0, objects=1, points=("nose", "tail"), skeleton=((0, 1),))
BLOCK = np.zeros((20, 24), bool)
BLOCK[4:12, 3:15] = True
RING = (3.0, 4.0, 15.0, 4.0, 15.0, 12.0, 3.0, 12.0)


def held(*labels: LabelItem, info: ClassInfo = CLASS, **image: object) -> Held:
    fields = {"split": "train", **image}
    item = ImageItem(id="i", path="a.png", sha256="0", width=24, height=20, labels=labels, **fields)
    return Held((info,), (item,))


def label(**fields: object) -> LabelItem:
    return LabelItem(id="l", class_id="c", **fields)


def without(*features: Feature) -> frozenset[Feature]:
    return ALL_FEATURES - set(features)


def runs(pixels: np.ndarray) -> LabelItem:
    return label(rle=masks.encode(pixels).counts)


def test_masks_are_compared_pixel_by_pixel_unless_the_format_loses_them() -> None:
    pierced = BLOCK.copy()
    pierced[6, 6] = False
    one, other = held(runs(BLOCK)), held(runs(pierced))
    assert differences(one, one, Rules("masks", ALL_FEATURES)) == []
    assert differences(one, other, Rules("masks", ALL_FEATURES))
    assert differences(one, other, Rules("masks", without("runs"))) == []
    assert differences(one, other, Rules("masks", ALL_FEATURES, caveat=True)) == []
    elsewhere = held(runs(np.roll(BLOCK, 8, axis=1)))
    assert differences(one, elsewhere, Rules("masks", without("runs")))


def test_outlines_stay_outlines_where_the_format_promises_it() -> None:
    outline, drawn = held(label(polygons=(RING,))), held(runs(BLOCK))
    moved = held(label(polygons=((3.5, *RING[1:]),)))
    assert differences(outline, drawn, Rules("masks", ALL_FEATURES))
    assert differences(outline, drawn, Rules("masks", without("outlines"))) == []
    assert differences(outline, moved, Rules("masks", ALL_FEATURES))


def test_points_visibility_and_names() -> None:
    one = held(label(points=((1, 2, 2), (5, 6, 1))))
    seen = held(label(points=((1, 2, 2), (5, 6, 2))))
    swapped = held(label(points=((5, 6, 1), (1, 2, 2))))
    assert differences(one, seen, Rules("points", ALL_FEATURES))
    assert differences(one, seen, Rules("points", without("visibility"))) == []
    assert differences(one, swapped, Rules("points", without("visibility", "skeleton")))
    nameless = CLASS.model_copy(update={"skeleton": ()})
    assert differences(one, held(*one.images[0].labels, info=nameless), Rules("points", ALL_FEATURES))
    assert differences(one, held(info=nameless), Rules("points", ALL_FEATURES))


def test_splits_negatives_ignored_and_attributes() -> None:
    rules = Rules("boxes", ALL_FEATURES)
    box = (1.0, 1.0, 5.0, 5.0)
    one = held(label(box=box, ignored=True, attributes={"pose": "left"}))
    assert differences(one, held(*one.images[0].labels, split="val"), rules)
    assert differences(held(), held(negative=True), rules)
    assert differences(held(), held(negative=True), Rules("boxes", without("negatives"))) == []
    plain = held(label(box=box))
    assert differences(one, plain, rules)
    assert differences(one, plain, Rules("boxes", without("ignored", "attributes"))) == []
    assert differences(one, held(), Rules("boxes", without("ignored"))) == []
    assert differences(plain, held(label(box=box), label(box=box)), Rules("boxes", without("ignored")))


def test_a_picture_too_few_or_too_many_is_noticed() -> None:
    rules = Rules("boxes", ALL_FEATURES)
    one = held()
    assert differences(one, Held((CLASS,), ()), rules) == ["1 images are missing"]
    assert differences(Held((CLASS,), ()), one, rules) == ["1 images are new"]
