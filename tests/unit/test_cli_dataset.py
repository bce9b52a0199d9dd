"""``lensmith dataset versions`` and ``dataset split``: the JSON, the lines, the refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.api import Lensmith, open_workspace
from engine.cli.app import app
from engine.cli.dataset import parse_fractions
from engine.contracts.base import utc_now
from engine.errors import InputError, NotFoundError
from engine.storage.tables import AnnotationRow, ClassRow, FileRow, ImageRow, Project


@pytest.fixture
def lensmith(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lensmith:
    """A workspace with twenty images of five patients, all in train."""
    monkeypatch.setenv("LENSMITH_HOME", str(tmp_path))
    workspace = open_workspace()
    with workspace.database.write() as session:
        session.add(Project(id="p", name="P", task="classification", created_at=utc_now(), preprocessing={}))
        session.add(FileRow(sha256="f" * 64, bytes=1, format="PNG", mode="RGB", width=8, height=8))
        session.flush()
        session.add(ClassRow(id="c", project_id="p", name="cat", position=0))
        session.flush()
        for number in range(20):
            image = f"i{number:02d}"
            values = {"width": 8, "height": 8, "split": "train", "added_at": utc_now()}
            path = f"p{number % 5}_{number:02d}.png"
            session.add(ImageRow(id=image, project_id="p", path=path, sha256="f" * 64, **values))
            session.flush()
            label = {"image_id": image, "class_id": "c", "created_at": utc_now()}
            session.add(AnnotationRow(id=f"a{number}", project_id="p", **label))
    return workspace


def told(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["dataset", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def answered(*arguments: str) -> Any:
    return json.loads(told(*arguments, "--json"))


def test_splits_are_drawn_by_group(lensmith: Lensmith) -> None:
    rule = ("split", "-p", "P", "--by", "^([^_]+)_", "--fractions", "60,20,20", "--seed", "1")
    dry = answered(*rule, "--dry-run")
    assert (dry["changed"], dry["moved"], dry["splits"]) == (0, 8, {"train": 12, "val": 4, "test": 4})
    assert dry["groups"]["groups"] == 5 and lensmith.datasets.summary("p").splits["val"] == 0
    done = answered(*rule)
    assert done["changed"] == 8 and lensmith.datasets.summary("p").splits == done["splits"]
    rule_now = lensmith.splits.rule("p")
    assert rule_now is not None and rule_now.group_rule == "^([^_]+)_"
    assert lensmith.datasets.undo("p") is not None
    assert lensmith.datasets.summary("p").splits["train"] == 20
    lines = told("split", "-p", "P")
    assert "train 14, val 4, test 2" in lines and "20 images" not in lines and "6 images moved" in lines


def test_folds_change_nothing(lensmith: Lensmith) -> None:
    plan = answered("split", "-p", "P", "--folds", "5", "--by", "^([^_]+)_")
    assert len(plan["images"]) == 20
    assert len({(image["path"][:2], image["fold"]) for image in plan["images"]}) == 5
    assert len({image["fold"] for image in plan["images"]}) == 5
    assert len(told("split", "-p", "P", "--folds", "2").splitlines()) == 20
    assert lensmith.datasets.summary("p").splits["train"] == 20
    assert lensmith.splits.move("p", ["i00"], "val").changed == 1


def test_a_fold_is_held_out(lensmith: Lensmith) -> None:
    lensmith.splits.move("p", ["i00", "i05"], "test")
    plan = answered("split", "-p", "P", "--folds", "3", "--seed", "2")
    held = {row["id"] for row in plan["images"] if row["fold"] == 3} - {"i00", "i05"}
    dry = answered("split", "-p", "P", "--folds", "3", "--seed", "2", "--hold-out", "3", "--dry-run")
    assert (dry["changed"], dry["splits"]) == (0, {"train": 12, "val": 6, "test": 2})
    assert "6 images moved" in told("split", "-p", "P", "--folds", "3", "--seed", "2", "--hold-out", "3")
    items = lensmith.datasets.images("p", limit=50).items
    assert {item.id for item in items if item.split == "val"} == held
    with pytest.raises(InputError, match="names one of the folds"):
        told("split", "-p", "P", "--hold-out", "3")
    with pytest.raises(InputError, match="no fold 0 of 3"):
        told("split", "-p", "P", "--folds", "3", "--hold-out", "0")


def test_versions_are_made_compared_and_restored(lensmith: Lensmith) -> None:
    assert answered("versions", "-p", "P", "--freeze")[0]["reason"] == "manual"
    lensmith.datasets.leave_out("p", ["i00"])
    lensmith.versions.freeze("p")
    assert "2 " in told("versions", "-p", "P") and "1 image left out since version 1" in told(
        "versions", "-p", "P"
    )
    diff = answered("versions", "-p", "P", "--compare", "1", "2")
    assert diff["left_out"] == ["i00"] and diff["counts"][0] == {
        "id": "c",
        "name": "cat",
        "before": 20,
        "after": 19,
    }
    assert "version 1 to 2: 1 image left out" in told("versions", "-p", "P", "--compare", "1", "2")
    back = answered("versions", "-p", "P", "--restore", "1")
    assert (back["changed"], back["version"]) == (1, 3)
    assert lensmith.datasets.summary("p").images == 20
    assert [row["number"] for row in answered("versions", "-p", "P")] == [3, 2, 1]
    assert lensmith.versions.list("p")[0].person == "local"
    with pytest.raises(InputError, match="Choose one"):
        told("versions", "-p", "P", "--freeze", "--restore", "1")
    with pytest.raises(NotFoundError, match="no version 9"):
        told("versions", "-p", "P", "--restore", "9")


def test_shares_are_read() -> None:
    assert parse_fractions("70,20,10") == parse_fractions("0.7, 0.2, 0.1") == parse_fractions("70%,20%,10%")
    for wrong in ("70,20", "a,b,c", "70,20,20", "0.5,0.5,0.5", "nan,0,1", ""):
        with pytest.raises(InputError):
            parse_fractions(wrong)
