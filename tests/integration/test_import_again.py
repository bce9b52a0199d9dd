"""A second import into a project: adding to what is there, or taking its place."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets import edits, importer, queries
from engine.datasets.thumbnails import thumbnail_path
from engine.errors import QuestionError
from engine.storage.tables import ImageRow, Project
from tests.integration.importing import PROJECT, Workspace, folder, picture, two_classes


def test_adding_keeps_what_is_there(space: Workspace, tmp_path: Path) -> None:
    source = two_classes(tmp_path / "set")
    space.run(source)
    before = space.splits()
    folder(source, {f"bird/{n}.png": picture(500 + n) for n in range(4)})
    (source / "cat" / "001.png").write_bytes(picture(999))
    report = space.run(source, mode="add", accept_skips=True)
    assert (report.images, report.skipped, report.dataset_version) == (4, 2, 2)
    assert "another picture" in report.issues[0].reason
    after = space.splits()
    assert {path: after[path] for path in before} == before
    assert {split for path, split in after.items() if path.startswith("bird")} == {"train", "val", "test"}
    assert report.classes == ("cat", "dog", "bird")
    assert space.run(source, mode="add", accept_skips=True).dataset_version == 2


def test_labels_may_come_later(space: Workspace, tmp_path: Path) -> None:
    source = folder(tmp_path / "set", {f"{n}.png": picture(n) for n in range(6)})
    space.run(source)
    text = "path,label\n" + "\n".join(f"{n}.png,{'cat' if n % 2 else 'dog'}" for n in range(6))
    report = space.run(folder(source, {"labels.csv": text.encode()}), mode="add")
    assert report.annotations == 6 and space.count(ImageRow) == 6
    assert set(space.labels().values()) == {"cat", "dog"}


def test_replacing_takes_the_place_of_what_is_there(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "one", 10))
    other = two_classes(tmp_path / "two", 10)
    for path in ("cat/001.png", "cat/003.png"):
        (other / path).unlink()
    (other / "cat" / "005.png").write_bytes(picture(77))
    report = space.run(other, mode="replace")
    assert report.images == 8 and len(space.labels()) == 8
    with space.db.read() as session:
        assert queries.summary(session, PROJECT).left_out == 3


def test_an_import_closes_what_can_be_undone(space: Workspace, tmp_path: Path) -> None:
    source = two_classes(tmp_path / "set")
    space.run(source)
    with space.db.write() as session:
        ids = [item.id for item in queries.images(session, PROJECT).items[:2]]
        edits.leave_out(session, PROJECT, ids)
    folder(source, {"cat/new.png": picture(300)})
    space.run(source, mode="add")
    with space.db.write() as session:
        assert edits.undo(session, PROJECT) is None
        assert queries.summary(session, PROJECT).left_out == 2, "adding brings nothing back"


def test_a_project_with_images_is_not_added_to_unasked(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "one", 4))
    with pytest.raises(QuestionError, match="holds 4 images") as caught:
        space.run(two_classes(tmp_path / "two", 6))
    assert caught.value.flag == "--add" and "--replace" in caught.value.hint
    assert space.count(ImageRow) == 4


def test_of_two_first_imports_at_once_the_later_one_asks(space: Workspace, tmp_path: Path) -> None:
    work = space.work(two_classes(tmp_path / "one", 4))

    def other() -> None:
        if work.said[-1][1] == "Writing":
            space.run(two_classes(tmp_path / "two", 6))

    work.on_check = other
    with pytest.raises(QuestionError, match="holds 6 images"):
        importer.run(work)
    assert space.count(ImageRow) == 6


def test_names_that_differ_in_case_from_the_project_s_are_asked(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "one", 4))
    more = folder(tmp_path / "two", {f"{'CAT' if n else 'bird'}/{n}.png": picture(50 + n) for n in range(4)})
    with pytest.raises(QuestionError, match="“cat” and “CAT”") as caught:
        space.run(more, mode="add")
    assert caught.value.flag == "--merge-classes"
    report = space.run(more, mode="add", merge_classes=True)
    assert report.classes == ("cat", "dog", "bird") and report.repaired == 3


def deep(low: int, high: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(low, high, 64).reshape(8, 8).astype(np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_range_once_fixed_is_never_changed(space: Workspace, tmp_path: Path) -> None:
    later = {"a/deep.png": deep(0, 500), "b/plain.png": picture(1)}
    work = space.work(folder(tmp_path / "later", later), mode="add")

    def other() -> None:
        if work.said[-1][1] == "Writing":
            space.run(folder(tmp_path / "first", {"a/1.png": deep(100, 900), "b/2.png": picture(2)}))

    work.on_check = other
    importer.run(work)
    with space.db.read() as session:
        fixed = session.get_one(Project, PROJECT).preprocessing
    assert (fixed["low"], fixed["high"]) == (100.0, 900.0)
    digest = hashlib.sha256(later["a/deep.png"]).hexdigest()
    with Image.open(thumbnail_path(space.settings, digest)) as small:
        # The picture ends at 500 of 100 to 900: half way, and not white as by its own range.
        assert 118 <= np.asarray(small.convert("L")).max() <= 138
    space.run(folder(tmp_path / "third", {"a/3.png": deep(0, 60000), "b/4.png": picture(4)}), mode="add")
    with space.db.read() as session:
        assert session.get_one(Project, PROJECT).preprocessing == fixed
