"""COCO JSON that is damaged or made to deceive: a sentence or a full account, never a traceback."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.datasets.formats import coco
from engine.datasets.formats.base import LabelIssue, ReadOptions
from engine.datasets.labels import ImageLabels
from engine.errors import InputError
from tests.formats import read_set
from tests.unit.format_cases import look, picture, put, recognised

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SOUND: dict[str, Any] = {
    "info": {"year": 2026},
    "images": [
        {"id": 1, "file_name": "a.png", "width": 8, "height": 8},
        {"id": 2, "file_name": "b.png", "width": 8, "height": 8},
    ],
    "categories": [
        {"id": 1, "name": "cat", "keypoints": ["p", "q"], "skeleton": [[1, 2]]},
        {"id": 2, "name": "dog"},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4],
         "segmentation": [[1, 2, 4, 2, 4, 6]]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 8, 8], "iscrowd": 1,
         "segmentation": {"size": [8, 8], "counts": [10, 44, 10]}},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [1, 1, 5, 5], "keypoints": [1, 2, 2, 3, 4, 1],
         "attributes": {"colour": "red"}},
        {"id": 4, "image_id": 2, "category_id": 2, "segmentation": {"size": [8, 8], "counts": "PQ2"}},
    ],
}  # fmt: skip
TEXT = json.dumps(SOUND).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("coco")
    for name in ("a.png", "b.png", "c.png"):
        picture(made / name)
    return made


def refused(folder: Path, text: bytes | str) -> str:
    """The sentence with which a file is refused, within a second."""
    put(folder, labels_dot_json=text)
    start = time.monotonic()
    with pytest.raises(InputError) as raised:
        coco.FORMAT.recognise(look(folder))
    assert time.monotonic() - start < 5
    assert "labels.json" in raised.value.message and raised.value.hint
    return raised.value.message


# -- text that is no JSON, or too much of it -------------------------------------------------------------


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400, "1" * 5000, "01", "+1"]
)
def test_numbers_that_are_none_are_refused(folder: Path, number: str) -> None:
    refused(folder, TEXT.replace(b"[1, 2, 3, 4]", f"[1, 2, 3, {number}]".encode()))


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":['])
@pytest.mark.parametrize("where", [b'"bbox": ', b'"info": ', b'"annotations": '])
def test_deep_nesting_is_refused(folder: Path, opening: str, where: bytes) -> None:
    deep = where + opening.encode() * 100_000
    assert "deep" in refused(folder, TEXT.replace(where, deep, 1))


@pytest.mark.parametrize("cut", [20, 80, 200, len(TEXT) // 2, len(TEXT) - 1])
def test_a_file_that_ends_in_the_middle_is_refused(folder: Path, cut: int) -> None:
    refused(folder, TEXT[:cut])


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(b"red", b"r\xe9d"),  # Latin-1
        TEXT.replace(b'"dog"', b'"d\xff\xfeg"'),
        TEXT.replace(b"red", b"\\ud800\\"),
        TEXT + b"{}",
        TEXT.replace(b",", b",,", 1),
        TEXT.replace(b'"', b"'"),
        TEXT.replace(b"red", b"r\x00d"),
    ],
)
def test_bytes_that_are_no_json_are_refused(folder: Path, text: bytes) -> None:
    put(folder, labels_dot_json=text)
    if b'"images"' in text:
        refused(folder, text)
    else:
        assert recognised(coco.FORMAT, folder) is None


def test_a_mark_of_byte_order_is_no_damage(folder: Path) -> None:
    put(folder, labels_dot_json=b"\xef\xbb\xbf" + TEXT)
    assert len(read_set(coco.FORMAT, folder, "boxes").rows["a.png"].labels) == 2


@pytest.mark.parametrize(
    "text", ["[]", "{}", "7", '"images"', '{"images": []}', '{"images": 3}', '{"images": [7]}', ""]
)
def test_other_json_is_no_coco(folder: Path, text: str) -> None:
    put(folder, labels_dot_json=text)
    assert recognised(coco.FORMAT, folder) is None
    with pytest.raises(InputError, match="no COCO JSON"):
        coco.read(look(folder), ReadOptions("boxes"))


def test_an_image_without_a_name_is_refused(folder: Path) -> None:
    """Not taken for something else, where all labels would be lost without a word."""
    said = refused(folder, TEXT.replace(b'"file_name": "a.png"', b'"path": "a.png"'))
    assert "1 image without a file_name" in said


def test_a_million_brackets_in_a_text_are_no_nesting(folder: Path) -> None:
    put(folder, labels_dot_json=TEXT.replace(b"red", b"[{" * 500_000 + b'\\"[[' + b"\\\\"))
    assert recognised(coco.FORMAT, folder) is not None


# -- whatever else it holds ------------------------------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.lists(st.integers(-9, 9), max_size=7),
    st.lists(st.one_of(st.none(), st.text(max_size=2), st.lists(st.integers(), max_size=3)), max_size=4),
    st.dictionaries(st.sampled_from(["size", "counts", "id", "name"]), st.integers(-5, 70), max_size=3),
    st.sampled_from(
        [[], {}, "", [[]], [[[1]]], {"size": [8, 8], "counts": "o"}, {"size": [8, 8], "counts": []}]
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All ways from the whole to a value in it."""
    found = [path] if path else []
    if isinstance(value, dict):
        found += [way for key, inner in value.items() for way in places(inner, (*path, key))]
    elif isinstance(value, list):
        found += [way for at, inner in enumerate(value) for way in places(inner, (*path, at))]
    return found


