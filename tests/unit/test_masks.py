"""Masks against pycocotools: run lengths of any kind, outlines, areas, boxes; hostile counts are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from engine.datasets import masks
from engine.datasets.labels import Polygons, Rle
from engine.datasets.preprocessing import MAX_PIXELS

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
Pixels = NDArray[np.bool_]


@st.composite
def drawings(draw: st.DrawFn) -> Pixels:
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(bits, bool).reshape(height, width)


def theirs(rle: Rle) -> dict[str, object]:
    return {"size": [rle.height, rle.width], "counts": rle.counts.encode("ascii")}


@given(drawings())
@example(np.zeros((3, 2), bool))
@example(np.ones((3, 2), bool))
@example(np.array([[1, 0], [0, 1]], bool))
def test_a_mask_and_its_run_lengths_are_the_same(pixels: Pixels) -> None:
    rle = masks.encode(pixels)
    assert np.array_equal(masks.decode(rle), pixels)
    assert np.array_equal(coco.decode(theirs(rle)).astype(bool), pixels)
    assert masks.area(rle) == pixels.sum() == coco.area(theirs(rle))
    masks.check(rle)
    plain = masks.run_lengths(rle.counts).tolist()
    flat = pixels.T.ravel()  # column by column
    assert sum(plain[1::2]) == flat.sum() and sum(plain) == flat.size
    assert masks.from_runs(plain, *pixels.shape) == rle
    assert masks.to_runs(rle, *pixels.shape) is rle


@given(drawings())
def test_the_box_of_a_mask_is_the_smallest_around_its_pixels(pixels: Pixels) -> None:
    box = masks.box_of(masks.encode(pixels))
    ys, xs = np.nonzero(pixels)
    if not xs.size:
        assert box is None
    else:
        assert box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@given(st.lists(drawings().map(lambda one: np.resize(one, (7, 5))), min_size=1, max_size=4))
def test_a_union_holds_what_any_of_them_holds(several: list[Pixels]) -> None:
    whole = masks.union([masks.encode(pixels) for pixels in several])
    assert np.array_equal(masks.decode(whole), np.any(several, axis=0))


@given(st.lists(drawings().map(lambda one: np.resize(one, (7, 5))), min_size=1, max_size=4))
def test_masks_overlap_where_a_pixel_is_in_two(several: list[Pixels]) -> None:
    shared = bool((np.sum(several, axis=0) > 1).any())
    assert masks.overlap(masks.encode(pixels) for pixels in several) is shared


def test_a_union_needs_no_check_when_no_part_of_it_does() -> None:
    ours, theirs = Rle(2, 2, "13", sound=True), Rle(2, 2, "112")
    assert masks.union([ours, ours]).sound
    assert not masks.union([ours, theirs]).sound
    assert ours == Rle(2, 2, "13")  # it says where a mask comes from, not what it is


@given(st.lists(st.integers(0, MAX_PIXELS // 12), min_size=2, max_size=12))
@example([0, MAX_PIXELS])
@example([1] * 200)
@example([MAX_PIXELS // 2 - 4, 1, 3, MAX_PIXELS // 2])
def test_long_runs_are_read_as_they_were_written(runs: list[int]) -> None:
    """pycocotools packs them, as long as a picture can make them; for longer ones its buffer is too short."""
    packed = coco.frPyObjects({"counts": runs, "size": [1, max(sum(runs), 1)]}, 1, 1)["counts"]
    assert masks.run_lengths(packed.decode("ascii")).tolist() == runs


HOSTILE = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=40).map(lambda raw: bytes(48 + byte % 80 for byte in raw).decode("latin-1")),
    st.text(alphabet=[chr(code) for code in range(48, 112)], max_size=60),
)


@given(HOSTILE, st.integers(1, 40), st.integers(1, 40))
@example("", 2, 2)
@example("o" * 5000, 2, 2)
@example("P", 2, 2)  # goes on, but there is no more
@example("éé", 2, 2)
@example("0\n4", 2, 2)
@example("\ud800", 2, 2)
@example("l3", 10, 10)
@example("ooooooo0", 10, 10)
@example("_____O" * 40, 10, 10)
def test_hostile_counts_are_refused_or_fit_exactly(counts: str, height: int, width: int) -> None:
    rle = Rle(height, width, counts)
    try:
        masks.check(rle)
    except ValueError as error:
        assert str(error)
        with pytest.raises(ValueError, match=r"."):
            masks.decode(rle)
        return
    pixels = masks.decode(rle)
    assert pixels.shape == (height, width)
    assert np.array_equal(coco.decode(theirs(rle)).astype(bool), pixels)


def test_a_gigantic_size_costs_nothing() -> None:
    """The sum is checked first: 2**62 pixels are promised, nine are there."""
    with pytest.raises(ValueError, match="cover 9 pixels"):
        masks.decode(Rle(2**31, 2**31, "09"))
    with pytest.raises(ValueError, match="cover 9 pixels"):
        masks.decode(Rle(2**31, 2**31, masks.from_runs([0, 9], 3, 3).counts))


@pytest.mark.parametrize(
    ("runs", "height", "width"), [([5], 2, 2), ([-1, 5], 2, 2), ([], 2, 2), ([0, 3], 2, 2), ([2**40], 2, 2)]
)
def test_plain_runs_that_do_not_fit_are_refused(runs: list[int], height: int, width: int) -> None:
    with pytest.raises(ValueError, match="cover"):
        masks.from_runs(runs, height, width)


coordinates = st.floats(0, 24, allow_nan=False, width=32)


@given(
    st.lists(
        st.lists(coordinates, min_size=6, max_size=16).map(lambda r: r[: len(r) // 2 * 2]),
        min_size=1,
        max_size=3,
    )
)
def test_outlines_are_filled_as_pycocotools_does(rings: list[list[float]]) -> None:
    filled = masks.decode(masks.to_runs(Polygons.of(rings), 24, 24))
    wanted = np.any([coco.decode(one) for one in coco.frPyObjects(rings, 24, 24)], axis=0)
    assert np.array_equal(filled, wanted)


@pytest.mark.parametrize(
    ("rings", "area", "box"),
    [
        ([[0, 0, 4, 0, 4, 3, 0, 3]], 12, (0, 0, 4, 3)),
        ([[0, 3, 4, 3, 4, 0, 0, 0]], 12, (0, 0, 4, 3)),  # the other way round
        ([[0, 0, 4, 0, 0, 3], [10, 10, 12, 10, 12, 12, 10, 12]], 10, (0, 0, 12, 12)),
        ([[1, 1, 5, 5, 9, 9]], 0, (1, 1, 9, 9)),
        ([[1e5, 1e5, 1e5 + 1, 1e5, 1e5 + 1, 1e5 + 1, 1e5, 1e5 + 1]], 1, (1e5, 1e5, 1e5 + 1, 1e5 + 1)),
    ],
)
def test_area_and_box_of_outlines(
    rings: list[list[float]], area: float, box: tuple[float, float, float, float]
) -> None:
    mask = Polygons.of(rings)
    assert masks.area(mask) == pytest.approx(area, abs=1e-4) and masks.box_of(mask) == box


@pytest.mark.parametrize("corners", [1, 3, masks.FEW_NUMBERS // 2, masks.FEW_NUMBERS])
def test_the_ends_of_an_outline_are_those_of_its_corners(corners: int) -> None:
    points = np.random.default_rng(corners).normal(size=(corners, 2))
    expected = (*points.min(axis=0), *points.max(axis=0))
    found = masks.ring_ends(Polygons.of([points.ravel()]).rings[0])
    assert found == expected
    assert all(type(value) is float for value in found)


def test_no_outline_has_no_box() -> None:
    assert masks.box_of(Polygons.of([])) is None and masks.area(Polygons.of([])) == 0
