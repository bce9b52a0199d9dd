"""Where a picture lies in what the model is given: the frame says what ``fit`` does to the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.datasets.framing import Frame
from engine.datasets.preprocessing import RESIZES, Preprocessing, fit

SIDES = st.integers(20, 90)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(RESIZES), st.floats(0.5, 1.0))
def test_places_go_there_and_back(
    width: int, height: int, rows: int, columns: int, resize: str, crop_pct: float
) -> None:
    frame = Frame.of(width, height, Preprocessing(rows, columns, resize=resize, crop_pct=crop_pct))
    boxes = np.array([[0, 0, width, height], [3.5, 4.25, 11, 19]], np.float32)
    np.testing.assert_allclose(frame.to_picture(frame.to_input(boxes)), boxes, atol=1e-3)
    points = boxes[:, :2]
    np.testing.assert_allclose(frame.to_input(points), frame.to_input(boxes)[:, :2])


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(80, 48), (48, 80), (33, 33)])
def test_a_bright_box_lies_where_the_frame_says(resize: str, size: tuple[int, int]) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[14:28, 12:30] = 255
    record = Preprocessing(96, 128, resize=resize, background=(0, 0, 0))
    seen = np.asarray(fit(Image.fromarray(pixels), record)[..., 0] > 127)
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    box = Frame.of(*size, record).to_input(np.array([[12, 14, 30, 28]], np.float32))[0]
    np.testing.assert_allclose(found, np.minimum(np.maximum(box, 0), np.array([128, 96, 128, 96])), atol=1.0)


def test_what_lies_beyond_the_picture_is_clipped() -> None:
    record = Preprocessing(100, 100, resize="pad")
    frame = Frame.of(200, 100, record)
    assert frame.inside == (0.0, 25.0, 100.0, 75.0)
    np.testing.assert_allclose(frame.to_picture(np.array([[-5, 0, 50, 200]], np.float32)), [[0, 0, 100, 100]])


def test_no_places_stay_none() -> None:
    frame = Frame.of(200, 100, Preprocessing(100, 100))
    nothing = np.zeros((0, 4), np.float32)
    assert frame.to_input(nothing).shape == frame.to_picture(nothing).shape == (0, 4)
