"""Pascal VOC: hand-made sets, what is wrong with real ones, round trips, mutations."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts.datasets import Outcome
from engine.datasets.formats import voc, xml_files
from engine.datasets.formats.base import (
    ExportSet,
)
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError, LimitError
from tests.unit.format_cases import (
    DATA,
    assert_round_trip,
    hostile_rows,
    look,
    picture,
    put,
    recognised,
    rows_of,
    thing,
    xml,
)

# -- reading ------------------------------------------------------------------------------------------


def test_boxes_size_attributes_and_lines(tmp_path: Path) -> None:
    picture(tmp_path / "r/JPEGImages/a.png")
    more = "<pose>Left</pose><truncated>1</truncated><occluded>0</occluded><difficult>1</difficult>"
    more += "<attributes><attribute><name>age</name><value>2</value></attribute></attributes>"
    size = "<size><width>8</width><height>9</height><depth>3</depth></size>"
    put(tmp_path, r__Annotations__a_dot_xml=xml(thing(), thing("dog", (1.5, 2, 3.25, 4), more), size=size))
    images, issues, _ = rows_of(voc.FORMAT, tmp_path)
    row = images["r/JPEGImages/a.png"]
    assert not issues and row.size == (8, 9) and row.file == "r/Annotations/a.xml"
    first, second = row.labels
    assert first == Label("cat", (1.0, 2.0, 5.0, 6.0), line=3)
    assert second.box == (1.5, 2.0, 3.25, 4.0) and second.ignored and second.line == 4
    assert second.attributes == (("pose", "Left"), ("truncated", "1"), ("difficult", "1"), ("age", "2"))
    found = recognised(voc.FORMAT, tmp_path)
    assert found and found.kinds == ("boxes",) and found.classes == ("cat", "dog") and found.images == 1


@pytest.mark.parametrize(
    "size",
    ["", "<size/>", "<size><width>0</width><height>0</height></size>", "<size><width>x</width></size>"],
)
def test_no_size_no_pose_and_a_wrong_file_name(tmp_path: Path, size: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    put(tmp_path, a_dot_xml=xml(thing(), size=size, filename="b.png"))
    images, issues, _ = rows_of(voc.FORMAT, tmp_path)
    assert images["a.png"].size is None and len(images["a.png"].labels) == 1
    assert images["b.png"] == ImageLabels("b.png") and not issues


def test_negative_is_not_unlabelled(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    put(tmp_path, a_dot_xml=xml(), b_dot_xml=xml("<object><name/></object>"))
    images, issues, _ = rows_of(voc.FORMAT, tmp_path)
    assert [images[f"{name}.png"].negative for name in "abc"] == [True, False, False]
    assert [issue.reason for issue in issues] == ["an object without a class name"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "x", "", "1_0"])
def test_what_is_no_number_skips_the_box(tmp_path: Path, value: str) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, a_dot_xml=xml(thing(), thing(box=(value, 1, 2, 3)), "<object><name>x</name></object>"))
    images, issues, _ = rows_of(voc.FORMAT, tmp_path)
    assert len(images["a.png"].labels) == 1 and not images["a.png"].negative
    assert [(issue.file, issue.line, issue.outcome) for issue in issues] == [
        ("a.xml", 4, Outcome.SKIPPED),
        ("a.xml", 5, Outcome.SKIPPED),
    ]


def test_zero_and_turned_boxes_are_handed_over(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, a_dot_xml=xml(thing(box=(5, 5, 5, 5)), thing(box=(7, 7, 1, 1)), thing(box=(-9, 0, 99, 4))))
    images, _, _ = rows_of(voc.FORMAT, tmp_path)
    assert [label.box for label in images["a.png"].labels] == [
        (5.0, 5.0, 5.0, 5.0),
        (7.0, 7.0, 1.0, 1.0),
        (-9.0, 0.0, 99.0, 4.0),
    ]


def test_xml_without_image_is_accounted_for(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text = xml(thing(), thing(), filename="../../etc/passwd")
    put(tmp_path, gone_dot_xml=text, a_dot_xml=xml(thing()))
    images, issues, _ = rows_of(voc.FORMAT, tmp_path)
    assert list(images) == ["a.png"] and len(issues) == 2
    assert all(issue.file == "gone.xml" and "missing image" in issue.reason for issue in issues)


def test_the_file_name_helps_only_where_the_stem_finds_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "photo.png")
    put(tmp_path, x__0001_dot_xml=xml(thing(), filename="C:\\my\\photo.png"))
    images, issues, _ = rows_of(voc.FORMAT, tmp_path)
    assert len(images["photo.png"].labels) == 1 and not issues


def test_same_stem_in_several_folders_goes_by_the_path(tmp_path: Path) -> None:
    for part, name in (("x", "cat"), ("y", "dog")):
        picture(tmp_path / f"JPEGImages/{part}/1.png")
        put(tmp_path, **{f"Annotations__{part}__1_dot_xml": xml(thing(name), filename="1.png")})
    for part, name in (("train", "cow"), ("valid", "pig")):
        picture(tmp_path / f"{part}/7.png")
        put(tmp_path, **{f"{part}__7_dot_xml": xml(thing(name), filename="7.png")})
    images, issues, _ = rows_of(voc.FORMAT, tmp_path)
    assert {path: row.names for path, row in images.items()} == {
        "JPEGImages/x/1.png": ("cat",),
        "JPEGImages/y/1.png": ("dog",),
        "train/7.png": ("cow",),
        "valid/7.png": ("pig",),
    }
    assert not issues and images["train/7.png"].split == "train" and images["valid/7.png"].split == "val"


def test_same_stem_with_two_endings_is_told_by_the_file_name_or_refused(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    picture(tmp_path / "1.jpg")
    put(tmp_path, **{"1_dot_xml": xml(thing(), filename="1.jpg")})
    images, _, _ = rows_of(voc.FORMAT, tmp_path)
    assert images["1.jpg"].labels and not images["1.png"].labels
    put(tmp_path, **{"1_dot_xml": xml(thing(), filename="other.jpg")})
    with pytest.raises(InputError, match=r"“1\.xml” can mean"):
        rows_of(voc.FORMAT, tmp_path)


def test_two_xml_files_of_one_image_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    put(tmp_path, a__1_dot_xml=xml(thing()), b__1_dot_xml=xml(thing()))
    with pytest.raises(InputError, match="both describe"):
        rows_of(voc.FORMAT, tmp_path)


def test_splits_of_the_lists(tmp_path: Path) -> None:
    for name in ("a", "b c", "d", "e", "f"):
        picture(tmp_path / f"VOC/JPEGImages/{name}.png")
    lists = "VOC__ImageSets__Main__"
    put(
        tmp_path,
        VOC__Annotations__a_dot_xml=xml(thing()),
        **{
            f"{lists}train_dot_txt": "a\r\nb c\nghost\n",
            f"{lists}val_dot_txt": "\ufeffd  1\na\n",
            f"{lists}test_dot_txt": "e.png\n\n",
            f"{lists}trainval_dot_txt": "a\nb c\nd\nf\n",
            f"{lists}cat_train_dot_txt": "f 1\n",
            "VOC__ImageSets__Segmentation__train_dot_txt": "e\n",
        },
    )
    images, issues, reading = rows_of(voc.FORMAT, tmp_path)
    assert {path[-5]: row.split for path, row in images.items()} == {
        "a": "train",
        "c": "train",
        "d": "val",
        "e": "test",
        "f": None,
    }
    assert images["VOC/JPEGImages/a.png"].repairs == ("it stands in the lists train, val; train is taken",)
    assert not issues and reading.notes == (
        "“VOC/ImageSets/Main/train.txt” names 1 image that the source does not hold.",
    )


def test_trainval_alone_means_train(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    put(
        tmp_path,
        a_dot_xml=xml(thing()),
        ImageSets__Main__trainval_dot_txt="a\n",
        ImageSets__Main__test_dot_txt="b\n",
    )
    images, _, _ = rows_of(voc.FORMAT, tmp_path)
    assert images["a.png"].split == "train" and images["b.png"].split == "test"


# -- damage and attacks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "<annotation>", "<annotation><object></annotation>", "<annotation>&x;</annotation>"]
)
def test_one_damaged_file_costs_only_its_own_labels(tmp_path: Path, text: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    put(tmp_path, a_dot_xml=text, b_dot_xml=xml(thing()))
    images, issues, _ = rows_of(voc.FORMAT, tmp_path)
    assert images["a.png"] == ImageLabels("a.png") and images["b.png"].labels
    assert len(issues) == 1 and "no well-formed XML" in issues[0].reason


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        f"{BOMB}]><annotation>&j;</annotation>",
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><annotation/>',
    ],
)
def test_document_types_are_refused_within_a_second(tmp_path: Path, text: str) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, a_dot_xml=text)
    start = time.monotonic()
    with pytest.raises(InputError, match="document type"):
        rows_of(voc.FORMAT, tmp_path)
    assert time.monotonic() - start < 5  # the stated second, five times


def test_deep_wide_and_large_xml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_files, "MOST_NODES", 100)
    put(tmp_path, a_dot_xml="<a>" * 10_000, b_dot_xml="<a>" + "<b/>" * 101 + "</a>", c_dot_xml="<a/>")
    view = look(tmp_path)
    for name, reason in (("a.xml", "nested"), ("b.xml", "elements stand in one")):
        with pytest.raises(xml_files.DamagedXmlError, match=reason):
            xml_files.read_xml(view, view.by_path[name])
    assert len(list(xml_files.stream_xml(view, view.by_path["b.xml"], ["b"]))) == 101
    monkeypatch.setattr(xml_files, "MOST_BYTES", 3)
    with pytest.raises(LimitError):
        xml_files.read_xml(view, view.by_path["c.xml"])


def root_seen(content: bytes | bytearray) -> bool:
    """Whether a damaged file still looks like one of VOC's."""
    return re.match(rb"(<annotation[\s>/]|(?!.*<[A-Za-z_]))", bytes(content), re.DOTALL) is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_sets_are_refused_or_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("voc")
    picture(folder / "a.png")
    content = bytearray(xml(thing(), thing("dog", (1, 1, 2, 2), "<pose>Left</pose>")).encode())
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    put(folder, a_dot_xml=bytes(content))
    try:
        images, issues, _ = rows_of(voc.FORMAT, folder)
    except InputError:
        return
    assert list(images) == ["a.png"]
    told = len(images["a.png"].labels) + len(issues)
    try:
        root = ElementTree.fromstring(bytes(content))
    except (ElementTree.ParseError, ValueError, LookupError):
        assert told == 1 or not root_seen(content)
    else:
        assert told == (len(root.findall("object")) if root.tag == "annotation" else 0)
    for label in images["a.png"].labels:
        assert label.name and label.box is not None and np.isfinite(label.box).all()


