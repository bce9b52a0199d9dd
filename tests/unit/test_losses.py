"""What an export says that it loses: of the version that is written, not of the data as they are now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.api import Lensmith, open_workspace
from engine.bench.at_once import run_here
from engine.cli import dataset_export
from engine.cli.app import app
from engine.contracts.base import utc_now
from engine.contracts.datasets import LabelKind
from engine.contracts.jobs import JobInfo, JobState
from engine.datasets import versions
from engine.datasets.formats.registry import get_format
from engine.datasets.losses import Holdings, holdings, holdings_of, losses
from engine.errors import NotFoundError
from engine.storage.blobs import BlobStore
from engine.storage.database import new_id
from engine.storage.tables import AnnotationRow, ClassRow, FileRow, ImageRow, Project

BOX = {"box": [1.0, 1.0, 4.0, 4.0]}
ATTRIBUTES = "Attributes of labels are left out: occluded (of 1 label)."


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lensmith:
    """A project with one image and no labels."""
    monkeypatch.setenv("LENSMITH_HOME", str(tmp_path))
    workspace = open_workspace()
    with workspace.database.write() as session:
        session.add(Project(id="p", name="P", task="detection", created_at=utc_now(), preprocessing={}))
        session.add(FileRow(sha256="f" * 64, bytes=1, format="PNG", mode="RGB", width=8, height=8))
        session.flush()
        session.add(ClassRow(id="c", project_id="p", name="cat", position=0))
        session.flush()
        values = {"sha256": "f" * 64, "width": 8, "height": 8, "added_at": utc_now()}
        session.add(ImageRow(id="i", project_id="p", path="i.png", **values))
    return workspace


def say(house: Lensmith, geometry: dict[str, Any] | None) -> None:
    """Put one label on the image in place of what it has."""
    with house.database.write() as session:
        session.query(AnnotationRow).update({"on_head": False})
        label = AnnotationRow(id=new_id(), project_id="p", image_id="i", class_id="c", geometry=geometry)
        label.kind, label.created_at = "box", utc_now()
        session.add(label)


@pytest.mark.parametrize("kind", ["boxes", "masks", "points", "class"])
@pytest.mark.parametrize(
    "geometry",
    [
        None,
        BOX,
        BOX | {"attributes": {"occluded": "yes"}},
        BOX | {"ignored": True},
        {"polygons": [[1.0, 1.0, 4.0, 1.0, 4.0, 4.0]]},
        BOX | {"rle": "11"},
        BOX | {"points": [[1.0, 1.0, 2]]},
        BOX | {"points": [[1.0, 1.0, 1], [2.0, 2.0, 1], [3.0, 3.0, 2]]},
    ],
)
def test_a_version_holds_what_the_head_held(
    house: Lensmith, kind: LabelKind, geometry: dict[str, Any] | None
) -> None:
    say(house, geometry)
    with house.database.write() as session:
        session.get_one(ClassRow, "c").points = ["nose"] if geometry and "points" in geometry else None
        image = session.get_one(ImageRow, "i")
        image.split, image.negative = ("val", True) if geometry is None else (None, False)
        image.group_key = "patient" if geometry is None else None
        settings = house.database.settings
        frozen = versions.freeze(session, settings, "p", "manual").manifest
        now = holdings(session, "p", kind)
    assert holdings_of(BlobStore(settings.files).path(frozen), kind) == now


def lost(house: Lensmith, format: str, kind: LabelKind = "boxes") -> tuple[str, ...]:
    with house.database.read() as session:
        return losses(get_format(format, kind), holdings(session, "p", kind), kind)


def test_a_set_that_has_nothing_to_lose_loses_nothing(house: Lensmith) -> None:
    say(house, BOX)
    for format in ("voc", "yolo", "kitti", "csv_table", "labelme"):
        assert lost(house, format) == (), "every class has labels, and they stand by name"


def test_losses_are_named_and_counted(house: Lensmith) -> None:
    say(house, BOX | {"attributes": dict.fromkeys("abcdef", "1")})
    with house.database.write() as session:
        session.add(ClassRow(id="d", project_id="p", name="ant", position=1))
        session.get_one(ImageRow, "i").group_key = "patient 1"
        session.get_one(ImageRow, "i").split = "val"
    named = "a (of 1 label), b (of 1 label), c (of 1 label), d (of 1 label) and 2 more"
    assert f"Attributes of labels are left out: {named}." in lost(house, "kitti")
    assert "A class without a label is lost: ant." in lost(house, "kitti")
    assert "Which images train, validate and test is lost (1 validation)." in lost(
        house, "deeplabcut", "points"
    )
    with house.database.write() as session:
        session.query(ClassRow).filter(ClassRow.id == "d").delete()
        session.get_one(ImageRow, "i").left_out = True
    told = ("A class without a label is lost: cat.",)
    assert lost(house, "kitti") == told, "what is left out is not exported"


def test_the_order_of_classes_counts_where_it_is_not_that_of_the_names() -> None:
    known = get_format("voc", "boxes")
    assert losses(known, Holdings(classes=(("a", 1), ("b", 2))), "boxes") == ()
    (told,) = losses(known, Holdings(classes=(("b", 1), ("a", 2))), "boxes")
    assert told == "The order of the classes is lost: b, a."


def test_hidden_points_and_skeletons_are_lost_only_where_there_are_any(house: Lensmith) -> None:
    say(house, {"points": [[1.0, 1.0, 2], [2.0, 2.0, 0]]})
    assert lost(house, "csv_table", "points") == () == lost(house, "dlib", "points")
    say(house, {"points": [[1.0, 1.0, 1], [2.0, 2.0, 1]]})
    with house.database.write() as session:
        session.get_one(ClassRow, "c").points = ["nose", "ear"]
        session.get_one(ClassRow, "c").skeleton = [[0, 1]]
    told = lost(house, "dlib", "points")
    assert "Hidden points, which 1 label has, look like visible ones." in told
    assert "The names of 2 points and 1 line between them are left out." in told


def losses_of(house: Lensmith, version: int | None = None) -> dict[str, tuple[str, ...]]:
    return {known.name: known.losses for known in house.dataset_exports.formats("p", version)}


def test_the_losses_are_those_of_the_version(house: Lensmith) -> None:
    say(house, BOX | {"attributes": {"occluded": "yes"}})
    assert house.versions.freeze("p").number == 1
    say(house, BOX)
    assert house.versions.freeze("p").number == 2
    assert ATTRIBUTES in losses_of(house, 1)["yolo"]
    assert ATTRIBUTES not in losses_of(house, 2)["yolo"]
    assert losses_of(house) == losses_of(house, 2)
    with pytest.raises(NotFoundError, match="no version 3"):
        losses_of(house, 3)


def test_the_command_says_them(house: Lensmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def follow(lensmith: Lensmith, job: str, what: str, *, check: bool = True) -> JobInfo:
        info = lensmith.jobs.get(job)
        done = run_here(lensmith, info)
        assert not done.problem, done.problem
        return info.model_copy(update={"state": JobState.SUCCEEDED, "result": done.result})

    monkeypatch.setattr(dataset_export, "ensure_worker", lambda lensmith: None)
    monkeypatch.setattr(dataset_export, "follow", follow)
    say(house, BOX | {"attributes": {"occluded": "yes"}})
    house.versions.freeze("p")
    pixels = BlobStore(house.database.settings.files).path("f" * 64)
    pixels.parent.mkdir(parents=True, exist_ok=True)
    pixels.write_bytes(b"no export looks inside")
    say(house, BOX)
    told = {}
    for name, chosen in (("now", ()), ("first", ("--version", "1"))):
        arguments = ["-p", "P", "--format", "yolo", "--to", str(tmp_path / name), *chosen, "--json"]
        done = CliRunner().invoke(app, ["dataset", "export", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        told[name] = json.loads(done.stdout)
    assert ATTRIBUTES in told["first"]["losses"] and ATTRIBUTES not in told["now"]["losses"]
    assert (told["first"]["version"], told["now"]["version"]) == (1, 2)
