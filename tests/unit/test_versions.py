"""Versions compared, made by hand and restored, on a real database."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import SplitMove, VersionInfo
from engine.datasets import editlog, edits, manifest, queries, resplit, versions
from engine.errors import ConflictError, InputError, NotFoundError
from engine.settings import Settings
from engine.storage.blobs import BlobStore
from engine.storage.database import Database, new_id
from engine.storage.tables import (
    AnnotationRow,
    ClassRow,
    FileRow,
    ImageRow,
    JobRow,
    Project,
    RunRow,
    VersionRow,
)

CLASSES = ("cat", "dog")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'test.db'}")


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """Six images with two boxes each but for the last, on which nothing is; frozen as version 1."""
    database = Database(settings)
    with database.write() as session:
        session.add(Project(id="p", name="P", task="detection", created_at=utc_now(), preprocessing={}))
        session.add(Project(id="q", name="Q", task="detection", created_at=utc_now(), preprocessing={}))
        session.flush()
        for position, name in enumerate(CLASSES):
            session.add(ClassRow(id=name, project_id="p", name=name, position=position))
        session.flush()
        for number in range(6):
            add_image(session, f"i{number}", f"{number}.png", number, negative=number == 5)
            for name in CLASSES if number < 5 else ():
                add_box(session, f"i{number}", name, float(number))
        versions.freeze(session, settings, "p", "import", "local")
    yield database
    database.close()


def add_image(session: Session, image_id: str, path: str, number: int, *, negative: bool = False) -> None:
    digest = f"{number:064d}"
    if session.get(FileRow, digest) is None:
        session.add(FileRow(sha256=digest, bytes=1, format="PNG", mode="RGB", width=8, height=8))
        session.flush()
    row = ImageRow(id=image_id, project_id="p", path=path, sha256=digest, width=8, height=8)
    row.split, row.negative, row.added_at = "train" if number < 4 else "val", negative, utc_now()
    session.add(row)
    session.flush()


def add_box(session: Session, image_id: str, class_id: str, left: float) -> str:
    row = AnnotationRow(id=new_id(), project_id="p", image_id=image_id, class_id=class_id, kind="box")
    row.geometry, row.created_at = {"box": [left, 1.0, left + 2, 4.0]}, utc_now()
    session.add(row)
    session.flush()
    return row.id


def change_everything(session: Session) -> None:
    """One change of each sort."""
    edits.leave_out(session, "p", ["i0"])
    edits.change_class(session, "p", ["i1"], "dog", person="local")
    resplit.move_to_split(session, "p", ["i2"], "test")
    edits.add_class(session, "p", "bird")
    session.get_one(ClassRow, "cat").name = "feline"
    session.get_one(ClassRow, "dog").deleted_at = utc_now()
    add_image(session, "n0", "new.png", 9)
    add_box(session, "n0", "cat", 0.0)
    session.get_one(ImageRow, "i5").negative = False
    session.get_one(ImageRow, "i3").group_key = "patient"
    session.get_one(Project, "p").preprocessing = {"background": 255}
    session.flush()


def head(db: Database) -> bytes:
    with db.read() as session:
        return manifest.encode(manifest.head_manifest(session, "p"))


def last(db: Database) -> VersionInfo:
    with db.read() as session:
        return queries.versions(session, "p")[0]


def test_what_differs_is_named(db: Database, settings: Settings) -> None:
    with db.write() as session:
        change_everything(session)
        assert versions.freeze(session, settings, "p", "manual", "local").number == 2
        diff = versions.compare(session, settings, "p", 1, 2)
        back = versions.compare(session, settings, "p", 2, 1)
        same = versions.compare(session, settings, "p", 2, 2)
    assert (diff.before, diff.after, diff.added, diff.left_out) == (1, 2, ("n0",), ("i0",))
    assert diff.relabelled == ("i1", "i5")
    assert diff.moved == (SplitMove(image="i2", before="train", after="test"),)
    assert (diff.classes_added, diff.classes_removed) == (("bird",), ("dog",))
    assert [(row.id, row.before, row.after) for row in diff.classes_renamed] == [("cat", "cat", "feline")]
    # i0 is left out, i1 has one "dog" in place of both boxes, n0 brings a cat.
    assert [(row.name, row.before, row.after) for row in diff.counts] == [("feline", 5, 4), ("dog", 5, 4)]
    assert diff.changes == (
        "2 labels changed, 1 image left out, 1 image added, 1 image moved to another split, "
        "1 class added, 1 class removed, 1 class renamed"
    )
    assert (back.added, back.left_out, back.classes_added) == (("i0",), ("n0",), ("dog",))
    assert same.changes == "" and not same.counts and not same.relabelled


def test_a_new_id_alone_is_no_difference(db: Database, settings: Settings) -> None:
    with db.write() as session:
        old = session.query(AnnotationRow).filter_by(image_id="i2", class_id="cat").one()
        old.on_head = False
        add_box(session, "i2", "cat", 2.0)
        assert versions.freeze(session, settings, "p", "manual").number == 2
        assert versions.compare(session, settings, "p", 1, 2).relabelled == ()
        old.on_head = True
        assert versions.freeze(session, settings, "p", "manual").number == 3
        assert versions.compare(session, settings, "p", 2, 3).relabelled == ("i2",)


def test_restoring_gives_the_same_bytes_and_can_be_undone(db: Database, settings: Settings) -> None:
    original = head(db)
    with db.write() as session:
        change_everything(session)
        versions.freeze(session, settings, "p", "manual", "local")
    changed = head(db)
    assert changed != original
    with db.write() as session:
        receipt = versions.restore(session, settings, "p", 1, "k", "local")
        assert versions.restore(session, settings, "p", 1, "k", "local") == receipt
    assert receipt.message == "Version 1 restored" and receipt.changed == 6
    assert head(db) == original
    made = last(db)
    assert (made.number, made.reason, made.person) == (3, "restore", "local")
    with db.read() as session:
        rows = session.query(VersionRow).order_by(VersionRow.number).all()
        assert rows[2].manifest == rows[0].manifest
        assert BlobStore(settings.files).read(rows[2].manifest) == original
        assert session.get_one(ImageRow, "n0").left_out is True
    with db.write() as session:
        undone = edits.undo(session, "p")
        assert undone is not None and undone.message == "Undone: Version 1 restored"
    assert head(db) == changed


def test_restoring_some_images_at_a_time_is_the_same(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = head(db)
    with db.write() as session:
        change_everything(session)
    monkeypatch.setattr(editlog, "CHUNK", 2)
    with db.write() as session:
        assert versions.restore(session, settings, "p", 1).changed == 6
    assert head(db) == original


def test_making_comparing_and_restoring_hold_no_manifest(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set of large outlines: the peak stays far below one manifest."""
    outlines = [[float(number) for number in range(2_000)]]
    with db.write() as session:
        for number in range(60):
            add_image(session, f"m{number}", f"m{number}.png", 9)
            row = AnnotationRow(id=new_id(), project_id="p", image_id=f"m{number}", class_id="cat")
            row.kind, row.geometry, row.created_at = "mask", {"polygons": outlines}, utc_now()
            session.add(row)
    monkeypatch.setattr(manifest, "PORTION", 2)
    with db.write() as session:
        large = versions.freeze(session, settings, "p", "manual")
        size = BlobStore(settings.files).path(large.manifest).stat().st_size
    assert size > 700_000
    tracemalloc.start()
    with db.write() as session:
        edits.leave_out(session, "p", ["i0"])
        assert versions.freeze(session, settings, "p", "manual").changes == "1 image left out since version 2"
        assert len(versions.compare(session, settings, "p", 1, 2).added) == 60
        assert versions.restore(session, settings, "p", 2).changed == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size, f"{peak:,} of {size:,} bytes"


