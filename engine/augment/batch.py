"""Augmentation of a whole batch on its device: one affine matrix per sample, then colour.

The matrix maps px of the input picture to px of the output picture (column vectors, pixel centres at
half-integers), so boxes, points and masks can follow the picture with the same matrix. Random numbers
come from an explicit CPU generator: the same seed gives the same batch on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional


class AugmentConfig(Protocol):
    """The fields of a run's settings that are read here (degrees, shares of the side, 0 to 1)."""

    @property
    def flip_horizontal(self) -> bool: ...  # noqa: D102
    @property
    def flip_vertical(self) -> bool: ...  # noqa: D102
    @property
    def rotate(self) -> float: ...  # noqa: D102
    @property
    def zoom(self) -> float: ...  # noqa: D102
    @property
    def shift(self) -> float: ...  # noqa: D102
    @property
    def shear(self) -> float: ...  # noqa: D102
    @property
    def color(self) -> float: ...  # noqa: D102


LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue look (ITU-R BT.601)."""


@dataclass(frozen=True)
class ColorFactors:
    """Factors around 1 for each sample, each (N, 1, 1, 1)."""

    brightness: torch.Tensor
    contrast: torch.Tensor
    saturation: torch.Tensor


def sample_affine(
    count: int, height: int, width: int, config: AugmentConfig, generator: torch.Generator
) -> torch.Tensor:
    """Draw one matrix per sample: (N, 3, 3), input px -> output px, about the picture's centre."""
    draw = torch.rand((count, 7), generator=generator)
    signed = draw * 2 - 1
    angle = torch.deg2rad(signed[:, 0] * config.rotate)
    shear = torch.tan(torch.deg2rad(signed[:, 1] * config.shear))
    # Uniform in the logarithm: zooming in and out by the same factor are equally likely.
    scale = torch.exp(signed[:, 2] * math.log1p(config.zoom))
    flip_x = _flips(draw[:, 3], config.flip_horizontal)
    flip_y = _flips(draw[:, 4], config.flip_vertical)
    zeros, ones = torch.zeros(count), torch.ones(count)
    cos, sin = torch.cos(angle), torch.sin(angle)
    turn = _matrix(cos, -sin, zeros, sin, cos, zeros)
    slant = _matrix(ones, shear, zeros, zeros, ones, zeros)
    size = _matrix(scale * flip_x, zeros, zeros, zeros, scale * flip_y, zeros)
    there = _matrix(ones, zeros, -ones * width / 2, zeros, ones, -ones * height / 2)
    moved_x = width / 2 + signed[:, 5] * config.shift * width
    moved_y = height / 2 + signed[:, 6] * config.shift * height
    back = _matrix(ones, zeros, moved_x, zeros, ones, moved_y)
    return back @ turn @ slant @ size @ there


def _flips(draw: torch.Tensor, allowed: bool) -> torch.Tensor:
    return torch.where(draw < 0.5, -1.0, 1.0) if allowed else torch.ones_like(draw)


def _matrix(*rows: torch.Tensor) -> torch.Tensor:
    """Stack six (N,) tensors, the first two rows of a matrix, into (N, 3, 3)."""
    count = len(rows[0])
    last = torch.tensor([0.0, 0.0, 1.0]).expand(count, 3)
    return torch.cat([torch.stack(rows, dim=1), last], dim=1).reshape(count, 3, 3)


def apply_to_images(
    images: torch.Tensor, matrix: torch.Tensor, beyond: Sequence[float] | None = None
) -> torch.Tensor:
    """Warp (N, C, H, W) float pictures by (N, 3, 3) matrices.

    What comes into view beyond the edge is mirrored, or has the colour ``beyond`` (one value a channel).
    """
    height, width = images.shape[-2:]
    grid = grid_of(matrix, (height, width), images)
    if beyond is None:
        return _sample(images, grid, "reflection")
    # Zero is what ``grid_sample`` shows there, so the colour is made zero on the way.
    ground = images.new_tensor(beyond).reshape(1, -1, 1, 1)
    return _sample(images - ground, grid, "zeros").add_(ground)


