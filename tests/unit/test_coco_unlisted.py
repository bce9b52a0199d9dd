"""Pictures that a COCO JSON does not list: unlabelled images, but not the masks of some sets."""

from __future__ import annotations

import json
from pathlib import Path

from engine.datasets.formats.base import LabelIssue, ReadOptions
from engine.datasets.formats.coco import FORMAT
from tests.unit.format_cases import look, picture


def paths(root: Path) -> list[str]:
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 8, "height": 8} for n in range(2)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 4, 4]}],
    }
    for number in range(2):
        picture(root / "images" / f"{number}.jpg")
    (root / "labels.json").write_text(json.dumps(document))
    rows = FORMAT.read(look(root), ReadOptions("boxes")).rows
    return sorted(row.path for row in rows if not isinstance(row, LabelIssue))


LISTED = ["images/0.jpg", "images/1.jpg"]


def test_masks_of_listed_pictures_are_no_images(tmp_path: Path) -> None:
    picture(tmp_path / "masks" / "0.png", mode="L")
    assert paths(tmp_path) == LISTED


def test_other_pictures_are_unlabelled_images(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "2.jpg")
    picture(tmp_path / "more" / "0.png")
    picture(tmp_path / "more" / "5.png")
    picture(tmp_path / "photos" / "1.jpeg")
    found = paths(tmp_path)
    assert found == [*LISTED, "images/2.jpg", "more/0.png", "more/5.png", "photos/1.jpeg"]
