"""Labels drawn over their image: what is coloured where, checked against numpy."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageColor

from engine.api.overlays import LONGER_SIDE, opened_size
from engine.contracts.datasets import ClassInfo, ImageItem, LabelItem
from engine.contracts.palette import OKABE_ITO, class_color
from engine.datasets import masks, overlay
from engine.datasets.labels import Polygons
from engine.datasets.legend import MOST_NAMES, legend
from engine.datasets.thumbnails import make_thumbnail

CELL = ClassInfo(id="cell", name="cell", position=0)
BLOB = ClassInfo(id="blob", name="blob", position=1)
PERSON = ClassInfo(
    id="person", name="person", position=2, points=("a", "b", "c"), skeleton=((0, 1), (1, 2))
)  # fmt: skip
CLASSES = (CELL, BLOB, PERSON)


def label(class_id: str = "cell", **fields: object) -> LabelItem:
    return LabelItem.model_validate({"id": f"{class_id}-{len(str(fields))}", "class_id": class_id, **fields})


def draw(
    *labels: LabelItem, size: tuple[int, int] = (64, 48), out: tuple[int, int] = (64, 48)
) -> NDArray[np.uint8]:
    """Draw and read back, (H, W, 4)."""
    image = Image.open(io.BytesIO(overlay.draw(labels, CLASSES, size, out)))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", out)
    return np.asarray(image)


def rle(mask: NDArray[np.bool_]) -> str:
    return masks.encode(mask).counts


def color(position: int) -> tuple[int, ...]:
    return ImageColor.getrgb(class_color(position))


def disc(size: tuple[int, int], x: float, y: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: size[1], : size[0]]
    return (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < radius**2


def lab(rgb: tuple[int, ...]) -> NDArray[np.float64]:
    """sRGB to CIELAB under D65 (IEC 61966-2-1, CIE 15), whose distances are near to what eyes see."""
    linear = np.array(rgb, float) / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / (0.9505, 1, 1.089))  # none of these colours is near black
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


class TestBoxes:
    def test_the_lines_lie_inside_the_edges_and_the_rim_outside(self) -> None:
        pixels = draw(label(box=(10, 8, 40, 30)))
        for row, column in ((8, 20), (9, 20), (28, 20), (29, 20), (15, 10), (15, 11), (15, 38), (15, 39)):
            assert tuple(pixels[row, column]) == (*color(0), 255)
        for row, column in ((7, 20), (30, 20), (15, 9), (15, 40)):
            assert tuple(pixels[row, column]) == overlay.RIM
        assert not pixels[10:28, 12:38, 3].any(), "what is inside stays to be seen"
        assert not pixels[:7, :, 3].any()
        assert not pixels[31:, :, 3].any()

    def test_coordinates_scale_with_the_picture(self) -> None:
        pixels = draw(label(box=(10, 8, 40, 30)), out=(128, 96))
        inside = (pixels[..., :3] == color(0)).all(axis=2) & (pixels[..., 3] == 255)
        rows, columns = np.nonzero(inside)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (20, 16, 80, 60)

    @pytest.mark.parametrize("box", [(0, 0, 64, 48), (-5, 3, 70, 60), (5.2, 5.2, 5.9, 5.4), (63, 47, 64, 48)])
    def test_boxes_at_and_over_the_border_and_tiny_ones_are_seen(self, box: tuple[float, ...]) -> None:
        assert draw(label(box=box))[..., 3].any()

    def test_an_object_with_an_outline_shows_no_box_as_well(self) -> None:
        mask = disc((64, 48), 30, 24, 10)
        with_box = draw(label(rle=rle(mask), box=(20, 14, 40, 34)))
        assert (with_box == draw(label(rle=rle(mask)))).all()


class TestAreas:
    def test_run_lengths_cover_exactly_their_pixels(self) -> None:
        mask = disc((64, 48), 30.3, 22.1, 13.7)
        pixels = draw(label("blob", rle=rle(mask)))
        assert ((pixels[..., 3] > 0) == mask).all()
        assert int((pixels[..., 3] > 0).sum()) == masks.area(masks.encode(mask))
        assert (pixels[mask][:, :3] == color(1)).all()
        assert pixels[22, 30, 3] == overlay.TINT, "the picture below is seen"

    def test_the_edge_is_crisp_and_two_pixels_wide(self) -> None:
        mask = np.zeros((48, 64), bool)
        mask[10:30, 10:40] = True
        opaque = draw(label(rle=rle(mask)))[..., 3] == 255
        expected = mask.copy()
        expected[12:28, 12:38] = False
        assert (opaque == expected).all()

    def test_the_border_of_the_picture_is_no_edge(self) -> None:
        assert (draw(label(rle=rle(np.ones((48, 64), bool))))[..., 3] == overlay.TINT).all()

    def test_an_outline_covers_what_coco_fills_within_its_edge(self) -> None:
        ring = (10.0, 8.0, 50.0, 12.0, 45.0, 40.0, 15.0, 35.0)
        filled = draw(label(polygons=(ring,)))[..., 3] > 0
        runs = masks.run_lengths(masks.to_runs(Polygons.of([ring]), 48, 64).counts)
        theirs = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(64, 48).T
        moved = [np.roll(theirs, step, (0, 1)) for step in np.ndindex(3, 3)]
        moved = [np.roll(one, (-1, -1), (0, 1)) for one in moved]
        assert (filled >= np.logical_and.reduce(moved)).all()
        assert (filled <= np.logical_or.reduce(moved)).all()

    def test_outlines_of_one_object_are_one_area(self) -> None:
        parts = ((5.0, 5.0, 20.0, 5.0, 20.0, 20.0, 5.0, 20.0), (30.0, 5.0, 45.0, 5.0, 45.0, 20.0, 30.0, 20.0))
        pixels = draw(label(polygons=parts))
        assert tuple(pixels[12, 12]) == tuple(pixels[12, 37]) == (*color(0), overlay.TINT)
        assert pixels[12, 25, 3] == 0

    def test_the_small_is_not_hidden_by_the_large(self) -> None:
        large, small = np.ones((48, 64), bool), disc((64, 48), 30, 20, 6)
        for labels in (
            [label(rle=rle(large)), label("blob", rle=rle(small))],
            [label("blob", rle=rle(small)), label(rle=rle(large))],
        ):
            assert tuple(draw(*labels)[20, 30, :3]) == color(1)

    def test_objects_of_one_class_that_touch_can_be_told_apart(self) -> None:
        left, right = np.zeros((48, 64), bool), np.zeros((48, 64), bool)
        left[5:40, 5:30], right[5:40, 30:60] = True, True
        pixels = draw(label(rle=rle(left)), label(rle=rle(right)))
        assert tuple(pixels[20, 15, :3]) == color(0)
        assert tuple(pixels[20, 45, :3]) != color(0)
        assert pixels[20, 29, 3] == pixels[20, 30, 3] == 255

    def test_tones_look_more_like_their_class_than_like_others(self) -> None:
        palette = [lab(ImageColor.getrgb(name)) for name in OKABE_ITO]
        for own, name in enumerate(OKABE_ITO):
            tones = [lab(overlay._tone(name, turn)[:3]) for turn in range(len(overlay.TONES))]
            for tone in tones:
                assert int(np.argmin([np.linalg.norm(tone - other) for other in palette])) == own
            steps = [np.linalg.norm(a - b) for n, a in enumerate(tones) for b in tones[n + 1 :]]
            assert min(steps) > 4, "tones can be told apart"

    def test_runs_for_another_size_are_refused(self) -> None:
        with pytest.raises(ValueError, match="cover"):
            draw(label(rle=rle(np.ones((10, 10), bool))))

    def test_an_empty_mask_draws_nothing(self) -> None:
        assert not draw(label(rle=rle(np.zeros((48, 64), bool)))).any()

    @given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0.3, 3))
    @settings(max_examples=60, deadline=None)
    def test_any_mask_at_any_size_is_the_mask_seen_at_pixel_middles(
        self, seed: int, width: int, height: int, scale: float
    ) -> None:
        mask = np.random.default_rng(seed).random((height, width)) < 0.4
        out = (max(1, round(width * scale)), max(1, round(height * scale)))
        frame = overlay.Frame((width, height), out)
        expected = mask[np.ix_(frame.sources(1), frame.sources(0))]
        drawn = draw(label(rle=rle(mask)), size=(width, height), out=out)[..., 3] > 0
        assert (drawn == expected).all()


class TestIgnored:
    @pytest.mark.parametrize("shape", ["box", "polygons", "rle"])
    def test_it_is_hatched_in_grey(self, shape: str) -> None:
        mask = np.zeros((48, 64), bool)
        mask[10:40, 10:50] = True
        fields = {
            "box": (10, 10, 50, 40),
            "polygons": ((10, 10, 50, 10, 50, 40, 10, 40),),
            "rle": rle(mask),
        }
        for class_id in ("cell", ""):  # a region that does not count may have no class
            pixels = draw(label(class_id, ignored=True, **{shape: fields[shape]}))
            inside = pixels[14:36, 14:46].reshape(-1, 4)
            assert {tuple(p) for p in inside.tolist()} == {overlay.GREY, overlay.HATCH}

    def test_objects_lie_above_it(self) -> None:
        mask = disc((64, 48), 30, 20, 8)
        crowd = label(ignored=True, rle=rle(disc((64, 48), 30, 20, 4)))
        assert tuple(draw(crowd, label(rle=rle(mask)))[20, 30, :3]) == color(0)


class TestPoints:
    def test_visible_points_are_filled_hidden_hollow_and_joined(self) -> None:
        pixels = draw(label("person", points=((10.5, 10.5, 2), (40.5, 10.5, 1), (40.5, 40, 2))))
        assert tuple(pixels[10, 10]) == (*color(2), 255)
        assert pixels[10, 40, 3] == 0, "the middle of a hidden point is open"
        assert tuple(pixels[9, 25]) == (*color(2), 255) or tuple(pixels[10, 25]) == (*color(2), 255)
        assert pixels[25, 39:41, 3].max() == 255
        assert tuple(pixels[40, 40]) == (*color(2), 255)

    def test_a_point_that_is_not_labelled_is_not_drawn_and_not_joined(self) -> None:
        pixels = draw(label("person", points=((10, 10, 2), (0, 0, 0), (40, 40, 2))))
        assert pixels[0:4, 0:4, 3].max() == 0
        assert pixels[24:27, 24:27, 3].max() == 0

    def test_a_class_without_points_of_its_own_draws_them_without_lines(self) -> None:
        pixels = draw(label("cell", points=((10, 10, 2), (40, 10, 2))))
        assert pixels[10, 10, 3] == 255
        assert pixels[10, 25, 3] == 0


def test_the_same_labels_give_the_same_bytes() -> None:
    labels = [label(box=(1, 2, 30, 40)), label("blob", rle=rle(disc((64, 48), 30, 20, 8)))]
    assert overlay.draw(labels, CLASSES, (64, 48), (64, 48)) == overlay.draw(
        labels, CLASSES, (64, 48), (64, 48)
    )


def test_labels_without_a_place_and_of_unknown_classes_draw_nothing() -> None:
    assert not draw(label(), label("gone", box=(1, 1, 20, 20))).any()


@pytest.mark.parametrize("size", [(64, 48), (600, 400), (401, 333), (2000, 100), (90, 3000)])
def test_it_lies_on_the_thumbnail_also_where_that_is_cut(size: tuple[int, int]) -> None:
    """A bright box is drawn into the picture; the label of that box must fall on it."""
    width, height = size
    box = (width * 0.45, height * 0.4, width * 0.58, height * 0.7)
    picture = Image.new("RGB", size)
    picture.paste((255, 255, 255), tuple(round(v) for v in box))
    with Image.open(io.BytesIO(make_thumbnail(picture))) as thumb:
        bright = np.asarray(thumb.convert("L")) > 127
        drawn = draw(label(box=tuple(float(round(v)) for v in box)), size=size, out=thumb.size)
    rows, columns = np.nonzero(bright)
    on = (drawn[..., :3] == color(0)).all(axis=2) & (drawn[..., 3] == 255)
    ys, xs = np.nonzero(on)
    assert abs(int(columns.min()) - int(xs.min())) <= 1
    assert abs(int(columns.max()) - int(xs.max())) <= 1
    assert abs(int(rows.min()) - int(ys.min())) <= 1
    assert abs(int(rows.max()) - int(ys.max())) <= 1


@pytest.mark.parametrize(
    ("size", "out"),
    [
        ((640, 480), (1600, 1200)),
        ((1800, 900), (1800, 900)),
        ((8000, 4000), (2000, 1000)),
        ((1, 9000), (1, 9000)),
    ],
)
def test_what_is_opened_keeps_the_proportions(size: tuple[int, int], out: tuple[int, int]) -> None:
    assert opened_size(*size, *LONGER_SIDE["full"]) == out


class TestLegend:
    def item(self, *labels: LabelItem) -> ImageItem:
        return ImageItem(
            id="i", path="a.png", sha256="0" * 64, width=200, height=100, split=None, labels=labels
        )

    def test_classes_are_counted_without_what_is_ignored(self) -> None:
        found = legend(
            self.item(
                label(box=(20, 50, 40, 60)),
                label(box=(100, 0, 120, 10)),
                label("blob", box=(0, 10, 5, 15)),
                label(box=(0, 0, 9, 9), ignored=True),
                label("", rle="x", ignored=True),
            ),
            CLASSES,
        )
        assert [(c.name, c.count) for c in found.classes] == [("cell", 2), ("blob", 1)]
        assert found.ignored == 2
        # The rare come first, since names make room for those before them.
        assert [(n.name, n.x, n.y) for n in found.names] == [
            ("blob", 0.0, 0.1), ("cell", 0.1, 0.5), ("cell", 0.5, 0.0),
        ]  # fmt: skip

    def test_areas_have_no_name_of_their_own_and_points_theirs(self) -> None:
        found = legend(
            self.item(label(rle="x"), label("person", points=((0, 0, 0), (50, 40, 2), (60, 30, 1)))), CLASSES
        )
        assert [(n.name, n.x, n.y) for n in found.names] == [("person", 0.25, 0.3)]

    def test_many_names_would_hide_the_picture(self) -> None:
        boxes = [label(box=(n, 0, n + 1, 1)) for n in range(MOST_NAMES + 1)]
        assert legend(self.item(*boxes), CLASSES).names == ()
        assert len(legend(self.item(*boxes[1:]), CLASSES).names) == MOST_NAMES
