"""Tables written and read again, every row accounted for, and real sets."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.datasets import LabelKind
from engine.datasets.archive import Source, open_source
from engine.datasets.formats import csv_table
from engine.datasets.formats.base import ExportSet, LabelIssue, ReadOptions, SourceView
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError
from engine.settings import Limits
from tests.unit.csv_cases import kinds, reading, said, table_rows, table_source
from tests.unit.format_cases import assert_round_trip, hostile_rows

REAL = Path(os.environ.get("LENSMITH_REAL_SETS", "no such folder"))


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


@pytest.mark.parametrize("kind", ["class", "tags", "box", "boxes", "points"])
def test_hostile_file_names_survive(tmp_path: Path, kind: LabelKind) -> None:
    points = ((1.0, 2.0, 2), (0.0, 0.0, 0), (3.5, 4.0, 1)) if kind == "points" else None
    labels = [Label("cat", None if kind in ("class", "tags") else (1.0, 2.0, 8.5, 9.0), points=points)]
    labels += [Label("dog", labels[0].box)] if kind in ("tags", "boxes") else []
    heads = tuple(ClassHead(one.name, ("a", "b", "c") if points else ()) for one in labels)
    out = ExportSet(kind, heads, hostile_rows(tmp_path / "from", labels))
    assert_round_trip(csv_table.FORMAT, out, tmp_path / "set")
