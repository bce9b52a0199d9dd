"""Boxes and masks moved by the matrix that moved their picture (``engine.augment.batch``)."""

from __future__ import annotations

from typing import Literal

import torch

from engine.augment.batch import _sample, apply_to_points, grid_of

KEEP = 0.25
"""Least share of a moved box that must lie in the picture."""
LEAST_SIDE = 2.0  # px


def move_boxes(
    boxes: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int], keep: float = KEEP
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move (n, 4) boxes x1, y1, x2, y2 by ``matrix`` (3, 3), px before to px after.

    The upright box around the four moved corners is clipped to the picture of ``size``, height and width in
    px. It is to be dropped when less than ``keep`` of its area, or less than 2 px of a side, is left. Returns
    all moved boxes (n, 4) and which are kept, bool (n,). The box around a turned box is larger than what
    is in it, as without its outline nothing better is known.
    """
    height, width = size
    left, top, right, bottom = boxes.unbind(-1)
    corners = torch.stack([left, top, right, top, right, bottom, left, bottom], dim=-1).reshape(1, -1, 2)
    moved = apply_to_points(corners, matrix[None]).reshape(-1, 4, 2)
    whole = torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=-1)
    limits = whole.new_tensor([width, height, width, height])
    clipped = torch.minimum(whole.clamp(min=0), limits)
    sides, before = clipped[:, 2:] - clipped[:, :2], whole[:, 2:] - whole[:, :2]
    kept = (sides.amin(dim=1) >= LEAST_SIDE) & (sides.prod(dim=1) >= keep * before.prod(dim=1))
    return clipped, kept


def move_masks(
    masks: torch.Tensor, matrices: torch.Tensor, beyond: Literal["mirror"] | int = "mirror"
) -> torch.Tensor:
    """Move label maps (N, H, W) uint8 by (N, 3, 3) matrices; each pixel gets the value nearest to it.

    By the same grid as ``apply_to_images``. What comes into view beyond the edge is mirrored, as it is in
    pictures by default, or has the value ``beyond``.
    """
    # ``grid_sample`` takes no bytes; as floats they are exact. Beyond the edge it shows zero, so ``beyond``
    # is made zero on the way.
    values = masks[:, None].to(torch.float32)
    grid = grid_of(matrices, (masks.shape[-2], masks.shape[-1]), values)
    if beyond == "mirror":
        return _sample(values, grid, "reflection", "nearest")[:, 0].to(torch.uint8)
    return (_sample(values - beyond, grid, "zeros", "nearest")[:, 0] + beyond).to(torch.uint8)
