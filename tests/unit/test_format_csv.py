"""Tables: what their columns mean, every row accounted for, and equal after writing and reading again."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.datasets import ImportIssue, LabelKind, Outcome
from engine.datasets.archive import Source, open_source
from engine.datasets.formats import csv_table
from engine.datasets.formats.base import ExportSet, LabelIssue, Reading, ReadOptions, SourceView
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import ArchiveError, InputError
from engine.settings import Limits

REAL = Path(os.environ.get("LENSMITH_REAL_SETS", "no such folder"))


def table_source(folder: Path, text: str | bytes, *images: str, name: str = "labels.csv") -> Source:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(b"x")
    return open_source((("set", folder),), Limits())


def table_rows(
    source: Source, kind: LabelKind = "class", **options: Any
) -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    rows = list(reading(source, kind, **options).rows)
    images = [row for row in rows if isinstance(row, ImageLabels)]
    assert len({row.path for row in images}) == len(images) == len(source.images)
    return {row.path: row for row in images}, [row.issue for row in rows if isinstance(row, LabelIssue)]


def reading(source: Source, kind: LabelKind = "class", **options: Any) -> Reading:
    return csv_table.read(SourceView(source), ReadOptions(kind, **options))


def kinds(source: Source) -> tuple[str, ...]:
    found = csv_table.recognise(SourceView(source))
    return found.kinds if found else ()


def said(images: dict[str, ImageLabels]) -> dict[str, list[Any]]:
    """Class and geometry of each label, without where it stands."""
    return {
        path: [(one.name, one.box, one.points) if one.box or one.points else one.name for one in row.labels]
        for path, row in images.items()
    }


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


def test_ambiguous_names_are_skipped_and_whole_paths_are_not(tmp_path: Path) -> None:
    text = "path,label\na.jpg,cat\nx\\a.jpg,dog\n/home/me/set/y/a.jpg,dog\n"
    images, issues = table_rows(table_source(tmp_path, text, "x/a.jpg", "y/a.jpg"))
    assert "whole path" in issues[0].reason and len(issues) == 1
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


# -- boxes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("filename,width,height,class,xmin,ymin,xmax,ymax", "a.jpg,64,32,cat,1,2,11,22.5"),
        ("image_path,label,x1,y1,x2,y2,image_width,image_height", "a.jpg,cat,1,2,11,22.5,64,32"),
        ("image,class_name,xmin,xmax,ymin,ymax,width,height", "a.jpg,cat,1,11,2,22.5,64,32"),
        ("image,class_name,x,y,width,height,img_width,img_height", "a.jpg,cat,1,2,10,20.5,64,32"),
        ("image,class_name,x,y,w,h,width,height", "a.jpg,cat,1,2,10,20.5,64,32"),
        ("image,class_name,bbox_x,bbox_y,bbox_width,bbox_height,width,height", "a.jpg,cat,1,2,10,20.5,64,32"),
        ("image,class_name,cx,cy,w,h,width,height", "a.jpg,cat,6,12.25,10,20.5,64,32"),
        ("image,class_name,bbox,width,height", 'a.jpg,cat,"[40, 2, 10, 20.5]",64,32'),
        ("file_name,cell_type,xmin,xmax,ymin,ymax,width,height", "a.jpg,cat,1,11,2,22.5,64,32"),
    ],
)
def test_boxes_in_the_ways_they_are_written(tmp_path: Path, header: str, cells: str) -> None:
    source = table_source(tmp_path, f"{header}\n{cells}\n", "a.jpg")
    images, issues = table_rows(source, "boxes")
    box = (40.0, 2.0, 50.0, 22.5) if "[" in cells else (1.0, 2.0, 11.0, 22.5)
    assert said(images) == {"a.jpg": [("cat", box, None)]} and not issues
    assert images["a.jpg"].size == (64, 32) and not images["a.jpg"].relative
    assert kinds(source) == ("boxes", "box")


def test_boxes_without_header_and_class(tmp_path: Path) -> None:
    images, _ = table_rows(
        table_source(tmp_path, "a.jpg,1,2,3,4,cat\nb.jpg,,,,,\n", "a.jpg", "b.jpg"), "boxes"
    )
    assert said(images) == {"a.jpg": [("cat", (1, 2, 3, 4), None)], "b.jpg": []} and images["b.jpg"].negative
    source = table_source(tmp_path, "path,xmin,ymin,xmax,ymax\na.jpg,1,2,3,4\n")
    assert said(table_rows(source, "boxes")[0])["a.jpg"] == [("object", (1, 2, 3, 4), None)]


def test_shares_of_the_image_are_told_from_px(tmp_path: Path) -> None:
    text = "ImageID,LabelName,XMin,XMax,YMin,YMax\na,cat,0.25,0.5,0,1\nb,dog,0,1,0.125,1.01\n"
    source = table_source(tmp_path, text, "a.jpg", "b.jpg")
    images, _ = table_rows(source, "boxes")
    assert said(images)["a.jpg"] == [("cat", (0.25, 0.0, 0.5, 1.0), None)]
    assert all(row.relative for row in images.values())
    images, _ = table_rows(table_source(tmp_path, text + "a,cat,3,5,0,1\n"), "boxes")
    assert not any(row.relative for row in images.values())


def test_boxes_in_one_cell_are_told_apart_by_all_of_them(tmp_path: Path) -> None:
    corners = [(n, 2 * n, n + 5 + n % 3, 2 * n + 7) for n in range(1, 21)]
    sizes = [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in corners]
    for written in (corners, sizes):
        text = "path;class;bbox\n" + "".join(f"a.jpg;cat;{list(box)}\n" for box in written)
        source = table_source(tmp_path, text, "a.jpg")
        assert [one.box for one in table_rows(source, "boxes")[0]["a.jpg"].labels] == corners
        assert "boxes are read as" in reading(source, "boxes").notes[0]
    with pytest.raises(InputError, match="corner and size"):
        kinds(table_source(tmp_path, 'path,class,bbox\na.jpg,cat,"[1, 2, 3, 4]"\n'))


def test_a_bad_box_is_skipped_and_its_image_is_not(tmp_path: Path) -> None:
    bad = ["1,2,3,", "1,2,3,x", "1,2,3,nan", "1,2,3,inf", "1,2,3,1e999"]
    text = "path,class,xmin,ymin,xmax,ymax\n" + "".join(f"a.jpg,cat,{cells}\n" for cells in bad)
    text += "a.jpg,dog,1,2,3,4\na.jpg,,1,2,3,4\na.jpg,,,,,\nb.jpg,cat,7\nc.jpg,No finding,,,,\n"
    images, issues = table_rows(table_source(tmp_path, text, "a.jpg", "b.jpg", "c.jpg", "d.jpg"), "boxes")
    assert [(one.name, one.line) for one in images["a.jpg"].labels] == [("dog", 7)]
    assert sorted(issue.line or 0 for issue in issues) == [2, 3, 4, 5, 6, 8, 9, 10]
    assert all(issue.outcome is Outcome.SKIPPED for issue in issues)
    assert [row.negative for row in images.values()] == [False, False, True, False]


def test_corners_are_exchanged_only_when_asked(tmp_path: Path) -> None:
    source = table_source(tmp_path, "path,class,x1,y1,x2,y2\na.jpg,cat,30,40,10,20\n", "a.jpg")
    assert table_rows(source, "boxes")[0]["a.jpg"].labels[0].box == (30, 40, 10, 20)
    label = table_rows(source, "boxes", swap_boxes=True)[0]["a.jpg"].labels[0]
    assert label.repairs and label.box == (10, 20, 30, 40)


# -- points -------------------------------------------------------------------------------------------


def test_named_points_with_and_without_visibility(tmp_path: Path) -> None:
    text = (
        "image,class,nose_x,nose_y,nose_v,Left Ear_x,Left Ear_y\na.jpg,cat,1,2,1,3.5,4\na.jpg,cat,,,,5,NaN\n"
    )
    text += "b.jpg,cat,,,,5,6\n"
    source = table_source(tmp_path, text, "a.jpg", "b.jpg")
    images, issues = table_rows(source, "points")
    assert said(images)["a.jpg"] == [("cat", None, ((1, 2, 1), (3.5, 4, 2)))]
    assert said(images)["b.jpg"] == [("cat", None, ((0, 0, 0), (5, 6, 2)))]
    assert [(issue.line, "one coordinate" in issue.reason) for issue in issues] == [(3, True)]
    assert reading(source, "points").classes == (ClassHead("cat", ("nose", "Left Ear")),)
    assert kinds(source) == ("points",)


def test_numbered_points_are_no_box(tmp_path: Path) -> None:
    source = table_source(tmp_path, "image,x1,y1,x2,y2,x3,y3\na.jpg,1,2,3,4,5,6\n", "a.jpg")
    assert said(table_rows(source, "points")[0]) == {
        "a.jpg": [("object", None, ((1, 2, 2), (3, 4, 2), (5, 6, 2)))]
    }


def test_unnamed_points_as_pandas_writes_them(tmp_path: Path) -> None:
    values = np.random.default_rng(1).uniform(2, 60, (5, 8)).round(2)
    values[2, 2:4] = np.nan
    frame = pandas.DataFrame(values, index=[f"{n}.jpg" for n in range(5)])
    source = table_source(tmp_path, frame.to_csv(), *frame.index)
    images, issues = table_rows(source, "points")
    assert not issues and reading(source, "points").classes[0].points == ("1", "2", "3", "4")
    for path, row in images.items():
        points = row.labels[0].points or ()
        wanted = np.nan_to_num(frame.loc[path].to_numpy().reshape(4, 2))
        np.testing.assert_array_equal(np.array([point[:2] for point in points]), wanted)
        assert [seen for _, _, seen in points] == [2, 0 if path == "2.jpg" else 2, 2, 2]


# -- Parquet ------------------------------------------------------------------------------------------


def test_parquet_as_pandas_writes_it(tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {
            "image": [{"bytes": b"\x89PNG", "path": "x"}] * 3,
            "file_name": ["a.jpg", "b.jpg", "gone.jpg"],
            "tags": [["cat", "a|b"], [], ["cat"]],
            "raw": [b"1", b"2", b"3"],
        }
    )
    frame.to_parquet(tmp_path / "labels.parquet", row_group_size=1)
    source = table_source(tmp_path, b"", "a.jpg", "b.jpg", name="empty.csv")
    images, issues = table_rows(source, "tags")
    assert said(images) == {"a.jpg": ["cat", "a|b"], "b.jpg": []} and images["b.jpg"].negative
    assert [issue.line for issue in issues] == [3] and kinds(source) == ("tags",)


def test_parquet_with_boxes_in_an_archive(tmp_path: Path) -> None:
    columns = {"path": ["a.jpg"] * 2, "label": [3, 4], "split": pandas.Categorical(["train"] * 2)}
    frame = pandas.DataFrame({**columns, "bbox": [[40.0, 40.0, 4.0, 5.0], [40.0, 4.0, 4.0, 5.0]]})
    packed = io.BytesIO()
    frame.to_parquet(packed)
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.parquet", packed.getvalue())
        archive.writestr("a.jpg", b"x")
    images, _ = table_rows(open_source((("set.zip", path),), Limits()), "boxes")
    assert said(images)["a.jpg"] == [("3", (40, 40, 44, 45), None), ("4", (40, 4, 44, 9), None)]
    assert images["a.jpg"].split == "train"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(50) + b"PAR1", b"path,label\na.jpg,cat\n"])
def test_damaged_parquet_is_said(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"labels\.parquet"):
        kinds(table_source(tmp_path, content, "a.jpg", name="labels.parquet"))


# -- writing ------------------------------------------------------------------------------------------

HOSTILE = ["=HYPERLINK(1)", '<img onerror="x">', "a,b;c|d", 'say "hi"', "../up", "-1", '["a"]', "nan", "no"]
PICTURES = [
    "a b.jpg",
    "ü/ä.jpg",
    "=cmd.jpg",
    "'q\".png",
    "🦊.jpg",
    ".dot.jpg",
    "a,b.jpg",
    "x/1.jpg",
    "y/1.jpg",
]


def written(tmp_path: Path, kind: LabelKind, rows: list[ImageLabels], points: tuple[str, ...] = ()) -> Source:
    picture = tmp_path / "p.jpg"
    picture.write_bytes(b"x")
    names = dict.fromkeys(name for row in rows for name in row.names)
    heads = tuple(ClassHead(name, points) for name in names)
    csv_table.write(ExportSet(kind, heads, ((row, picture) for row in rows)), tmp_path / "set")
    source = open_source((("set", tmp_path / "set"),), Limits())
    assert not source.skipped and len(source.images) == len(rows)
    return source


def content(row: ImageLabels) -> tuple[Any, ...]:
    labels = [(one.name, one.box, one.points, one.ignored) for one in row.labels]
    return labels, row.split, row.negative, row.size if labels and row.labels[0].box else None


def assert_same(
    tmp_path: Path, kind: LabelKind, rows: list[ImageLabels], points: tuple[str, ...] = ()
) -> None:
    source = written(tmp_path, kind, rows, points)
    images, issues = table_rows(source, kind)
    assert not issues and kind in kinds(source)
    with (tmp_path / "set" / "labels.csv").open(newline="", encoding="utf-8") as handle:
        order = list(dict.fromkeys(record[0] for record in list(csv.reader(handle))[1:]))
    assert [content(images[path]) for path in order] == [content(row) for row in rows]


@pytest.mark.parametrize("kind", ["class", "tags", "box", "boxes", "points"])
def test_written_and_read_again_is_equal(tmp_path: Path, kind: LabelKind) -> None:
    rows = []
    for number, (path, name) in enumerate(zip(PICTURES, HOSTILE, strict=True)):
        box = (0.5 * number, 1.0, 10.25 + number, 20.0)
        points = ((1.5, 2.0, 2), (0.0, 0.0, 0), (3.0, 4.0 + number, 1))
        label = Label(name)
        if kind in ("box", "boxes", "points"):
            label = Label(name, box, points=points if kind == "points" else None, ignored=number == 3)
        more = (Label(HOSTILE[0], box),) if kind == "boxes" and number % 2 else ()
        if kind == "tags" and number:
            more = (Label(HOSTILE[number - 1]),)
        rows.append(
            ImageLabels(path, (label, *more), ("train", "val", "test", None)[number % 4], size=(64, 48))
        )
    rows.append(ImageLabels("negative.jpg", (), "train", negative=True, size=(64, 48)))
    rows.append(ImageLabels("unseen.jpg", (), "val", size=(64, 48)))
    assert_same(tmp_path, kind, rows, ("nose", "left ear", "Tail") if kind == "points" else ())


def test_points_keep_their_names_where_a_header_can(tmp_path: Path) -> None:
    for names, expected in [
        (("nose", "Left Ear"), ("nose", "Left Ear")),
        (("x", "bbox"), None),
        (("a", "A"), None),
        (("", "b"), None),
    ]:
        rows = [ImageLabels("a.jpg", (Label("cat", points=((1.0, 2.0, 2), (3.0, 4.0, 1))),), size=(9, 9))]
        heads = reading(written(tmp_path, "points", rows, names), "points").classes
        assert heads[0].points in ((expected,) if expected else (names, ("p1", "p2")))
        assert said(table_rows(written(tmp_path, "points", rows, names), "points")[0])["images/a.jpg"] == [
            ("cat", None, ((1.0, 2.0, 2), (3.0, 4.0, 1)))
        ]


def test_what_a_table_cannot_hold_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "p.jpg"
    picture.write_bytes(b"x")
    heads = (ClassHead("a", ("p",)), ClassHead("b", ("p", "q")))
    with pytest.raises(InputError, match="different points"):
        csv_table.write(ExportSet("points", heads, ()), tmp_path / "set")
    rows = [(ImageLabels("a.jpg", (Label("a"),)), picture)]
    with pytest.raises(InputError, match="no box"):
        csv_table.write(ExportSet("boxes", heads, rows), tmp_path / "set")


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@pytest.mark.parametrize("kind", ["class", "tags"])
@settings(max_examples=30, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=4))
def test_any_class_name_survives(
    tmp_path_factory: pytest.TempPathFactory, kind: LabelKind, names: list[str]
) -> None:
    kept = [name for name in dict.fromkeys(map(csv_table.clean_class, names)) if name]
    rows = [ImageLabels(f"{number}.jpg", (Label(name),)) for number, name in enumerate(kept)]
    if rows:
        assert_same(tmp_path_factory.mktemp("names"), kind, rows)


# -- every row is accounted for -----------------------------------------------------------------------

TABLES: dict[LabelKind, str] = {
    "class": "path,label,split\na.jpg,cat,train\nb.jpg,dog,test\nx/c.jpg,cat,\na.jpg,cat,train\n",
    "tags": 'path,tags\na.jpg,cat|big\nb.jpg,\nx/c.jpg,"[""a""]"\na.jpg,dog\n',
    "boxes": "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,9,9,cat,1,2,3,4\nb.jpg,9,9,,,,,\n"
    "a.jpg,9,9,dog,5,5,7,7\nx/c.jpg,9,9,cat,1,1,8,9\n",
    "points": ",0,1,2,3\na.jpg,1,2,3,4\nb.jpg,5,6,,\nx/c.jpg,1,1,8,9\n",
}
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["drop", "put", "swap"]), st.sampled_from('",;\n|[]x0-.\t\0é')
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("kind", sorted(TABLES))
@settings(max_examples=60, deadline=None)
@given(edits=EDITS)
def test_changed_tables_are_refused_or_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, kind: LabelKind, edits: list[tuple[float, str, str]]
) -> None:
    text = TABLES[kind]
    for where, how, what in edits:
        place = int(where * len(text))
        text = text[:place] + (what if how != "drop" else "") + text[place + (how != "put") :]
    source = table_source(tmp_path_factory.mktemp("changed"), text, "a.jpg", "b.jpg", "x/c.jpg")
    view = SourceView(source)
    try:
        rows = list(csv_table.read(view, ReadOptions(kind)).rows)
    except InputError:
        return
    (listing, _), *_ = view.kept["csv_table"][0]
    told = {row.issue.line for row in rows if isinstance(row, LabelIssue)}
    for row in rows:
        if isinstance(row, ImageLabels):
            told |= {row.line, *(label.line for label in row.labels)}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=listing.table.delimiter)
    lines = [reader.line_num for cells in reader if any(cell.strip() for cell in cells)]
    assert set(lines[listing.columns.header :]) == told - {None}


# -- real sets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cards_tags", "raccoon", "facial_keypoints_dev"])
def test_real_sets(name: str) -> None:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip("the real sets are not here")
    source = open_source(((name, folder),), Limits())
    found = csv_table.recognise(SourceView(source))
    assert found is not None
    images, issues = table_rows(source, found.kinds[0])
    assert not issues and all(row.split for row in images.values())
    if name == "cards_tags":
        frame = pandas.read_csv(folder / "labels_onehot.csv").set_index("filename")
        expected = {path: set(row[row == 1].index) for path, row in frame.drop(columns="split").iterrows()}
        assert {Path(path).name: set(row.names) for path, row in images.items()} == expected
    elif name == "raccoon":
        frame = pandas.read_csv(folder / "data" / "raccoon_labels.csv")
        boxes = sorted(map(tuple, frame[["filename", "xmin", "ymin", "xmax", "ymax"]].to_numpy()))
        assert boxes == sorted(
            (Path(p).name, *(one.box or ())) for p, r in images.items() for one in r.labels
        )
        assert found.kinds == ("boxes",) and sum(row.split == "test" for row in images.values()) == 40
    else:
        tables = [folder / "data" / f"{split}_frames_keypoints.csv" for split in ("training", "test")]
        frame = pandas.concat([pandas.read_csv(table, index_col=0) for table in tables])
        assert len(images) == len(frame) == 380 and found.kinds == ("points",)
        for path, row in images.items():
            values = np.array(row.labels[0].points)[:, :2].ravel()
            candidates = frame.loc[[Path(path).name]].to_numpy()
            assert any(np.array_equal(values, one) for one in candidates)


def test_json_lists_are_what_is_written(tmp_path: Path) -> None:
    written(tmp_path, "tags", [ImageLabels("a.jpg", (Label("a,b"), Label("ü")))])
    with (tmp_path / "set" / "labels.csv").open(newline="", encoding="utf-8") as handle:
        assert json.loads(list(csv.reader(handle))[1][1]) == ["a,b", "ü"]
