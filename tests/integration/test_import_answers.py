"""What an import says when it asks or refuses: what is wrong, where, and how much of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.contracts.datasets import ImportOffer, Outcome
from engine.datasets import importer, offers
from engine.errors import InputError, QuestionError
from engine.jobs.kinds import kind_named
from engine.jobs.problems import problem_of
from engine.settings import Limits
from engine.tasks.registry import tasks_by_labels
from tests.integration.importing import Workspace
from tests.unit.format_cases import picture


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    (tmp_path / "home").mkdir()
    return Workspace(tmp_path / "home", Limits())


def detection(**more: Any) -> dict[str, Any]:
    return {"task": "detection", "tasks": tasks_by_labels(), **more}


def coco(folder: Path, name: str, files: list[str], notes: list[dict[str, Any]], *classes: Any) -> Path:
    """Write a COCO file about pictures of 8 x 8 px; a class is a name, or a category with its points."""
    for file in files:
        picture(folder / file)
    images = [{"id": n, "file_name": file, "width": 8, "height": 8} for n, file in enumerate(files)]
    known = [{"name": one} if isinstance(one, str) else one for one in classes]
    categories = [{"id": n, **one} for n, one in enumerate(known)]
    whole = [{"id": n, "category_id": 0, "bbox": [1, 1, 4, 4], **one} for n, one in enumerate(notes)]
    document = {"images": images, "categories": categories, "annotations": whole}
    (folder / name).write_text(json.dumps(document))
    return folder


def asked(space: Workspace, folder: Path, **choices: Any) -> QuestionError:
    with pytest.raises(QuestionError) as caught:
        importer.run(space.work(folder, **choices))
    return caught.value


# -- several sorts of labels -------------------------------------------------------------------------------


def two_sorts(folder: Path) -> Path:
    person = {"name": "person", "keypoints": ["nose", "eye"]}
    hand = {"name": "hand", "keypoints": ["thumb"]}
    notes: list[dict[str, Any]] = [{"image_id": n, "keypoints": [1, 2, 2, 3, 3, 2]} for n in range(3)]
    notes += [{"image_id": n, "category_id": 1, "keypoints": [1, 2, 2]} for n in range(2, 7)]
    picture(folder / "other.png")
    return coco(folder, "labels.json", [f"{n}.png" for n in range(7)], notes, person, hand)


def test_only_the_pictures_of_the_chosen_sort_are_taken_in(space: Workspace, tmp_path: Path) -> None:
    choices = detection(task="keypoints", schema="person")
    report = space.run(two_sorts(tmp_path / "set"), **choices)
    assert (report.images, report.annotations, report.classes) == (3, 3, ("person",))
    assert report.format_reason == "labels.json: 3 images with 3 annotations in 1 class"
    assert report.notes[0].startswith("5 pictures and 5 labels belong to other sorts of labels or to none;")


def test_each_offer_speaks_of_its_own_sort(space: Workspace, tmp_path: Path) -> None:
    found = offers.run(space.work(two_sorts(tmp_path / "set"), **detection(task=None)))["offers"]
    known = [ImportOffer.model_validate(one) for one in found]
    points = [one for one in known if one.task == "keypoints"]
    assert [(one.schema_title, one.classes, one.images, one.reason) for one in points] == [
        ("person: 2 points", ("person",), 3, "labels.json: 3 images with 3 annotations in 1 class"),
        ("hand: 1 point", ("hand",), 5, "labels.json: 5 images with 5 annotations in 1 class"),
    ]
    boxes = [one for one in known if one.task == "detection"]
    assert [(one.schema_name, one.classes, one.images) for one in boxes] == [("", ("person", "hand"), 7)]


# -- what was found until a question is asked --------------------------------------------------------------


def test_the_skips_are_there_before_one_decides(space: Workspace, tmp_path: Path) -> None:
    boxes = [[1, 1, 4, 4]] * 10 + [[1, 1, 0, 4]] * 5
    notes = [{"image_id": n // 3, "bbox": box} for n, box in enumerate(boxes)]
    notes[0]["bbox"] = [-1, 0, 6, 6]  # repaired
    folder = coco(tmp_path / "set", "labels.json", [f"{n}.png" for n in range(5)], notes, "cat")
    error = asked(space, folder, **detection())
    assert error.message.startswith("5 of 15 labels (33 %) would be skipped, more than 5 %: all as in labels")
    problem = problem_of(error, kind_named("import"))
    assert problem.issues_total == 6 and problem.of_input and problem.flag == "--accept-skips"
    assert [one.outcome for one in problem.issues] == [Outcome.SKIPPED] * 5 + [Outcome.REPAIRED]
    with (space.settings.home / problem.issues_file).open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6 and sorted(rows[0]) == ["file", "line", "outcome", "reason"]
    assert sum(row["outcome"] == "skipped" and "no area" in row["reason"] for row in rows) == 5
    # Accepted, the report tells of the very same rows.
    report = space.run(folder, **detection(accept_skips=True))
    assert {one.reason for one in report.issues} == {one.reason for one in problem.issues}


def test_a_refusal_before_any_row_names_no_file(space: Workspace, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt").write_text("no picture")
    with pytest.raises(InputError) as caught:
        importer.run(space.work(tmp_path / "set", **detection()))
    problem = problem_of(caught.value, kind_named("import"))
    assert (problem.issues, problem.issues_total, problem.issues_file) == ((), 0, "")


# -- questions that say what they ask about ----------------------------------------------------------------


def test_classes_that_differ_in_case_are_counted(space: Workspace, tmp_path: Path) -> None:
    notes = [{"image_id": n, "category_id": int(n > 2)} for n in range(12)]
    folder = coco(tmp_path / "set", "labels.json", [f"{n}.png" for n in range(12)], notes, "Cat", "cat")
    error = asked(space, folder, **detection())
    told = "“cat” (9 labels) and “Cat” (3 labels)."
    assert error.message == f"Some classes differ only in upper and lower case: {told}"


def test_categories_of_one_name_are_told_by_their_ids(space: Workspace, tmp_path: Path) -> None:
    folder = coco(tmp_path / "set", "labels.json", ["a.png"], [{"image_id": 0}], "cat", "dog", "cat")
    error = asked(space, folder, **detection())
    assert error.message == "“labels.json” lists several categories called “cat” (ids 0, 2)."


def test_exchanged_corners_are_shown_by_one(space: Workspace, tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.png")
    rows = "file,label,xmin,ymin,xmax,ymax\na.png,cat,6,5,2,1.5\na.png,cat,7,5,2,1\n"
    (tmp_path / "set" / "boxes.csv").write_text(rows)
    message = asked(space, tmp_path / "set", **detection()).message
    assert message.endswith("one end stands before its beginning, as in boxes.csv, line 2: 6, 5, 2, 1.5.")


def test_what_was_chosen_of_255_is_in_the_report(space: Workspace, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for name in ("a", "b"):
        picture(tmp_path / "set" / "images" / f"{name}.png")
        drawn = np.zeros((8, 8), np.uint8)
        drawn[:3], drawn[3], drawn[5:, 5:] = 1, 255, 2
        Image.fromarray(drawn).save(tmp_path / "set" / "masks" / f"{name}.png")
    choices = detection(task="semantic")
    message = asked(space, tmp_path / "set", **choices).message
    values = ["0: 46 px in 2 masks", "1: 48 px in 2 masks", "2: 18 px in 2 masks", "255: 16 px in 2 masks"]
    assert message.endswith("; ".join(values) + ".")
    report = space.run(tmp_path / "set", **choices, void="ignore")
    assert "255 (16 px in 2 masks) does not count, as you chose." in report.notes
    assert report.classes == ("class 1", "class 2")
