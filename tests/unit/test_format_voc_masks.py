"""Pascal VOC with masks: values, colours, labelmap.txt, and what is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets import masks
from engine.datasets.formats import voc, voc_write
from engine.datasets.formats.base import (
    ExportSet,
)
from engine.datasets.labels import ClassHead, ImageLabels, Label, MaskFile, MaskValues, Polygons
from engine.errors import InputError
from tests.unit.format_cases import (
    picture,
    put,
    recognised,
    rows_of,
    thing,
    xml,
)

# -- masks --------------------------------------------------------------------------------------------


def voc_masks(folder: Path, *names: str, values: Sequence[int] = (0, 3, 255)) -> None:
    picture(folder / "V/JPEGImages/a.jpg")
    picture(folder / "V/JPEGImages/b.jpg")
    put(folder, V__Annotations__a_dot_xml=xml(*(thing(name) for name in names)))
    for kind in ("Class", "Object"):
        target = picture(folder / f"V/Segmentation{kind}/a.png", mode="P")
        drawn = Image.new("P", (8, 8))
        drawn.putpalette([part for value in range(256) for part in voc_write.color(value)])
        drawn.putdata([values[i % len(values)] for i in range(64)])
        drawn.save(target)
    put(folder, V__ImageSets__Segmentation__val_dot_txt="a\n", V__ImageSets__Main__train_dot_txt="a\nb\n")


def test_masks_of_voc_itself(tmp_path: Path) -> None:
    voc_masks(tmp_path, "bird")
    images, issues, reading = rows_of(voc.FORMAT, tmp_path, "masks")
    row = images["V/JPEGImages/a.jpg"]
    assert row.masks == (
        MaskFile("V/SegmentationClass/a.png", "classes"),
        MaskFile("V/SegmentationObject/a.png", "objects"),
    )
    assert row.split == "val" and not row.labels and not issues and len(images) == 2
    assert reading.mask_values.names[3] == "bird" and len(reading.mask_values.names) == 20
    assert reading.mask_values.void == {255} and reading.mask_values.background == 0
    assert [head.name for head in reading.classes] == list(voc.VOC_NAMES)
    regions, _, _ = rows_of(voc.FORMAT, tmp_path, "regions")
    assert regions["V/JPEGImages/a.jpg"].masks == row.masks[:1]
    boxes, _, _ = rows_of(voc.FORMAT, tmp_path, "boxes")
    assert boxes["V/JPEGImages/a.jpg"].names == ("bird",) and not boxes["V/JPEGImages/a.jpg"].masks
    found = recognised(voc.FORMAT, tmp_path)
    assert found and found.kinds == ("boxes", "masks", "regions") and found.images == 2


@pytest.mark.parametrize(("names", "values"), [(["bird"], (0, 1)), (["bird", "zebra"], (0, 3)), ([], (0, 3))])
def test_masks_of_other_classes_get_no_names_of_voc(
    tmp_path: Path, names: list[str], values: tuple[int, ...]
) -> None:
    voc_masks(tmp_path, *names, values=values)
    _, _, reading = rows_of(voc.FORMAT, tmp_path, "regions")
    assert reading.mask_values == MaskValues() and not reading.classes


def test_labelmap(tmp_path: Path) -> None:
    voc_masks(tmp_path, "bird")
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\na:b:1,2,3:x:y\ncat:9,9,9::\n"
    text += "void:224,224,192::\n"
    put(tmp_path, labelmap_dot_txt=text)
    _, _, reading = rows_of(voc.FORMAT, tmp_path, "regions")
    assert [head.name for head in reading.classes] == ["a:b", "cat"]
    assert reading.mask_values.names == {1: "a:b", 2: "cat"} and reading.mask_values.background == 0
    assert reading.mask_values.colors[(9, 9, 9)] == 2 and 3 in reading.mask_values.void


def test_a_mask_of_two_images_is_refused(tmp_path: Path) -> None:
    voc_masks(tmp_path, "bird")
    picture(tmp_path / "V/other/a.jpg")
    (tmp_path / "V/Annotations/a.xml").unlink()
    with pytest.raises(InputError, match="can mean"):
        rows_of(voc.FORMAT, tmp_path, "regions")


def test_written_masks_are_voc_pictures(tmp_path: Path) -> None:
    source = picture(tmp_path / "in/a.png")
    one = Polygons.of([[0, 0, 4, 0, 4, 4, 0, 4]])
    two = masks.encode(np.eye(8, dtype=np.uint8))
    labels = (
        Label("cat", mask=one),
        Label("dog", mask=two),
        Label("dog", mask=Polygons.of([[6, 0, 8, 0, 8, 2, 6, 2]]), ignored=True),
    )
    row = ImageLabels("a.png", labels, "train", size=(8, 8))
    out = ExportSet("masks", (ClassHead("cat"), ClassHead("dog")), [(row, source)])
    voc_write.write(out, tmp_path / "out")
    drawn = Image.open(tmp_path / "out/SegmentationClass/a.png")
    assert drawn.mode == "P"
    values, numbers = np.asarray(drawn), np.asarray(Image.open(tmp_path / "out/SegmentationObject/a.png"))
    assert (
        values[0, 1] == 1
        and values[3, 3] == 2
        and values[5, 5] == 2
        and values[0, 7] == 255
        and values[7, 0] == 0
    )
    assert Counter(numbers.ravel().tolist()) == {0: 40, 1: 12, 2: 8, 255: 4}
    images, _, reading = rows_of(voc.FORMAT, tmp_path / "out", "masks")
    assert reading.mask_values.names == {1: "cat", 2: "dog"} and 255 in reading.mask_values.void
    palette = drawn.getpalette()
    assert palette and palette[3:6] == [128, 0, 0] and reading.mask_values.colors[(128, 0, 0)] == 1
    assert images["JPEGImages/a.png"].split == "train" and len(images["JPEGImages/a.png"].masks) == 2


def test_the_colour_map_is_vocs() -> None:
    known = {
        1: (128, 0, 0),
        2: (0, 128, 0),
        7: (128, 128, 128),
        8: (64, 0, 0),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {value: voc_write.color(value) for value in known} == known
