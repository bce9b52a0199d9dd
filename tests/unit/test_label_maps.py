"""Label maps: the input's pixels show the picture's nearest; void, order, padding; kept maps; moved maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from engine.contracts.datasets import LabelItem
from engine.datasets.masks import encode
from engine.datasets.preprocessing import Preprocessing, fit
from engine.errors import InputError
from engine.evaluation.edges import VOID
from engine.tasks.base import Sample
from engine.tasks.semantic import targets
from engine.tasks.semantic.maps import regions, render
from engine.tasks.semantic.targets import MapTargets, label_maps
from tests.training import make_settings

CLASSES = {"cell": 0, "tissue": 1}


def whole(width: int, height: int) -> Preprocessing:
    return Preprocessing(height, width)


def rle(mask: NDArray[np.bool_]) -> str:
    return encode(mask).counts


def item(class_id: str = "cell", **fields: object) -> LabelItem:
    return LabelItem(id="1", class_id=class_id, **fields)


def random_mask(seed: int, width: int, height: int) -> NDArray[np.bool_]:
    generator = np.random.default_rng(seed)
    coarse = generator.random((height // 3 + 1, width // 3 + 1)) < 0.4
    return coarse.repeat(3, 0).repeat(3, 1)[:height, :width]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40), st.sampled_from(["squash", "crop", "pad"])
)
def test_masks_are_sampled_where_the_picture_is(seed: int, width: int, height: int, resize: str) -> None:
    mask = random_mask(seed, width, height)
    record = Preprocessing(
        24, 32, resize=resize, crop_pct=1.0 if resize == "pad" else 0.9, background=(128, 0, 0)
    )
    found = render([item(rle=rle(mask))], CLASSES, width, height, record)
    # Independent of framing: what Pillow makes of the mask as a picture, wherever it is clearly one or other.
    picture = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    fitted = fit(picture, record).astype(int)
    padding = (fitted == (128, 0, 0)).all(axis=-1)
    np.testing.assert_array_equal(found == VOID, padding)
    for value, light in ((0, 255), (2, 0)):
        # A pixel whose whole neighbourhood is even shows that value, whatever the way of sampling.
        even = np.lib.stride_tricks.sliding_window_view(
            np.pad((fitted == light).all(axis=-1), 1, constant_values=True), (3, 3)
        ).all(axis=(2, 3))
        assert (found[even & ~padding] == value).all()


def test_at_the_pictures_size_the_mask_is_the_map() -> None:
    mask = random_mask(3, 37, 21)
    found = render([item(rle=rle(mask))], CLASSES, 37, 21, whole(37, 21))
    np.testing.assert_array_equal(found, np.where(mask, 0, 2))
    assert found.dtype == np.uint8
    assert (render([], CLASSES, 5, 4, whole(5, 4), background=1) == 1).all()


def test_halving_takes_the_pixel_at_the_middle() -> None:
    mask = np.zeros((6, 6), np.bool_)
    mask[3, 1], mask[1, 5] = True, True
    found = render([item(rle=rle(mask))], CLASSES, 6, 6, whole(3, 3))
    expected = np.full((3, 3), 2)
    expected[1, 0], expected[0, 2] = 0, 0
    np.testing.assert_array_equal(found, expected)
    third = render([item(rle=rle(mask))], CLASSES, 6, 6, whole(2, 2))
    np.testing.assert_array_equal(third, [[2, 2], [2, 2]])
    mask[4, 1] = True
    np.testing.assert_array_equal(render([item(rle=rle(mask))], CLASSES, 6, 6, whole(2, 2)), [[2, 2], [0, 2]])


def test_outlines_are_filled_to_within_a_pixel_of_their_edge() -> None:
    ring = np.array([(4.0, 3.0), (28.0, 6.0), (25.0, 27.0), (8.0, 20.0)])  # clockwise on the screen, convex
    found = render([item(polygons=(tuple(ring.ravel()),))], CLASSES, 32, 32, whole(32, 32)) == 0
    y, x = np.mgrid[:32, :32] + 0.5
    depth = np.full((32, 32), np.inf)
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        along = (end - start) / np.hypot(*(end - start))
        depth = np.minimum(depth, along[0] * (y - start[1]) - along[1] * (x - start[0]))
    assert found[depth > 0.75].all()
    assert not found[depth < -0.75].any()
    assert (depth > 0.75).sum() > 200
    assert (render([item(polygons=((1.0, 1.0, 9.0, 9.0),))], CLASSES, 9, 9, whole(9, 9)) == 2).all()


def box_mask(left: int, top: int, right: int, bottom: int) -> str:
    mask = np.zeros((20, 20), np.bool_)
    mask[top:bottom, left:right] = True
    return rle(mask)


def test_void_lies_lowest_and_the_small_above_the_large() -> None:
    small, large = item("cell", rle=box_mask(4, 4, 8, 8)), item("tissue", rle=box_mask(2, 2, 16, 16))
    ignored = item("cell", rle=box_mask(6, 6, 20, 20), ignored=True)
    for labels in ([small, large, ignored], [ignored, small, large], [large, ignored, small]):
        found = render(labels, CLASSES, 20, 20, whole(20, 20))
        assert found[5, 5] == found[7, 7] == 0
        assert found[10, 10] == found[3, 3] == 1
        assert found[17, 17] == VOID
        assert found[0, 0] == 2


def test_what_is_not_learnt_is_void_and_what_has_no_area_is_nothing() -> None:
    labels = [
        item("other", rle=box_mask(0, 0, 5, 5)),
        item("cell", box=(8.0, 8.0, 12.0, 12.0)),
        item("cell", box=(13.5, 13.4, 16.0, 18.0), ignored=True),
        item("tissue"),
    ]
    found = render(labels, CLASSES, 20, 20, whole(20, 20))
    assert (found[:5, :5] == VOID).all()
    assert (found[8:12, 8:12] == 2).all()
    ignored = np.zeros((20, 20), np.bool_)
    ignored[13:18, 13:16] = True  # the middles that lie within
    np.testing.assert_array_equal(found[6:, 6:] == VOID, ignored[6:, 6:])


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="not 19 x 20"):
        render([item(rle=box_mask(0, 0, 5, 5))], CLASSES, 20, 19, whole(8, 8))
    with pytest.raises(InputError, match="254"):
        regions([], {str(number): number for number in range(255)})
    assert regions([], {str(number): number for number in range(254)}) == ()


def samples(count: int = 5) -> list[Sample]:
    found = []
    for number in range(count):
        labels = [item(rle=rle(random_mask(number, 20, 15)))]
        found.append(Sample(str(number), "", "", regions(labels, CLASSES), 20, 15))
    return found


def test_kept_maps_are_those_that_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_settings(tmp_path)
    shares: list[float] = []
    direct = label_maps(config, samples(), whole(8, 8), 2, shares.append)
    assert shares == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert not (config.cache / "label_maps").exists()
    monkeypatch.setattr(targets, "IN_MEMORY", 10)
    kept = label_maps(config, samples(), whole(8, 8), 2)
    assert isinstance(kept, np.memmap)
    np.testing.assert_array_equal(kept, direct)
    assert direct.shape == (5, 8, 8)
    monkeypatch.setattr(targets, "paint", None)  # from now on nothing can be drawn
    np.testing.assert_array_equal(label_maps(config, samples(), whole(8, 8), 2), direct)
    assert label_maps(config, [], whole(8, 8), 2).shape == (0, 8, 8)


def test_maps_of_other_regions_or_preprocessing_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_settings(tmp_path)
    monkeypatch.setattr(targets, "IN_MEMORY", 10)
    orders = [
        (samples(), whole(8, 8), 2),
        (samples(4), whole(8, 8), 2),
        (samples()[::-1], whole(8, 8), 2),
        (samples(), whole(8, 9), 2),
        (samples(), whole(8, 8), 1),
        (samples(), Preprocessing(8, 8, resize="pad"), 2),
    ]
    for number, (chosen, record, ground) in enumerate(orders, 1):
        label_maps(config, chosen, record, ground)
        assert len(list((config.cache / "label_maps").iterdir())) == number


def test_a_stop_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_settings(tmp_path)
    monkeypatch.setattr(targets, "IN_MEMORY", 10)

    def stop(share: float) -> None:
        if share > 0.5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        label_maps(config, samples(), whole(8, 8), 2, stop)
    assert list((config.cache / "label_maps").iterdir()) == []


def test_a_batch_of_maps_moves_with_its_pictures(tmp_path: Path) -> None:
    maps = label_maps(make_settings(tmp_path), samples(), whole(8, 8), 2)
    made = MapTargets(maps, torch.device("cpu"), VOID)
    index = np.array([3, 1])
    assert torch.equal(made.batch(index, None), torch.from_numpy(maps[index]))
    matrices = torch.eye(3).repeat(2, 1, 1)
    matrices[0, 0, 2] = 2.0
    moved = made.batch(index, matrices)
    assert (moved[0, :, :2] == VOID).all()
    np.testing.assert_array_equal(moved[0, :, 2:].numpy(), maps[3][:, :-2])
    np.testing.assert_array_equal(moved[1].numpy(), maps[1])
