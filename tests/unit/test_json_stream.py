"""Large JSON as a stream: what nests too deep never reaches the parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datasets.archive import open_source
from engine.datasets.formats import json_stream
from engine.datasets.formats.base import SourceView
from engine.datasets.formats.json_stream import DEEPEST, elements
from engine.errors import InputError
from engine.settings import Limits

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='a"\\[]{}é\n', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('a"[\\', max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def read(folder: Path, text: str) -> list[Any]:
    (folder / "a.json").write_text(text, "utf-8")
    view = SourceView(open_source((("set", folder),), Limits()))
    return list(elements(view, view.by_path["a.json"], "annotations.item"))


def depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


class Dripping:
    """A stream that gives a few bytes at a time, so that strings and escapes are cut anywhere."""

    def __init__(self, content: bytes, step: int) -> None:
        self.content, self.step = content, step

    def read(self, size: int = -1) -> bytes:
        most = self.step if size < 0 else min(self.step, size)
        given, self.content = self.content[:most], self.content[most:]
        return given


@settings(max_examples=150, deadline=None)
@given(VALUES, st.integers(3, 9), st.booleans())
def test_depth_is_followed_whatever_the_texts_hold(value: Any, step: int, plain: bool) -> None:
    content = json.dumps([value], ensure_ascii=plain).encode()
    stream = json_stream._Checked(Dripping(content, step), "a.json")
    deepest, found = 0, b""
    while piece := stream.read(step):
        found += piece
        deepest = max(deepest, stream._depth)
    assert found == content and stream._depth == 0 and not stream._quoted
    assert deepest <= depth([value])


@pytest.mark.parametrize(("levels", "fine"), [(DEEPEST, True), (DEEPEST + 1, False), (100_000, False)])
def test_what_nests_too_deep_is_refused(tmp_path: Path, levels: int, fine: bool) -> None:
    nested = "[" * levels + "]" * levels
    if fine:
        assert len(read(tmp_path, f'{{"annotations": [{nested}]}}')) == 1
        return
    for text in (f'{{"annotations": [{nested}]}}', f'{{"annotations": [], "info": [{nested}]}}'):
        with pytest.raises(InputError, match="64 deep"):
            read(tmp_path, text)


def test_brackets_in_texts_are_no_depth(tmp_path: Path) -> None:
    text = "[{" * 1_000 + '\\"' * 3 + "\\\\"
    assert read(tmp_path, f'{{"annotations": [{{"a": "{text}"}}, 7]}}')[1] == 7


WHOLES = st.dictionaries(
    st.sampled_from(["images", "annotations", 'a\\"annotations', "info"]),
    st.one_of(
        VALUES,
        st.lists(VALUES, max_size=5),
        st.fixed_dictionaries({"annotations": st.lists(VALUES, max_size=3)}),
        st.just('"annotations": [{'),
    ),
)


@settings(max_examples=300, deadline=None)
@given(WHOLES, st.integers(3, 90), st.booleans(), st.sampled_from([None, 0, 3]))
def test_one_list_is_left_out_and_nothing_else(
    whole: dict[str, Any], step: int, plain: bool, indent: int | None
) -> None:
    content = json.dumps(whole, ensure_ascii=plain, indent=indent).encode()
    stream = json_stream._Without(Dripping(content, step), "a.json", "annotations")
    found = b""
    while piece := stream.read(step):
        found += piece
    if isinstance(whole.get("annotations"), list):
        whole = whole | {"annotations": []}
    assert json.loads(found) == whole
    assert stream.read(step) == b"" and stream._depth == 0


def test_a_list_is_left_out_of_large_files_too(tmp_path: Path) -> None:
    entries = [{"id": at, "text": "]}\\" * (at % 7), "more": {"annotations": [[at]]}} for at in range(20_000)]
    for whole in (
        {"images": [1, 2], "annotations": entries, "categories": [3]},
        {"annotations": entries, "categories": [3], "images": [1, 2]},
    ):
        (tmp_path / "a.json").write_text(json.dumps(whole), "utf-8")
        view = SourceView(open_source((("set", tmp_path),), Limits()))
        member = view.by_path["a.json"]
        assert list(elements(view, member, "images.item", without="annotations")) == [1, 2]
        assert list(elements(view, member, "categories.item", without="annotations")) == [3]
        assert list(elements(view, member, "annotations.item", without="annotations")) == []
        assert list(elements(view, member, "annotations.item")) == entries


@pytest.mark.parametrize("levels", [DEEPEST + 1, 100_000])
def test_what_is_left_out_may_not_nest_too_deep_either(tmp_path: Path, levels: int) -> None:
    (tmp_path / "a.json").write_text(f'{{"annotations": [{"[" * levels}', "utf-8")
    view = SourceView(open_source((("set", tmp_path),), Limits()))
    with pytest.raises(InputError, match="64 deep"):
        list(elements(view, view.by_path["a.json"], "images.item", without="annotations"))