def test_a_picture_that_took_the_path_makes_room(db: Database, settings: Settings) -> None:
    original = head(db)
    with db.write() as session:
        # As an import that replaces does it.
        old = session.get_one(ImageRow, "i1")
        old.path, old.left_out = "1.png (replaced, i1)", True
        session.flush()
        add_image(session, "n1", "1.png", 9)
        # And two that changed places.
        first, second = session.get_one(ImageRow, "i2"), session.get_one(ImageRow, "i3")
        first.path = "away"
        session.flush()
        second.path = "2.png"
        session.flush()
        first.path = "3.png"
    changed = head(db)
    with db.write() as session:
        versions.restore(session, settings, "p", 1)
        assert session.get_one(ImageRow, "n1").path == "1.png (replaced, n1)"
    assert head(db) == original
    with db.write() as session:
        edits.undo(session, "p")
    assert head(db) == changed


def test_a_class_that_took_the_name_makes_room(db: Database, settings: Settings) -> None:
    original = head(db)
    with db.write() as session:
        session.get_one(ClassRow, "cat").name = "feline"
        session.flush()
        edits.add_class(session, "p", "cat")
    changed = head(db)
    with db.write() as session:
        versions.restore(session, settings, "p", 1)
    assert head(db) == original
    with db.write() as session:
        edits.undo(session, "p")
    assert head(db) == changed


def test_what_is_no_longer_there_is_said(db: Database, settings: Settings) -> None:
    before = head(db)
    with db.write() as session:
        add_image(session, "x", "x.png", 9)
        session.get_one(ImageRow, "i1").sha256 = f"{9:064d}"
    with (
        pytest.raises(ConflictError, match=r"1 of its images are no longer .* “1.png”"),
        db.write() as session,
    ):
        versions.restore(session, settings, "p", 1)
    with db.write() as session:
        with pytest.raises(NotFoundError, match="no version 7"):
            versions.restore(session, settings, "p", 7)
        with pytest.raises(NotFoundError, match="no version 1"):
            versions.compare(session, settings, "q", 1, 1)
        with pytest.raises(InputError, match="no images"):
            versions.freeze(session, settings, "q", "manual")
    assert head(db) != before


def test_restoring_what_stands_changes_nothing(db: Database, settings: Settings) -> None:
    with db.write() as session:
        receipt = versions.restore(session, settings, "p", 1)
        assert (receipt.changed, receipt.message) == (0, "Nothing to change.")
    assert last(db).number == 1


def test_the_list_names_person_and_runs(db: Database, settings: Settings) -> None:
    with db.write() as session:
        row = versions.freeze(session, settings, "p", "manual")
        for number in (2, 1):
            job = JobRow(id=f"j{number}", kind="train", lane="gpu", state="queued", created_at=utc_now())
            session.add(job)
            session.flush()
            session.add(
                RunRow(id=job.id, project_id="p", number=number, version_id=row.id, task="t", config={})
            )
    found = last(db)
    assert (found.number, found.person, found.runs) == (1, "local", (1, 2))
