"""Boxes and masks stay with their pictures under every matrix that augmentation draws."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.augment.batch import apply_to_images, sample_affine
from engine.augment.labels import move_boxes, move_masks
from engine.evaluation.edges import VOID

HEIGHT, WIDTH = 64, 96


@dataclass(frozen=True)
class Config:
    flip_horizontal: bool = True
    flip_vertical: bool = True
    rotate: float = 30.0
    zoom: float = 0.3
    shift: float = 0.1
    shear: float = 10.0
    color: float = 0.0


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[int, int, int, int]:
    left, top = draw(st.integers(0, WIDTH - 12)), draw(st.integers(0, HEIGHT - 12))
    return left, top, draw(st.integers(left + 12, WIDTH)), draw(st.integers(top + 12, HEIGHT))


@st.composite
def configs(draw: st.DrawFn) -> Config:
    flips = draw(st.tuples(st.booleans(), st.booleans()))
    top = (90.0, 1.0, 0.5, 30.0)
    return Config(*flips, *(draw(st.sampled_from([0.0, limit / 3, limit])) for limit in top))


def drawn(rectangle: tuple[int, int, int, int]) -> torch.Tensor:
    left, top, right, bottom = rectangle
    mask = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.uint8)
    mask[:, top:bottom, left:right] = 7
    return mask


def around(inside: torch.Tensor) -> torch.Tensor:
    """Give the box around the pixels of a mask (H, W), by their outer edges."""
    rows, columns = torch.nonzero(inside, as_tuple=True)
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


@settings(max_examples=150, deadline=None)
@given(rectangles(), configs(), st.integers(0, 10_000))
def test_box_mask_and_picture_stay_together(
    rectangle: tuple[int, int, int, int], config: Config, seed: int
) -> None:
    matrix = sample_affine(1, HEIGHT, WIDTH, config, torch.Generator().manual_seed(seed))
    mask = drawn(rectangle)
    moved_mask = move_masks(mask, matrix, 0)[0]
    picture = apply_to_images((mask[:, None] > 0).float().expand(1, 3, -1, -1), matrix, (0.0, 0.0, 0.0))[0, 0]
    assert set(moved_mask.unique().tolist()) <= {0, 7}
    # Bilinear and nearest sampling may only differ where the picture is neither.
    sure = (picture < 0.25) | (picture > 0.75)
    assert torch.equal((moved_mask > 0)[sure], (picture > 0.5)[sure])
    box = torch.tensor([rectangle], dtype=torch.float32)
    moved, kept = move_boxes(box, matrix[0], (HEIGHT, WIDTH), keep=0.0)
    if not (moved_mask > 0).any():
        return
    found = around(moved_mask > 0)
    assert kept.item() or (found[2:] - found[:2]).min() < 4
    if not kept.item():
        return
    # What is seen lies in the box; where nothing was cut off, it also reaches the box's sides.
    assert (found[:2] >= moved[0, :2] - 1).all()
    assert (found[2:] <= moved[0, 2:] + 1).all()
    inside = (moved[0, :2] > 0).all() and (moved[0, 2:] < torch.tensor([WIDTH, HEIGHT])).all()
    if inside:
        slack = 1.0 if abs(matrix[0, 0, 1]) + abs(matrix[0, 1, 0]) < 1e-6 else TIP
        assert (found - moved[0]).abs().max() <= slack


TIP = 1.5
"""px: of the tip of a turned corner, which is narrower than a pixel, no pixel's centre may be inside."""


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_masks_are_mirrored_as_pictures_are(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (2, 8, 12), generator=generator, dtype=torch.uint8)
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    matrix = sample_affine(2, 64, 96, Config(), generator)
    picture = apply_to_images(labels[:, None].float().expand(2, 3, -1, -1), matrix)[:, 0]
    sure = (picture < 0.25) | (picture > 0.75)
    assert sure.float().mean() > 0.7
    assert torch.equal((move_masks(labels, matrix) > 0)[sure], (picture > 0.5)[sure])


def test_void_lies_beyond_the_edge() -> None:
    matrix = torch.eye(3).repeat(2, 1, 1)
    matrix[:, 0, 2] = 3.0
    masks = torch.randint(0, 255, (2, 6, 9), dtype=torch.uint8)
    moved = move_masks(masks, matrix, VOID)
    assert (moved[:, :, :3] == VOID).all()
    assert torch.equal(moved[:, :, 3:], masks[:, :, :-3])
    assert torch.equal(move_masks(masks, matrix)[:, :, :3], masks[:, :, :3].flip(2))


def test_every_value_survives_a_flip() -> None:
    masks = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    flip = torch.tensor([[[-1.0, 0, 16], [0, 1, 0], [0, 0, 1]]])
    for beyond in ("mirror", VOID):
        assert torch.equal(move_masks(masks, flip, beyond), masks.flip(2))
        assert torch.equal(move_masks(masks, torch.eye(3)[None], beyond), masks)


def shifted(right: float, down: float = 0.0) -> torch.Tensor:
    matrix = torch.eye(3)
    matrix[0, 2], matrix[1, 2] = right, down
    return matrix


@pytest.mark.parametrize(
    ("right", "keep", "kept"),
    [
        (0, 0.25, True),
        (5, 0.25, True),
        (7.5, 0.25, True),
        (7.6, 0.25, False),
        (7.6, 0.2, True),
        (8.1, 0.0, False),
    ],
)
def test_a_box_is_dropped_when_too_little_is_left(right: float, keep: float, kept: bool) -> None:
    boxes = torch.tensor([[WIDTH - 10.0, 4.0, WIDTH, 30.0]])
    moved, which = move_boxes(boxes, shifted(right), (HEIGHT, WIDTH), keep)
    assert which.tolist() == [kept]
    torch.testing.assert_close(moved, torch.tensor([[WIDTH - 10.0 + right, 4.0, WIDTH, 30.0]]))


def test_all_boxes_come_back_in_order_with_those_that_are_kept() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 20, 60, 30], [0, 0, 96, 64], [20, 20, 21, 40]])
    moved, kept = move_boxes(boxes, shifted(-20.0, 5.0), (HEIGHT, WIDTH))
    assert kept.tolist() == [False, True, True, False]
    torch.testing.assert_close(moved[kept], torch.tensor([[30.0, 25, 40, 35], [0, 5, 76, 64]]))
    assert len(moved) == 4
    nothing, none = move_boxes(torch.zeros(0, 4), shifted(1.0), (HEIGHT, WIDTH))
    assert nothing.shape == (0, 4)
    assert none.shape == (0,)
