"""Label Studio's JSON: every region, annotators, names of images, brush runs, round trips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts.datasets import LabelKind
from engine.datasets import masks
from engine.datasets.formats import brush_runs, label_studio, label_studio_write
from engine.datasets.formats.base import ExportSet
from engine.datasets.labels import ClassHead, Label, Polygons
from engine.errors import InputError
from tests.unit.format_cases import hostile_rows, picture, put, recognised, rows_of


def result(
    kind: str, value: dict[str, Any], key: str = "", names: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    typed = kind if kind in ("choices", "textarea", "labels", "relation") else f"{kind}labels"
    content = dict(value)
    if typed.endswith("labels"):
        content[typed] = ["cat"] if names is None else names
    size = {"original_width": 8, "original_height": 4, "image_rotation": 0}
    return {"id": key, "type": typed, "from_name": "f", "to_name": "i", "value": content} | size | more


def task(*results: Any, image: str = "/data/upload/1/abc12345-a.png", **more: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "annotations": [{"was_cancelled": False, "result": list(results)}],
        "data": {"image": image},
    } | more


def export(*tasks: Any) -> str:
    return json.dumps(list(tasks))


BOX = {"x": 25, "y": 50, "width": 50, "height": 25}


def test_every_region(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png", (8, 4))
    drawn = np.zeros((4, 8), np.bool_)
    drawn[1, 3:5] = drawn[2, 2] = True
    results = [
        result("rectangle", BOX | {"rotation": 0}, "1", labels=1),
        result("textarea", {"text": ["x", "y"]}, "1"),
        result("choices", {"choices": ["old"]}, "1", from_name="age"),
        result("polygon", {"points": [[0, 0], [50, 0], [50, 100]]}, "2", ["dog"]),
        result("keypoint", {"x": 50, "y": 25, "width": 1}, "3", ["nose"]),
        result("brush", {"format": "rle", "rle": list(brush_runs.pack(drawn))}, "4"),
        result("rectangle", BOX, "5", ["cat", "dog"]),
        result("choices", {"choices": ["day"]}, "6"),
        result("relation", {}, ""),
        result("rectangle", BOX, "7", []),
        result("rectangle", {"x": 1}, "8"),
        result("brush", {"format": "rle", "rle": [1, 2, 999]}, "9"),
        result("brush", {"format": "rle", "rle": [0] * 9}, "10"),
        result("video", {}, "11"),
        result("rectangle", BOX, "12", image_rotation=90),
    ]
    put(tmp_path, x_dot_json=export(task(*results)))
    images, issues, _ = rows_of(label_studio.FORMAT, tmp_path)
    row = images["images/a.png"]
    assert row.relative and row.size == (8, 4) and not row.negative
    box, polygon, point, brush, one, other = row.labels
    assert box.box == (0.25, 0.5, 0.75, 0.75)
    assert box.attributes == (("f", "x"), ("f", "y"), ("age", "old"))
    assert polygon.mask == Polygons.of([[0, 0, 0.5, 0, 0.5, 1]]) and polygon.name == "dog"
    assert (point.name, point.points) == ("nose", ((0.5, 0.25, 2),))
    assert brush.mask == masks.encode(drawn)
    assert (one.name, other.name, one.box) == ("cat", "dog", other.box)
    assert len(issues) == 6 and all("task 7" in issue.reason for issue in issues)
    tags, issues, _ = rows_of(label_studio.FORMAT, tmp_path, "tags")
    assert tags["images/a.png"].names == ("day",) and not issues
    found = recognised(label_studio.FORMAT, tmp_path)
    assert found and found.kinds == ("points", "masks", "regions", "boxes")


def test_labels_that_stand_beside_their_region(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    results = [
        result("rectangle", BOX, "1") | {"type": "rectangle"},
        result("labels", BOX | {"labels": ["dog"]}, "1", ["dog"]),
    ]
    put(tmp_path, x_dot_json=export(task(*results)))
    images, issues, _ = rows_of(label_studio.FORMAT, tmp_path)
    assert images["a.png"].names == ("dog",) and not issues


def test_turned_boxes_and_ellipses(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    turned = {"x": 50, "y": 0, "width": 25, "height": 25, "rotation": 90}
    ellipse = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 50, "rotation": 0}
    put(tmp_path, x_dot_json=export(task(result("rectangle", turned), result("ellipse", ellipse))))
    images, _, _ = rows_of(label_studio.FORMAT, tmp_path)
    box, circle = images["a.png"].labels
    # 2 x 1 px about (4, 0), a quarter turn clockwise: from 3 to 4 and from 0 to 2 px of 8 x 4.
    assert box.box == pytest.approx((3 / 8, 0, 4 / 8, 2 / 4)) and box.repairs
    assert circle.box == pytest.approx((0.25, 0, 0.75, 1)) and circle.mask
    assert masks.area(circle.mask) == pytest.approx(np.pi / 8, rel=0.02)


def test_keypoints_belong_to_their_parent(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")

    def points(*names: str) -> list[dict[str, Any]]:
        made = [
            result("keypoint", {"x": 10 * number, "y": 0}, f"p{number}", [name], parentID="1")
            for number, name in enumerate(names)
        ]
        return [made[0], result("rectangle", BOX, "1", ["face"]), *made[1:]]

    tasks = [task(*points("eye", "chin")), task(*points("eye", "nose", "chin"), image="b.png")]
    put(tmp_path, x_dot_json=export(*tasks))
    images, issues, reading = rows_of(label_studio.FORMAT, tmp_path, "points")
    assert reading.classes == (ClassHead("face", ("eye", "nose", "chin")),) and not issues
    assert images["a.png"].labels[0].points == ((0.0, 0.0, 2), (0.0, 0.0, 0), (0.1, 0.0, 2))
    put(tmp_path, x_dot_json=export(task(*points("eye", "eye"))))
    _, issues, _ = rows_of(label_studio.FORMAT, tmp_path, "points")
    assert len(issues) == 3 and "twice" in issues[0].reason


@pytest.mark.parametrize(
    "name",
    [
        "/data/upload/1/abc12345-a.png",
        "/data/upload/1/abc-a.png",
        "data\\upload\\1\\abc12345-a.png",
        "..\\..\\a.png",
        "/data/local-files/?d=deep/set/a.png",
        "/data/local-files/?d=deep%2Fset%2Fa.png",
        "C:\\Users\\me\\a.png",
    ],
)
def test_images_are_found(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "set/a.png")
    put(tmp_path, x_dot_json=export(task(result("rectangle", BOX), image=name)))
    images, issues, _ = rows_of(label_studio.FORMAT, tmp_path)
    assert images["set/a.png"].labels and not issues


@pytest.mark.parametrize(
    "name", ["http://127.0.0.1/a.png", "file:///a.png", "/etc/passwd", "x-b.png", "b-a.png", ""]
)
def test_other_images_are_missing(tmp_path: Path, name: str) -> None:
    for path in ("a.png", "b.png", "x/c.png", "y/c.png"):
        picture(tmp_path / path)
    put(tmp_path, x_dot_json=export(task(result("rectangle", BOX), result("rectangle", {}), image=name)))
    images, issues, _ = rows_of(label_studio.FORMAT, tmp_path)
    assert not any(row.labels for row in images.values())
    assert len(issues) == 2 and all("missing image" in issue.reason for issue in issues)


def test_a_name_that_fits_two_images_is_refused(tmp_path: Path) -> None:
    for path in ("x/c.png", "y/c.png"):
        picture(tmp_path / path)
    put(tmp_path, x_dot_json=export(task(result("rectangle", BOX), image="c.png")))
    with pytest.raises(InputError, match=r"x/c\.png.*y/c\.png"):
        rows_of(label_studio.FORMAT, tmp_path)


def test_annotators(tmp_path: Path) -> None:
    for name in "abcd":
        picture(tmp_path / f"{name}.png")

    def by(name: str, when: str, **more: Any) -> dict[str, Any]:
        return {"result": [result("rectangle", BOX, "1", [name])], "updated_at": when} | more

    late, early = "2024-02-01T00:00:00.0Z", "2024-01-01T00:00:00.0Z"
    tasks = [
        {
            "annotations": [by("new", late), by("old", early), by("x", late + "9", was_cancelled=True)],
            "data": {"image": "a.png"},
        },
        {"annotations": [by("new", late), by("true", early, ground_truth=True)], "data": {"image": "b.png"}},
        {"annotations": [by("x", late, was_cancelled=True)], "data": {"image": "c.png"}},
        {"annotations": [{"result": []}], "data": {"image": "d.png"}},
    ]
    put(tmp_path, x_dot_json=export(*tasks))
    images, issues, _ = rows_of(label_studio.FORMAT, tmp_path)
    rows = [images[f"{name}.png"] for name in "abcd"]
    assert [row.names for row in rows] == [("new",), ("true",), (), ()] and not issues
    assert [row.negative for row in rows] == [False, False, False, True]
    assert [bool(row.repairs) for row in rows] == [True, True, False, False]


def test_two_tasks_of_one_image_and_damage_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, x_dot_json=export(task(), task()))
    with pytest.raises(InputError, match="Two tasks"):
        rows_of(label_studio.FORMAT, tmp_path)
    for bad in ("NaN", "1e999", "[" * 100_000):
        put(tmp_path, x_dot_json=export(task())[:-1] + f",{bad}]")
        assert recognised(label_studio.FORMAT, tmp_path) is not None
        with pytest.raises(InputError):
            rows_of(label_studio.FORMAT, tmp_path)


def test_other_json_is_not_taken_for_label_studios(tmp_path: Path) -> None:
    put(
        tmp_path,
        a_dot_json='{"images": [], "annotations": []}',
        b_dot_json='[{"image": "a.png", "joints": []}]',
    )
    assert recognised(label_studio.FORMAT, tmp_path) is None


# -- brush runs ---------------------------------------------------------------------------------------


def by_the_book(data: bytes) -> list[int]:
    """Unpack as the definition of the packing says, bit by bit."""
    text = "".join(f"{octet:08b}" for octet in data)
    place = 0

    def take(number: int) -> int:
        nonlocal place
        place += number
        return int(text[place - number : place], 2)

    total, size, counts = take(32), take(5) + 1, [take(4) + 1 for _ in range(4)]
    out: list[int] = []
    while len(out) < total:
        repeated = take(1)
        count = take(counts[take(2)]) + 1
        out += [take(size)] * count if repeated else [take(size) for _ in range(count)]
    return out


def pack_anyhow(values: list[int], choices: list[int]) -> bytes:
    """Pack values with records of all sorts: repeated and plain, long and short."""
    text = f"{len(values):032b}00111" + "".join(f"{bits - 1:04b}" for bits in (1, 3, 5, 9))
    place = 0
    while place < len(values):
        choice = choices[place % len(choices)]
        run = 1
        while place + run < len(values) and values[place + run] == values[place] and run < 8:
            run += 1
        if choice % 2:
            text += f"101{run - 1:03b}{values[place]:08b}"
            place += run
        else:
            some = values[place : place + 1 + choice % 7]
            text += f"010{len(some) - 1:05b}" + "".join(f"{value:08b}" for value in some)
            place += len(some)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_brush_runs_are_those_of_the_definition(width: int, height: int, data: st.DataObject) -> None:
    values = data.draw(
        st.lists(st.sampled_from([0, 0, 7, 255]), min_size=4 * width * height, max_size=4 * width * height)
    )
    packed = pack_anyhow(values, data.draw(st.lists(st.integers(0, 20), min_size=1)))
    assert by_the_book(packed) == values
    mask = np.array(values).reshape(height, width, 4)[:, :, 3] != 0
    assert (brush_runs.unpack(packed, width, height) == mask).all()
    again = brush_runs.pack(mask)
    assert by_the_book(again) == (np.repeat(mask.ravel(), 4) * 255).tolist()
    assert (brush_runs.unpack(again, width, height) == mask).all()


@given(st.binary(max_size=40), st.integers(0, 3))
def test_damaged_brush_runs_are_refused(data: bytes, cut: int) -> None:
    good = brush_runs.pack(np.eye(4, dtype=np.bool_))
    for bad in (data, good[: len(good) // 2] + data, good[: -1 - cut]):
        try:
            found = brush_runs.unpack(bad, 4, 4)
        except ValueError:
            continue
        assert found.shape == (4, 4) and bad != good[: -1 - cut]


# -- round trips --------------------------------------------------------------------------------------

ODD = '<b> & "q" =1'
RING = [0.1 + 0.2, 1.0, 5.5, 1.0, 5.5, 4.0]
EYE = masks.encode(np.eye(12, 16, dtype=np.uint8))
MORE = (("age&", "2\n"), ("k", "v"))
NAMES = ("a", 'b"&<', "c")


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (
            "boxes",
            [
                Label(ODD, (0.3, 1.0, 5.0, 6.25), attributes=MORE),
                Label("cat", (0.0, 0.0, 1.0, 1.0), ignored=True),
            ],
        ),
        (
            "masks",
            [Label("cat", mask=Polygons.of([RING])), Label(ODD, mask=EYE, ignored=True, attributes=MORE)],
        ),
        ("tags", [Label("cat"), Label(ODD)]),
        (
            "points",
            [
                Label("cat", (1.0, 2.0, 3.0, 4.0), points=((1.5, 2.0, 2), (0.0, 0.0, 0), (3.0, 4.0, 2))),
                Label("cat", (1.0, 2.0, 3.0, 4.0), points=((1.5, 2.0, 2),) * 3),
            ],
        ),
    ],
)
def test_round_trips(tmp_path: Path, kind: LabelKind, labels: list[Label]) -> None:
    heads = (ClassHead("cat", NAMES if kind == "points" else ()), ClassHead(ODD))
    rows = hostile_rows(tmp_path / "in", labels)
    label_studio_write.write(ExportSet(kind, heads, iter(rows)), tmp_path / "out")
    images, issues, reading = rows_of(label_studio.FORMAT, tmp_path / "out", kind)
    found = {(tmp_path / "out" / path).read_bytes(): row for path, row in images.items()}
    assert len(found) == len(rows) and not issues
    for row, source in rows:
        back = found[source.read_bytes()]
        assert (back.split, back.negative, len(back.labels)) == (row.split, row.negative, len(row.labels))
        assert not back.repairs
        for label, again in zip(row.labels, back.labels, strict=True):
            assert in_px(again, back.relative) == in_px(label, False)
    assert kind != "points" or reading.classes == heads[:1]


def in_px(label: Label, relative: bool) -> Label:
    """A label in px of 16 x 12, rounded (shares of a hundred are not exact)."""
    wide, high = (16, 12) if relative else (1, 1)
    box, points, mask = label.box, label.points, label.mask
    if box:
        box = (
            round(box[0] * wide, 9),
            round(box[1] * high, 9),
            round(box[2] * wide, 9),
            round(box[3] * high, 9),
        )
    if points:
        points = tuple((round(x * wide, 9), round(y * high, 9), visible) for x, y, visible in points)
    if isinstance(mask, Polygons):
        mask = Polygons.of(
            [
                [round(at * (high if place % 2 else wide), 9) for place, at in enumerate(ring)]
                for ring in mask.rings
            ]
        )
    return replace(label, box=box, points=points, mask=mask, file="", line=None)


def test_a_label_without_what_its_kind_needs_is_not_written(tmp_path: Path) -> None:
    out = ExportSet("boxes", (), hostile_rows(tmp_path / "in", [Label("cat")]))
    with pytest.raises(InputError, match="boxes"):
        label_studio_write.write(out, tmp_path / "out")