def _sample(images: torch.Tensor, grid: torch.Tensor, beyond: str, mode: str = "bilinear") -> torch.Tensor:
    return functional.grid_sample(images, grid, mode=mode, padding_mode=beyond, align_corners=False)


def grid_of(matrix: torch.Tensor, size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
    """Return for ``grid_sample`` where each output pixel comes from, (N, H, W, 2), -1 to 1.

    ``matrix`` (N, 3, 3) maps px before to px after; ``size``: height and width; device and dtype as ``like``.
    """
    height, width = size
    to_px = torch.tensor([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1.0]])
    theta = torch.linalg.inv(to_px) @ torch.linalg.inv(matrix) @ to_px
    return _grid(theta[:, :2].to(like.device, like.dtype), height, width)


def _grid(theta: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return where each output pixel comes from, (N, H, W, 2), for ``theta`` (N, 2, 3).

    The same numbers as ``affine_grid(theta, (N, C, H, W), align_corners=False)``. An affine map is a part
    for the column plus a part for the row, so one sum does for every pixel; the matrix product that torch
    makes of it takes more than ten times as long on a CPU. Stored as (N, 2, H, W), which is the faster order.
    """
    x = (torch.arange(width, device=theta.device, dtype=theta.dtype) * 2 + 1) / width - 1
    y = (torch.arange(height, device=theta.device, dtype=theta.dtype) * 2 + 1) / height - 1
    along_x, along_y, shift = (theta[:, :, part, None, None] for part in range(3))
    return (along_x * x[None, None, None, :] + (along_y * y[None, None, :, None] + shift)).permute(0, 2, 3, 1)


def apply_to_points(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Move (N, P, 2) points (x, y in px) with their pictures."""
    homogeneous = functional.pad(points, (0, 1), value=1.0)
    moved: torch.Tensor = homogeneous @ matrix.transpose(1, 2).to(points)
    return moved[..., :2]


def sample_color(count: int, strength: float, generator: torch.Generator) -> ColorFactors:
    """Draw brightness, contrast and saturation factors in [1 - strength, 1 + strength]."""
    factors = 1 + (torch.rand((3, count, 1, 1, 1), generator=generator) * 2 - 1) * strength
    return ColorFactors(factors[0], factors[1], factors[2])


def color_matrix(mean: torch.Tensor, factors: ColorFactors) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the matrix (N, 3, 3) and the offset (N, 3, 1) that change a pixel's colours (red, green, blue).

    ``mean`` (N, 3) are each picture's mean colours. Brightness, then saturation, then contrast: each is
    affine in the colours of a pixel, so all three together are.
    """
    weights = mean.new_tensor(LUMA).expand(3, 3)
    brightness, contrast, saturation = (
        factor.reshape(-1, 1, 1).to(mean)
        for factor in (factors.brightness, factors.contrast, factors.saturation)
    )
    saturate = weights + (torch.eye(3).to(mean) - weights) * saturation
    mean_luma = weights @ mean[:, :, None]
    return contrast * brightness * saturate, (1 - contrast) * brightness * mean_luma


def apply_color(images: torch.Tensor, factors: ColorFactors) -> torch.Tensor:
    """Change the colours of (N, 3, H, W) pictures on the 0 to 1 scale.

    Contrast turns about each picture's mean luma, saturation about each pixel's (ITU-R BT.601).
    """
    matrix, offset = color_matrix(images.mean(dim=(2, 3)), factors)
    # One pass over the pixels; the formulas one after the other make ten.
    return torch.baddbmm(offset, matrix, images.flatten(2)).view(images.shape).clamp_(0, 1)


def augment(
    images: torch.Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    beyond: Sequence[float] | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Draw and apply everything that ``config`` allows to (N, 3, H, W) pictures on the 0 to 1 scale.

    Also returns the matrices (N, 3, 3), input px to output px, None where nothing was moved. ``beyond`` as in
    ``apply_to_images``.
    """
    count, _, height, width = images.shape
    matrix = sample_affine(count, height, width, config, generator)
    moved = not torch.equal(matrix, torch.eye(3).expand_as(matrix))
    if moved:
        images = apply_to_images(images, matrix, beyond)
    if config.color > 0:
        images = apply_color(images, sample_color(count, config.color, generator))
    return images, matrix if moved else None
