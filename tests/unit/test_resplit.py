"""New splits on demand, on a real database: drawn, undone, moved, by group, in folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import SplitRule
from engine.datasets import edits, manifest, queries, resplit
from engine.errors import InputError, NotFoundError
from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.tables import AnnotationRow, ClassRow, EditRow, FileRow, ImageRow, Project

IMAGES = 40


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'test.db'}")


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """Forty images of ten patients, all in train; two classes in turn, the last four not labelled."""
    database = Database(settings)
    with database.write() as session:
        session.add(Project(id="p", name="P", task="classification", created_at=utc_now(), preprocessing={}))
        session.add(Project(id="q", name="Q", task="classification", created_at=utc_now(), preprocessing={}))
        session.add(FileRow(sha256="f" * 64, bytes=1, format="PNG", mode="RGB", width=8, height=8))
        session.flush()
        for position, name in enumerate(("cat", "dog")):
            session.add(ClassRow(id=f"c{position}", project_id="p", name=name, position=position))
        session.flush()
        for number in range(IMAGES):
            values = {"width": 8, "height": 8, "split": "train", "added_at": utc_now()}
            path = f"p{number % 10:02d}/{number:03d}.png"
            session.add(ImageRow(id=f"i{number:02d}", project_id="p", path=path, sha256="f" * 64, **values))
        session.flush()
        for number in range(IMAGES - 4):
            label = {
                "image_id": f"i{number:02d}",
                "class_id": f"c{number // 10 % 2}",
                "created_at": utc_now(),
            }
            session.add(AnnotationRow(id=f"a{number}", project_id="p", **label))
    yield database
    database.close()


def splits_now(db: Database) -> dict[str, str]:
    with db.read() as session:
        return {item.id: str(item.split) for item in queries.images(session, "p", limit=100).items}


def test_drawing_anew_is_one_step_that_can_be_undone(db: Database) -> None:
    before = splits_now(db)
    rule = SplitRule(fractions=(0.5, 0.25, 0.25), seed=3)
    with db.read() as session:
        told = resplit.preview(session, "p", rule)
    with db.write() as session:
        receipt = resplit.resplit(session, "p", rule, "k", "local")
        assert resplit.resplit(session, "p", SplitRule(seed=9), "k", "local") == receipt
        assert resplit.current_rule(session, "p") == rule
    after = splits_now(db)
    assert Counter(after.values()) == told.splits == {"train": 20, "val": 10, "test": 10}
    assert receipt.changed == told.moved == sum(before[key] != after[key] for key in before) == 20
    assert receipt.message == "Splits drawn again (50 / 25 / 25, by image, seed 3): 20 images moved"
    assert [row.images for row in told.classes] == [
        {"train": 10, "val": 5, "test": 5},
        {"train": 8, "val": 4, "test": 4},
    ]
    with db.write() as session:
        assert queries.summary(session, "p").undo == receipt.message
        undone = edits.undo(session, "p")
        assert undone is not None and undone.changed == 20
        assert resplit.current_rule(session, "p") is None and edits.undo(session, "p") is None
    assert splits_now(db) == before


def test_the_same_rule_again_changes_nothing(db: Database) -> None:
    with db.write() as session:
        resplit.resplit(session, "p", SplitRule())
        again = resplit.resplit(session, "p", SplitRule())
        assert (again.changed, again.message) == (0, "Nothing to change.")


def test_changed_images_are_counted_against_the_version(db: Database, settings: Settings) -> None:
    def changed() -> int:
        with db.read() as session:
            return queries.summary(session, "p").changed_since_version

    with db.write() as session:
        manifest.freeze_version(session, settings, "p", "manual")
        resplit.move_to_split(session, "p", ["i00", "i01"], "val")
        resplit.move_to_split(session, "p", ["i00"], "test")
    assert changed() == 2
    with db.write() as session:
        resplit.move_to_split(session, "p", ["i00"], "train")
    assert changed() == 1
    with db.write() as session:
        edits.undo(session, "p")
        version = manifest.freeze_version(session, settings, "p", "manual")
        assert version.changes == "2 images moved to another split since version 1"


def test_moving_by_hand(db: Database) -> None:
    with db.write() as session:
        receipt = resplit.move_to_split(session, "p", ["i00", "i01", "i00"], "test", "k", "local")
        assert (receipt.changed, receipt.message) == (2, "2 images moved to test")
        assert resplit.move_to_split(session, "p", ["i02"], "test", "k") == receipt
        again = resplit.move_to_split(session, "p", ["i00", "i01"], "test")
        assert (again.changed, again.message) == (0, "2 images were in test already.")
        rows = session.query(EditRow).order_by(EditRow.seq).all()
        assert [(row.image_id, row.before) for row in rows] == [
            ("i00", {"split": "train"}),
            ("i01", {"split": "train"}),
        ]
        assert session.get_one(ImageRow, "i00").revision == 1
        with pytest.raises(NotFoundError, match="1 of these images"):
            resplit.move_to_split(session, "p", ["nope"], "test")
        with pytest.raises(NotFoundError):
            resplit.move_to_split(session, "q", ["i00"], "test")
        with pytest.raises(InputError, match="no split"):
            resplit.move_to_split(session, "p", ["i00"], "training")  # type: ignore[arg-type]


def test_a_move_says_which_were_there_already(db: Database) -> None:
    with db.write() as session:
        resplit.move_to_split(session, "p", ["i00"], "val")
        receipt = resplit.move_to_split(session, "p", ["i00", "i01"], "val", "k")
        assert receipt.message == "1 image moved to validation; 1 was there already"
        assert queries.summary(session, "p").undo == receipt.message
        assert (
            resplit.move_to_split(session, "p", ["i00"], "val").message
            == "1 image was in validation already."
        )


def test_moves_by_hand_count_until_the_splits_are_drawn_anew(db: Database) -> None:
    with db.write() as session:
        assert resplit.moved_by_hand(session, "p") == 0
        resplit.move_to_split(session, "p", ["i00", "i01", "i02"], "test")
        resplit.move_to_split(session, "p", ["i00"], "val")
        assert resplit.moved_by_hand(session, "p") == 3
        resplit.move_to_split(session, "p", ["i00"], "train")
        assert resplit.moved_by_hand(session, "p") == 2, "moved back"
        edits.undo(session, "p")
        assert resplit.moved_by_hand(session, "p") == 3
        resplit.resplit(session, "p", SplitRule(seed=4))
        assert resplit.moved_by_hand(session, "p") == 0
        edits.undo(session, "p")
        assert resplit.moved_by_hand(session, "p") == 3
        assert resplit.moved_by_hand(session, "q") == 0


def test_what_each_rule_would_group_by(db: Database) -> None:
    with db.write() as session:
        session.get_one(ImageRow, "i00").group_key = "one"
        edits.leave_out(session, "p", ["i01"])
        rules = ("", "folder", "folder:2", "before:_", r"(\d)\.png")
        own, folder, second, before, digit = resplit.groupings(session, "p", rules)
        assert (own.groups, own.without, own.examples) == (1, 38, (("one", 1),))
        assert (folder.groups, folder.largest, folder.without) == (10, 4, 0)
        assert second.groups == before.groups == 0
        assert digit.groups == 10
        with pytest.raises(InputError, match="brackets"):
            resplit.groupings(session, "p", ["no brackets"])


def test_groups_stay_together_and_images_left_out_follow(db: Database) -> None:
    with db.write() as session:
        edits.leave_out(session, "p", ["i00", "i11"])
        rule = SplitRule(by="group", group_rule="folder")
        told = resplit.preview(session, "p", rule)
        resplit.resplit(session, "p", rule)
        rows = session.query(ImageRow).all()
    assert len({(row.path[:3], row.split) for row in rows}) == 10
    assert told.groups is not None
    assert (told.groups.groups, told.groups.largest, told.groups.without) == (10, 4, 0)
    assert sum(told.splits.values()) == 38 and told.splits["test"] == 4


def test_groups_that_the_set_named(db: Database) -> None:
    rule = SplitRule(by="group")
    with db.write() as session:
        with pytest.raises(InputError, match="The set names no groups"):
            resplit.resplit(session, "p", rule)
        for row in session.query(ImageRow).filter(ImageRow.id < "i30"):
            row.group_key = "one" if row.id < "i25" else "two"
        told = resplit.preview(session, "p", rule)
        resplit.resplit(session, "p", rule)
        assert len({row.split for row in session.query(ImageRow).filter(ImageRow.group_key == "one")}) == 1
    assert told.groups is not None and (told.groups.largest_key, told.groups.without) == ("one", 10)
    assert "10 images without a group: each goes by itself." in told.note


def test_notes_say_what_groups_make_impossible(db: Database) -> None:
    with db.read() as session:
        told = resplit.preview(session, "p", SplitRule(by="group", group_rule=r"^(p0)"))
        assert "The largest group holds 100% of the images." in told.note
        assert "2 classes are in fewer than 3 groups, so not every part has it." in told.note


def test_folds(db: Database) -> None:
    with db.write() as session:
        edits.leave_out(session, "p", ["i00"])
        plain = resplit.folds(session, "p", 3)
        grouped = resplit.folds(session, "p", 5, 1, "folder:1")
        with pytest.raises(InputError, match="2 to 20"):
            resplit.folds(session, "p", 1)
    assert len(plain.images) == 39 and sorted(Counter(row.fold for row in plain.images).values()) == [13] * 3
    dogs = plain.classes[1].images
    assert set(dogs) == {"1", "2", "3"} and sorted(dogs.values()) == [5, 5, 6]
    assert len({(row.path[:3], row.fold) for row in grouped.images}) == 10
    assert [row.path for row in plain.images] == sorted(row.path for row in plain.images)
    assert set(splits_now(db).values()) == {"train"}


def test_one_fold_validates_and_test_stays(db: Database) -> None:
    tested = {"i00", "i01", "i20", "i21"}
    with db.write() as session:
        resplit.move_to_split(session, "p", sorted(tested), "test")
        before = splits_of(session)
        plan = {row.id: row.fold for row in resplit.folds(session, "p", 4, 3).images}
        validated: list[str] = []
        for fold in (1, 2, 3, 4):
            rule = SplitRule(folds=4, held_out=fold, seed=3)
            told = resplit.preview(session, "p", rule)
            receipt = resplit.resplit(session, "p", rule)
            now = splits_of(session)
            assert {image for image, split in now.items() if split == "test"} == tested
            held = [image for image, split in now.items() if split == "val"]
            assert held == [image for image, part in plan.items() if part == fold and image not in tested]
            assert told.splits == {"train": 27, "val": 9, "test": 4}
            assert [row.images["val"] for row in told.classes] == [4, 4]
            assert f"(fold {fold} of 4 validates, by image, seed 3)" in receipt.message
            assert resplit.current_rule(session, "p") == rule
            validated += held
        assert sorted(validated) == sorted(set(plan) - tested)
        for _ in range(4):
            edits.undo(session, "p")
        assert splits_of(session) == before
        assert resplit.current_rule(session, "p") is None


def test_folds_by_group_say_which_groups_test_parts(db: Database) -> None:
    with db.write() as session:
        resplit.move_to_split(session, "p", ["i00"], "test")
        edits.leave_out(session, "p", ["i01"])
        told = resplit.preview(session, "p", SplitRule(by="group", group_rule="folder:1", folds=5))
        assert "1 group has images in test and outside it." in told.note
        assert told.groups is not None and told.groups.groups == 10
        resplit.resplit(session, "p", SplitRule(by="group", group_rule="folder:1", folds=5, held_out=2))
        rows = session.query(ImageRow).filter(ImageRow.id != "i00")
        assert len({(row.path[:3], row.split) for row in rows}) == 10, "also the one that is left out"


def splits_of(session: Session) -> dict[str, str]:
    return {row.id: str(row.split) for row in session.query(ImageRow).order_by(ImageRow.path)}


def test_rules_that_say_nothing_possible(db: Database) -> None:
    wrong = [
        (SplitRule(fractions=(0.5, 0.5, 0.5)), "100 %"),
        (SplitRule(fractions=(1.5, -0.5, 0.0)), "100 %"),
        (SplitRule(fractions=(0.0, 0.5, 0.5)), "train on"),
        (SplitRule(fractions=(float("nan"), 0.5, 0.5)), "100 %"),
        (SplitRule(seed=-1), "seed"),
        (SplitRule(folds=5, held_out=6), "no fold 6 of 5"),
        (SplitRule(folds=5, held_out=0), "no fold 0 of 5"),
        (SplitRule(folds=0), "2 to 20 folds"),
        (SplitRule(by="group", group_rule="(a+)+"), "cannot be used"),
        (SplitRule(by="group", group_rule="^(x)"), "finds no group"),
    ]
    with db.read() as session:
        for rule, sentence in wrong:
            with pytest.raises(InputError, match=sentence):
                resplit.preview(session, "p", rule)
        with pytest.raises(InputError, match="no images"):
            resplit.preview(session, "q", SplitRule())
        with pytest.raises(NotFoundError):
            resplit.preview(session, "nope", SplitRule())
