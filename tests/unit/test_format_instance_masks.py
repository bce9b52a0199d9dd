"""Masks whose values number objects: recognised by their look, named by tables, equal after writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.formats import mask_pairs, object_masks
from engine.datasets.formats.instance_masks import FORMAT, recognise
from engine.datasets.labels import ImageLabels, Label
from engine.errors import InputError
from tests.unit.mask_sets import HOSTILE, SIDE, SPLITS, draw, mask_of, photo, settled, view_of, written

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

THREE = np.zeros((SIDE, SIDE), np.uint16)
THREE[1:3, 1:3], THREE[5:8, 5:8], THREE[9:, :2] = 1, 2, 700


def grid(number: int, side: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    """Objects in a chessboard, numbered from 1, with background between."""
    across = int(np.ceil(np.sqrt(number)))
    values = np.zeros((across * 2, across * 2), np.uint16)
    values[::2, ::2].flat[:number] = np.arange(1, number + 1)
    return np.kron(values, np.ones((side, side), np.uint16))


def as_list(mask: object) -> list[list[int]]:
    drawn: list[list[int]] = np.asarray(mask).astype(int).tolist()
    return drawn


@pytest.mark.parametrize("number", [30, 400])
def test_many_small_values_number_objects(tmp_path: Path, number: int) -> None:
    values = grid(number, 8)
    draw(tmp_path, {"images/a.png": photo(0, values.shape), "masks/a.png": values})
    found = recognise(view_of(tmp_path))
    assert found is not None
    assert (found.kinds, found.images) == (("masks", "regions"), 1)
    assert mask_pairs.recognise(view_of(tmp_path)) is None
    made = settled(FORMAT, tmp_path)
    assert made.classes == ["object"]
    assert len(made.rows["images/a.png"].labels) == number
    assert made.drawn("images/a.png")[4] == ("object", as_list(values == 5))


def test_stripes_of_many_classes_are_no_objects(tmp_path: Path) -> None:
    stripes = (np.arange(60)[:, None] // 2 + np.zeros(60, int)).astype(np.uint8)
    scattered = np.random.default_rng(0).permuted(stripes.repeat(3, 0).repeat(3, 1), axis=0)
    blurred = np.kron(scattered[::6, ::6], np.ones((6, 6), np.uint8))
    draw(tmp_path, {"images/a.png": photo(0, blurred.shape), "masks/a.png": blurred})
    assert recognise(view_of(tmp_path)) is None


def test_a_folder_may_say_that_values_number_objects(tmp_path: Path) -> None:
    draw(tmp_path, {"set/images/a.png": None, "set/instances/a.png": THREE})
    assert recognise(view_of(tmp_path)) is not None
    made = settled(FORMAT, tmp_path)
    assert [name for name, _ in made.drawn("set/images/a.png")] == ["object"] * 3
    assert made.drawn("set/images/a.png")[2][1] == as_list(THREE == 700)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("masks/a.json", '{"1": "cat", "700": "dog", "9": "gone"}'),
        ("masks/a.json", '{"1": {"class": "cat"}, "700": {"class": "dog"}, "9": {"class": "gone"}}'),
        ("masks/a.csv", "value,class\n1,cat\n700,dog\n9,gone\n"),
        ("masks/a.csv", "ID, Label\n1, cat\n700, dog\n9, gone\n"),
    ],
)
def test_a_list_beside_each_mask_names_its_objects(tmp_path: Path, name: str, text: str) -> None:
    draw(tmp_path, {"images/a.png": None, "masks/a.png": THREE, name: text})
    assert recognise(view_of(tmp_path)) is not None
    made = settled(FORMAT, tmp_path)
    assert [name for name, _ in made.drawn("images/a.png")] == ["cat", "object", "dog"]
    assert [(issue.file, issue.reason) for issue in made.issues] == [
        (name, "the mask “masks/a.png” has no usable object 9")
    ]
    assert made.issues[0].line == (4 if name.endswith("csv") else None)


@pytest.mark.parametrize("text", ["{", "[1]", '{"x": "cat"}', '{"1": 5}', '{"-1": "cat"}', "[" * 100_000])
def test_a_damaged_list_is_refused(tmp_path: Path, text: str) -> None:
    draw(tmp_path, {"images/a.png": None, "masks/a.png": THREE, "masks/a.json": text})
    with pytest.raises(InputError, match=r"masks/a\.json"):
        settled(FORMAT, tmp_path)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """Overlapping objects too, which one picture cannot hold."""
    classes = ["cat", "=cmd()", "../../etc", 'a "b", c', "🐱"]
    rows = []
    for number, path in enumerate(HOSTILE):
        labels = (
            Label(classes[number % 5], mask=mask_of((1, 1, 4, 5), (6, 6, 7, 12))),
            Label(
                classes[number % 4], mask=mask_of((2, 2, 9, 9)), attributes=(("color", "re,d"), ("a\nb", ""))
            ),
            Label(classes[1], mask=mask_of((10, 0, 12, 12))),
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
    assert object_masks.recognise(view_of(tmp_path / "out")) is None
    for row, read in zip(rows, back, strict=True):
        assert (read.split, read.negative) == (row.split, row.negative), row.path
        assert {(x.name, x.mask, x.ignored, x.attributes) for x in read.labels} == {
            (x.name, x.mask, x.ignored, x.attributes) for x in row.labels
        }, row.path


def test_more_than_255_objects_need_16_bits(tmp_path: Path) -> None:
    spots = [mask_of((n % SIDE, n // SIDE, n % SIDE + 1, n // SIDE + 1)) for n in range(SIDE * SIDE)]
    labels = tuple(Label("cell", mask=mask) for mask in (*spots, *spots))
    row = ImageLabels("a.png", labels, size=(SIDE, SIDE))
    (found,) = written(FORMAT, tmp_path, [row], ["cell"], "masks")
    assert [label.mask for label in found.labels] == [label.mask for label in labels]
    assert Image.open(tmp_path / "out/masks/a.png").mode == "P"
    assert Image.open(tmp_path / "out/masks-2/a.png").mode == "I;16"


def test_labels_without_a_mask_are_no_masks(tmp_path: Path) -> None:
    row = ImageLabels("a.png", (Label("cat", box=(0, 0, 3, 3)),), size=(SIDE, SIDE))
    with pytest.raises(InputError, match="has no mask"):
        written(FORMAT, tmp_path, [row], ["cat"], "masks")
