"""COCO JSON as we write it: read back by us, and by pycocotools."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from engine.contracts.datasets import LabelKind
from engine.datasets import masks
from engine.datasets.formats import coco
from engine.datasets.formats.base import ExportSet
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons, Rle
from tests.format_sets import HOSTILE_CLASSES, HOSTILE_NAMES, make_set, written
from tests.formats import compare, lost_heads, read_set

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("kind", ["tags", "box", "boxes", "masks", "regions", "points"])
def test_what_is_written_is_read_back(kind: LabelKind, tmp_path: Path) -> None:
    expected, out = make_set(tmp_path / "made", kind, HOSTILE_NAMES, HOSTILE_CLASSES)
    with written(coco.FORMAT, out, tmp_path) as folder:
        found = read_set(coco.FORMAT, folder, kind)
        assert compare(expected, found, kind, coco.FORMAT.keeps) == []
        assert lost_heads(out.classes, found, kind, coco.FORMAT.keeps) == []
        assert not list(folder.rglob("*.part"))


def test_pycocotools_sees_what_we_wrote(tmp_path: Path) -> None:
    """Boxes, areas and every pixel of the masks, by its own reader."""
    runs = np.zeros((40, 48), bool)
    runs[3:20, 5:30] = True
    runs[8:10, 9:12] = False
    labels = (
        Label(
            "cat", (2.0, 1.5, 30.25, 22.0), Polygons.of([[2.5, 1.5, 30, 2, 28, 22], [31, 30, 40, 30, 40, 39]])
        ),
        Label("dog", mask=masks.encode(runs)),
        Label("dog", mask=masks.encode(~runs), ignored=True),
        Label("cat", (0.1, 0.2, 0.7, 0.9)),
    )
    row = ImageLabels("a b.png", labels, "train", size=(48, 40))
    Image.new("RGB", (48, 40)).save(tmp_path / "x.png")
    classes = (ClassHead("dog"), ClassHead("cat"))
    assert coco.FORMAT.write is not None
    coco.FORMAT.write(ExportSet("masks", classes, [(row, tmp_path / "x.png")]), tmp_path / "set")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(tmp_path / "set" / "annotations" / "instances_train.json"))
    assert [cat["name"] for cat in theirs.loadCats(theirs.getCatIds())] == ["dog", "cat"]
    assert [image["file_name"] for image in theirs.loadImgs(theirs.getImgIds())] == ["images/a b.png"]
    found = theirs.loadAnns(theirs.getAnnIds())
    assert len(found) == len(labels) and [one["iscrowd"] for one in found] == [0, 0, 1, 0]
    for label, one in zip(labels, found, strict=True):
        assert theirs.cats[one["category_id"]]["name"] == label.name
        x, y, width, height = one["bbox"]
        box = label.box or masks.box_of(label.mask or Polygons.of([]))
        assert box is not None and (x, y, x + width, y + height) == pytest.approx(box, abs=1e-9)
        if label.mask is None:
            assert one["area"] == pytest.approx(width * height)
            continue
        pixels = theirs.annToMask(one).astype(bool)
        assert np.array_equal(pixels, masks.decode(masks.to_runs(label.mask, 40, 48)))
        near = 0 if isinstance(label.mask, Rle) else 0.1 * pixels.sum()
        assert one["area"] == pytest.approx(pixels.sum(), abs=near or 1e-9)
