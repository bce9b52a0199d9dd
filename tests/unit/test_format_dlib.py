"""dlib's XML: boxes, parts, several files about one image, round trips, the real faces."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contracts.datasets import LabelKind, Outcome
from engine.datasets.formats import dlib_xml
from engine.datasets.formats.base import ExportSet
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError
from tests.unit.format_cases import DATA, assert_round_trip, hostile_rows, picture, put, recognised, rows_of


def dataset(*images: str) -> str:
    text = "\n".join(images)
    head = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<dataset>\n<name>x</name>"
    return f"{head}\n<images>\n{text}\n</images></dataset>"


def image(*boxes: str, name: str = "a.png", more: str = "width='8' height='8'") -> str:
    return f"<image file='{name}' {more}>\n" + "\n".join(boxes) + "</image>"


def box(inner: str = "", more: str = "", at: str = "top='1' left='2' width='3' height='4'") -> str:
    return f"<box {at} {more}>{inner}</box>"


def parts(*names: str) -> str:
    return "".join(
        f"<part name='{name}' x='{number}' y='{number + 0.5}'/>" for number, name in enumerate(names)
    )


def test_boxes_and_labels(tmp_path: Path) -> None:
    picture(tmp_path / "s/a.png")
    boxes = [
        box(),
        box("<label>cat</label>", "ignore='1' truncated='1' difficult='0'"),
        box(at="top='1'"),
        box(at="top='nan'"),
    ]
    put(tmp_path, s__training_dot_xml=dataset(image(*boxes)))
    images, issues, _ = rows_of(dlib_xml.FORMAT, tmp_path)
    row = images["s/a.png"]
    assert row.size == (8, 8) and row.split == "train" and row.line == 5
    first, second = row.labels
    assert (first.name, first.box, first.line) == ("object", (2.0, 1.0, 5.0, 5.0), 6)
    assert second.name == "cat" and second.ignored and second.attributes == (("truncated", "1"),)
    assert [(issue.line, issue.outcome) for issue in issues] == [(8, Outcome.SKIPPED), (9, Outcome.SKIPPED)]
    found = recognised(dlib_xml.FORMAT, tmp_path)
    assert found and found.kinds == ("boxes",) and found.classes == ("object", "cat")


def test_parts_in_order_although_the_first_box_lacks_some(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    boxes = [
        box(parts("nose", "chin")),
        box(parts("eye", "nose", "ear", "chin")),
        box(),
        box(parts("x", "x")),
    ]
    put(tmp_path, set_dot_xml=dataset(image(*boxes)))
    images, issues, reading = rows_of(dlib_xml.FORMAT, tmp_path, "points")
    assert reading.classes[0].points == ("eye", "nose", "ear", "chin", "x")
    first, second, third = images["a.png"].labels
    assert first.points and first.points[:4] == (
        (0.0, 0.0, 0),
        (0.0, 0.5, 2),
        (0.0, 0.0, 0),
        (1.0, 1.5, 2),
    )
    assert second.points and second.points[2] == (2.0, 2.5, 2) and third.points is None
    assert len(issues) == 1 and "same name" in issues[0].reason
    found = recognised(dlib_xml.FORMAT, tmp_path)
    assert found and found.kinds == ("points", "boxes")


def test_negative_unlabelled_missing_and_doubled(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    text = dataset(image(), image(box(), name="b.png"), image(box(), box(), name="../../etc/passwd"))
    put(tmp_path, set_dot_xml=text)
    images, issues, _ = rows_of(dlib_xml.FORMAT, tmp_path)
    assert images["a.png"].negative and images["c.png"] == ImageLabels("c.png")
    assert len(issues) == 2 and "missing image" in issues[0].reason
    put(tmp_path, set_dot_xml=dataset(image(), image()))
    with pytest.raises(InputError, match="listed twice"):
        rows_of(dlib_xml.FORMAT, tmp_path)


def test_files_that_agree_are_merged_and_others_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, train_dot_xml=dataset(image(box())), z_with_parts_dot_xml=dataset(image(box(parts("p")))))
    images, issues, _ = rows_of(dlib_xml.FORMAT, tmp_path, "points")
    row = images["a.png"]
    assert row.split == "train" and row.labels[0].points == ((0.0, 0.5, 2),)
    assert [(issue.file, issue.outcome) for issue in issues] == [("train.xml", Outcome.REPAIRED)]
    put(tmp_path, test_dot_xml=dataset(image(box())))
    images, _, _ = rows_of(dlib_xml.FORMAT, tmp_path, "points")
    assert images["a.png"].repairs
    put(tmp_path, other_dot_xml=dataset(image(box(), box())))
    with pytest.raises(InputError, match="other boxes"):
        rows_of(dlib_xml.FORMAT, tmp_path)


@pytest.mark.parametrize(
    "text", ["<dataset><images><image", "<!DOCTYPE dataset><dataset><images/></dataset>"]
)
def test_damaged_files_and_document_types_are_refused(tmp_path: Path, text: str) -> None:
    put(tmp_path, a_dot_xml=text)
    with pytest.raises(InputError):
        rows_of(dlib_xml.FORMAT, tmp_path)


def test_other_xml_is_not_taken_for_dlibs(tmp_path: Path) -> None:
    put(tmp_path, a_dot_xml="<dataset><rows/></dataset>", b_dot_xml="<annotation/>")
    assert recognised(dlib_xml.FORMAT, tmp_path) is None


@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_round_trips(tmp_path: Path, kind: LabelKind) -> None:
    odd = "<i> & 'q' =1"
    place = (0.1 + 0.2, 1.0, 5.123456789, 7.7)
    points = ((1.5, 2.0, 2), (0.0, 0.0, 0), (0.1, 0.2, 2)) if kind == "points" else None
    labels = [Label("cat", place, points=points), Label(odd, (1.0, 2.0, 3.0, 4.0), ignored=True)]
    names = ("a", "b'&<", "c") if kind == "points" else ()
    if points:
        labels.append(Label("cat", place, points=tuple((x, y, 2) for x, y, _ in points)))
    out = ExportSet(kind, (ClassHead("cat", names), ClassHead(odd)), hostile_rows(tmp_path / "in", labels))
    assert_round_trip(dlib_xml.FORMAT, out, tmp_path / "out")
    _, _, reading = rows_of(dlib_xml.FORMAT, tmp_path / "out", kind)
    assert [head.points for head in reading.classes if head.name == "cat"] == ([names] if names else [])


def test_a_label_without_a_box_is_not_written(tmp_path: Path) -> None:
    out = ExportSet("boxes", (), hostile_rows(tmp_path / "in", [Label("cat")]))
    with pytest.raises(InputError, match="no box"):
        dlib_xml.write(out, tmp_path / "out")


@pytest.mark.skipif(not (DATA / "dlib_faces").is_dir(), reason="the set is not here")
def test_faces() -> None:
    images, issues, reading = rows_of(dlib_xml.FORMAT, DATA / "dlib_faces", "points")
    assert len(images) == 12 and [len(head.points) for head in reading.classes] == [68]
    for split, pictures, faces in (("train", 4, 18), ("test", 5, 25)):
        rows = [row for row in images.values() if row.split == split]
        found = [label.points for row in rows for label in row.labels if label.points]
        assert (len(rows), len(found)) == (pictures, faces)
        assert all(points[67][2] == 2 and len(points) == 68 for points in found)
    assert len(issues) == 43 and {issue.outcome for issue in issues} == {Outcome.REPAIRED}
    assert reading.classes[0].points == tuple(f"{number:02}" for number in range(68))