# -- writing ------------------------------------------------------------------------------------------


def test_boxes_survive_the_round_trip(tmp_path: Path) -> None:
    attributes = (("pose", "Left"), ("truncated", "1"), ("a&b", '  <c>\n"x"  '))
    labels = (
        Label("cat", (0.1 + 0.2, 1.0, 5.123456789012345, 7.0)),
        Label("<img onerror=x> & =HYPERLINK()", (0.0, 0.0, 16.0, 12.0), ignored=True),
        Label("dog", (1.0, 1.0, 2.0, 2.0), attributes=attributes),
        Label("dog", (1.0, 1.0, 2.0, 2.0), ignored=True, attributes=(("difficult", "1"),)),
        Label("dog", (1.0, 1.0, 2.0, 2.0), attributes=(("difficult", "1"), ("pose", "Unspecified"))),
        Label("dog", (1.0, 1.0, 2.0, 2.0), attributes=(("truncated", "1"), ("pose", " Left"))),
    )
    classes = (ClassHead("cat"), ClassHead("dog"))
    out = ExportSet("boxes", classes, hostile_rows(tmp_path / "in", labels))
    assert_round_trip(voc.FORMAT, out, tmp_path / "out")


# -- real sets ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "bccd").is_dir(), reason="the set is not here")
def test_blood_cells() -> None:
    images, issues, _ = rows_of(voc.FORMAT, DATA / "bccd")
    assert Counter(label.name for row in images.values() for label in row.labels) == {
        "RBC": 4155,
        "WBC": 372,
        "Platelets": 361,
    }
    assert (
        Counter(row.split for row in images.values()) == {"train": 205, "val": 87, "test": 72} and not issues
    )


