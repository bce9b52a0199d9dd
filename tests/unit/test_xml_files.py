"""XML read whole and as a stream: the same elements as the standard library's, however texts are cut."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.datasets.formats.base import SourceView
from engine.datasets.formats.xml_files import Node, read_xml, root_tag, stream_xml
from tests.unit.format_cases import look, view_of

PIECES = st.sampled_from(["x", "\n ", "&amp;", "&#233;", "<!-- c -->", "<![CDATA[<b>]]>", "<?p i?>", "日"])
TEXTS = st.lists(PIECES, max_size=5).map("".join)
NAMES = st.sampled_from(["a", "b", "n:c"])
TREES = st.recursive(
    st.builds(lambda tag, text: f"<{tag} k='1' n:k='é'>{text}</{tag}>", NAMES, TEXTS),
    lambda inner: st.builds(
        lambda tag, before, parts, after: f"<{tag}>{before}{''.join(parts)}{after}</{tag}>",
        NAMES,
        TEXTS,
        st.lists(st.one_of(inner, TEXTS), max_size=4),
        TEXTS,
    ),
    max_leaves=8,
)


def plain(node: Node) -> Any:
    return (node.tag, node.attributes, node.text, [plain(child) for child in node.children])


def by_library(element: ElementTree.Element) -> Any:
    return (element.tag, element.attrib, element.text or "", [by_library(child) for child in element])


@given(TREES)
def test_a_tree_is_that_of_the_standard_library(tmp_path_factory: pytest.TempPathFactory, tree: str) -> None:
    text = f"<?xml version='1.0'?><r xmlns:n='u:v'>{tree}</r>"
    view = view_of(tmp_path_factory.mktemp("x"), {"a.xml": text})
    member = view.by_path["a.xml"]
    expected = by_library(ElementTree.fromstring(text))
    assert plain(read_xml(view, member)) == expected
    assert [plain(node) for node in stream_xml(view, member, ["r"])] == [expected]


def test_lines_are_those_where_elements_begin(tmp_path: Path) -> None:
    view = view_of(tmp_path, {"a.xml": "<r>\n<a\n k='1'/>\n\n<b>\n<c/></b></r>"})
    root = read_xml(view, view.by_path["a.xml"])
    assert (root.line, root.children[0].line, root.children[1].line) == (1, 2, 5)
    assert [node.line for node in stream_xml(view, view.by_path["a.xml"], ["c"])] == [6]


def test_a_text_of_a_million_pieces_is_put_together_once(tmp_path: Path) -> None:
    view = view_of(tmp_path, {"a.xml": f"<a>{'xy<!---->' * 1_000_000}<b/></a>"})
    start = time.process_time()
    assert read_xml(view, view.by_path["a.xml"]).text == "xy" * 1_000_000
    assert time.process_time() - start < 10


def test_the_root_of_a_file_is_looked_up_once_for_all_formats(tmp_path: Path) -> None:
    view = view_of(tmp_path, {"a.xml": "<annotation/>"})
    member = view.by_path["a.xml"]
    assert root_tag(view, member) == "annotation"
    (tmp_path / "a.xml").unlink()
    assert root_tag(SourceView(view.source), member) == "annotation"
    (tmp_path / "a.xml").write_text("<dataset/>", encoding="utf-8")
    again = look(tmp_path)
    assert root_tag(again, again.by_path["a.xml"]) == "dataset"
