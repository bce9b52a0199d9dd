"""A set that was exported here is recognised as what it was, without being told."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contracts.datasets import LabelKind
from engine.datasets.formats import voc
from engine.datasets.formats.base import DatasetFormat
from engine.datasets.formats.own_kind import stated_first, stated_kind
from engine.datasets.formats.registry import FORMATS, recognise
from tests.format_sets import make_set, written
from tests.unit.format_cases import look

KINDS: tuple[LabelKind, ...] = ("class", "tags", "box", "boxes", "regions", "masks", "points")
PAIRS = [(known, kind) for kind in KINDS for known in FORMATS if known.write and kind in known.carries]
ALIKE: set[tuple[str, LabelKind]] = {
    *((name, "box") for name in ("yolo", "ndjson", "kitti", "csv_table")),
    *((name, "regions") for name in ("object_masks", "instance_masks")),
}
"""Where a format has no place to say which of two kinds is meant; the other one comes first."""
IDS = [f"{known.name}-{kind}" for known, kind in PAIRS]


@pytest.mark.parametrize(("known", "kind"), PAIRS, ids=IDS)
def test_an_export_comes_back_as_its_own_kind(known: DatasetFormat, kind: LabelKind, tmp_path: Path) -> None:
    _, out = make_set(tmp_path / "made", kind, [f"{number}.png" for number in range(12)])
    with written(known, out, tmp_path) as folder:
        best = recognise(look(folder).source)[0]
    assert best.format is known
    if (known.name, kind) in ALIKE:
        assert best.recognition.kinds[0] in ("boxes", "masks")
    else:
        assert best.recognition.kinds[0] == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b'{"info": {"labels": "regions"},\n"images": [', "regions"),
        (b"<annotations>\n  <!-- labels: box -->", "box"),
        (b'{"info": {"labels": "bogus"}}', None),
        (b'{"info": {"labels": ["boxes"]}}', None),
        (b'{"info": {}, "x": "' + b"a" * 2_000 + b'", "labels": "boxes"}', None),
        (b"", None),
    ],
)
def test_only_a_kind_at_the_start_is_stated(head: bytes, kind: LabelKind | None) -> None:
    assert stated_kind(head) == kind


def test_what_is_stated_only_orders_what_was_found() -> None:
    assert stated_first(["masks", "boxes", "regions"], ["regions", "regions"]) == (
        "regions",
        "masks",
        "boxes",
    )
    assert stated_first(["masks", "regions"], ["points"]) == ("masks", "regions")
    assert stated_first(["masks", "regions"], ["regions", "masks"]) == ("masks", "regions")
    assert stated_first(["masks", "regions"], ["regions", None]) == ("masks", "regions")
    assert stated_first(["boxes"], ["box"]) == ("box", "boxes")
    assert stated_first([], ["regions"]) == ("regions",) and stated_first([], [None]) == ()


@pytest.mark.parametrize("segmented", ["0", "1"])
def test_voc_with_boxes_for_more_pictures_than_masks_stays_boxes(segmented: str, tmp_path: Path) -> None:
    _, out = make_set(tmp_path / "made", "masks", [f"{number}.png" for number in range(12)])
    with written(voc.FORMAT, out, tmp_path) as folder:
        files = {one: one.read_text("utf-8") for one in sorted((folder / "Annotations").glob("*.xml"))}
        one, text = next((one, text) for one, text in files.items() if "<object>" in text)
        one.write_text(text.replace("<segmented>1<", f"<segmented>{segmented}<"), "utf-8")
        found = voc.recognise(look(folder))
    assert found is not None
    assert found.kinds[0] == ("masks" if segmented == "1" else "boxes")


def test_voc_masks_without_an_object_in_any_xml_are_regions(tmp_path: Path) -> None:
    _, out = make_set(tmp_path / "made", "regions", [f"{number}.png" for number in range(12)])
    with written(voc.FORMAT, out, tmp_path) as folder:
        for one in (folder / "Annotations").glob("*.xml"):
            one.write_text("<annotation></annotation>", "utf-8")
        found = voc.recognise(look(folder))
    assert found is not None and found.kinds == ("regions",)
