"""A second import into a project: adding to what is there, or taking its place."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from engine.datasets import edits, importer, queries, versions
from engine.datasets.thumbnails import thumbnail_path
from engine.errors import InputError, QuestionError
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow, Project
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
    with pytest.raises(QuestionError, match=r"“cat” \(in the project\) and “CAT” \(3 labels\)") as caught:
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


# -- the same set, again and in other words ------------------------------------------------------------


def in_use(space: Workspace) -> set[str]:
    with space.db.read() as session:
        query = select(ImageRow.path).where(ImageRow.project_id == PROJECT, ImageRow.left_out.is_(False))
        return set(session.scalars(query))


def leave_out(space: Workspace, *paths: str) -> None:
    with space.db.write() as session:
        found = session.scalars(select(ImageRow.id).where(ImageRow.path.in_(paths))).all()
        edits.leave_out(session, PROJECT, found)


def test_each_fate_of_an_image_is_told_apart(space: Workspace, tmp_path: Path) -> None:
    source = two_classes(tmp_path / "set", 8)
    folder(source, {"labels.csv": b"path,label\n" + b"".join(csv_line(n) for n in range(6))})
    space.run(source)
    lines = b"".join(csv_line(n) for n in range(1, 8)) + b"dog/000.png,cat\nnew.png,cat\n"
    folder(source, {"labels.csv": b"path,label\n" + lines, "new.png": picture(90)})
    (source / "dog" / "002.png").write_bytes(picture(91))
    report = space.run(source, mode="add", accept_skips=True)
    assert report.notes == (
        "2 images were in the project without labels, and have them now.",
        "4 images were in the project already, with the same labels.",
        "1 image was in the project already, with other labels; those stay.",
        "1 image was not added because another picture is in the project under its path.",
    )
    assert report.images == 3 and space.labels()["dog/000.png"] == "dog"


def csv_line(number: int) -> bytes:
    name = "cat" if number % 2 else "dog"
    return f"{name}/{number:03d}.png,{name}\n".encode()


def test_a_set_that_was_replaced_comes_back_when_it_is_added(space: Workspace, tmp_path: Path) -> None:
    one, two = two_classes(tmp_path / "one", 8), tmp_path / "two"
    folder(two, {f"{'fox' if n % 2 else 'bear'}/{n}.png": picture(60 + n) for n in range(6)})
    space.run(one)
    splits, labels = space.splits(), space.labels()
    space.run(two, mode="replace")
    report = space.run(one, mode="add")
    assert report.notes[0] == "8 images that were out of use are back."
    assert (report.images, report.annotations, report.skipped) == (8, 8, 0)
    assert {path: space.splits()[path] for path in splits} == splits
    assert {path: space.labels()[path] for path in labels} == labels
    assert report.classes == ("bear", "fox", "cat", "dog") and len(in_use(space)) == 14


def test_the_path_of_a_replaced_image_is_free(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "one", 4))
    space.run(folder(tmp_path / "two", {f"fox/{n}.png": picture(60 + n) for n in range(3)}
                     | {"bear/1.png": picture(70)}), mode="replace")  # fmt: skip
    other = folder(tmp_path / "three", {f"{'cat' if n % 2 else 'dog'}/00{n}.png": picture(80 + n)
                                        for n in range(4)})  # fmt: skip
    report = space.run(other, mode="add")
    assert (report.images, report.skipped, len(in_use(space))) == (4, 0, 8)


def test_what_a_person_left_out_stays_out(space: Workspace, tmp_path: Path) -> None:
    one = two_classes(tmp_path / "one", 8)
    space.run(one)
    leave_out(space, "cat/001.png", "dog/002.png")
    said = "2 images were left out by a person, and stay out."
    report = space.run(one, mode="add")
    assert said in report.notes and len(in_use(space)) == 6
    space.run(folder(tmp_path / "two", {f"{n}/{n}.png": picture(60 + n) for n in range(3)}), mode="replace")
    report = space.run(one, mode="add", accept_skips=True)
    assert said in report.notes and "6 images that were out of use are back." in report.notes
    assert report.skipped == 2 and "stays out" in report.issues[0].reason
    assert not {"cat/001.png", "dog/002.png"} & in_use(space)
    with space.db.read() as session:
        query = select(ImageRow.path).join(AnnotationRow).where(AnnotationRow.on_head)
        assert "cat/001.png" not in set(session.scalars(query)), "no labels without their image"


def test_a_replacing_set_brings_back_what_a_person_left_out(space: Workspace, tmp_path: Path) -> None:
    one = two_classes(tmp_path / "one", 8)
    space.run(one)
    leave_out(space, "cat/001.png")
    report = space.run(one, mode="replace")
    assert "Left out by a person before, and back with this set: 1 image." in report.notes
    assert len(in_use(space)) == 8
    space.run(folder(tmp_path / "two", {f"{n}/{n}.png": picture(60 + n) for n in range(3)}), mode="replace")
    space.run(one, mode="add")
    assert "cat/001.png" in in_use(space), "that it was left out is long past"


def test_what_the_restoring_of_a_version_took_out_comes_back(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "one", 6))
    more = folder(
        tmp_path / "two", {f"{'fox' if n % 2 else 'bear'}/{n}.png": picture(60 + n) for n in range(4)}
    )
    space.run(more, mode="add")
    with space.db.write() as session:
        versions.restore(session, space.settings, PROJECT, 1)
    assert len(in_use(space)) == 6
    report = space.run(more, mode="add")
    assert len(in_use(space)) == 10 and report.classes == ("cat", "dog", "bear", "fox")
    with space.db.read() as session:
        head = session.scalars(select(AnnotationRow.image_id).where(AnnotationRow.on_head)).all()
    assert len(head) == len(set(head)) == 10


def test_the_classes_of_a_replacing_set_are_the_project_s(space: Workspace, tmp_path: Path) -> None:
    space.run(folder(tmp_path / "one", {"ant/1.png": picture(1), "zebra/2.png": picture(2)}))
    two = folder(tmp_path / "two", {"zebra/3.png": picture(3), "bear/4.png": picture(4)})
    assert space.run(two, mode="replace").classes == ("bear", "zebra")
    with space.db.read() as session:
        rows = {row.name: row for row in session.scalars(select(ClassRow))}
    assert rows.keys() == {"ant", "zebra", "bear"} and rows["ant"].deleted_at is not None
    report = space.run(
        folder(tmp_path / "three", {"ant/5.png": picture(5), "zebra/6.png": picture(6)}), mode="add"
    )
    assert report.classes == ("bear", "zebra", "ant")
    with space.db.read() as session:
        assert {row.id for row in session.scalars(select(ClassRow))} == {row.id for row in rows.values()}


def test_copies_under_other_names_are_in_the_split_of_the_first(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "one", 12))
    first = space.splits()
    again = {f"{'cat' if n % 2 else 'dog'}/again/{n:03d}.png": picture(n) for n in range(12)}
    table = "path,label\n" + "\n".join(f"x/{path},{path[:3]}" for path in again)
    files = {f"x/{path}": content for path, content in again.items()} | {"labels.csv": table.encode()}
    report = space.run(folder(tmp_path / "two", files), mode="add")
    now = space.splits()
    assert report.images == 12 and len(now) == 24
    for path in again:
        assert now[f"x/{path}"] == first[path.replace("again/", "")], path


def test_a_version_says_who_imported_it(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "one", 4), person="local")
    with space.db.read() as session:
        assert [info.person for info in queries.versions(session, PROJECT)] == ["local"]


# -- points --------------------------------------------------------------------------------------------


def people(root: Path, names: Sequence[str], seed: int, bones: Sequence[Sequence[int]] = ()) -> Path:
    """A COCO set with one object; the point called “a” is at 1, 1, “b” at 2, 2 and so on."""
    category = {"id": 1, "name": "p", "keypoints": list(names), "skeleton": list(bones)}
    at = [value for name in names for value in (ord(name) - 96, ord(name) - 96, 2)]
    document = {
        "images": [{"id": 1, "file_name": f"{seed}.png", "width": 20, "height": 16}],
        "categories": [category],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": at,
             "num_keypoints": len(names)}
        ],
    }  # fmt: skip
    return folder(root, {f"{seed}.png": picture(seed), "labels.json": json.dumps(document).encode()})


KEYPOINTS = {"task": "keypoints", "labels": "points"}


def test_points_in_another_order_are_put_into_the_project_s(space: Workspace, tmp_path: Path) -> None:
    space.run(people(tmp_path / "one", "abc", 1), **KEYPOINTS)
    report = space.run(people(tmp_path / "two", "cab", 2, [[1, 2]]), mode="add", **KEYPOINTS)
    assert "another order in the set (c, a, b)" in report.notes[0]
    with space.db.read() as session:
        kept = [row.geometry["points"] for row in session.scalars(select(AnnotationRow)) if row.geometry]
        row = session.scalars(select(ClassRow)).one()
    assert kept == [[[n, n, 2] for n in (1, 2, 3)]] * 2
    # COCO counts from 1: c to a, which are the third and the first here.
    assert (row.points, row.skeleton) == (["a", "b", "c"], [[2, 0]])


@pytest.mark.parametrize("names", ["ca", "abcd", "abd"])
def test_other_points_of_a_class_are_refused(space: Workspace, tmp_path: Path, names: str) -> None:
    space.run(people(tmp_path / "one", "abc", 1), **KEYPOINTS)
    with pytest.raises(InputError, match="a, b, c in the project") as caught:
        space.run(people(tmp_path / "two", names, 2), mode="add", **KEYPOINTS)
    assert ", ".join(names) in str(caught.value) and "project of its own" in caught.value.hint
    assert space.count(ImageRow) == 1
    report = space.run(people(tmp_path / "two", names, 2), mode="replace", **KEYPOINTS)
    with space.db.read() as session:
        assert session.scalars(select(ClassRow)).one().points == list(names)
    assert report.classes == ("p",)
