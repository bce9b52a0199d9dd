"""Edits, versions and queries of the working head, on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from engine.contracts.base import utc_now
from engine.contracts.datasets import ImageFilter
from engine.datasets import edits, manifest, queries
from engine.errors import ConflictError, InputError, NotFoundError
from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.tables import AnnotationRow, ClassRow, EditRow, FileRow, ImageRow, Project

CLASSES = ("cat", "dog", "bird")
IMAGES = 12


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'test.db'}")


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    fill(database, IMAGES)
    yield database
    database.close()


def fill(database: Database, count: int) -> None:
    """Images 0, 1, ... are cat, dog, none in turn; the first eight train."""
    with database.write() as session:
        session.add(Project(id="p", name="P", task="classification", created_at=utc_now(), preprocessing={}))
        session.add(Project(id="q", name="Q", task="classification", created_at=utc_now(), preprocessing={}))
        session.flush()
        for position, name in enumerate(CLASSES):
            session.add(ClassRow(id=name, project_id="p", name=name, position=position))
        for number in range(count):
            session.add(
                FileRow(
                    sha256=f"{number:064d}", bytes=1, format="PNG", mode="RGB", width=number + 1, height=2
                )
            )
        session.flush()
        for number in range(count):
            session.add(
                ImageRow(
                    id=f"i{number}",
                    project_id="p",
                    path=f"{number:05d}.png",
                    sha256=f"{number:064d}",
                    width=number + 1,
                    height=2,
                    split="train" if number < 8 else "test",
                    added_at=utc_now(),
                )
            )
        session.flush()
        for number in range(count):
            if number % 3 < 2:
                session.add(
                    AnnotationRow(
                        id=f"a{number}",
                        project_id="p",
                        image_id=f"i{number}",
                        class_id=CLASSES[number % 3],
                        created_at=utc_now(),
                    )
                )


def test_mixed_images_take_one_of_each_class_in_turn(db: Database) -> None:
    cats, dogs = ("i0", "i3"), ("i7", "i10")
    with db.read() as session:
        chosen = ImageFilter(image_ids=cats + dogs)
        by_path = queries.images(session, "p", chosen)
        mixed = queries.images(session, "p", chosen, order="mixed")
        rest = queries.images(session, "p", chosen, offset=3, order="mixed")
    assert [item.id for item in by_path.items] == ["i0", "i3", "i7", "i10"]
    assert [item.id for item in mixed.items] == ["i0", "i7", "i3", "i10"]
    assert [item.id for item in rest.items] == ["i10"]
    assert mixed.total == 4


def label_of(db: Database, image_id: str) -> str | None:
    with db.read() as session:
        labels = queries.image(session, "p", image_id).labels
    return labels[0].class_id if labels else None


def change(db: Database, ids: list[str], class_id: str, key: str | None = None) -> str:
    with db.write() as session:
        return edits.change_class(session, "p", ids, class_id, key, "local").batch


def undo(db: Database) -> str | None:
    with db.write() as session:
        receipt = edits.undo(session, "p")
    return None if receipt is None else receipt.message


def test_changing_a_class_appends_to_the_log(db: Database) -> None:
    with db.write() as session:
        receipt = edits.change_class(session, "p", ["i0", "i1", "i2"], "dog", "k", "local")
    assert (receipt.changed, receipt.batch, receipt.message) == (2, "k", "2 images changed to “dog”")
    assert [label_of(db, f"i{number}") for number in range(3)] == ["dog"] * 3
    with db.read() as session:
        rows = session.query(EditRow).order_by(EditRow.seq).all()
        assert [(row.seq, row.image_id, row.removed) for row in rows] == [(1, "i0", ["a0"]), (2, "i2", [])]
        assert queries.image(session, "p", "i0").revision == 1
        assert queries.image(session, "p", "i1").revision == 0
        assert session.get_one(AnnotationRow, "a0").on_head is False


def test_the_same_key_again_returns_the_same_receipt(db: Database) -> None:
    with db.write() as session:
        first = edits.change_class(session, "p", ["i0"], "dog", "k")
    change(db, ["i0"], "bird")
    with db.write() as session:
        assert edits.change_class(session, "p", ["i0"], "dog", "k") == first
    assert label_of(db, "i0") == "bird"
    with db.write() as session:
        one = edits.leave_out(session, "p", ["i0", "i1"], True, "l")
        assert edits.leave_out(session, "p", ["i0", "i1"], True, "l") == one and one.changed == 2


def test_undo_walks_back_and_is_an_edit_itself(db: Database) -> None:
    change(db, ["i0"], "dog")
    change(db, ["i0", "i2"], "bird")
    with db.write() as session:
        edits.leave_out(session, "p", ["i1"])
    with db.read() as session:
        assert queries.summary(session, "p").undo == "1 image left out"
    assert undo(db) == "Undone: 1 image left out"
    assert undo(db) == "Undone: 2 images changed to “bird”"
    assert label_of(db, "i0") == "dog" and label_of(db, "i2") is None
    assert undo(db) == "Undone: 1 image changed to “dog”"
    assert label_of(db, "i0") == "cat"
    assert undo(db) is None
    with db.read() as session:
        assert session.query(EditRow).count() == 8
        summary = queries.summary(session, "p")
        assert (summary.undo, summary.left_out) == ("", 0)


def test_undo_refuses_when_an_import_came_between(db: Database) -> None:
    change(db, ["i0"], "dog")
    with db.write() as session:
        session.query(AnnotationRow).filter_by(image_id="i0").update({"on_head": False})
    with pytest.raises(ConflictError, match="import"):
        undo(db)


def test_what_does_not_exist_is_named(db: Database) -> None:
    with db.write() as session:
        with pytest.raises(NotFoundError, match="class"):
            edits.change_class(session, "p", ["i0"], "nope")
        with pytest.raises(NotFoundError, match="class"):
            edits.change_class(session, "q", ["i0"], "dog")
        with pytest.raises(NotFoundError, match="1 of these images"):
            edits.leave_out(session, "p", ["i0", "nope"])
        with pytest.raises(NotFoundError):
            queries.image(session, "q", "i0")
        assert edits.change_class(session, "p", [], "dog").changed == 0


def test_adding_a_class(db: Database) -> None:
    with db.write() as session:
        made = edits.add_class(session, "p", "  a  fish ")
        assert (made.name, made.position) == ("a fish", 3)
        assert edits.add_class(session, "p", "a fish").id == made.id
        for wrong in ("", "   ", "x" * 201):
            with pytest.raises(InputError):
                edits.add_class(session, "p", wrong)


def test_a_version_is_reused_until_the_head_changes(db: Database, settings: Settings) -> None:
    def freeze() -> tuple[str, int, str]:
        with db.write() as session:
            row = manifest.freeze_version(session, settings, "p", "manual")
            return row.id, row.number, row.changes

    first = freeze()
    assert first[1:] == (1, "") and freeze() == first
    change(db, ["i0", "i1"], "bird")
    with db.write() as session:
        edits.leave_out(session, "p", ["i5"])
        edits.add_class(session, "p", "fish")
    second = freeze()
    assert second[1:] == (2, "2 labels changed, 1 image left out, 1 class added since version 1")
    undo(db)
    assert freeze()[2] == "1 image added since version 2"
    loaded = manifest.load_manifest(db, settings, first[0])
    assert len(loaded.images) == IMAGES and [info.images for info in loaded.classes] == [4, 4, 0]
    assert manifest.decode(manifest.encode(loaded)) == loaded
    assert {image.id for image in loaded.of_split("test")} == {"i9", "i10"}
    with pytest.raises(NotFoundError):
        manifest.load_manifest(db, settings, "nope")


def test_changed_since_version_counts_what_really_differs(db: Database, settings: Settings) -> None:
    def changed() -> int:
        with db.read() as session:
            return queries.summary(session, "p").changed_since_version

    with db.write() as session:
        manifest.freeze_version(session, settings, "p", "manual")
    assert changed() == 0
    change(db, ["i0", "i1"], "bird")
    assert changed() == 2
    undo(db)
    assert changed() == 0


def test_summary_and_filters(db: Database) -> None:
    with db.write() as session:
        edits.leave_out(session, "p", ["i11"])
    with db.read() as session:
        summary = queries.summary(session, "p")
        assert (summary.images, summary.left_out, summary.unlabelled) == (11, 1, 3)
        assert summary.splits == {"train": 8, "val": 0, "test": 3}
        assert [(info.name, info.images) for info in summary.classes] == [("cat", 4), ("dog", 4), ("bird", 0)]
        assert summary.sizes is not None and summary.sizes.smallest == (1, 2)
        assert summary.sizes.median == (6, 2) and summary.sizes.largest == (11, 2)

        def found(**chosen: object) -> list[str]:
            return [item.id for item in queries.images(session, "p", ImageFilter(**chosen)).items]

        assert found(class_ids=("cat",), splits=("test",)) == ["i9"]
        assert found(unlabelled=True) == ["i2", "i5", "i8"]
        assert found(left_out=True) == ["i11"]
        assert len(found(left_out=None)) == 12
        assert found(image_ids=("i3", "i1")) == ["i1", "i3"]
        page = queries.images(session, "p", None, offset=10, limit=5)
        assert (page.total, [item.path for item in page.items]) == (11, ["00010.png"])
        assert queries.summary(session, "q").images == 0


def test_the_number_of_statements_does_not_grow(tmp_path: Path) -> None:
    def statements(count: int) -> int:
        home = tmp_path / str(count)
        database = Database(Settings(home=home, database_url=f"sqlite:///{home / 'test.db'}"))
        fill(database, count)
        seen: list[str] = []
        event.listen(database.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
        with database.read() as session:
            queries.summary(session, "p")
            queries.images(session, "p", ImageFilter(class_ids=("cat",)), 0, 60)
            manifest.head_manifest(session, "p")
        database.close()
        return len(seen)

    assert statements(6) == statements(120)
