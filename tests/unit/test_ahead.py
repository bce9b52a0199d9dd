"""Pictures that a reader names before its rows: each of them is a row, and none comes twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.contracts.datasets import LabelKind
from engine.datasets.archive import open_source
from engine.datasets.formats import class_folders, coco, csv_table, loose_images, mask_pairs, voc, yolo
from engine.datasets.formats.base import DatasetFormat, ReadOptions, SourceView
from engine.datasets.formats.registry import FORMATS
from engine.datasets.labels import ImageLabels
from engine.settings import Limits
from tests.format_sets import HOSTILE_NAMES, make_set, written
from tests.unit.format_cases import picture, put, thing, xml

KINDS: tuple[LabelKind, ...] = ("class", "tags", "box", "boxes", "regions", "masks", "points")
WRITTEN = [(known, kind) for known in FORMATS if known.write for kind in KINDS if kind in known.carries]
WHOLE = frozenset({"coco", "voc", "yolo", "csv_table", "mask_pairs", "class_folders"})
"""Formats that know all pictures of a set before its rows."""


def ahead_and_rows(known: DatasetFormat, folder: Path, kind: LabelKind) -> tuple[list[str], list[str]]:
    view = SourceView(open_source((("set", folder),), Limits()))
    known.recognise(view)
    reading = known.read(view, ReadOptions(kind))
    rows = [row.path for row in reading.rows if isinstance(row, ImageLabels)]
    ahead = list(reading.ahead)
    assert len(set(ahead)) == len(ahead)
    assert set(ahead) <= set(rows)
    return ahead, rows


@pytest.mark.parametrize(("known", "kind"), WRITTEN, ids=[f"{one.name}-{kind}" for one, kind in WRITTEN])
def test_pictures_ahead_are_rows(known: DatasetFormat, kind: LabelKind, tmp_path: Path) -> None:
    _, out = make_set(tmp_path / "made", kind, HOSTILE_NAMES[:25])
    with written(known, out, tmp_path) as folder:
        ahead, rows = ahead_and_rows(known, folder, kind)
    assert len(rows) == 25
    if known.name in WHOLE:
        assert sorted(ahead) == sorted(rows)


def test_a_picture_that_is_missing_is_none_ahead(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "here.png")
    images = [{"id": 1, "file_name": "here.png"}, {"id": 2, "file_name": "gone.png"}]
    picture(tmp_path / "images" / "unlisted.png")
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "coco.json").write_text(json.dumps(content), encoding="utf-8")
    assert ahead_and_rows(coco.FORMAT, tmp_path, "boxes") == (
        ["images/here.png"],
        ["images/here.png", "images/unlisted.png"],
    )


def test_masks_are_no_pictures_ahead(tmp_path: Path) -> None:
    for name in ("images/a.png", "images/b.png", "masks/a.png", "masks/c.png"):
        picture(tmp_path / "pairs" / name, mode="L")
    found, _ = ahead_and_rows(mask_pairs.FORMAT, tmp_path / "pairs", "regions")
    assert found == ["images/a.png", "images/b.png"]
    for name in ("JPEGImages/a.png", "SegmentationClass/a.png"):
        picture(tmp_path / "voc" / name, mode="L")
    assert ahead_and_rows(voc.FORMAT, tmp_path / "voc", "regions")[0] == ["JPEGImages/a.png"]


def test_a_picture_with_a_damaged_label_file_is_one_ahead(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    put(tmp_path, a_dot_xml=xml(thing()), b_dot_xml="<annotation><object>", a_dot_txt="0 no", b_dot_txt="")
    put(tmp_path, labels_dot_csv="filename,class\na.png,cat\ngone.png,dog\n")
    for known in (voc, yolo, csv_table, class_folders, loose_images):
        kind: LabelKind = "class" if known in (csv_table, class_folders) else "boxes"
        assert ahead_and_rows(known.FORMAT, tmp_path, kind)[0] == ["a.png", "b.png", "c.png"]
