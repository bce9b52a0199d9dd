"""Formats: recognised from content, read row by row, and equal after writing and reading again."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contracts.datasets import ImportIssue, Outcome
from engine.datasets.archive import Member, Source, open_source
from engine.datasets.formats import class_folders, csv_table
from engine.datasets.formats.base import DatasetFormat, ImageIndex, ImageLabels, LabelIssue, SourceView
from engine.datasets.formats.registry import FORMATS, formats_for, get_format, recognise
from engine.errors import ArchiveError, InputError
from engine.settings import Limits


def listed(*paths: str) -> Source:
    """A source with these names and nothing behind them."""
    return Source("set", tuple(Member(path, 1, "") for path in paths))


def placed(*paths: str) -> dict[str, tuple[str | None, str | None]]:
    rows = class_folders.read(SourceView(listed(*paths)))
    return {r.path: (r.labels[0] if r.labels else None, r.split) for r in rows if isinstance(r, ImageLabels)}


def table_source(folder: Path, text: str | bytes, *images: str, name: str = "labels.csv") -> Source:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(b"x")
    return open_source((("set", folder),), Limits())


def table_rows(source: Source) -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    rows = list(csv_table.read(SourceView(source)))
    images = {row.path: row for row in rows if isinstance(row, ImageLabels)}
    return images, [row.issue for row in rows if isinstance(row, LabelIssue)]


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


# -- tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [("path", "label", "split"), ("Image Path", "CLASS", "Subset")])
def test_tables_in_several_dialects(tmp_path: Path, delimiter: str, header: tuple[str, ...]) -> None:
    lines = [header, ("a.jpg", '"cat, big; grey"', "train"), ("b/c.jpg", "dog", "valid")]
    text = "\ufeff" + "\r\n".join(delimiter.join(line) for line in lines)
    images, issues = table_rows(table_source(tmp_path, text, "x/a.jpg", "x/b/c.jpg"))
    assert not issues
    assert (images["x/a.jpg"].labels, images["x/a.jpg"].split) == (("cat, big; grey",), "train")
    assert (images["x/b/c.jpg"].labels, images["x/b/c.jpg"].split) == (("dog",), "val")
    assert images["x/b/c.jpg"].line == 3


def test_a_table_without_header(tmp_path: Path) -> None:
    images, _ = table_rows(table_source(tmp_path, "a.jpg,cat\nb.jpg,dog\n", "a.jpg", "b.jpg"))
    assert {path: row.labels for path, row in images.items()} == {"a.jpg": ("cat",), "b.jpg": ("dog",)}


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/a.jpg", "../../a2.jpg", "c/a.jpg", ""]
)
def test_nothing_outside_the_source_is_found(tmp_path: Path, name: str) -> None:
    images, issues = table_rows(table_source(tmp_path, f"path,label\n{name},cat\n", "b/a.jpg"))
    assert [(issue.outcome, issue.line) for issue in issues] == [(Outcome.SKIPPED, 2)]
    assert "missing image" in issues[0].reason and images["b/a.jpg"].labels == ()


def test_ambiguous_names_are_skipped_and_whole_paths_are_not(tmp_path: Path) -> None:
    text = "path,label\na.jpg,cat\nx\\a.jpg,dog\n/home/me/set/y/a.jpg,dog\n"
    images, issues = table_rows(table_source(tmp_path, text, "x/a.jpg", "y/a.jpg"))
    assert "whole path" in issues[0].reason and len(issues) == 1
    assert images["x/a.jpg"].labels == images["y/a.jpg"].labels == ("dog",)


def test_two_labels_for_one_image_leave_it_without(tmp_path: Path) -> None:
    images, issues = table_rows(table_source(tmp_path, "path,label\na.jpg,cat\na.jpg,dog\n", "a.jpg"))
    assert images["a.jpg"].labels == ()
    assert [(issue.line, issue.outcome) for issue in issues] == [(2, Outcome.SKIPPED), (3, Outcome.SKIPPED)]


def test_the_same_row_twice_is_repaired(tmp_path: Path) -> None:
    images, issues = table_rows(table_source(tmp_path, "path,label\na.jpg,cat\na.jpg,cat\n", "a.jpg"))
    assert images["a.jpg"].labels == ("cat",) and [issue.outcome for issue in issues] == [Outcome.REPAIRED]


def test_an_unknown_split_is_reported(tmp_path: Path) -> None:
    images, _ = table_rows(table_source(tmp_path, "path,label,split\na.jpg,cat,holdout\n", "a.jpg"))
    assert images["a.jpg"].split is None and "holdout" in images["a.jpg"].repairs[0]


def test_one_table_for_each_split(tmp_path: Path) -> None:
    table_source(tmp_path, "path,label\na.jpg,cat\n", "a.jpg", "b.jpg", name="train.csv")
    source = table_source(tmp_path, "path,label\nb.jpg,dog\n", name="test.csv")
    images, _ = table_rows(source)
    assert {row.split for row in images.values()} == {"train", "test"}
    with pytest.raises(InputError, match="Several tables"):
        table_rows(table_source(tmp_path, "path,label\nb.jpg,dog\n", name="more.csv"))


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    source = table_source(tmp_path, "path,label\na.jpg,Käfer\n".encode("latin-1"), "a.jpg")
    with pytest.raises(InputError, match="UTF-8"):
        table_rows(source)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_table_in_an_archive_is_said(tmp_path: Path, method: int) -> None:
    path = tmp_path / "set.zip"
    rows = "\n".join(f"{number}.jpg,{number * 7919 % 10007}" for number in range(20_000))
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("labels.csv", "path,label\n" + rows)
        packed = archive.getinfo("labels.csv").compress_size
    content = bytearray(path.read_bytes())
    content[packed - 2000 : packed - 1000] = bytes(1000)
    path.write_bytes(content)
    source = open_source((("set.zip", path),), Limits())
    with pytest.raises(ArchiveError, match="labels"):
        recognise(source, "class")
    with pytest.raises(ArchiveError, match="labels"):
        table_rows(source)


def test_a_table_about_something_else_is_no_label_table(tmp_path: Path) -> None:
    source = table_source(tmp_path, "name;age\nBob;3\n", "cat/a.jpg", "dog/b.jpg")
    assert [guess.format for guess in recognise(source, "class")] == [
        "class_folders",
        "loose_images",
    ]


def test_index_matches_whole_ends_only() -> None:
    index = ImageIndex(["root/a/1.jpg", "root/b/1.jpg", "2.jpg"])
    assert index("a/1.jpg") == "root/a/1.jpg" and index("x/y/2.jpg") == "2.jpg"
    for wrong in ("c/1.jpg", "1.jpg", "3.jpg", "oot/a/1.jpg"):
        with pytest.raises(LookupError):
            index(wrong)


# -- all formats --------------------------------------------------------------------------------------


def test_recognition_says_why_and_puts_the_most_explicit_first(tmp_path: Path) -> None:
    source = table_source(tmp_path, "path,label\na/1.jpg,x\nb/1.jpg,y\n", "a/1.jpg", "b/1.jpg")
    guesses = recognise(source, "class")
    assert [guess.format for guess in guesses] == ["csv_table", "class_folders", "loose_images"]
    assert "labels.csv" in guesses[0].reason and guesses[0].classes == ("x", "y")
    assert "2 folders" in guesses[1].reason and guesses[1].classes == ("a", "b")
    assert recognise(listed("readme.txt"), "class") == []


def test_no_format_of_other_labels_is_offered() -> None:
    known = {labels: {one.name for one in formats_for(labels)} for labels in ("class", "none")}
    assert known["none"] == {"loose_images"} < known["class"]
    assert [guess.format for guess in recognise(listed("a/1.jpg", "b/1.jpg"), "none")] == ["loose_images"]
    with pytest.raises(InputError, match="csv_table"):
        get_format("csv_table", "none")


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="csv_table"):
        get_format("coco", "class")


NAMES = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), blacklist_characters="/\\"),
    min_size=1,
    max_size=12,
).map(lambda text: f"c{text}")


@pytest.mark.parametrize("known", [known for known in FORMATS if known.write], ids=lambda known: known.name)
@settings(max_examples=40, deadline=None)
@given(names=st.lists(NAMES, min_size=2, max_size=4, unique_by=str.casefold), with_splits=st.booleans())
def test_written_and_read_again_is_equal(
    tmp_path_factory: pytest.TempPathFactory, known: DatasetFormat, names: list[str], with_splits: bool
) -> None:
    folder = tmp_path_factory.mktemp("round")
    picture = folder / "picture.jpg"
    Image.new("RGB", (2, 2)).save(picture)
    splits = ("train", "val", "test") if with_splits else (None, None, None)
    rows = [
        ImageLabels(f"{number}-{split}.jpg", (name,), split)
        for number, name in enumerate(names)
        for split in splits[: 3 if with_splits else 1]
    ]
    assert known.write is not None
    try:
        known.write(((row, picture) for row in rows), folder / "set")
    except InputError:
        # A folder "c:" would be read as a drive, so no such folder is written.
        assert known.name == "class_folders" and any(name[1:2] == ":" for name in names)
        return
    source = open_source((("set", folder / "set"),), Limits())
    assert not source.skipped
    read = [row for row in known.read(SourceView(source)) if isinstance(row, ImageLabels)]

    def content(rows: list[ImageLabels]) -> list[tuple[tuple[str, ...], str]]:
        # Names come back in NFC; nothing else may change.
        return sorted((tuple(map(csv_table.clean_class, row.labels)), row.split or "") for row in rows)

    assert content(read) == content(rows)


def test_csv_keeps_hostile_class_names(tmp_path: Path) -> None:
    picture = tmp_path / "p.jpg"
    picture.write_bytes(b"x")
    names = ["=HYPERLINK(1)", '<img onerror="x">', "a,b;c", 'say "hi"', "../up", "-1"]
    rows = [ImageLabels(f"{number}.jpg", (name,)) for number, name in enumerate(names)]
    csv_table.write(((row, picture) for row in rows), tmp_path / "set")
    images, issues = table_rows(open_source((("s", tmp_path / "set"),), Limits()))
    assert [row.labels[0] for row in images.values()] == names and not issues


def test_class_folders_refuse_names_that_are_no_folders(tmp_path: Path) -> None:
    picture = tmp_path / "p.jpg"
    picture.write_bytes(b"x")
    for name in ("a/b", "..", "a\\b", "c:", "__MACOSX", "."):
        with pytest.raises(InputError, match="folder"):
            class_folders.write([(ImageLabels("a.jpg", (name,)), picture)], tmp_path / "set")
