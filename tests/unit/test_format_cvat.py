"""CVAT's XML: every shape, skeletons, videos, what is wrong with files, round trips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.contracts.datasets import LabelKind, Outcome
from engine.datasets import masks
from engine.datasets.formats import cvat, cvat_write, mask_pixels
from engine.datasets.formats.base import ExportSet
from engine.datasets.labels import ClassHead, Label, Polygons, Rle
from engine.errors import InputError
from tests.unit.format_cases import assert_round_trip, hostile_rows, picture, put, recognised, rows_of

META = """<meta><task><size>3</size><labels>
<label><name>cat</name><type>any</type></label>
<label><name>hand</name><type>skeleton</type><svg>
&lt;line x1="1" data-type="edge" data-node-from="7" data-node-to="9"/&gt;
&lt;circle r="1" data-type="element node" data-node-id="7" data-label-name="thumb"/&gt;
&lt;circle r="1" data-type="element node" data-node-id="9" data-label-name="palm"/&gt;</svg></label>
<label><name>palm</name><type>points</type><parent>hand</parent></label>
<label><name>thumb</name><type>points</type><parent>hand</parent></label>
<label><name>dog</name><type>any</type></label>
</labels></task></meta>"""


def whole_file(*parts: str, meta: str = META) -> str:
    return (
        f'<?xml version="1.0"?>\n<annotations><version>1.1</version>{meta}\n'
        + "\n".join(parts)
        + "</annotations>"
    )


def image(*shapes: str, name: str = "a.png", more: str = 'width="8" height="6"') -> str:
    return f'<image id="0" name="{name}" {more}>\n' + "\n".join(shapes) + "</image>"


def test_every_shape(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    shapes = [
        '<box label="cat" occluded="1" xtl="1" ytl="2.5" xbr="3" ybr="4">'
        '<attribute name="age">2</attribute></box>',
        '<polygon label="dog" points="0,0;4,0;4,4.5"/>',
        '<points label="cat" points="1,2;3,4"/>',
        '<mask label="dog" rle="1, 2, 3" left="2" top="1" width="3" height="2"/>',
        '<tag label="cat"/>',
        '<skeleton label="hand"><points label="thumb" outside="0" occluded="1" points="1,2"/>'
        '<points label="palm" outside="1" points="3,4"/></skeleton>',
        '<polyline label="cat" points="1,2;3,4"/>',
        '<cuboid label="cat" xtl1="1"/>',
        '<box label="cat" xtl="nan" ytl="0" xbr="3" ybr="4"/>',
        '<polygon label="cat" points="0,0;4"/>',
        '<box label=" " xtl="1" ytl="0" xbr="3" ybr="4"/>',
    ]
    put(tmp_path, annotations_dot_xml=whole_file(image(*shapes, more='subset="Train" width="8" height="6"')))
    images, issues, reading = rows_of(cvat.FORMAT, tmp_path)
    row = images["images/a.png"]
    box, polygon, points, mask, tag, skeleton = row.labels
    assert box.box == (1.0, 2.5, 3.0, 4.0) and box.attributes == (("occluded", "1"), ("age", "2"))
    assert polygon.mask == Polygons.of([[0, 0, 4, 0, 4, 4.5]]) and polygon.line == box.line + 1  # type: ignore[operator]
    assert points.points == ((1.0, 2.0, 2), (3.0, 4.0, 2))
    drawn = np.zeros((6, 8), np.uint8)
    drawn[1, 3:5] = 1
    assert mask.mask == masks.encode(drawn)
    assert tag == Label("cat", line=tag.line)
    assert skeleton.points == ((3.0, 4.0, 0), (1.0, 2.0, 1))
    assert row.split == "train" and row.size == (8, 6) and not row.negative
    assert [issue.outcome for issue in issues] == [Outcome.SKIPPED] * 5
    assert "polyline" in issues[0].reason and "nan" in issues[2].reason and issues[0].line
    heads = {head.name: head for head in reading.classes}
    assert list(heads) == ["cat", "hand", "dog"]
    assert heads["hand"] == ClassHead("hand", ("palm", "thumb"), ((1, 0),))


def test_recognised_with_kinds_and_schemas(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    put(
        tmp_path,
        x__annotations_dot_xml=whole_file(image('<box label="cat"/><polygon label="cat" points="1,1"/>')),
    )
    found = recognised(cvat.FORMAT, tmp_path)
    assert found and found.kinds == ("masks", "regions", "boxes") and found.classes == ("cat", "hand", "dog")
    put(tmp_path, x__annotations_dot_xml=whole_file(image('<tag label="cat"/>')))
    found = recognised(cvat.FORMAT, tmp_path)
    assert found and found.kinds == ("class", "tags")
    shapes = '<tag label="cat"/><tag label="dog"/><points label="cat" points="1,1;2,2;3,3"/>'
    put(tmp_path, x__annotations_dot_xml=whole_file(image(shapes)))
    found = recognised(cvat.FORMAT, tmp_path)
    assert found and found.kinds == ("points", "tags")
    assert [(schema.name, schema.points) for schema in found.schemas] == [("cat", 3), ("hand", 2)]
    put(tmp_path, x__annotations_dot_xml="<annotation/>")
    assert recognised(cvat.FORMAT, tmp_path) is None


def test_loose_points_have_the_number_that_most_have(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    texts = ["1,1;2,2", "1,1;2,2", "1,1;2,2;3,3"]
    shapes = [f'<points label="cat" points="{text}"/>' for text in texts]
    shapes.append('<skeleton label="hand"><points label="palm" points="3,4"/></skeleton>')
    put(tmp_path, annotations_dot_xml=whole_file(image(*shapes)))
    images, issues, reading = rows_of(cvat.FORMAT, tmp_path, "points")
    assert [head.points for head in reading.classes] == [("1", "2")] and len(images["a.png"].labels) == 2
    assert len(issues) == 1 and "3 points here" in issues[0].reason
    assert reading.notes == ("Of other sorts of keypoints, for a project of their own: 1 label.",)
    images, issues, reading = rows_of(cvat.FORMAT, tmp_path, "points", "hand")
    assert images["a.png"].labels[0].points == ((3.0, 4.0, 2), (0.0, 0.0, 0)) and not issues
    assert reading.notes[0].endswith("of their own: 3 labels.")
    with pytest.raises(InputError, match="no sort of keypoints"):
        rows_of(cvat.FORMAT, tmp_path, "points", "foot")


def test_only_the_pictures_of_the_chosen_keypoints_are_read(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    cat = '<points label="cat" points="1,1;2,2;3,3"/>'
    hand = '<skeleton label="hand"><points label="palm" points="3,4"/></skeleton>'
    two = image(cat) + image(hand).replace("a.png", "b.png")
    put(tmp_path, annotations_dot_xml=whole_file(two))
    images, issues, reading = rows_of(cvat.FORMAT, tmp_path, "points", "hand")
    assert list(images) == ["b.png"] and not issues
    note = "Of other sorts of keypoints, for a project of their own: 1 picture and 1 label."
    assert reading.notes == (note,)
    assert list(rows_of(cvat.FORMAT, tmp_path, "points", "cat")[0]) == ["a.png"]


def test_turned_boxes_and_ellipses_become_outlines(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    shapes = [
        '<box label="cat" xtl="0" ytl="2" xbr="8" ybr="4" rotation="90"/>',
        '<ellipse label="cat" cx="4" cy="3" rx="2" ry="1"/>',
    ]
    put(tmp_path, annotations_dot_xml=whole_file(image(*shapes)))
    images, issues, _ = rows_of(cvat.FORMAT, tmp_path)
    turned, ellipse = images["a.png"].labels
    assert turned.box == pytest.approx((3, -1, 5, 7)) and turned.repairs and not issues
    assert ellipse.box == pytest.approx((2, 2, 6, 4)) and ellipse.mask is not None
    assert masks.area(ellipse.mask) == pytest.approx(np.pi * 2, rel=0.02)


def test_grouped_polygons_are_one_object(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    shapes = [
        f'<polygon label="{name}" group_id="{group}" points="0,0;{x},0;1,1"/>'
        for name, group, x in (("cat", 1, 1), ("cat", 1, 2), ("dog", 1, 3), ("cat", 0, 4), ("cat", 0, 5))
    ]
    put(tmp_path, annotations_dot_xml=whole_file(image(*shapes)))
    images, _, _ = rows_of(cvat.FORMAT, tmp_path, "masks")
    assert [
        len(label.mask.rings) for label in images["a.png"].labels if isinstance(label.mask, Polygons)
    ] == [2, 1, 1, 1]


@pytest.mark.parametrize(
    "words",
    [
        'rle="1, 2" left="0" top="0" width="2" height="2"',
        'rle="-1, 5" left="0" top="0" width="2" height="2"',
        'rle="0, 4" left="7" top="0" width="2" height="2"',
        'rle="0, 4" left="-1" top="0" width="2" height="2"',
        'rle="9999999999" left="0" top="0" width="99999" height="100001"',
        'rle="" left="0" top="0" width="2" height="2"',
        'rle="0, 4" left="0" top="0" width="2"',
        'rle="0, 1e999" left="0" top="0" width="2" height="2"',
    ],
)
def test_masks_that_do_not_fit_are_skipped(tmp_path: Path, words: str) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, annotations_dot_xml=whole_file(image(f'<mask label="cat" {words}/>')))
    images, issues, _ = rows_of(cvat.FORMAT, tmp_path, "masks")
    assert not images["a.png"].labels and not images["a.png"].negative and len(issues) == 1


def test_negative_unlabelled_missing_and_doubled(tmp_path: Path) -> None:
    for name in ("images/train/a.png", "images/val/a.png", "b.png"):
        picture(tmp_path / name)
    text = whole_file(
        image(more='subset="train"'),
        image('<tag label="cat"/>', more='subset="odd"', name="val/a.png"),
        image('<tag label="cat"/>', '<tag label="dog"/>', name="../../etc/passwd"),
        image(name="http://127.0.0.1/a.png"),
    )
    put(tmp_path, annotations_dot_xml=text)
    images, issues, _ = rows_of(cvat.FORMAT, tmp_path)
    assert images["images/train/a.png"].negative and images["images/train/a.png"].split == "train"
    assert images["images/val/a.png"].repairs and not images["b.png"].negative
    assert ["missing image" in issue.reason for issue in issues] == [True] * 3
    put(tmp_path, other_dot_xml=whole_file(image(more='subset="train"')))
    with pytest.raises(InputError, match="listed twice"):
        rows_of(cvat.FORMAT, tmp_path)


def test_video(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / f"images/frame_{number:06}.png")
    boxes = [
        f'<box frame="{frame}" outside="{outside}" xtl="1" ytl="1" xbr="{frame + 2}" ybr="3"/>'
        for frame, outside in ((0, 0), (1, 0), (2, 1), (9, 0), (1, 0))
    ]
    skeleton = '<skeleton frame="3"><points label="palm" points="1,1"/></skeleton><box frame="x"/>'
    tracks = f'<track label="cat">{"".join(boxes)}</track><track label="hand">{skeleton}</track>'
    put(tmp_path, annotations_dot_xml=whole_file(tracks))
    images, issues, _ = rows_of(cvat.FORMAT, tmp_path)
    found = [images[f"images/frame_{number:06}.png"] for number in range(4)]
    assert [len(row.labels) for row in found] == [1, 2, 0, 1]
    assert [row.negative for row in found] == [False, False, True, False]
    assert found[0].labels[0].box == (1.0, 1.0, 2.0, 3.0) and found[3].labels[0].points
    assert len(issues) == 2 and "frame 9" in issues[1].reason
    recognition = recognised(cvat.FORMAT, tmp_path)
    assert recognition and "videos" in recognition.reason


@pytest.mark.parametrize(
    "text", ["<annotations><image", "<!DOCTYPE a><annotations/>", "<annotations><meta></annotations>"]
)
def test_damaged_files_and_document_types_are_refused(tmp_path: Path, text: str) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path, annotations_dot_xml=text)
    with pytest.raises(InputError):
        rows_of(cvat.FORMAT, tmp_path)


def test_a_video_that_claims_to_be_endless_costs_no_more(tmp_path: Path) -> None:
    picture(tmp_path / "frame_1.png")
    meta = "<meta><task><size>99999999999</size></task></meta>"
    put(tmp_path, annotations_dot_xml=whole_file('<track label="cat"><box frame="0"/></track>', meta=meta))
    images, issues, _ = rows_of(cvat.FORMAT, tmp_path)
    assert images["frame_1.png"].negative and len(issues) == 1


# -- masks as runs ------------------------------------------------------------------------------------


def test_placed_crops_are_what_coco_encodes() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        height, width = random.integers(1, 9, 2)
        drawn = random.random((height, width)) < random.random()
        top, left = random.integers(0, height), random.integers(0, width)
        high, wide = random.integers(1, height - top + 1), random.integers(1, width - left + 1)
        alone = np.zeros_like(drawn)
        alone[top : top + high, left : left + wide] = drawn[top : top + high, left : left + wide]
        crop = drawn[top : top + high, left : left + wide]
        rle = mask_pixels.place_crop(crop, int(left), int(top), (int(width), int(height)))
        assert rle == masks.encode(alone)
        assert (mask_pixels.pixels_of(rle, int(height), int(width)) == alone).all()
        runs = mask_pixels.runs_of_rows(crop)
        assert (mask_pixels.from_rows(runs, int(wide), int(high)) == crop).all()


# -- round trips --------------------------------------------------------------------------------------

ODD = '<b> & "q" =1+1'
RING = [0.1 + 0.2, 1.0, 5.5, 1.0, 5.5, 4.0]
CLASSES = (ClassHead("never"), ClassHead(ODD), ClassHead("cat"))
HANDS = (
    ClassHead(ODD, ("a", 'b"&<', "c"), ((0, 2), (2, 1))),
    ClassHead("cat", ("a", 'b"&<', "c"), ((0, 1),)),
)


def eye(size: int = 12) -> Rle:
    drawn = np.zeros((12, 16), np.uint8)
    drawn[:size, :size] = np.eye(size)
    return masks.encode(drawn)


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (
            "boxes",
            [
                Label(ODD, (0.1 + 0.2, 0.0, 5.0, 6.25), attributes=(("occluded", "1"), ("a&", "<\n> x "))),
                Label("cat", (1.0, 2.0, 3.0, 4.0), ignored=True, attributes=(("k", "v"), ("occluded", "1"))),
            ],
        ),
        (
            "masks",
            [
                Label("cat", mask=Polygons.of([RING])),
                Label(ODD, mask=Polygons.of([RING, [9, 9, 10, 9, 10, 10]]), attributes=(("k", "v"),)),
                Label("cat", mask=eye()),
                Label("cat", mask=masks.encode(np.ones((12, 16), np.uint8)), ignored=True),
            ],
        ),
        ("regions", [Label("cat", mask=eye(5)), Label(ODD, mask=Polygons.of([RING]))]),
        ("tags", [Label("cat"), Label(ODD, attributes=(("occluded", "1"),))]),
        ("class", [Label("cat")]),
        (
            "points",
            [
                Label("cat", points=((1.5, 2.0, 2), (0.0, 0.0, 0), (3.0, 4.0, 1))),
                Label(ODD, points=((1.0, 2.0, 2),) * 3, attributes=(("k", "v"),)),
            ],
        ),
    ],
)
def test_round_trips(tmp_path: Path, kind: LabelKind, labels: list[Label]) -> None:
    classes = HANDS if kind == "points" else CLASSES
    out = ExportSet(kind, classes, hostile_rows(tmp_path / "in", labels))
    assert_round_trip(cvat.FORMAT, out, tmp_path / "out")
    _, _, reading = rows_of(cvat.FORMAT, tmp_path / "out", kind)
    assert reading.classes == classes


def test_a_label_without_what_its_kind_needs_is_not_written(tmp_path: Path) -> None:
    out = ExportSet("boxes", CLASSES, hostile_rows(tmp_path / "in", [Label("cat")]))
    with pytest.raises(InputError, match="boxes"):
        cvat_write.write(out, tmp_path / "out")
