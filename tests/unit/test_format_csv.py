"""Tables of images with a class or tags."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas
import pytest

from engine.contracts.datasets import Outcome
from engine.datasets.archive import open_source
from engine.datasets.formats import csv_table
from engine.datasets.formats.base import SourceView
from engine.errors import ArchiveError, InputError
from engine.settings import Limits
from tests.unit.csv_cases import kinds, reading, said, table_rows, table_source

# -- a class ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [("path", "label", "split"), ("Image Path", "CLASS", "Subset")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_in_several_dialects(
    tmp_path: Path, delimiter: str, header: tuple[str, ...], encoding: str
) -> None:
    lines = [header, ("a.jpg", '"cat, big; gräy"', "train"), ("b/c.jpg", "dog", "valid")]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    images, issues = table_rows(table_source(tmp_path, text.encode(encoding), "x/a.jpg", "x/b/c.jpg"))
    assert not issues
    assert (images["x/a.jpg"].names, images["x/a.jpg"].split) == (("cat, big; gräy",), "train")
    assert (images["x/b/c.jpg"].names, images["x/b/c.jpg"].split) == (("dog",), "val")
    assert images["x/b/c.jpg"].line == 3


def test_a_table_without_header(tmp_path: Path) -> None:
    images, _ = table_rows(table_source(tmp_path, "a.jpg,cat\nb.jpg,dog\n", "a.jpg", "b.jpg"))
    assert said(images) == {"a.jpg": ["cat"], "b.jpg": ["dog"]}


def test_ids_without_an_ending_are_found(tmp_path: Path) -> None:
    images, issues = table_rows(
        table_source(tmp_path, "id,breed,label\n0a,x,cat\n1,x,dog\n", "t/0a.jpg", "t/1.png")
    )
    assert said(images) == {"t/0a.jpg": ["cat"], "t/1.png": ["dog"]} and not issues


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/a.jpg", "../../a2.jpg", "c/a.jpg", ""]
)
def test_nothing_outside_the_source_is_found(tmp_path: Path, name: str) -> None:
    images, issues = table_rows(table_source(tmp_path, f"path,label\n{name},cat\n", "b/a.jpg"))
    assert [(issue.outcome, issue.line) for issue in issues] == [(Outcome.SKIPPED, 2)]
    assert "missing image" in issues[0].reason and images["b/a.jpg"].labels == ()


def test_ambiguous_names_are_refused_and_whole_paths_are_not(tmp_path: Path) -> None:
    text = "path,label\nx\\a.jpg,dog\n/home/me/set/y/a.jpg,dog\n"
    with pytest.raises(InputError, match=r"“a\.jpg” in “labels\.csv” can mean “x/a\.jpg” or “y/a\.jpg”"):
        table_rows(table_source(tmp_path, f"{text}a.jpg,cat\n", "x/a.jpg", "y/a.jpg"))
    images, issues = table_rows(table_source(tmp_path, text, "x/a.jpg", "y/a.jpg"))
    assert issues == []
    assert said(images) == {"x/a.jpg": ["dog"], "y/a.jpg": ["dog"]}


def test_two_labels_for_one_image_leave_it_without(tmp_path: Path) -> None:
    images, issues = table_rows(table_source(tmp_path, "path,label\na.jpg,cat\na.jpg,dog\n", "a.jpg"))
    assert images["a.jpg"].labels == () and not images["a.jpg"].negative
    assert [(issue.line, issue.outcome) for issue in issues] == [(2, Outcome.SKIPPED), (3, Outcome.SKIPPED)]


def test_the_same_row_twice_is_repaired(tmp_path: Path) -> None:
    text = "path,label\na.jpg,cat\nb.jpg,dog\na.jpg,cat\n"
    images, issues = table_rows(table_source(tmp_path, text, "a.jpg", "b.jpg"))
    assert said(images) == {"a.jpg": ["cat"], "b.jpg": ["dog"]}
    assert [(issue.line, issue.outcome) for issue in issues] == [(4, Outcome.REPAIRED)]


def test_an_unknown_split_is_reported(tmp_path: Path) -> None:
    images, _ = table_rows(table_source(tmp_path, "path,label,split\na.jpg,cat,holdout\n", "a.jpg"))
    assert images["a.jpg"].split is None and "holdout" in images["a.jpg"].repairs[0]


def test_listed_in_two_splits_counts_as_training(tmp_path: Path) -> None:
    text = "path,label,split\na.jpg,cat,test\na.jpg,cat,train\n"
    images, _ = table_rows(table_source(tmp_path, text, "a.jpg"))
    assert images["a.jpg"].split == "train" and "several splits" in images["a.jpg"].repairs[0]


def test_one_table_for_each_split(tmp_path: Path) -> None:
    table_source(tmp_path, "path,label\na.jpg,cat\n", "a.jpg", "b.jpg", name="train.csv")
    source = table_source(tmp_path, "path,label\nb.jpg,dog\n", name="test.csv")
    images, _ = table_rows(source)
    assert {row.split for row in images.values()} == {"train", "test"}
    with pytest.raises(InputError, match="Several tables"):
        table_rows(table_source(tmp_path, "path,label\nb.jpg,cow\n", name="more.csv"))


def test_a_table_that_repeats_those_of_the_splits_is_left_out(tmp_path: Path) -> None:
    table_source(tmp_path, "path,label\na.jpg,cat\n", "a.jpg", "b.jpg", name="train_labels.csv")
    table_source(tmp_path, "path,label\nb.jpg,dog\n", name="test_labels.csv")
    source = table_source(tmp_path, "path,label\nb.jpg,dog\na.jpg,cat\n", name="all_labels.csv")
    images, issues = table_rows(source)
    assert {path: row.split for path, row in images.items()} == {"a.jpg": "train", "b.jpg": "test"}
    assert not issues and "all_labels.csv" in reading(source).notes[0]


def test_names_are_looked_for_beside_their_table_first(tmp_path: Path) -> None:
    for split in ("train", "test"):
        source = table_source(
            tmp_path, f"path,label\n1.jpg,{split}ed\n", f"{split}/1.jpg", name=f"{split}/_a.csv"
        )
    images, issues = table_rows(source)
    assert {path: (row.split, row.names[0]) for path, row in images.items()} == {
        "train/1.jpg": ("train", "trained"),
        "test/1.jpg": ("test", "tested"),
    }
    assert not issues


def test_a_single_table_called_test_is_the_whole_set(tmp_path: Path) -> None:
    source = table_source(tmp_path, "path,label\na.jpg,cat\n", "a.jpg", name="test.csv")
    assert table_rows(source)[0]["a.jpg"].split is None
    assert "test.csv" in reading(source).notes[0]


def test_folders_tell_the_split_where_all_do(tmp_path: Path) -> None:
    text = "path,label\ntrain/a.jpg,cat\nval/b.jpg,dog\n"
    source = table_source(tmp_path, text, "train/a.jpg", "val/b.jpg", "c.jpg")
    assert [row.split for row in table_rows(source)[0].values()] == ["train", "val", None]
    source = table_source(tmp_path, text + "c.jpg,cat\n")
    assert {row.split for row in table_rows(source)[0].values()} == {None}


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    source = table_source(tmp_path, "path,label\na.jpg,Käfer\n".encode("latin-1"), "a.jpg")
    with pytest.raises(InputError, match="UTF-8"):
        table_rows(source)


def test_other_tables_in_any_encoding_are_no_matter(tmp_path: Path) -> None:
    view = SourceView(table_source(tmp_path, "Käse;Wert\nb;3\n".encode("latin-1"), "a.jpg"))
    assert csv_table.recognise(view) is None and not view.opened


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
        csv_table.recognise(SourceView(source))
    with pytest.raises(ArchiveError, match="labels"):
        table_rows(source)


# -- tags ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ("cat|big", "dog", "[]", ""),
        ("cat;big", "dog", "[]", ""),
        ('"cat, big"', "dog", "[]", ""),
        ('"[""cat"", ""big""]"', '"[""dog""]"', "[]", ""),
        ("\"['cat', 'big']\"", "['dog']", "[]", ""),
    ],
)
def test_a_column_of_tags(tmp_path: Path, cells: tuple[str, ...]) -> None:
    text = "path,tags\n" + "".join(f"{name}.jpg,{cell}\n" for name, cell in zip("abcd", cells, strict=True))
    source = table_source(tmp_path, text, *(f"{name}.jpg" for name in "abcd"))
    images, issues = table_rows(source, "tags")
    assert [row.names for row in images.values()] == [("cat", "big"), ("dog",), (), ()]
    assert [row.negative for row in images.values()] == [False, False, True, False]
    assert kinds(source) == ("tags",) and not issues


def test_a_row_for_each_tag(tmp_path: Path) -> None:
    text = "path,tag\na.jpg,cat\nb.jpg,dog\na.jpg,big\na.jpg,cat\n"
    images, issues = table_rows(table_source(tmp_path, text, "a.jpg", "b.jpg"), "tags")
    assert [(one.name, one.line) for one in images["a.jpg"].labels] == [("cat", 2), ("big", 4)]
    assert [(issue.line, issue.outcome) for issue in issues] == [(5, Outcome.REPAIRED)]


def test_one_column_for_each_tag_agrees_with_pandas(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, (20, 5))
    values[3] = 0
    frame = pandas.DataFrame(values, columns=["ace", "könig", "q,1", "=j", "ten"])
    frame.insert(0, "filename", [f"{n}.jpg" for n in range(20)])
    frame.insert(1, "age", range(20))
    source = table_source(tmp_path, frame.to_csv(index=False), *frame["filename"])
    images, issues = table_rows(source, "tags")
    assert kinds(source) == ("tags",) and not issues
    assert [head.name for head in reading(source).classes] == ["ace", "könig", "q,1", "=j", "ten"]
    assert "“age”" in reading(source).notes[0]
    for path, row in images.items():
        record = frame.set_index("filename").loc[path].drop("age")
        said_yes = {name for name, value in record.items() if value == 1}
        assert set(row.names) == said_yes and row.negative == (not said_yes)


def test_one_column_each_with_exactly_one_is_also_a_class(tmp_path: Path) -> None:
    source = table_source(tmp_path, "image,a,b\n1.jpg,0,1\n2.jpg,1,0\n", "1.jpg", "2.jpg")
    assert kinds(source) == ("class", "tags")
    assert said(table_rows(source)[0]) == {"1.jpg": ["b"], "2.jpg": ["a"]}


def test_minus_one_means_no_and_an_empty_cell_is_no_answer(tmp_path: Path) -> None:
    text = "image,a,b\n1.jpg,-1,1\n2.jpg,1,\n3.jpg,,\n4.jpg,-1,-1\n"
    images, issues = table_rows(table_source(tmp_path, text, *(f"{n}.jpg" for n in "1234")), "tags")
    assert [row.names for row in images.values()] == [("b",), (), (), ()]
    assert [row.negative for row in images.values()] == [False, False, False, True]
    assert [(issue.line, issue.outcome) for issue in issues] == [(3, Outcome.SKIPPED)]


def test_answers_that_contradict_are_skipped(tmp_path: Path) -> None:
    text = "image,a,b\n1.jpg,0,1\n1.jpg,1,0\n2.jpg,0,0\n2.jpg,1,1\n"
    images, issues = table_rows(table_source(tmp_path, text, "1.jpg", "2.jpg"))
    assert not any(row.labels or row.negative for row in images.values())
    assert [issue.line for issue in issues] == [2, 3, 4, 5]


def test_zeros_and_ones_about_something_else_are_no_tags(tmp_path: Path) -> None:
    assert kinds(table_source(tmp_path, "name,adult,member\nBob,1,0\nEve,0,1\n", "a.jpg")) == ()


def test_the_reason_says_how_much_there_is_and_whether_a_split_comes_with_it(tmp_path: Path) -> None:
    plain = csv_table.recognise(
        SourceView(table_source(tmp_path / "1", "path,label\na.jpg,cat\nb.jpg,dog\n", "a.jpg", "b.jpg"))
    )
    assert plain is not None and plain.reason.endswith(" lists 2 images with a class and no split")
    split = csv_table.recognise(
        SourceView(table_source(tmp_path / "2", "path,label,split\na.jpg,cat,train\n", "a.jpg"))
    )
    assert split is not None and split.reason.endswith(" lists 1 image with a class and a split")
