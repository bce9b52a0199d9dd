"""Mask pictures: the values that the file holds, as run lengths that pycocotools agrees with."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from engine.datasets import mask_pictures, masks
from engine.datasets.mask_pictures import UNKNOWN_COLOR, MaskPicture, read_mask, split_values
from engine.datasets.preprocessing import UnreadableImageError

# pycocotools 2.0.11 warns so under numpy 2 (its arrays take no "copy").
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RED, GREEN = (200, 0, 0), (0, 150, 20)


def packed(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def drawn(picture: MaskPicture) -> NDArray[np.int64]:
    """The picture put together again; each pixel must belong to exactly one region."""
    values = np.zeros((picture.height, picture.width), np.int64)
    times = np.zeros(values.shape, int)
    for place, (value, _) in enumerate(picture.regions):
        pixels = masks.decode(picture.region(place))
        assert pixels.sum() == picture.pixels[place]
        values[pixels] = value
        times += pixels
    assert (times == 1).all()
    return values


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32]),
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.integers(0, 4),
    )
)
def test_the_runs_are_those_of_pycocotools(values: NDArray[Any]) -> None:
    found, regions, pixels = split_values(values)
    assert list(found) == np.unique(values).tolist()
    for value, counts, number in zip(found, regions, pixels, strict=True):
        assert counts == masks.encode(values == value).counts
        assert number == (values == value).sum()


def test_runs_of_every_length_are_spelt_as_pycocotools_does() -> None:
    values = np.zeros((700, 300), np.uint8)
    for column, length in enumerate([1, 15, 16, 17, 31, 32, 511, 512, 513, 699, 700]):
        values[:length, column * 20] = 1
    values[5:9, 250:] = 2
    for value, counts in zip(*split_values(values)[:2], strict=True):
        assert counts == masks.encode(values == value).counts


def test_runs_of_millions_of_pixels_are_spelt_as_pycocotools_does() -> None:
    """Numbers of one to five groups of bits, with both signs."""
    values = np.zeros((1500, 1500), np.uint8)
    values[3, 1] = values[40:, 2] = values[:, 3:20] = 1
    values[700, 21:23] = values[:1499, -1] = 2
    found, regions, pixels = split_values(values)
    assert found == (0, 1, 2) and sum(pixels) == values.size
    for value, counts in zip(found, regions, strict=True):
        assert counts == masks.encode(values == value).counts


def test_a_region_needs_no_check_and_would_pass_it() -> None:
    picture = read_mask(packed(Image.fromarray(VALUES)))
    for place, (value, _) in enumerate(picture.regions):
        region = picture.region(place)
        assert region.sound
        assert masks.check(region) == picture.pixels[place] == np.count_nonzero(value == VALUES)


VALUES = np.array([[0, 1, 2], [3, 3, 255], [0, 7, 7], [9, 9, 9]], np.uint8)


def test_the_indices_of_a_palette_are_taken_as_they_are() -> None:
    image = Image.fromarray(VALUES, "L")
    image.putpalette([v for index in range(256) for v in (255 - index, index // 2, 3)])
    assert image.mode == "P"
    assert not (np.asarray(image.convert("L")) == VALUES).all()
    for kind in ("PNG", "BMP", "TIFF"):
        assert (drawn(read_mask(packed(image, kind))) == VALUES).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_grey_values_of_any_depth(dtype: type) -> None:
    values: NDArray[Any] = VALUES.astype(dtype) * (1 if dtype is np.uint8 else 100)
    picture = read_mask(packed(Image.fromarray(values), "TIFF" if dtype in (np.int32, np.float32) else "PNG"))
    assert (drawn(picture) == values).all()
    assert not picture.colored


def test_black_and_white_is_0_and_1() -> None:
    assert [v for v, _ in read_mask(packed(Image.fromarray(VALUES > 2))).regions] == [0, 1]


def test_equal_channels_are_grey_and_others_are_colours() -> None:
    grey = read_mask(packed(Image.fromarray(VALUES).convert("RGB")))
    assert (drawn(grey) == VALUES).all()
    assert not grey.colored
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[1:, 2:] = RED
    colored = read_mask(packed(Image.fromarray(pixels)))
    assert colored.colored
    assert [v for v, _ in colored.regions] == [0, 200 << 16]
    assert colored.pixels == (8, 4)


def test_a_table_of_colours_gives_the_values_and_marks_what_it_does_not_list() -> None:
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[0], pixels[1, 1] = RED, GREEN
    table = {(0, 0, 0): 0, RED: 5}
    picture = read_mask(packed(Image.fromarray(pixels)), table)
    assert dict(zip([v for v, _ in picture.regions], picture.pixels, strict=True)) == {
        0: 7,
        5: 4,
        UNKNOWN_COLOR + (150 << 8) + 20: 1,
    }
    assert (drawn(read_mask(packed(Image.fromarray(pixels)), {**table, GREEN: 5})) > 0).sum() == 5


def test_a_palette_is_looked_up_when_the_table_knows_all_its_colours() -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8), "L")
    image.putpalette([*RED, *GREEN])
    table = {RED: 7, GREEN: 3}
    assert drawn(read_mask(packed(image), table)).tolist() == [[7, 3], [3, 3]]
    assert drawn(read_mask(packed(image), {RED: 7})).tolist() == [[0, 1], [1, 1]]


def test_numbers_are_not_looked_up_in_a_table_of_colours() -> None:
    black = packed(Image.new("L", (2, 2)))
    assert [v for v, _ in read_mask(black, {(0, 0, 0): 9, RED: 1}).regions] == [0]
    assert [v for v, _ in read_mask(black, {(0, 0, 0): 9, (255, 255, 255): 1}).regions] == [9]
    coloured = packed(Image.new("RGB", (2, 2)))
    assert [v for v, _ in read_mask(coloured, {(0, 0, 0): 9, RED: 1}).regions] == [9]


def test_transparent_pixels_are_black_unless_all_are() -> None:
    pixels = np.full((2, 2, 4), 255, np.uint8)
    assert drawn(read_mask(packed(Image.fromarray(pixels)))).tolist() == [[255, 255], [255, 255]]
    pixels[0, 0, 3] = 0
    assert drawn(read_mask(packed(Image.fromarray(pixels)))).tolist() == [[0, 255], [255, 255]]
    pixels[..., 3] = 0
    assert drawn(read_mask(packed(Image.fromarray(pixels)))).tolist() == [[255, 255], [255, 255]]


def test_a_picture_crosses_a_pipe_as_json() -> None:
    picture = read_mask(packed(Image.fromarray(VALUES)))
    assert MaskPicture.from_dict(json.loads(json.dumps(picture.to_dict()))) == picture


def test_a_photo_saved_with_loss_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    with pytest.raises(UnreadableImageError, match="saved with loss"):
        read_mask(packed(Image.fromarray(noise), "JPEG"))
    assert read_mask(packed(Image.new("L", (8, 8)), "JPEG")).lossy


def test_too_many_values_and_runs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(400, dtype=np.uint16).reshape(20, 20)
    monkeypatch.setattr(mask_pictures, "MOST_VALUES", 399)
    with pytest.raises(UnreadableImageError, match="400 different values"):
        read_mask(packed(Image.fromarray(values)))
    monkeypatch.setattr(mask_pictures, "MOST_RUNS", 399)
    with pytest.raises(UnreadableImageError, match="a photo"):
        read_mask(packed(Image.fromarray(values)))


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), 1e30])
def test_floats_that_are_no_numbers_of_classes_are_refused(value: float) -> None:
    with pytest.raises(UnreadableImageError, match="no whole numbers"):
        read_mask(packed(Image.fromarray(np.full((2, 2), value, np.float32)), "TIFF"))


def test_damaged_and_foreign_files_are_refused() -> None:
    whole = packed(Image.fromarray(np.random.default_rng(0).integers(0, 9, (32, 32), dtype=np.uint8)))
    for content in (b"", b"no picture", whole[: len(whole) // 2]):
        with pytest.raises(UnreadableImageError):
            read_mask(content)
    with pytest.raises(UnreadableImageError, match="CMYK"):
        read_mask(packed(Image.new("CMYK", (4, 4)), "TIFF"))


def test_a_mask_is_turned_as_its_own_exif_data_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = packed(Image.fromarray(np.array([[1, 2]], np.uint8)), exif=exif)
    assert drawn(read_mask(content)).tolist() == [[1], [2]]
