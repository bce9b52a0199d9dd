"""Tables of objects with boxes or points, and Parquet."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas
import pytest

from engine.contracts.datasets import Outcome
from engine.datasets.archive import open_source
from engine.datasets.labels import ClassHead
from engine.errors import InputError
from engine.settings import Limits
from tests.unit.csv_cases import kinds, reading, said, table_rows, table_source

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
        reading(table_source(tmp_path, 'path,class,bbox\na.jpg,cat,"[1, 2, 3, 4]"\n'))


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
