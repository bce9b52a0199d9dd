"""MPII's list of people: joints, visibility, what is wrong with files, writing, the real sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.contracts.datasets import Outcome
from engine.datasets.formats import mpii
from engine.datasets.formats.base import ExportSet
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError
from tests.unit.format_cases import DATA, hostile_rows, picture, put, recognised, rows_of

PLACES = [[float(number), number + 0.5] for number in range(16)]


def person(image: str = "a.png", **more: Any) -> dict[str, Any]:
    entry = {"joints_vis": [1] * 15 + [0], "joints": PLACES, "image": image, "scale": 1.5, "center": [3, 4.0]}
    return entry | more


def test_people_with_joints(tmp_path: Path) -> None:
    for name in ("images/a.png", "images/sub/a.png", "images/b.png"):
        picture(tmp_path / name)
    entries = [person(), person("b.png"), person()]
    put(tmp_path, annot__x_dot_json=json.dumps(entries))
    images, issues, reading = rows_of(mpii.FORMAT, tmp_path, "points")
    first, second = images["images/a.png"].labels
    assert first == second and first.name == "person" and first.box is None
    assert first.points == (*((x, y, 2) for x, y in PLACES[:15]), (15.0, 15.5, 0))
    assert first.attributes == (("center", "3.0,4.0"), ("scale", "1.5"))
    assert len(images["images/b.png"].labels) == 1 and not issues
    assert images["images/sub/a.png"] == ImageLabels("images/sub/a.png")
    head = reading.classes[0]
    assert head.points[0] == "right_ankle" and head.points[9] == "head_top" and len(head.points) == 16
    assert all(0 <= one < 16 and 0 <= other < 16 for one, other in head.skeleton)
    found = recognised(mpii.FORMAT, tmp_path)
    assert found and found.kinds == ("points",) and found.classes == ("person",)


def test_what_cannot_be_used_is_skipped(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    entries = [
        person(),
        person("../../etc/passwd"),
        person("http://127.0.0.1/a.png"),
        person(joints=PLACES[:3]),
        person(joints_vis=[1]),
        person(joints=[["1", 2]] * 16),
        person(joints_vis=[None] * 16),
        person(scale=True),
        "nothing",
    ]
    put(tmp_path, x_dot_json=json.dumps(entries))
    images, issues, _ = rows_of(mpii.FORMAT, tmp_path, "points")
    assert len(images["a.png"].labels) == 1
    assert len(issues) == 8 and {issue.outcome for issue in issues} == {Outcome.SKIPPED}
    assert "missing image" in issues[0].reason and "3 joints" in issues[2].reason


def test_splits_of_the_files_and_people_without_joints(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    put(
        tmp_path,
        mpii_test_dot_json=json.dumps([person("b.png"), {"image": "c.png", "joints": [], "joints_vis": []}]),
    )
    images, _, _ = rows_of(mpii.FORMAT, tmp_path, "points")
    assert images["b.png"].split is None
    put(tmp_path, mpii_train_dot_json=json.dumps([person("a.png"), person("b.png")]))
    images, _, _ = rows_of(mpii.FORMAT, tmp_path, "points")
    assert [images[f"{name}.png"].split for name in "abc"] == ["train", "test", "test"]
    assert images["b.png"].repairs and not images["c.png"].labels and not images["c.png"].negative


@pytest.mark.parametrize("bad", ["NaN", "1e999", "[" * 100_000, "9" * 5000, "}"])
def test_damage_is_refused(tmp_path: Path, bad: str) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, x_dot_json=json.dumps([person()])[:-1] + f",{bad}]")
    assert recognised(mpii.FORMAT, tmp_path) is not None
    with pytest.raises(InputError):
        rows_of(mpii.FORMAT, tmp_path, "points")


def test_other_json_is_not_taken_for_mpiis(tmp_path: Path) -> None:
    put(tmp_path, a_dot_json='{"images": [], "annotations": []}', b_dot_json='[{"image": "a.png"}]')
    assert recognised(mpii.FORMAT, tmp_path) is None


@pytest.mark.parametrize(("name", "count"), [("person", 16), ("<b> =1 & cat", 3)])
def test_written_points_are_read_back(tmp_path: Path, name: str, count: int) -> None:
    points = tuple((number + 0.1, number / 3, 0 if number == 1 else 2) for number in range(count))
    labels = [
        Label(name, points=points, attributes=(("center", "1.5,2.0"), ("scale", "0.25"))),
        Label(name, points=points),
    ]
    names = mpii.JOINTS if count == 16 else tuple("abc")
    rows = hostile_rows(tmp_path / "in", labels)
    mpii.write(ExportSet("points", (ClassHead(name, names),), iter(rows)), tmp_path / "out")
    images, issues, reading = rows_of(mpii.FORMAT, tmp_path / "out", "points")
    found = {(tmp_path / "out" / path).read_bytes(): row for path, row in images.items()}
    assert len(found) == len(rows) and not issues
    for row, source in rows:
        back = found[source.read_bytes()]
        assert [(label.name, label.points) for label in back.labels] == [
            (label.name, label.points) for label in row.labels
        ]
        assert back.split == row.split and not back.repairs
        assert [label.attributes for label in back.labels[:1]] == [
            label.attributes for label in row.labels[:1]
        ]
    assert (reading.classes[0].points == mpii.JOINTS) == (count == 16)


def test_what_the_list_cannot_hold_is_refused(tmp_path: Path) -> None:
    rows = hostile_rows(tmp_path / "in", [Label("cat", (0.0, 0.0, 1.0, 1.0))])
    with pytest.raises(InputError, match="no points"):
        mpii.write(ExportSet("points", (), rows), tmp_path / "out")
    with pytest.raises(InputError, match="one sort"):
        mpii.write(
            ExportSet("points", (ClassHead("a", ("x",)), ClassHead("b", ("x", "y"))), []), tmp_path / "no"
        )


@pytest.mark.skipif(not (DATA / "mmpose_mini").is_dir(), reason="the set is not here")
def test_the_real_sample() -> None:
    images, issues, reading = rows_of(mpii.FORMAT, DATA / "mmpose_mini/tests/data/mpii", "points")
    assert len(images) == 5 and all(len(row.labels) == 1 for row in images.values()) and not issues
    assert [len(head.points) for head in reading.classes] == [16]
    points = images["004645041.jpg"].labels[0].points
    assert points and points[0] == (-1.0, -1.0, 0) and points[1] == (804.0, 659.0, 2)
