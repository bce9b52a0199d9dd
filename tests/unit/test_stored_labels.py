"""Labels from an import to a version: rows, their geometry as text, and the manifest that takes it over."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Text, cast, select, update
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.datasets import commit, manifest
from engine.datasets.account import Account
from engine.datasets.geometry import geometry_of, geometry_text, stored_text
from engine.datasets.intake import Taken
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons, Rle
from engine.datasets.newcomers import Incoming
from engine.settings import Settings
from engine.storage.blobs import BlobStore
from engine.storage.database import Database
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow, Project

BOX = (1.0, 2.5, 4.0, 7.25)
OUTLINES = Polygons.of([[1, 2, 3.5, 2, 3, 4], [0.00001234, 1e-7, 0.1 + 0.2, 5, 6, 7]])
RUNS = Rle(8, 8, '04"\\8')
POINTS = ((1.5, 2.0, 2), (0.0, 0.0, 0))
WORDS = (("z", 'a "labels":[] b'), ("a", "é\n]}"))
LABELS = (
    Label("cat"),
    Label(""),
    Label("cat", attributes=WORDS),
    Label("cat", BOX),
    Label("cat", BOX, ignored=True),
    Label("cat", BOX, attributes=WORDS),
    Label("cat", BOX, OUTLINES),
    Label("cat", BOX, RUNS, ignored=True, attributes=WORDS),
    Label("cat", None, OUTLINES),
    Label("cat", None, OUTLINES, attributes=WORDS),
    Label("cat", None, RUNS),
    Label("cat", None, RUNS, ignored=True),
    Label("", BOX, None, POINTS),
    Label("", None, None, POINTS, attributes=WORDS),
    Label("", None, OUTLINES, POINTS, ignored=True),
)
TERMS = commit.Terms("j", "new", 100)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'test.db'}")


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    with database.write() as session:
        session.add(Project(id="p", name="P", task="detection", created_at=utc_now(), preprocessing={}))
    yield database
    database.close()


def incoming() -> list[Incoming]:
    """An image for each label, one with all of them, one with nothing on it and one not labelled."""
    rows = [(f"{number:02d}.png", (label,)) for number, label in enumerate(LABELS)]
    made = [one_image(path, labels) for path, labels in [*rows, ('"labels":[].png', LABELS), ("z.png", ())]]
    return [*made, replace(one_image("y.png"), row=ImageLabels("y.png", split="val", negative=True))]


def one_image(path: str, labels: tuple[Label, ...] = ()) -> Incoming:
    row = ImageLabels(path, split="train", group='patient "1"')
    return Incoming(row, Taken(path, "", path.encode().hex().rjust(64, "0"), 5, "PNG", "RGB", 8, 9), labels)


def write(session: Session, items: list[Incoming], terms: commit.Terms = TERMS) -> Account:
    account = Account()
    project = session.get_one(Project, "p")
    commit.commit_rows(session, project, items, account, [ClassHead("cat")], terms)
    return account


def frozen(session: Session, settings: Settings) -> bytes:
    version = manifest.freeze_version(session, settings, "p", "manual")
    return BlobStore(settings.files).read(version.manifest)


def plain(value: Any, **spelling: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **spelling)


def old_spelling(label: Label) -> str:
    """As rows were written before: with spaces, letters escaped, and keys as they came."""
    return json.dumps(dict(reversed(geometry_of(label).items())) or None)


@pytest.mark.parametrize("label", LABELS)
def test_a_geometry_has_one_spelling(label: Label) -> None:
    wanted = plain(geometry_of(label), sort_keys=True, separators=(",", ":")) if geometry_of(label) else None
    assert geometry_text(label) == wanted
    assert stored_text(wanted) == wanted
    assert stored_text(old_spelling(label)) == wanted


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15), min_size=4)
)
def test_numbers_are_spelled_as_python_does(values: list[float]) -> None:
    label = Label("cat", (values[0], values[1], values[2], values[3]), Polygons.of([values]))
    wanted = {"box": values[:4], "polygons": [values]}
    assert geometry_text(label) == plain(wanted, separators=(",", ":"))


def test_a_version_says_what_was_imported(db: Database, settings: Settings) -> None:
    with db.write() as session:
        write(session, incoming())
        header, *lines = map(json.loads, frozen(session, settings).splitlines())
        ids = set(session.scalars(select(AnnotationRow.id)))
        class_id = session.scalars(select(ClassRow.id)).one()
    assert [line["path"] for line in lines] == sorted(item.row.path for item in incoming())
    items = {item.row.path: item for item in incoming()}
    for line in lines:
        item = items[line["path"]]
        for label, said in zip(item.labels, line["labels"], strict=True):
            assert said.pop("id") in ids
            assert said.pop("class_id") == (class_id if label.name else "")
            assert said == geometry_of(label)
        told = (line.get("group"), line["split"], line["sha256"], line["width"], line["height"])
        row = item.row
        assert told == (row.group, row.split, item.taken.sha256, 8, 9)
        assert line.get("negative", False) == item.negative
    assert header["classes"][0]["images"] == sum(label.name == "cat" for label in LABELS) * 2


@pytest.mark.parametrize("old", [False, True])
def test_a_version_is_what_encoding_the_head_gives(db: Database, settings: Settings, old: bool) -> None:
    """Also where rows were written by an earlier version, and the bytes are the same as then."""
    with db.write() as session:
        write(session, incoming())
        before = frozen(session, settings)
        if old:
            respell(session)
        assert frozen(session, settings) == before == manifest.encode(manifest.head_manifest(session, "p"))
    rows = [json.loads(line) for line in before.splitlines()]
    assert before.decode() == "".join(
        plain(row, sort_keys=True, separators=(",", ":")) + "\n" for row in rows
    )
    loaded = manifest.decode(before)
    assert len(loaded.images) == len(incoming()) and manifest.encode(loaded) == before


def respell(session: Session) -> None:
    rows = session.execute(select(AnnotationRow.id, cast(AnnotationRow.geometry, Text))).all()
    for key, text in rows:
        geometry = dict(reversed(json.loads(text).items())) if text else None
        session.execute(update(AnnotationRow).where(AnnotationRow.id == key).values(geometry=geometry))
        stored = select(cast(AnnotationRow.geometry, Text)).where(AnnotationRow.id == key)
        assert session.scalars(stored).one() == json.dumps(geometry)


def test_rows_have_all_that_their_columns_ask_for(db: Database) -> None:
    with db.write() as session:
        account = write(session, incoming())
    with db.read() as session:
        image = session.scalars(select(ImageRow).where(ImageRow.path == "y.png")).one()
        kinds = session.scalars(select(AnnotationRow.kind).order_by(AnnotationRow.id)).all()
        label = session.scalars(select(AnnotationRow).where(AnnotationRow.kind == "points").limit(1)).one()
    assert (image.negative, image.left_out, image.revision, image.import_id) == (True, False, 0, "j")
    assert (image.split, image.group_key, image.width, image.height) == ("val", None, 8, 9)
    assert (label.on_head, label.person_id, label.class_id, label.project_id) == (True, None, None, "p")
    assert label.created_at >= image.added_at
    assert timedelta(0) <= utc_now() - label.created_at < timedelta(minutes=1)
    # Ids run as the labels come, so those of the images with one label each come first.
    own = ["class"] * 3 + ["box"] * 3 + ["mask"] * 6 + ["points"] * 3
    assert kinds == own + own
    assert account.labels.kept == len(kinds)


@pytest.mark.parametrize("old", [False, True])
def test_the_same_labels_again_are_the_same(db: Database, old: bool) -> None:
    adding = commit.Terms("k", "add", 100)
    with db.write() as session:
        write(session, incoming())
        if old:
            respell(session)
        assert not write(session, incoming(), adding).issues
        other = [one_image("03.png", (Label("cat", (1.0, 2.5, 4.0, 7.0)),))]
        account = write(session, other, adding)
        assert session.query(AnnotationRow).count() == 2 * len(LABELS)
    assert [issue.reason for issue in account.issues] == ["the image is in the project as “cat”; that stays"]


def test_ids_are_in_order_and_never_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [bytes(16), b"\xff" * 8 + bytes(8)]
    monkeypatch.setattr(os, "urandom", lambda size: drawn.pop(0))
    assert list(commit._new_ids(2)) == ["0" * 12, "f" * 12]
    monkeypatch.undo()
    ids = list(commit._new_ids(500))
    assert ids == sorted(set(ids)) and {len(key) for key in ids} == {12}
    assert list(commit._new_ids(0)) == []
