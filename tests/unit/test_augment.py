"""The batch affine: nothing is nothing, twice flipped is nothing, and points follow the picture."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torchvision.transforms import v2

from engine.augment.batch import (
    ColorFactors,
    apply_color,
    apply_to_images,
    apply_to_points,
    augment,
    sample_affine,
    sample_color,
)


@dataclass(frozen=True)
class Config:
    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotate: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    color: float = 0.0


EVERYTHING = Config(True, True, 30.0, 0.3, 0.1, 10.0, 0.3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, height: int = 12, width: int = 20) -> torch.Tensor:
    return torch.rand((count, 3, height, width), generator=generator(3))


def test_nothing_allowed_changes_nothing() -> None:
    images = pictures()
    assert torch.equal(augment(images, Config(), generator())[0], images)
    identity = torch.eye(3).expand(4, 3, 3)
    torch.testing.assert_close(apply_to_images(images, identity), images, atol=1e-5, rtol=0)


def flip(width: int) -> torch.Tensor:
    return torch.tensor([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]).expand(4, 3, 3)


def test_a_flip_is_torchs_flip_and_twice_is_nothing() -> None:
    images = pictures()
    once = apply_to_images(images, flip(20))
    torch.testing.assert_close(once, images.flip(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(apply_to_images(once, flip(20)), images, atol=1e-5, rtol=0)


def test_only_flips_are_drawn_when_only_flips_are_allowed() -> None:
    matrix = sample_affine(200, 12, 20, Config(flip_horizontal=True), generator())
    flipped = (matrix[:, 0, 0] == -1).sum().item()
    assert 60 < flipped < 140
    assert torch.equal(matrix[:, 1], torch.tensor([0.0, 1.0, 0.0]).expand(200, 3))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 0.7), st.floats(0.3, 0.7))
def test_points_follow_the_picture(seed: int, x_share: float, y_share: float) -> None:
    height, width = 64, 96
    x, y = round(x_share * width) + 0.5, round(y_share * height) + 0.5
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    blob = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8).expand(1, 3, height, width)
    config = Config(True, True, 20.0, 0.2, 0.05, 5.0)
    matrix = sample_affine(1, height, width, config, generator(seed))
    warped = apply_to_images(blob, matrix)[0, 0]
    moved = apply_to_points(torch.tensor([[[x, y]]]), matrix)[0, 0]
    centre = torch.stack([(warped * columns).sum(), (warped * rows).sum()]) / warped.sum()
    assert (centre - moved).abs().max() < 0.25


def test_the_warp_is_torchs_affine_grid() -> None:
    height, width = 12, 20
    images = pictures(8, height, width)
    matrix = sample_affine(8, height, width, EVERYTHING, generator())
    to_px = torch.tensor([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1.0]])
    theta = (torch.linalg.inv(to_px) @ torch.linalg.inv(matrix) @ to_px)[:, :2]
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    expected = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(apply_to_images(images, matrix), expected, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_batch_and_another_seed_another() -> None:
    images = pictures()
    first, again, other = (augment(images, EVERYTHING, generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("kind", ["brightness", "saturation", "contrast"])
def test_colour_agrees_with_torchvision(kind: str, factor: float) -> None:
    images = pictures(1)
    ones = torch.ones(1, 1, 1, 1)
    factors = {"brightness": ones, "contrast": ones, "saturation": ones, kind: ones * factor}
    expected = getattr(v2.functional, f"adjust_{kind}")(images, factor)
    # torchvision rounds the luma weights to four digits
    torch.testing.assert_close(apply_color(images, ColorFactors(**factors)), expected, atol=1e-3, rtol=0)


def test_one_colour_matrix_is_brightness_then_saturation_then_contrast() -> None:
    images = pictures(6)
    factors = sample_color(6, 0.5, generator())
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    bright = images * factors.brightness
    luma = (bright * weights).sum(dim=1, keepdim=True)
    saturated = luma + (bright - luma) * factors.saturation
    mean = luma.mean(dim=(2, 3), keepdim=True)
    expected = (mean + (saturated - mean) * factors.contrast).clamp(0, 1)
    torch.testing.assert_close(apply_color(images, factors), expected, atol=1e-6, rtol=0)
    assert ((expected == 0) | (expected == 1)).any()