PLACES = places(SOUND)


def changed(path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """The sound set with one place changed."""
    content = copy.deepcopy(SOUND)
    at: Any = content
    for key in path[:-1]:
        at = at[key]
    change(at, path[-1])
    return content


def images_of(whole: Any) -> list[dict[str, Any]]:
    listed = whole.get("images") if isinstance(whole, dict) else None
    named = listed if isinstance(listed, list) else []
    return [one for one in named if isinstance(one, dict) and isinstance(one.get("file_name"), str)]


def accounted(folder: Path, text: bytes) -> None:
    """Read for every kind: refused with a sentence, or each annotation is a label or an issue."""
    put(folder, labels_dot_json=text)
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    told = whole.get("annotations") if isinstance(whole, dict) else None
    for kind in ("boxes", "masks", "points"):
        try:
            if coco.FORMAT.recognise(look(folder)) is None:
                assert not images_of(whole)
                continue
            rows = list(coco.read(look(folder), ReadOptions(kind)).rows)
            read_set(coco.FORMAT, folder, kind)
        except InputError as error:
            assert error.message and error.hint
            continue
        labels = sum(len(row.labels) for row in rows if isinstance(row, ImageLabels))
        issues = sum(isinstance(row, LabelIssue) for row in rows)
        assert {row.path for row in rows if isinstance(row, ImageLabels)} == {"a.png", "b.png", "c.png"}
        if isinstance(told, list):
            # An image that is missing is told once even without a label.
            assert len(told) <= labels + issues <= len(told) + 2


lasting = settings(max_examples=150, deadline=None)


@lasting
@example(place=("categories", 0, "name"), value="")
@given(place=st.sampled_from(PLACES), value=ODD)
def test_values_of_other_types_are_refused_or_accounted_for(
    folder: Path, place: tuple[Any, ...], value: Any
) -> None:
    def put_in(at: Any, key: Any) -> None:
        at[key] = value

    accounted(folder, json.dumps(changed(place, put_in)).encode())


@pytest.mark.parametrize("place", PLACES, ids=lambda way: ".".join(map(str, way)))
def test_keys_that_are_missing_are_refused_or_accounted_for(folder: Path, place: tuple[Any, ...]) -> None:
    def take_out(at: Any, key: Any) -> None:
        del at[key]

    accounted(folder, json.dumps(changed(place, take_out)).encode())


@lasting
@given(flips=st.lists(st.tuples(st.integers(0, len(TEXT) - 1), st.integers(1, 255)), min_size=1, max_size=3))
def test_flipped_bytes_are_refused_or_accounted_for(folder: Path, flips: list[tuple[int, int]]) -> None:
    text = bytearray(TEXT)
    for at, by in flips:
        text[at] ^= by
    accounted(folder, bytes(text))
