"""Points for which a set has no names (WFLW, 300W, COFW) get numbers, so that every format can hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from engine.bench.at_once import Done, run_here
from engine.bench.workspace import quiet_workspace
from tests.workspace import settings_in


def taken(tmp_path: Path, *objects: Sequence[float], formats: tuple[str, ...] = ()) -> tuple[Done, list[str]]:
    """Import a COCO set with an object an image, whose category names no points, and export it."""
    root = tmp_path / "set"
    root.mkdir()
    for number in range(len(objects)):
        Image.new("RGB", (20, 16), (40 * number, 9, 9)).save(root / f"{number}.png")
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": 20, "height": 16} for n in range(len(objects))
        ],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 9, 9], "keypoints": values}
            for n, values in enumerate(objects)
        ],
    }
    (root / "labels.json").write_text(json.dumps(document))
    with quiet_workspace(settings_in(tmp_path / "home")) as house:
        done = run_here(house, house.datasets.start_import(root, name="x", task="keypoints", any_folder=True))
        problems = [
            run_here(house, house.dataset_exports.start(done.project, name, to=tmp_path / name)).problem
            for name in formats
        ]
        names = [info.points for info in house.datasets.summary(done.project).classes]
    assert not any(problems), problems
    return done, [name for points in names for name in points]


def test_nameless_points_are_numbered_and_can_be_exported(tmp_path: Path) -> None:
    formats = ("cvat", "labelme", "csv_table", "dlib", "label_studio", "deeplabcut")
    one, other = [1, 2, 2, 3, 4, 1, 0, 0, 0], [5, 5, 2, 6, 6, 2, 7, 7, 2]
    done, names = taken(tmp_path, one, other, formats=formats)
    assert (done.problem, names) == ("", ["1", "2", "3"])


@pytest.mark.parametrize("other", [[1, 2, 2], [1, 2, 2, 3, 4, 1, 5, 5, 2]])
def test_nameless_points_that_do_not_agree_are_refused(tmp_path: Path, other: list[float]) -> None:
    done, _ = taken(tmp_path, [1, 2, 2, 3, 4, 1], other)
    assert f"have 2 and {len(other) // 3} points" in done.problem
