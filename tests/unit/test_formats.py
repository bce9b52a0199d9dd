"""Formats: recognised from content, read row by row, and equal after writing and reading again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contracts.datasets import Split
from engine.datasets.archive import Member, Source, open_source
from engine.datasets.formats import class_folders
from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    ImageIndex,
    ReadOptions,
    SourceView,
    clean_class,
)
from engine.datasets.formats.registry import FORMATS, formats_for, get_format, recognise, serving
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.datasets.losses import Holdings, losses
from engine.errors import InputError
from engine.settings import Limits


def listed(*paths: str) -> Source:
    """A source with these names and nothing behind them."""
    return Source("set", tuple(Member(path, 1, "") for path in paths))


def placed(*paths: str) -> dict[str, tuple[str | None, str | None]]:
    rows = class_folders.read(SourceView(listed(*paths)), ReadOptions("class")).rows
    return {r.path: (r.names[0] if r.labels else None, r.split) for r in rows if isinstance(r, ImageLabels)}


def table_source(folder: Path, text: str | bytes, *images: str, name: str = "labels.csv") -> Source:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(b"x")
    return open_source((("set", folder),), Limits())


# -- class folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "root/", "a/b/c/", "train/"])
def test_classes_as_folders_at_any_depth(prefix: str) -> None:
    made = placed(f"{prefix}cat/1.jpg", f"{prefix}dog/1.jpg", f"{prefix}dog/deep/2.jpg")
    assert list(made.values()) == [("cat", None), ("dog", None), ("dog", None)]


@pytest.mark.parametrize(
    ("word", "split"), [("val", "val"), ("valid", "val"), ("Validation", "val"), ("test", "test")]
)
def test_splits_above_the_classes(word: str, split: str) -> None:
    made = placed("r/train/cat/1.jpg", "r/train/dog/1.jpg", f"r/{word}/cat/2.jpg", f"r/{word}/dog/2.jpg")
    assert set(made.values()) == {("cat", "train"), ("dog", "train"), ("cat", split), ("dog", split)}


def test_splits_below_the_classes() -> None:
    made = placed("cat/train/1.jpg", "cat/test/2.jpg", "dog/train/1.jpg", "dog/test/2.jpg")
    assert set(made.values()) == {("cat", "train"), ("cat", "test"), ("dog", "train"), ("dog", "test")}


def test_pictures_outside_the_class_folders_carry_no_label() -> None:
    made = placed("cover.jpg", "r/train/cat/1.jpg", "r/train/dog/1.jpg", "r/test/9.jpg")
    assert made["cover.jpg"] == (None, None) and made["r/test/9.jpg"] == (None, "test")


def test_a_class_may_be_called_train() -> None:
    assert set(placed("bus/1.jpg", "train/1.jpg", "plane/1.jpg").values()) == {
        ("bus", None),
        ("train", None),
        ("plane", None),
    }


def test_a_folder_beside_the_splits_is_refused() -> None:
    with pytest.raises(InputError, match="extra"):
        placed("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "extra/cat/1.jpg")


# -- all formats ------------------------------------------------------------------------------------


def test_a_table_about_something_else_is_no_label_table(tmp_path: Path) -> None:
    source = table_source(tmp_path, "name;age\nBob;3\n", "cat/a.jpg", "dog/b.jpg")
    found = serving(recognise(source), "class")
    assert [one.format.name for one in found] == ["class_folders", "loose_images"]


def test_index_matches_whole_ends_only() -> None:
    index = ImageIndex(["root/a/1.jpg", "root/b/1.jpg", "2.jpg"])
    assert index("a/1.jpg") == "root/a/1.jpg" and index("x/y/2.jpg") == "2.jpg"
    for wrong in ("c/1.jpg", "1.jpg", "3.jpg", "oot/a/1.jpg"):
        with pytest.raises(LookupError):
            index(wrong)


def test_recognition_says_why_and_puts_the_most_explicit_first(tmp_path: Path) -> None:
    source = table_source(tmp_path, "path,label\na/1.jpg,x\nb/1.jpg,y\n", "a/1.jpg", "b/1.jpg")
    guesses = serving(recognise(source), "class")
    assert [guess.format.name for guess in guesses] == ["csv_table", "class_folders", "loose_images"]
    assert "labels.csv" in guesses[0].recognition.reason and guesses[0].recognition.classes == ("x", "y")
    assert "2 folders" in guesses[1].recognition.reason and guesses[1].recognition.classes == ("a", "b")
    assert recognise(table_source(tmp_path / "other", "Read me.\n", name="readme.txt")) == []


def test_no_format_of_other_labels_is_offered() -> None:
    known = {labels: {one.name for one in formats_for(labels)} for labels in ("class", "none")}
    assert known["none"] == {"loose_images"} < known["class"]
    found = serving(recognise(listed("a/1.jpg", "b/1.jpg")), "none")
    assert [one.format.name for one in found] == ["loose_images"]
    with pytest.raises(InputError, match="csv_table"):
        get_format("csv_table", "none")


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="csv_table"):
        get_format("none such", "class")


NAMES = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), blacklist_characters="/\\"),
    min_size=1,
    max_size=12,
).map(lambda text: f"c{text}")


@pytest.mark.parametrize(
    "known",
    [known for known in FORMATS if known.write and "class" in known.carries],
    ids=lambda known: known.name,
)
@settings(max_examples=40, deadline=None)
@given(names=st.lists(NAMES, min_size=2, max_size=4, unique_by=str.casefold), with_splits=st.booleans())
def test_written_and_read_again_is_equal(
    tmp_path_factory: pytest.TempPathFactory, known: DatasetFormat, names: list[str], with_splits: bool
) -> None:
    folder = tmp_path_factory.mktemp("round")
    picture = folder / "picture.jpg"
    Image.new("RGB", (2, 2)).save(picture)
    splits: tuple[Split | None, ...] = ("train", "val", "test") if with_splits else (None, None, None)
    rows = [
        ImageLabels(f"{number}-{split}.jpg", (Label(name),), split, size=(2, 2))
        for number, name in enumerate(names)
        for split in splits[: 3 if with_splits else 1]
    ]
    assert known.write is not None
    try:
        heads = tuple(map(ClassHead, dict.fromkeys(names)))
        known.write(ExportSet("class", heads, ((row, picture) for row in rows)), folder / "set")
    except InputError:
        # A folder "c:" would be read as a drive, so no such folder is written.
        assert known.name == "class_folders" and any(name[1:2] == ":" for name in names)
        return
    source = open_source((("set", folder / "set"),), Limits())
    assert not source.skipped
    rows_read = known.read(SourceView(source), ReadOptions("class")).rows
    read = [row for row in rows_read if isinstance(row, ImageLabels)]

    def content(rows: list[ImageLabels]) -> list[tuple[tuple[str, ...], str]]:
        # Names come back in NFC; nothing else may change.
        return sorted((tuple(map(clean_class, row.names)), row.split or "") for row in rows)

    assert content(read) == content(rows)


def test_class_folders_refuse_names_that_are_no_folders(tmp_path: Path) -> None:
    picture = tmp_path / "p.jpg"
    picture.write_bytes(b"x")
    for name in ("a/b", "..", "a\\b", "c:", "__MACOSX", "."):
        with pytest.raises(InputError, match="folder"):
            row = ImageLabels("a.jpg", (Label(name),))
            class_folders.write(ExportSet("class", (ClassHead(name),), [(row, picture)]), tmp_path / "set")


# -- names of written files, and kinds that serve another ----------------------------------------------------


def test_a_space_at_an_end_of_a_name_belongs_to_it_when_there_is_such_a_file() -> None:
    index = ImageIndex([" a.png", "b.png", "x/ c.png"])
    assert (index(" a.png"), index(" b.png "), index(" c.png")) == (" a.png", "b.png", "x/ c.png")
    with pytest.raises(LookupError, match="no image of this name"):
        index("a.png")


@pytest.mark.parametrize(
    "options", [{}, {"flat": True}, {"unique_stems": True}, {"flat": True, "plain": True}]
)
def test_written_names_are_unique_and_no_folder_is_a_file(options: dict[str, bool]) -> None:
    names = ImageNames(Path("unused"), **options)
    paths = [
        "a.png",
        "a.png/b.png",
        "c.png/d.png",
        "c.png",
        "A.PNG/b.png",
        "a.png",
        "a.jpg",
        "é" * 200 + ".png",
    ]
    paths += [f"{'l' * 170}/{letter * 170}/same.png" for letter in "mno"]
    found = [names.name(path, "images") for path in paths]
    assert len({name.casefold() for name in found}) == len(paths)
    folders = {str(parent).casefold() for name in found for parent in PurePosixPath(name).parents}
    assert not folders & {name.casefold() for name in found}
    assert all(len(part.encode()) < 200 for name in found for part in name.split("/"))
    if "unique_stems" in options:
        assert len({str(PurePosixPath(name).with_suffix("")).casefold() for name in found}) == len(paths)


def test_a_set_of_boxes_serves_the_task_with_one_box(tmp_path: Path) -> None:
    record = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    source = table_source(tmp_path, json.dumps(record), "a.png", name="labels.json")
    assert next(found.format.name for found in serving(recognise(source), "box")) == "coco"
    assert not any(found.format.name == "coco" for found in serving(recognise(source), "regions"))


def test_what_a_format_loses_depends_on_the_kind() -> None:
    voc = get_format("voc", "masks")
    held = Holdings(labels=Counter(runs=1, attributes=1), attributes=Counter(occluded=1))
    assert "Attributes of labels are left out: occluded (of 1 label)." in losses(voc, held, "masks")
    assert losses(voc, held, "boxes") == ()
    assert any("overlap" in text for text in losses(voc, held, "masks"))
    assert losses(voc, Holdings(), "masks") == (), "where nothing is drawn, nothing overlaps"
