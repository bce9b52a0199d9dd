"""A set whose labels are for another task, or that holds two sorts of labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import QuestionError
from engine.storage.tables import ImageRow
from tests.integration.importing import Workspace, folder, picture, two_classes

BOTH = {"boxes": "detection", "class": "classification"}


def coco(root: Path, names: tuple[str, ...]) -> Path:
    table = {
        "images": [{"id": n, "file_name": name, "width": 20, "height": 16} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [2, 2, 6, 6]} for n in range(len(names))
        ],
        "categories": [{"id": 1, "name": "nut"}],
    }
    files = {name: picture(40 + n) for n, name in enumerate(names)}
    return folder(root, {**files, "boxes.json": json.dumps(table).encode()})


def test_labels_of_another_task_are_not_dropped(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "set", 6))
    before = space.count(ImageRow)
    boxes = coco(tmp_path / "boxes", ("a.png", "b.png"))
    titles = {"detection": "Object detection", "classification": "Image classification"}
    known = r"Object detection \(COCO JSON\).*not for Image classification"
    with pytest.raises(QuestionError, match=known) as asked:
        space.run(boxes, mode="add", tasks={**BOTH}, labels=None, titles=titles)
    assert (asked.value.flag, asked.value.choices) == ("--format", ("loose_images",))
    assert space.count(ImageRow) == before
    report = space.run(boxes, mode="add", tasks={**BOTH}, labels=None, format="loose_images")
    assert (report.images, report.annotations) == (2, 0)


def test_labels_beside_those_that_are_read_are_named(space: Workspace, tmp_path: Path) -> None:
    boxes = coco(tmp_path / "boxes", ("a.png", "b.png"))
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    xml = f"<annotation><filename>c.png</filename><object><name>bolt</name>{box}</object></annotation>"
    folder(boxes, {"c.png": picture(50), "c.xml": xml.encode()})
    report = space.run(boxes, task=None, tasks={**BOTH})
    assert (report.task, report.format, report.annotations) == ("detection", "coco", 2)
    assert any("Not read: Pascal VOC" in note for note in report.notes)
