"""One mask picture per object: the layouts in use, and a round trip with hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.datasets.formats import mask_pairs
from engine.datasets.formats.object_masks import FORMAT, recognise
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError
from tests.unit.mask_sets import HOSTILE, SIDE, SPLITS, draw, mask_of, settled, view_of, written

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ONE, TWO = np.zeros((2, SIDE, SIDE), np.uint8)
ONE[1:4, 2:5] = 255
TWO[6:, 3:] = 255


def inside(mask: Any) -> list[list[int]]:
    drawn: list[list[int]] = (np.asarray(mask) > 0).astype(int).tolist()
    return drawn


def test_a_folder_for_each_image(tmp_path: Path) -> None:
    """As in the Data Science Bowl 2018, whose derived class masks are another sort."""
    draw(tmp_path, {"train/a1/images/a1.png": None, "train/a1/masks/x.png": ONE, "train/a1/masks/y.png": TWO})
    draw(tmp_path, {"train/b2/images/b2.png": None, "train/b2/masks/z.png": TWO})
    draw(tmp_path, {"test/c3/images/c3.png": None, "derived_masks/a1.png": ONE, "derived_masks/b2.png": ONE})
    found = recognise(view_of(tmp_path))
    assert found is not None
    assert (found.kinds, found.images, found.classes) == (("masks", "regions"), 3, ())
    made = settled(FORMAT, tmp_path)
    assert made.classes == ["object"]
    assert made.drawn("train/a1/images/a1.png") == [("object", inside(ONE)), ("object", inside(TWO))]
    assert made.drawn("train/b2/images/b2.png") == [("object", inside(TWO))]
    assert made.drawn("test/c3/images/c3.png") == []
    assert {row.split for row in made.rows.values()} == {"train", "test"}
    assert made.reading.notes == ("Not used: 2 masks of another sort.",)
    assert mask_pairs.recognise(view_of(tmp_path)) is not None


@pytest.mark.parametrize(
    "layout", ["{i}/images/{i}.png {i}/masks/{c}/1.png", "images/{i}.png masks/{i}/{c}/1.png"]
)
def test_folders_of_classes_below_the_masks(tmp_path: Path, layout: str) -> None:
    for image, name, mask in (("a", "cat", ONE), ("a", "dog", TWO), ("b", "dog", ONE)):
        photo_path, mask_path = layout.format(i=image, c=name).split()
        draw(tmp_path, {photo_path: None, mask_path: mask})
    made = settled(FORMAT, tmp_path)
    assert made.classes == ["cat", "dog"]
    path = layout.format(i="a", c="").split()[0]
    assert made.drawn(path) == [("cat", inside(ONE)), ("dog", inside(TWO))]


@pytest.mark.parametrize("folder", ["annotations/", "photos/", "photos/masks/"])
def test_names_that_say_image_and_class(tmp_path: Path, folder: str) -> None:
    """As pycococreator reads them; the longest name of an image counts, and classes may hold a dash."""
    draw(tmp_path, {"photos/1000.jpeg": None, "photos/1000_b.jpeg": None})
    draw(tmp_path, {f"{folder}1000_square_0.png": ONE, f"{folder}1000_traffic_light_12.png": TWO})
    draw(tmp_path, {f"{folder}1000_b_square_1.png": TWO})
    found = recognise(view_of(tmp_path))
    assert found is not None
    assert found.classes == ("square", "traffic light")
    made = settled(FORMAT, tmp_path)
    assert made.drawn("photos/1000.jpeg") == [("square", inside(ONE)), ("traffic light", inside(TWO))]
    assert made.drawn("photos/1000_b.jpeg") == [("square", inside(TWO))]
    assert len(made.rows) == 2


def test_masks_without_an_image_and_empty_ones_are_reported(tmp_path: Path) -> None:
    draw(tmp_path, {"p/1.jpg": None, "masks/1_cat_0.png": ONE, "masks/2_cat_0.png": ONE})
    draw(tmp_path, {"masks/1_cat_1.png": ONE * 0})
    made = settled(FORMAT, tmp_path)
    assert [(issue.file, issue.reason) for issue in made.issues] == [
        ("masks/2_cat_0.png", "no image of this name is in the source"),
        ("masks/1_cat_1.png", "the mask is empty"),
    ]
    draw(tmp_path, {"q/1.jpg": None})
    assert "it could belong to" in settled(FORMAT, tmp_path).issues[0].reason


@pytest.mark.parametrize(
    "pictures",
    [
        {"img_1.jpg": None, "img_1_b_2.jpg": None},
        {"images/a.png": None, "masks/a.png": ONE},
        {"images/a.png": None, "images/b.png": None, "masks/a.png": ONE, "masks/b.png": ONE},
        {"cat/1.jpg": None, "dog/1.jpg": None},
        {
            f"{side}/{n}/1.png": ONE if side == "masks" else None
            for n in range(3)
            for side in ("images", "masks")
        },
        {
            "p/1.jpg": None,
            "masks/1_cat_0.png": np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) % 9,
        },
    ],
)
def test_what_is_something_else(tmp_path: Path, pictures: dict[str, Any]) -> None:
    draw(tmp_path, pictures)
    assert recognise(view_of(tmp_path)) is None


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    classes = ["cat", "=cmd()", "../../etc", 'a "b", c', "🐱"]
    rows = []
    for number, path in enumerate(HOSTILE):
        labels = (
            Label(classes[number % 5], mask=mask_of((1, 1, 4, 5), (6, 6, 7, 12))),
            Label(
                classes[number % 4], mask=mask_of((2, 2, 9, 9)), attributes=(("color", "re,d"), ("a\nb", ""))
            ),
            Label(classes[0], mask=mask_of((0, 0, 12, 12)), ignored=True),
        )
        rows.append(ImageLabels(path, labels, split=SPLITS[number % 4], size=(SIDE, SIDE)))
    rows += [
        ImageLabels("nothing.png", negative=True, size=(SIDE, SIDE)),
        ImageLabels("unlabelled.png", size=(SIDE, SIDE)),
    ]
    back = written(FORMAT, tmp_path, rows, classes, "masks")
    found = recognise(view_of(tmp_path / "out"))
    assert found is not None
    assert found.classes == tuple(classes)
    assert mask_pairs.recognise(view_of(tmp_path / "out")) is None
    for row, read in zip(rows, back, strict=True):
        assert (read.split, read.negative) == (row.split, row.negative), row.path
        assert [(x.name, x.mask, x.ignored, x.attributes) for x in read.labels] == [
            (x.name, x.mask, x.ignored, x.attributes) for x in row.labels
        ], row.path


def test_rows_of_the_table_that_cannot_be_used_are_reported(tmp_path: Path) -> None:
    table = (
        "image,mask,class,attributes\n"
        "images/a.png,masks/1.png,cat,\n"
        "images/a.png,masks/1.png,cat,\n"
        "images/b.png,masks/1.png,cat,\n"
        "../../etc/passwd,masks/1.png,cat,\n"
        "images/a.png,http://127.0.0.1/1.png,cat,\n"
        "images/a.png,masks/2.png,cat,[1]\n"
        "images/a.png,masks/2.png,cat,{\n"
        "images/a.png,masks/3.png,dog,\n"
    )
    draw(
        tmp_path, {"s/images/a.png": None, "s/masks/1.png": ONE, "s/masks/2.png": TWO, "s/objects.csv": table}
    )
    draw(tmp_path, {"s/masks/3.png": ONE * 0})
    made = settled(FORMAT, tmp_path)
    assert [(issue.file, issue.line, issue.reason.split(":")[0]) for issue in made.issues] == [
        ("s/objects.csv", 3, "the object is listed twice"),
        ("s/objects.csv", 4, "missing image “images/b.png”"),
        ("s/objects.csv", 5, "missing image “../../etc/passwd”"),
        ("s/objects.csv", 6, "missing mask “http"),
        ("s/objects.csv", 7, "its attributes are no pairs of name and value"),
        ("s/objects.csv", 8, "its attributes are no JSON"),
        ("s/masks/3.png", None, "the mask is empty"),
    ]
    assert made.drawn("s/images/a.png") == [("cat", inside(ONE))]


def test_labels_without_a_mask_are_no_masks(tmp_path: Path) -> None:
    row = ImageLabels("a.png", (Label("cat", box=(0, 0, 3, 3)),), size=(SIDE, SIDE))
    with pytest.raises(InputError, match="has no mask"):
        written(FORMAT, tmp_path, [row], ["cat"], "masks")
