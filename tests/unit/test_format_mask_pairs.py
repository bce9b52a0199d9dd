"""Images and class masks in pairs: found by folders and names, told by lists, equal after a round trip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.datasets.formats import instance_masks
from engine.datasets.formats.base import ReadOptions
from engine.datasets.formats.mask_folders import find_pairs
from engine.datasets.formats.mask_pairs import FORMAT, recognise
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError
from tests.unit.mask_sets import HOSTILE, SIDE, SPLITS, draw, mask_of, photo, settled, view_of, written

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PLAIN = np.zeros((SIDE, SIDE), np.uint8)
ONE = PLAIN.copy()
ONE[2:5, 3:7] = 1
TWO = ONE.copy()
TWO[8:, 8:] = 2


def paired(folder: Path, pictures: dict[str, Any]) -> dict[str, str]:
    draw(folder, pictures)
    return find_pairs(view_of(folder)).masks


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a.jpg", "masks/a.png"),
        ("set/deep/image/a.png", "set/deep/label/a.png"),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png"),
        ("data/imgs/a.jpg", "data/annots/a.png"),
        ("train/a.png", "trainannot/a.png"),
        ("train/images/a.jpg", "train/masks/a.png"),
        ("images/train/a.jpg", "masks/train/a.png"),
        ("train_images/a.jpg", "train_masks/a.png"),
        ("a.jpg", "a_mask.png"),
        ("a.jpg", "a_gt.png"),
        ("x/a.jpg", "x/a_seg.png"),
        ("a.png", "a_L.png"),
        ("images/a.jpg", "masks/a_mask.gif"),
        ("images/image_7.png", "masks/mask_7.png"),
        ("leftImg8bit/train/a_leftImg8bit.png", "gtFine/train/a_gtFine_labelIds.png"),
        ("data/images/a.jpg", "derived_semantic_masks/a.png"),
        ("set/a./image.png", "set/a./mask.png"),
        ("stage1_train/a/images/a.png", "derived_semantic_masks/a.png"),
    ],
)
def test_layouts(tmp_path: Path, image: str, mask: str) -> None:
    other = {name.replace("a.", "b.").replace("a_", "b_").replace("_7", "_8"): name for name in (image, mask)}
    pictures = {image: None, mask: ONE} | {new: None if old == image else ONE for new, old in other.items()}
    found = paired(tmp_path, pictures)
    assert found[image] == mask
    assert len(found) == (1 if "stage1" in image and len(other) < 2 else 2)
    recognised = recognise(view_of(tmp_path))
    assert recognised is not None
    assert recognised.kinds == ("regions",)
    assert recognised.images == 2


def test_images_of_splits_go_with_the_masks_of_their_split(tmp_path: Path) -> None:
    pictures: dict[str, Any] = {}
    for split in ("train", "val"):
        pictures |= {f"{split}/a.png": None, f"{split}annot/a.png": ONE}
    assert paired(tmp_path, pictures) == {"train/a.png": "trainannot/a.png", "val/a.png": "valannot/a.png"}
    rows = settled(FORMAT, tmp_path, "regions").rows
    assert {path: row.split for path, row in rows.items()} == {"train/a.png": "train", "val/a.png": "val"}


def test_predictions_are_neither_images_nor_masks(tmp_path: Path) -> None:
    """As in the membranes of ISBI 2012: test/0.png and the output test/0_predict.png."""
    small = (PLAIN.astype(np.uint16) + 30_000)[:6, :6]
    pictures = {"m/train/image/0.png": None, "m/train/label/0.png": ONE * 255}
    draw(tmp_path, pictures | {"m/test/0.png": None, "m/test/0_predict.png": small, "m/test/1.png": None})
    found = settled(FORMAT, tmp_path, "regions")
    assert {path: len(row.labels) for path, row in found.rows.items()} == {
        "m/train/image/0.png": 1,
        "m/test/0.png": 0,
        "m/test/1.png": 0,
    }
    assert found.classes == ["foreground"]
    assert not any(row.negative for row in found.rows.values())
    assert "predictions" in found.reading.notes[0]
    assert not found.issues


def test_one_name_in_many_folders(tmp_path: Path) -> None:
    pictures: dict[str, Any] = {f"images/{n}/1.png": None for n in range(70)}
    found = paired(tmp_path, pictures | {f"masks/{n}/1.png": ONE for n in range(70)})
    assert found == {f"images/{n}/1.png": f"masks/{n}/1.png" for n in range(70)}


def test_an_ambiguous_pair_is_refused(tmp_path: Path) -> None:
    draw(tmp_path, {"images/a.jpg": None, "images/a.png": None, "masks/a.png": ONE})
    draw(tmp_path, {"images/b.png": None, "masks/b.png": ONE, "masks/b.bmp": ONE})
    draw(tmp_path, {"images/c.png": None, "masks/c.png": ONE, "masks/d.png": ONE})
    found = settled(FORMAT, tmp_path, "regions")
    assert [path for path, row in found.rows.items() if row.labels] == ["images/c.png"]
    assert [(issue.file, issue.reason[:21]) for issue in found.issues] == [
        ("masks/a.png", "it could belong to “i"),
        ("masks/b.bmp", "another mask belongs "),
        ("masks/b.png", "another mask belongs "),
        ("masks/d.png", "no image of this name"),
    ]


def test_one_sort_of_masks_is_chosen(tmp_path: Path) -> None:
    for stem in "abc":
        names = {f"gtFine/{stem}_gtFine_{sort}.png": ONE for sort in ("color", "instanceIds", "labelIds")}
        draw(tmp_path, {f"leftImg8bit/{stem}_leftImg8bit.png": None, **names})
    pairs = find_pairs(view_of(tmp_path))
    assert pairs.masks["leftImg8bit/a_leftImg8bit.png"] == "gtFine/a_gtFine_labelIds.png"
    assert "6 masks of another sort" in pairs.notes[0]
    assert len(pairs.images) == 3


@pytest.mark.parametrize(
    "pictures",
    [
        {"with_mask/1.jpg": None, "no_mask/1.jpg": None},
        {"images/1.jpg": None, "labels/1.jpg": None},
        {"images/1.png": None, "masks/2.png": ONE},
        {"images/1.png": None, "images/2.png": None},
    ],
)
def test_what_is_no_pair_of_image_and_mask(tmp_path: Path, pictures: dict[str, Any]) -> None:
    draw(tmp_path, pictures)
    assert recognise(view_of(tmp_path)) is None


def test_numbered_objects_are_left_to_another_format(tmp_path: Path) -> None:
    numbered = np.arange(36, dtype=np.uint16).reshape(6, 6).repeat(12, 0).repeat(12, 1)
    draw(tmp_path, {"images/a.png": photo(1, (72, 72)), "masks/a.png": numbered})
    assert recognise(view_of(tmp_path)) is None
    assert instance_masks.recognise(view_of(tmp_path)) is not None
    draw(tmp_path, {"classes.txt": "background\n" + "".join(f"c{n}\n" for n in range(1, 36))})
    assert recognise(view_of(tmp_path)) is not None


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("classes.txt", "background\ncat\ndog\n", ["cat", "dog"]),
        ("masks/labels.txt", "\ufeff__ignore__\n_background_\ncat\ndog\n", ["cat", "dog"]),
        ("classes.txt", "cat\ndog\n", ["cat", "dog"]),
        ("codes.txt", "sky\ncat\ndog\n", ["sky", "cat", "dog"]),
        ("label_map.json", '{"0": "background", "1": "cat", "2": "dog"}', ["cat", "dog"]),
        ("classes.json", '{"dog": 2, "cat": 1}', ["cat", "dog"]),
        ("labels.json", '["background", "cat", "dog"]', ["cat", "dog"]),
        ("classes.csv", "value,name\n1,cat\n2,dog\n", ["cat", "dog"]),
        ("notes.txt", "cat\ndog\n", ["class 1", "class 2"]),
    ],
)
def test_lists_of_classes(tmp_path: Path, name: str, text: str, names: list[str]) -> None:
    draw(tmp_path, {"images/a.png": None, "masks/a.png": TWO, name: text})
    found = settled(FORMAT, tmp_path, "regions")
    assert found.classes == names
    drawn = dict(found.drawn("images/a.png"))
    assert drawn[names[-1]] == (TWO == 2).astype(int).tolist()
    assert drawn[names[-2]] == (TWO == 1).astype(int).tolist()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_dict.csv", "name, r, g, b\nbg,0,0,0\ncat,200,0,0\ndog,0,0,90\n"),
        ("class_dict.csv", "name,r,g,b\ncat,200,0,0\ndog,0,0,90\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:200,0,0::\ndog:0,0,90::\n",
        ),
        ("classes.json", '{"cat": [200, 0, 0], "dog": [0, 0, 90], "background": [0, 0, 0]}'),
    ],
)
def test_tables_of_colours(tmp_path: Path, name: str, text: str) -> None:
    shades = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 90]], np.uint8)
    draw(tmp_path, {"images/a.png": None, "masks/a.png": shades[TWO], name: text})
    found = settled(FORMAT, tmp_path, "regions")
    assert found.classes == ["cat", "dog"]
    assert found.drawn("images/a.png") == [
        ("cat", (TWO == 1).astype(int).tolist()),
        ("dog", (TWO == 2).astype(int).tolist()),
    ]
    other = np.where((TWO == 2)[..., None], np.uint8(7), shades[TWO])
    draw(tmp_path, {"images/b.png": None, "masks/b.png": other})
    with pytest.raises(InputError, match=r"not in the class list: #070707: 16 px in 1 mask"):
        settled(FORMAT, tmp_path, "regions")


@pytest.mark.parametrize("text", ["{", '{"1": NaN', "[" * 100_000, '{"1": ' + "9" * 5_000 + "}"])
def test_a_damaged_list_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    draw(tmp_path, {"images/a.png": None, "masks/a.png": ONE, "classes.json": text})
    with pytest.raises(InputError, match="no JSON"):
        FORMAT.read(view_of(tmp_path), ReadOptions("regions"))


def test_two_classes_of_one_value_are_refused(tmp_path: Path) -> None:
    draw(
        tmp_path,
        {"images/a.png": None, "masks/a.png": ONE, "class_dict.csv": "name,r,g,b\na,1,1,1\nb,1,1,1\n"},
    )
    with pytest.raises(InputError, match="one value or colour"):
        FORMAT.read(view_of(tmp_path), ReadOptions("regions"))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    classes = ["cat", "=cmd()", "background", "a, b", "🐱"]
    rows = []
    for number, path in enumerate(HOSTILE):
        labels = [Label(classes[number % 5], mask=mask_of((1, 1, 4, 5), (6, 6, 7, 12)))]
        if number % 2:
            labels.append(Label(classes[(number + 1) % 5], mask=mask_of((8, 0, 12, 3))))
        if number % 3 == 0:
            labels.append(Label("", mask=mask_of((0, 9, 3, 12)), ignored=True))
        rows.append(ImageLabels(path, tuple(labels), split=SPLITS[number % 4], size=(SIDE, SIDE)))
    rows += [
        ImageLabels("nothing.png", negative=True, size=(SIDE, SIDE)),
        ImageLabels("unlabelled_pred.png", size=(SIDE, SIDE)),
        ImageLabels("unlabelled.png", size=(SIDE, SIDE)),
    ]
    back = written(FORMAT, tmp_path, rows, classes, "regions")
    for row, found in zip(rows, back, strict=True):
        assert (found.split, found.negative) == (row.split, row.negative), row.path
        assert {(label.name, label.mask, label.ignored) for label in found.labels} == {
            (label.name, label.mask, label.ignored) for label in row.labels
        }, row.path


def test_more_than_254_classes_have_16_bits_and_void_stays_255(tmp_path: Path) -> None:
    classes = [f"class {number}" for number in range(300)]
    labels = tuple(
        Label(classes[n], mask=mask_of((at, 0, at + 1, 5))) for at, n in enumerate((0, 253, 254, 255, 299))
    )
    void = Label("", mask=mask_of((0, 8, 12, 12)), ignored=True)
    row = ImageLabels("a.png", (*labels, void), size=(SIDE, SIDE))
    (found,) = written(FORMAT, tmp_path, [row], classes, "regions")
    assert {(label.name, label.mask) for label in found.labels} == {
        (label.name, label.mask) for label in row.labels
    }
    assert Image.open(tmp_path / "out/masks/a.png").mode == "I;16"


def test_labels_without_a_mask_are_no_masks(tmp_path: Path) -> None:
    row = ImageLabels("a.png", (Label("cat", box=(0, 0, 3, 3)),), size=(SIDE, SIDE))
    with pytest.raises(InputError, match="has no mask"):
        written(FORMAT, tmp_path / "1", [row], ["cat"], "regions")
    with pytest.raises(InputError, match="size"):
        written(FORMAT, tmp_path / "2", [replace(row, size=None)], ["cat"], "regions")
