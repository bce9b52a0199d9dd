"""CSV that cannot be read is a sentence with the file's name, whichever format reads it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.formats.base import ReadOptions
from engine.datasets.formats.instance_masks import FORMAT
from engine.datasets.formats.mask_lists import find_list
from engine.datasets.formats.object_table import find_table
from engine.datasets.formats.registry import recognise
from engine.datasets.formats.tables import csv_records, named_records
from engine.errors import InputError
from tests.unit.format_cases import look

LONG = "x" * (csv.field_size_limit() + 1)


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8", newline="")


def masked(folder: Path) -> Path:
    """A picture with a mask that numbers two objects."""
    for place in ("images", "instances"):
        (folder / place).mkdir(parents=True)
    Image.new("RGB", (12, 12)).save(folder / "images" / "a.png")
    values = np.zeros((12, 12), np.uint16)
    values[1:4, 1:4], values[6:9, 6:9] = 1, 2
    Image.fromarray(values).save(folder / "instances" / "a.png")
    return folder


def test_an_endless_cell_in_the_list_beside_a_mask(tmp_path: Path) -> None:
    put(masked(tmp_path), "instances/a.csv", f"value,class\n1,cell\n2,{LONG}\n")
    with pytest.raises(InputError, match=r"instances/a\.csv.*line 2"):
        list(FORMAT.read(look(tmp_path), ReadOptions("masks")).rows)


def test_an_endless_cell_in_a_list_of_classes(tmp_path: Path) -> None:
    put(masked(tmp_path), "classes.csv", f"name,value\ncell,1\n{LONG},2\n")
    with pytest.raises(InputError, match=r"classes\.csv"):
        find_list(look(tmp_path))
    # What other formats make of the source, it does not stop.
    put(tmp_path, "images/a.json", '{"imagePath": "a.png", "version": "5", "shapes": []}')
    assert recognise(look(tmp_path).source)[0].format.name == "labelme"


def test_an_endless_cell_in_the_table_of_objects(tmp_path: Path) -> None:
    text = f"image,mask,value,class\nimages/a.png,instances/a.png,1,cell\nimages/a.png,,,{LONG}\n"
    put(masked(tmp_path), "objects.csv", text)
    with pytest.raises(InputError, match=r"objects\.csv.*line 2"):
        list(FORMAT.read(look(tmp_path), ReadOptions("masks")).rows)


def test_a_first_line_that_is_no_csv_is_no_table_of_objects(tmp_path: Path) -> None:
    put(masked(tmp_path), "notes.csv", "one\rtwo, three\rfour\n")
    put(tmp_path, "long.csv", f"{LONG},image\n")
    for values in (True, False):
        assert find_table(look(tmp_path), values=values) is None


def test_records_have_their_line_and_columns() -> None:
    assert list(csv_records(["a,b\n", '"1\n', '2",3\n'], "t.csv")) == [(1, ["a", "b"]), (3, ["1\n2", "3"])]
    text = " Value, CLASS ,value\n1, cell ,9\n\n2\n3,x,y,z\n"
    assert list(named_records(text, "t.csv")) == [
        (1, {"value": "", "class": ""}),
        (2, {"value": "1", "class": "cell "}),
        (4, {"value": "2", "class": ""}),
        (5, {"value": "3", "class": "x"}),
    ]
    assert list(named_records("", "t.csv")) == [(0, {})]


def test_a_table_of_objects_is_no_table_of_classes(tmp_path: Path) -> None:
    put(masked(tmp_path), "objects.csv", "image,mask,value,class\nimages/a.png,instances/a.png,1,cell\n")
    names = [one.format.name for one in recognise(look(tmp_path).source)]
    assert names[0] == "instance_masks" and "csv_table" not in names
