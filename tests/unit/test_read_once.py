"""Label files are opened once for their labels, and what all formats ask for is found once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.contracts.datasets import LabelKind
from engine.datasets import archive
from engine.datasets.archive import Member
from engine.datasets.formats import instance_masks, mask_folders, mask_pairs, voc, yolo
from engine.datasets.formats.base import LabelIssue, ReadOptions
from engine.datasets.formats.registry import recognise
from engine.datasets.labels import ImageLabels
from tests.unit.format_cases import look, picture, put, thing, xml


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each member was opened."""
    found, open_member = Counter[str](), archive.open_member

    def counting(member: Member):  # type: ignore[no-untyped-def]
        found[member.path] += 1
        return open_member(member)

    monkeypatch.setattr(archive, "open_member", counting)
    return found


@pytest.mark.parametrize(
    ("known", "end", "text"), [(yolo, "txt", "0 .5 .5 1 1\n"), (voc, "xml", xml(thing()))]
)
def test_a_label_file_is_opened_once_to_be_read(
    known: Any, end: str, text: str, tmp_path: Path, opened: Counter[str]
) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
        put(tmp_path, **{f"{name}_dot_{end}": text})
    view = look(tmp_path)
    list(known.FORMAT.read(view, ReadOptions("boxes")).rows)
    # VOC looks at the head of a file first.
    most = 2 if end == "xml" else 1
    assert opened == {f"a.{end}": most, f"b.{end}": most}


def test_the_lines_of_a_file_that_is_read_once_are_told_apart(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, a_dot_txt="0 .5 .5 1 1\n\n0 x\n1 .5 .5 .25 .25\n")
    rows = list(yolo.read(look(tmp_path), ReadOptions("boxes")).rows)
    assert [row.issue.line for row in rows if isinstance(row, LabelIssue)] == [3]
    assert [[label.line for label in row.labels] for row in rows if isinstance(row, ImageLabels)] == [[1, 4]]


def test_the_head_of_an_xml_file_is_looked_at_once_for_all_formats(
    tmp_path: Path, opened: Counter[str]
) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, a_dot_xml=xml(thing()))
    view = look(tmp_path)
    # Once for the root, once for its objects.
    assert next(one.format.name for one in recognise(view.source)) == "voc"
    assert opened["a.xml"] == 2


@pytest.mark.parametrize("kind", ["regions", "masks"])
def test_masks_are_paired_once(kind: LabelKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("images/a.png", "masks/a.png"):
        picture(tmp_path / name, mode="L")
    calls, find = Counter[str](), mask_folders._find_pairs

    def counting(places: Sequence[mask_folders.Place]) -> mask_folders.Pairs:
        calls["pairs"] += 1
        return find(places)

    monkeypatch.setattr(mask_folders, "_find_pairs", counting)
    view = look(tmp_path)
    recognise(view.source)
    for known in (mask_pairs, instance_masks):
        assert known.read(view, ReadOptions(kind)).ahead == ("images/a.png",)
    assert calls["pairs"] == 1
