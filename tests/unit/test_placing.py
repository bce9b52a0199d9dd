"""Placing: labels in px of the upright picture, held against pixels; what is mended says so."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from engine.datasets import masks
from engine.datasets.labels import Box, ImageLabels, Label, Polygons, Rle
from engine.datasets.placing import Picture, inverted, place, scaled_size
from engine.datasets.preprocessing import upright

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PICTURE = Picture(200, 100)
SIDE = pytest.mark.parametrize("orientation", range(1, 9))


def placed(label: Label, picture: Picture = PICTURE, **more: Any) -> Label | str:
    """What becomes of one label, or the reason why it is skipped."""
    options = {name: more.pop(name) for name in ("swap_boxes", "rescale") if name in more}
    found = place(ImageLabels("a.png", (label,), **more), picture, **options)
    assert len(found.labels) + len(found.skipped) == 1
    return found.labels[0] if found.labels else found.skipped[0][1]


def kept(label: Label, picture: Picture = PICTURE, **more: Any) -> Label:
    found = placed(label, picture, **more)
    assert isinstance(found, Label), found
    return found


def boxed(*box: float) -> Label:
    return Label("cat", (box[0], box[1], box[2], box[3]))


def turned_picture(orientation: int, mark: Box, width: int = 32, height: int = 20) -> Image.Image:
    """A stored picture with a white mark, saved with the tag and opened upright."""
    pixels = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = map(int, mark)
    pixels[y1:y2, x1:x2] = 255
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    with Image.open(io.BytesIO(stream.getvalue())) as image:
        return upright(image)


def test_a_square_picture_does_not_tell_which_way_up_its_labels_are() -> None:
    for orientation in (5, 6, 7, 8):
        square = kept(boxed(1, 2, 3, 4), Picture(32, 32, orientation), size=(32, 32))
        assert square.box == boxed(1, 2, 3, 4).box
        assert "square and turned by its EXIF" in square.repairs[0]
        # The sides of others tell it.
        assert not kept(boxed(1, 2, 3, 4), Picture(20, 32, orientation), size=(20, 32)).repairs
    assert not kept(boxed(1, 2, 3, 4), Picture(32, 32), size=(32, 32)).repairs


# -- EXIF ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_of_the_stored_picture_turn_with_its_pixels(orientation: int) -> None:
    mark = (3.0, 2.0, 14.0, 7.0)
    image = turned_picture(orientation, mark)
    shown = np.asarray(image)[..., 0] > 0
    stored = np.zeros((20, 32), bool)
    stored[2:7, 3:14] = True
    ring = [3, 2, 14, 2, 14, 7, 3, 7]
    points = ((3.5, 2.5, 2), (13.5, 6.5, 1), (0.0, 0.0, 0))
    labels = (
        Label("cat", mark, masks.encode(stored), points),
        Label("cat", mask=Polygons.of([ring])),
    )
    row = ImageLabels("a.png", labels, size=(32, 20))
    found = place(row, Picture(*image.size, orientation))
    runs, outline = found.labels
    ys, xs = np.nonzero(shown)
    around = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert runs.box == around
    assert isinstance(runs.mask, Rle) and np.array_equal(masks.decode(runs.mask), shown)
    assert outline.mask is not None and masks.box_of(outline.mask) == around
    assert np.array_equal(masks.decode(masks.to_runs(outline.mask, *shown.shape)), shown)
    assert runs.points is not None and runs.points[2] == (0.0, 0.0, 0)
    for x, y, seen in runs.points[:2]:
        assert seen and shown[int(y), int(x)]
    assert [point[2] for point in runs.points] == [2, 1, 0]
    assert runs.repairs == outline.repairs == ("turned upright with its picture",)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_single_corner_goes_where_its_pixel_goes(orientation: int) -> None:
    """A mark of one pixel in a corner tells all eight ways apart."""
    image = turned_picture(orientation, (0, 0, 1, 1))
    ys, xs = np.nonzero(np.asarray(image)[..., 0])
    found = kept(boxed(0, 0, 1, 1), Picture(*image.size, orientation), size=(32, 20))
    assert found.box == (xs[0], ys[0], xs[0] + 1, ys[0] + 1)


@SIDE
def test_labels_of_the_upright_size_are_not_turned(orientation: int) -> None:
    label = Label("cat", (1, 2, 30, 40), masks.from_runs([0, 20000], 100, 200), ((5.0, 6.0, 2),))
    found = kept(label, replace(PICTURE, orientation=orientation), size=(200, 100))
    assert (found.box, found.mask, found.points) == (label.box, label.mask, label.points)
    assert bool(found.repairs) == (orientation in (2, 3, 4))  # mirrored: which was meant cannot be seen


@SIDE
def test_without_a_declared_size_labels_are_upright(orientation: int) -> None:
    picture = replace(PICTURE, orientation=orientation)
    assert kept(boxed(1, 2, 30, 40), picture) == boxed(1, 2, 30, 40)
    relative = kept(boxed(0.1, 0.2, 0.5, 0.6), picture, relative=True, size=(100, 200))
    assert relative.box == pytest.approx((20, 20, 100, 60)) and not relative.repairs


def test_a_square_picture_that_lies_on_its_side_is_taken_as_upright() -> None:
    assert kept(boxed(0, 0, 2, 2), Picture(50, 50, 6), size=(50, 50)).box == (0, 0, 2, 2)


# -- declared sizes --------------------------------------------------------------------------------------


def test_sides_that_are_exchanged_are_said() -> None:
    found = kept(boxed(120, 10, 190, 90), size=(100, 200))
    assert found.box == (120.0, 10.0, 190.0, 90.0)
    assert found.repairs == ("width and height of the image are exchanged in the set",)


def test_labels_of_another_size_are_skipped_or_rescaled() -> None:
    label = Label("cat", (10, 5, 40, 20), Polygons.of([[10, 5, 40, 5, 40, 20]]), ((12.0, 6.0, 2),))
    row = ImageLabels("a.png", (label,), size=(100, 50))
    assert scaled_size(row, PICTURE)
    reason = placed(label, size=(100, 50))
    assert reason == "the set gives 100 x 50 px for the image, which has 200 x 100"
    found = kept(label, size=(100, 50), rescale=True)
    assert found.box == (20.0, 10.0, 80.0, 40.0) and found.points == ((24.0, 12.0, 2),)
    assert isinstance(found.mask, Polygons) and list(found.mask.rings[0]) == [20, 10, 80, 10, 80, 40]
    assert found.repairs == ("rescaled from 100 x 50 px",)


def test_run_lengths_are_rescaled_with_their_picture() -> None:
    pixels = np.zeros((5, 10), bool)
    pixels[1:3, 2:6] = True
    found = kept(Label("cat", mask=masks.encode(pixels)), Picture(20, 10), size=(10, 5), rescale=True)
    assert isinstance(found.mask, Rle)
    assert np.array_equal(masks.decode(found.mask), np.kron(pixels, np.ones((2, 2), bool)))


@pytest.mark.parametrize("size", [(100, 60), (300, 100), (1, 1)])
def test_another_shape_is_not_rescaled(size: tuple[int, int]) -> None:
    assert not scaled_size(ImageLabels("a.png", (boxed(1, 1, 2, 2),), size=size), PICTURE)
    assert isinstance(placed(boxed(1, 1, 2, 2), size=size, rescale=True), str)


@pytest.mark.parametrize(
    "row", [ImageLabels("a"), ImageLabels("a", (Label("x"),), relative=True, size=(1, 1))]
)
def test_a_row_that_needs_no_size_has_no_other_scale(row: ImageLabels) -> None:
    assert not scaled_size(replace(row, size=(100, 50)), PICTURE)


def test_a_bare_class_needs_no_size() -> None:
    assert kept(Label("cat"), size=(3, 7)) == Label("cat")


# -- clipping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "found", "repair"),
    [
        ((0, 0, 200, 100), (0, 0, 200, 100), ""),
        ((-0.005, 0, 200.005, 100), (0, 0, 200, 100), ""),  # the rounding of a text
        ((-1, 0, 100, 50), (0, 0, 100, 50), "the box reached 0.5% beyond the image and was cut"),
        ((150, 50, 202, 101), (150, 50, 200, 100), "the box reached 1.0% beyond the image and was cut"),
        ((150, 50, 210, 60), (150, 50, 200, 60), "beyond the image and was cut, more than the rounding"),
    ],
)
def test_a_box_is_cut_at_the_border(box: Box, found: Box, repair: str) -> None:
    label = kept(Label("cat", box))
    assert label.box == found
    assert (label.repairs == ()) if not repair else (repair in label.repairs[0])
    assert ("more than" in "".join(label.repairs)) == ("more than" in repair)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((190, 10, 230, 20), "the middle of the box lies outside"),
        ((-30, 10, 10, 20), "the middle of the box lies outside"),
        ((300, 300, 310, 310), "the middle of the box lies outside"),
        ((10, 10, 10, 20), "no area"),
        ((10, 10, 20, 10), "no area"),
        ((20, 10, 10, 20), "ends before it begins"),
        ((10, 20, 20, 10), "ends before it begins"),
        ((1e300, 1e300, 1.5e300, 1.5e300), "the middle of the box lies outside"),
    ],
)
def test_a_box_beyond_repair_is_skipped(box: Box, reason: str) -> None:
    assert reason in str(placed(Label("cat", box)))


def test_corners_are_exchanged_only_when_a_person_says_so() -> None:
    label = boxed(40, 30, 10, 20)
    assert inverted(label) and not inverted(boxed(1, 1, 1, 1)) and not inverted(Label("x"))
    assert isinstance(placed(label), str)
    found = kept(label, swap_boxes=True)
    assert found.box == (10.0, 20.0, 40.0, 30.0) and found.repairs == ("corners exchanged",)
    assert kept(boxed(1, 2, 3, 4), swap_boxes=True).repairs == ()
    assert "no area" in str(placed(boxed(9, 5, 9, 1), swap_boxes=True))


@pytest.mark.parametrize("edge", [1.0, 1 + 1e-16, 1 + 1e-9, 1 - 1e-16])
@pytest.mark.parametrize("size", [(200, 100), (16_384, 3), (997, 1013)])
def test_the_rounding_of_shares_is_no_repair(edge: float, size: tuple[int, int]) -> None:
    picture = Picture(*size)
    label = Label("cat", (-1e-17, 0.1, edge, edge), Polygons.of([[-1e-17, 0, edge, 0, edge, edge]]),
                  ((edge, edge, 2), (-1e-17, 0.0, 1)))  # fmt: skip
    found = kept(label, picture, relative=True)
    assert found.repairs == ()
    assert found.box is not None and found.box[0] == 0 and found.box[2] <= size[0] and found.box[3] <= size[1]
    assert isinstance(found.mask, Polygons) and max(found.mask.rings[0]) <= max(size)
    assert found.points is not None
    for x, y, _ in found.points:
        assert 0 <= x <= size[0] and 0 <= y <= size[1]


def test_every_box_of_yolo_that_touches_the_border_is_kept_as_it_is() -> None:
    """The middle and half of the width, in six digits, rarely add up to 1."""
    for number in range(1, 200):
        width = round(number / 200, 6)
        middle = round(1 - width / 2, 6)
        box = (middle - width / 2, 0.25, middle + width / 2, 0.75)
        assert kept(Label("cat", box), Picture(640, 480), relative=True).repairs == ()


@pytest.mark.parametrize(
    ("rings", "left", "repair"),
    [
        ([[1, 1, 9, 1, 9, 9], [1, 1, 2, 2]], [[1, 1, 9, 1, 9, 9]], "an outline with fewer than three points"),
        ([[1, 1, 9, 1, 9, 9, 5], [5, 5, 8, 5, 8, 8]], [[5, 5, 8, 5, 8, 8]], "an outline with"),
        ([[1, 1, 9, 9, 9, 9, 2], [], [1, 1, 1, 5, 1, 9], [0, 0, 3, 0, 3, 3]], [[0, 0, 3, 0, 3, 3]], "3 out"),
        ([[150, 50, 220, 50, 220, 90]], [[150, 50, 200, 50, 200, 90]], "the outline reached 10.0% beyond"),
    ],
)  # fmt: skip
def test_outlines_are_cut_and_what_is_none_is_left_out(
    rings: list[list[float]], left: list[list[float]], repair: str
) -> None:
    found = kept(Label("cat", mask=Polygons.of(rings)))
    assert isinstance(found.mask, Polygons) and [list(ring) for ring in found.mask.rings] == left
    assert len(found.repairs) == 1 and repair in found.repairs[0]


def test_without_an_outline_the_box_stays() -> None:
    label = Label("cat", (1, 1, 9, 9), Polygons.of([[1, 1, 2, 2]]))
    found = kept(label)
    assert found.mask is None and found.box == (1.0, 1.0, 9.0, 9.0) and len(found.repairs) == 1
    assert "fewer than three points" in str(placed(replace(label, box=None)))
    assert "an outline outside" in str(
        placed(Label("cat", mask=Polygons.of([[300, 300, 310, 300, 310, 310]])))
    )


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (Rle(100, 200, "09"), "cover 9 pixels"),
        (Rle(100, 200, "\x00"), "characters"),
        (Rle(2**40, 2**40, "l3"), "cover"),
        (masks.from_runs([0, 2500], 50, 50), "its mask has 50 x 50 px, the image 200 x 100"),
        (masks.from_runs([20000], 100, 200), "cannot be used: it is empty"),
    ],
)
def test_a_mask_that_cannot_be_used_leaves_the_box(mask: Rle, reason: str) -> None:
    found = kept(Label("cat", (1, 1, 9, 9), mask))
    assert found.mask is None and found.box == (1.0, 1.0, 9.0, 9.0) and reason in found.repairs[0]
    assert reason in str(placed(Label("cat", mask=mask)))


def test_a_mask_of_the_same_shape_is_resized_and_says_so() -> None:
    found = kept(Label("cat", mask=masks.from_runs([0, 1250], 25, 50)))
    assert found.mask == masks.from_runs([0, 20000], 100, 200)
    assert found.repairs == ("its mask was resized from 50 x 25 px, nearest pixel",)


WHOLE = Label("cat", (1.0, 2.0, 9.0, 9.5), Polygons.of([[1, 2, 9, 2, 9, 9.5]]), repairs=("read so",))


@pytest.mark.parametrize("label", [WHOLE, replace(WHOLE, mask=None), replace(WHOLE, box=None)])
def test_what_needs_no_change_is_the_same_record(label: Label) -> None:
    assert kept(label) is label
    assert kept(label, size=(200, 100)) is label


def test_a_box_of_whole_numbers_becomes_one_of_floats() -> None:
    found = kept(Label("cat", (1, 2, 9, 10))).box
    assert found is not None
    assert [type(value) for value in found] == [float] * 4


def test_run_lengths_that_we_made_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Rle] = []
    check = masks.check

    def checked(mask: Rle) -> int:
        read.append(mask)
        return check(mask)

    monkeypatch.setattr(masks, "check", checked)
    pixels = np.zeros((100, 200), bool)
    pixels[5:9, 5:9] = True
    foreign = masks.encode(pixels)
    ours = replace(foreign, sound=True)
    assert kept(Label("cat", mask=ours)).mask is ours
    assert not read
    assert kept(Label("cat", mask=foreign)).mask is foreign
    assert read == [foreign]
    small = replace(masks.encode(pixels[:50, :100]), sound=True)  # its size is looked at all the same
    found = kept(Label("cat", mask=small)).mask
    assert isinstance(found, Rle) and (found.height, found.width) == (100, 200)


def test_points_far_outside_are_not_labelled() -> None:
    label = Label("cat", points=((10.0, 10.0, 2), (500.0, 5.0, 2), (-1.0, 50.0, 1), (-900.0, 7.0, 0)))
    found = kept(label)
    assert found.points is not None
    assert [point[2] for point in found.points] == [2, 0, 1, 0] and found.points[1] == (0.0, 0.0, 0)
    assert found.points[2][:2] == (0.0, 50.0)  # by less than a hundredth: moved to the border
    assert found.repairs == (
        "a point lies outside the image; counted as not labelled",
        "a point was just beyond the image and moved to its border",
    )


numbers = st.floats(-300, 500, allow_nan=False)


@given(st.lists(numbers, min_size=4, max_size=4), st.booleans(), st.integers(1, 8))
@example([0, 0, 5e-324, 5e-324], False, 1)
@example([0, 0, 200, 1e-308], False, 6)
@example([-300, 0, 500, 100], False, 1)
def test_what_is_placed_lies_inside_and_has_an_area(
    corners: list[float], swap: bool, orientation: int
) -> None:
    label = Label("cat", (corners[0], corners[1], corners[2], corners[3]))
    size = (100, 200) if orientation >= 5 else None
    found = placed(label, replace(PICTURE, orientation=orientation), size=size, swap_boxes=swap)
    if isinstance(found, Label) and found.box is not None:
        x1, y1, x2, y2 = found.box
        assert 0 <= x1 < x2 <= 200 and 0 <= y1 < y2 <= 100


@given(st.lists(st.lists(numbers, max_size=12), max_size=4))
def test_what_is_left_of_outlines_lies_inside(rings: list[list[float]]) -> None:
    found = placed(Label("cat", (1, 1, 9, 9), Polygons.of(rings)))
    assert isinstance(found, Label)
    for ring in found.mask.rings if isinstance(found.mask, Polygons) else ():
        assert len(ring) >= 6 and len(ring) % 2 == 0
        assert all(0 <= x <= 200 for x in ring[0::2]) and all(0 <= y <= 100 for y in ring[1::2])


def test_one_bad_label_does_not_take_the_others_along() -> None:
    labels = (boxed(1, 1, 9, 9), boxed(5, 5, 5, 5), boxed(2, 2, 8, 8))
    found = place(ImageLabels("a.png", labels), PICTURE)
    assert found.labels == (labels[0], labels[2]) and found.skipped[0][0] is labels[1]
