"""What differs between two manifests: against a plain comparison of both as a whole, and its memory."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from engine.datasets.changes import Differences, differences

CLASSES = {"c": "cat", "d": "dog"}
Row = dict[str, Any]


def row(key: str, path: str, *, split: str | None = "train", labels: list[Row] | None = None) -> Row:
    return {"id": key, "path": path, "sha256": "0", "split": split, "labels": labels or []}


def box(left: float, name: str = "c", key: str = "x") -> Row:
    return {"id": key, "class_id": name, "box": [left, 1.0, left + 2, 3.0]}


def write(path: Path, rows: list[Row], classes: dict[str, str] = CLASSES, *, ordered: bool = True) -> Path:
    """Write a manifest by hand, by path unless told otherwise."""
    header = {"classes": [{"id": key, "name": name} for key, name in classes.items()]}
    lines = sorted(rows, key=lambda one: str(one["path"])) if ordered else rows
    path.write_text("".join(json.dumps(one, sort_keys=True) + "\n" for one in (header, *lines)))
    return path


def compared(folder: Path, before: list[Row], after: list[Row], *, ordered: bool = True) -> Differences:
    old, new = (write(folder / name, rows, ordered=ordered) for name, rows in (("a", before), ("b", after)))
    return differences(old, new)


def test_an_image_is_known_by_its_id_wherever_it_lies_now(tmp_path: Path) -> None:
    before = [row("1", "a.png", labels=[box(1)]), row("2", "b.png"), row("3", "m.png", labels=[box(3)])]
    after = [row("1", "z.png", labels=[box(1)]), row("2", "a.png", split="val"), row("3", "0.png")]
    found = compared(tmp_path, before, after)
    assert (found.added, found.left_out, found.relabelled) == ([], [], ["3"])
    assert found.moved == [("2", "train", "val")]
    assert found.words() == "1 label changed, 1 image moved to another split"


def test_another_picture_under_a_path_is_another_image(tmp_path: Path) -> None:
    found = compared(tmp_path, [row("1", "a.png")], [row("2", "a.png")])
    assert (found.added, found.left_out, found.words()) == (["2"], ["1"], "1 image left out, 1 image added")


def test_values_are_compared_not_their_spelling(tmp_path: Path) -> None:
    spelled = [{**box(1), "ignored": False, "attributes": {}, "id": "other"}, box(2)]
    whole = [box(2, key="new"), {"id": "y", "class_id": "c", "box": [1, 1, 3, 3]}]
    before = [row("1", "a.png", labels=spelled)]
    assert compared(tmp_path, before, [row("1", "a.png", labels=whole)]).words() == ""
    negative = {**row("2", "b.png"), "negative": True}
    assert compared(tmp_path, [row("2", "b.png")], [negative]).relabelled == ["2"]
    # -1 and -2 have the same hash in Python, and still differ.
    assert compared(tmp_path, [row("1", "a", labels=[box(-1)])], [row("1", "a", labels=[box(-2)])]).relabelled


def test_classes_and_counts_are_told(tmp_path: Path) -> None:
    equal = row("1", "a.png", labels=[box(1), box(2, "d")])
    old = write(tmp_path / "a", [equal, row("2", "b.png", labels=[box(1)])])
    new = write(tmp_path / "b", [equal], {"c": "feline", "e": "bird"})
    found = differences(old, new, count=True)
    assert (found.counts_before, found.counts_after) == ({"c": 2, "d": 1}, {"c": 1, "d": 1})
    assert (found.classes_added, found.classes_removed, found.classes_renamed) == (["e"], ["d"], ["c"])
    assert found.words() == "1 image left out, 1 class added, 1 class removed, 1 class renamed"
    assert differences(old, old).words() == ""


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_it_finds_what_a_comparison_of_the_whole_finds(tmp_path: Path, seed: int, ordered: bool) -> None:
    draw = random.Random(seed)
    before = [
        row(str(key), f"{draw.random()}", split=draw.choice(["train", "val"]), labels=[box(key)])
        for key in range(40)
    ]
    after = []
    for one in before:
        changed = dict(one)
        if draw.random() < 0.3:
            changed["path"] = f"{draw.random()}"
        if draw.random() < 0.3:
            changed["split"] = draw.choice(["train", "val", "test"])
        if draw.random() < 0.3:
            changed["labels"] = [box(draw.randrange(40), key="z")]
        after += [changed] if draw.random() < 0.8 else []
    after += [row(f"n{number}", f"{draw.random()}") for number in range(draw.randrange(5))]
    found = compared(tmp_path, before, after, ordered=ordered)
    old, new = ({one["id"]: one for one in rows} for rows in (before, after))
    both = old.keys() & new.keys()
    assert (set(found.added), set(found.left_out)) == (new.keys() - old.keys(), old.keys() - new.keys())
    assert {one[0] for one in found.moved} == {key for key in both if old[key]["split"] != new[key]["split"]}
    lefts = {key: (old[key]["labels"][0]["box"], new[key]["labels"][0]["box"]) for key in both}
    assert set(found.relabelled) == {key for key, (then, now) in lefts.items() if then != now}
    if ordered:
        places = {one["id"]: one["path"] for one in after}
        assert found.relabelled == sorted(found.relabelled, key=lambda key: str(places[key]))


def test_no_manifest_is_held(tmp_path: Path) -> None:
    """All images moved, all labels changed: far less memory than one of the files."""
    many = [box(number) for number in range(200)]
    before = write(tmp_path / "a", [row(f"{n}", f"a/{n:04}.png", labels=many) for n in range(300)])
    after = write(tmp_path / "b", [row(f"{n}", f"b/{999 - n}.png", labels=many[1:]) for n in range(300)])
    tracemalloc.start()
    found = differences(before, after)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.words() == "300 labels changed"
    assert peak < before.stat().st_size / 4
