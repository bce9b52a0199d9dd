"""LabelMe: every shape, groups, flags, what is wrong with files, round trips."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.contracts.datasets import LabelKind
from engine.datasets import masks
from engine.datasets.formats import json_files, labelme, labelme_write
from engine.datasets.formats.base import ExportSet
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons
from engine.errors import InputError, LimitError
from tests.unit.format_cases import assert_round_trip, hostile_rows, look, picture, put, recognised, rows_of


def shape(kind: str, points: list[list[float]], label: Any = "cat", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}} | more


def file(*shapes: Any, image: str = "a.png", **more: Any) -> str:
    content = {"version": "5.2", "flags": {}, "shapes": list(shapes), "imagePath": image, "imageData": "QUJD"}
    return json.dumps(content | {"imageHeight": 6, "imageWidth": 8} | more)


def crop(pixels: list[list[int]]) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8) * 255).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_every_shape(tmp_path: Path) -> None:
    picture(tmp_path / "s/a.png")
    shapes = [
        shape("rectangle", [[5, 4], [1, 2.5]], flags={"old": True, "new": False}, description="x"),
        shape("polygon", [[0, 0], [4, 0], [4, 4.5]], "dog"),
        shape("circle", [[4, 3], [6, 3]]),
        shape("mask", [[2, 1], [4, 2]], mask=crop([[0, 1, 1], [1, 0, 0]]), difficult=True),
        shape("point", [[1, 2]], "nose"),
        {"label": "old", "points": [[0, 0], [1, 0], [1, 1]]},
        shape("line", [[0, 0], [1, 1]]),
        shape("linestrip", [[0, 0], [1, 1]]),
        shape("rectangle", [[0, 0]]),
        shape("rectangle", [[0, 0], [True, 1]]),
        shape("polygon", [[0, 0], [1]]),
        shape("polygon", [[0, 0], [1, 1], [0, 1]], label=7),
        shape("mask", [[2, 1], [4, 2]], mask="%%%"),
        shape("mask", [[2, 1], [4, 2]], mask="QUJD"),
        shape("mask", [[7, 1], [9, 2]], mask=crop([[0, 1, 1], [1, 0, 0]])),
        "nothing",
    ]
    put(tmp_path, s__a_dot_json=file(*shapes))
    images, issues, _ = rows_of(labelme.FORMAT, tmp_path)
    row = images["s/a.png"]
    box, polygon, circle, mask, point, old = row.labels
    assert row.size == (8, 6) and row.file == "s/a.json" and not row.negative
    assert box.box == (1.0, 2.5, 5.0, 4.0) and box.attributes == (("old", "true"), ("description", "x"))
    assert polygon.mask == Polygons.of([[0, 0, 4, 0, 4, 4.5]]) and polygon.name == "dog"
    assert circle.mask and masks.area(circle.mask) == pytest.approx(np.pi * 4, rel=0.02) and circle.repairs
    drawn = np.zeros((6, 8), np.uint8)
    drawn[1, 3:5] = drawn[2, 2] = 1
    assert mask.mask == masks.encode(drawn) and mask.ignored
    assert (point.name, point.points, old.name) == ("nose", ((1.0, 2.0, 2),), "old")
    assert len(issues) == 10 and "line" in issues[0].reason and "shape 7" in issues[0].reason
    found = recognised(labelme.FORMAT, tmp_path)
    assert found and found.kinds == ("points", "masks", "regions", "boxes")
    assert found.classes == ("cat", "dog", "nose", "old")


def test_groups(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    shapes = [
        shape("point", [[1, 1]], "eye", group_id=1),
        shape("rectangle", [[0, 0], [5, 5]], "face", group_id=1),
        shape("point", [[3, 3]], "chin", group_id=1, flags={"occluded": True}),
        shape("point", [[4, 4]], "chin", group_id=1),
        shape("point", [[9, 9]], "tip", group_id=2),
        shape("polygon", [[0, 0], [1, 0], [1, 1]], "leaf", group_id=3),
        shape("polygon", [[5, 5], [6, 5], [6, 6]], "leaf", group_id=3),
        shape("polygon", [[5, 5], [6, 5], [6, 6]], "stem", group_id=3),
    ]
    names = ["eye", "nose", "chin"]
    points = [shape("point", [[i, i]], name, group_id=0) for i, name in enumerate(names)]
    put(
        tmp_path,
        a_dot_json=file(*shapes),
        b_dot_json=file(shape("rectangle", [[0, 0], [2, 2]], "face", group_id=0), *points, image="b.png"),
    )
    images, issues, reading = rows_of(labelme.FORMAT, tmp_path, "points")
    heads = {head.name: head.points for head in reading.classes}
    assert heads["face"] == ("eye", "nose", "chin") and heads["object"] == ("tip",)
    face, tip, leaf, stem = images["a.png"].labels
    assert face.points == ((1.0, 1.0, 2), (0.0, 0.0, 0), (3.0, 3.0, 1)) and face.box == (0.0, 0.0, 5.0, 5.0)
    assert (tip.name, tip.points) == ("object", ((9.0, 9.0, 2),))
    assert isinstance(leaf.mask, Polygons) and len(leaf.mask.rings) == 2 and stem.name == "stem"
    assert ["twice" in issue.reason for issue in issues] == [True]


def test_flags_are_tags(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
        flags = {"day": name == "a", "night": False} if name != "c" else {}
        put(tmp_path, **{f"{name}_dot_json": file(image=f"{name}.png", flags=flags)})
    images, issues, reading = rows_of(labelme.FORMAT, tmp_path, "tags")
    assert [head.name for head in reading.classes] == ["day", "night"] and not issues
    assert [images[f"{name}.png"].names for name in "abc"] == [("day",), (), ()]
    assert [images[f"{name}.png"].negative for name in "abc"] == [False, True, False]
    found = recognised(labelme.FORMAT, tmp_path)
    assert found and found.kinds == ("tags",) and found.classes == ("day", "night")


@pytest.mark.parametrize(
    "wanted", ["..\\img\\a.png", "../img/a.png", "C:/x/img/a.png", "gone.png", "", "/etc/passwd"]
)
def test_images_are_found_by_path_name_or_stem(tmp_path: Path, wanted: str) -> None:
    picture(tmp_path / "img/a.png")
    picture(tmp_path / "other/b.png")
    put(tmp_path, labels__a_dot_json=file(shape("rectangle", [[0, 0], [1, 1]]), image=wanted))
    images, issues, _ = rows_of(labelme.FORMAT, tmp_path)
    assert images["img/a.png"].labels and not issues


def test_missing_image_negative_unlabelled_and_splits(tmp_path: Path) -> None:
    picture(tmp_path / "train/a.png")
    picture(tmp_path / "val/b.png")
    two = [shape("point", [[0, 0]])] * 2
    put(tmp_path, x_dot_json=file(*two, image="http://127.0.0.1/a.png"), train__a_dot_json=file())
    images, issues, _ = rows_of(labelme.FORMAT, tmp_path)
    assert images["train/a.png"].negative and images["val/b.png"] == ImageLabels("val/b.png", split="val")
    assert images["train/a.png"].split == "train"
    assert len(issues) == 2 and "missing image" in issues[0].reason


def test_two_files_about_one_image_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, a_dot_json=file(), b_dot_json=file())
    with pytest.raises(InputError, match="both describe"):
        rows_of(labelme.FORMAT, tmp_path)


BAD = {
    "nan": '{"shapes": [], "imagePath": "a.png", "imageWidth": NaN}',
    "infinite": '{"shapes": [], "imagePath": "a.png", "imageWidth": -Infinity}',
    "large": '{"shapes": [], "imagePath": "a.png", "imageWidth": 1e999}',
    "digits": '{"shapes": [], "imagePath": "a.png", "imageWidth": ' + "9" * 5000 + "}",
    "deep": '{"imagePath": "a.png", "shapes": [' + "[" * 100_000 + "]" * 100_000 + "]}",
    "cut": '{"shapes": [], "imagePath": "a.png"',
}


def test_a_mask_of_an_image_beyond_all_bounds_is_skipped(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    drawn = shape("mask", [[0, 0], [1, 0]], mask=crop([[1, 1]]))
    put(tmp_path, a_dot_json=file(drawn, imageWidth=99_999_999_999))
    _, issues, _ = rows_of(labelme.FORMAT, tmp_path, "masks")
    assert len(issues) == 1 and "image of 99999999999" in issues[0].reason


@pytest.mark.parametrize("name", BAD)
def test_damaged_json_costs_only_its_own_labels(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    put(tmp_path, a_dot_json=BAD[name], b_dot_json="\ufeff" + file(shape("point", [[1, 1]]), image="b.png"))
    start = time.monotonic()
    images, issues, _ = rows_of(labelme.FORMAT, tmp_path, "points")
    assert time.monotonic() - start < 5
    assert images["a.png"] == ImageLabels("a.png") and images["b.png"].labels and len(issues) == 1
    with pytest.raises(json_files.DamagedJsonError):
        json_files.load_json(look(tmp_path), look(tmp_path).by_path["a.json"])


def test_large_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, a_dot_json=file())
    monkeypatch.setattr("engine.datasets.formats.base.SMALL_FILE_BYTES", 10)
    with pytest.raises(LimitError):
        json_files.load_json(look(tmp_path), look(tmp_path).by_path["a.json"])


def test_other_json_is_not_taken_for_labelmes(tmp_path: Path) -> None:
    put(tmp_path, a_dot_json='{"images": [], "annotations": []}', b_dot_json='{"shapes": [1]}')
    assert recognised(labelme.FORMAT, tmp_path) is None


# -- round trips --------------------------------------------------------------------------------------

ODD = '<b> & "q" =1'
RING = [0.1 + 0.2, 1.0, 5.5, 1.0, 5.5, 4.0]
EYE = masks.encode(np.eye(12, 16, dtype=np.uint8))
PLACE = (0.1 + 0.2, 1.0, 5.0, 6.25)
MORE = (("description", "x\n<"), ("old", "true"))


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("boxes", [Label(ODD, PLACE, attributes=MORE), Label("cat", (0.0, 0.0, 1.0, 1.0), ignored=True)]),
        (
            "masks",
            [
                Label("cat", mask=Polygons.of([RING])),
                Label(ODD, PLACE, mask=Polygons.of([RING, [9, 9, 10, 9, 10, 10]]), attributes=MORE),
                Label("cat", mask=EYE, ignored=True),
                Label("cat", PLACE, mask=EYE),
                Label(ODD, mask=Polygons.of([RING, [9, 9, 10, 9, 10, 10]])),
            ],
        ),
        ("regions", [Label("cat", mask=EYE), Label(ODD, mask=Polygons.of([RING]))]),
        ("tags", [Label("cat"), Label(ODD)]),
        ("class", [Label("cat")]),
        (
            "points",
            [
                Label("cat", PLACE, points=((1.5, 2.0, 2), (0.0, 0.0, 0), (3.0, 4.0, 1)), attributes=MORE),
                Label(
                    ODD, points=((0.0, 0.0, 0), (1.0, 2.0, 1), (0.1, 0.3, 2)), attributes=MORE, ignored=True
                ),
                Label("cat", points=((1.5, 2.0, 2),) * 3),
                Label(ODD, points=((1.0, 2.0, 2),) * 3),
            ],
        ),
    ],
)
def test_round_trips(tmp_path: Path, kind: LabelKind, labels: list[Label]) -> None:
    names = ("a", 'b"&<', "c") if kind == "points" else ()
    classes = (ClassHead("cat", names), ClassHead(ODD, names))
    out = ExportSet(kind, classes, hostile_rows(tmp_path / "in", labels))
    assert_round_trip(labelme.FORMAT, out, tmp_path / "out")
    if kind in ("points", "tags"):
        assert rows_of(labelme.FORMAT, tmp_path / "out", kind)[2].classes == classes


def test_a_label_without_a_shape_is_not_written(tmp_path: Path) -> None:
    out = ExportSet("boxes", (), hostile_rows(tmp_path / "in", [Label("cat")]))
    with pytest.raises(InputError, match="no shape"):
        labelme_write.write(out, tmp_path / "out")