@pytest.mark.skipif(not (DATA / "raccoon").is_dir(), reason="the set is not here")
def test_raccoons() -> None:
    images, issues, _ = rows_of(voc.FORMAT, DATA / "raccoon")
    assert len(images) == 200 and sum(len(row.labels) for row in images.values()) == 217 and not issues


def test_the_reason_says_how_much_there_is_and_whether_a_split_comes_with_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"JPEGImages/{name}.png")
        put(tmp_path, **{f"Annotations__{name}_dot_xml": xml(thing() * (2 if name == "a" else 1))})
    found = recognised(voc.FORMAT, tmp_path)
    assert found is not None and found.reason == "2 XML files in the style of Pascal VOC with 3 objects"
    put(tmp_path, ImageSets__Main__train_dot_txt="a\nb\n")
    found = recognised(voc.FORMAT, tmp_path)
    assert found is not None and found.reason.endswith(" with 3 objects and a split")


def test_of_many_files_the_number_of_objects_is_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voc, "LOOKED_AT", 10)
    for number in range(25):
        picture(tmp_path / f"{number}.png")
        put(tmp_path, **{f"{number}_dot_xml": xml(thing() * 4)})
    found = recognised(voc.FORMAT, tmp_path)
    assert found is not None and found.reason.endswith(" with about 100 objects")
