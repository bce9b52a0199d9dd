"""A mask as pixels, for writers that draw."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.datasets import masks
from engine.datasets.labels import Mask, Rle
from engine.datasets.preprocessing import MAX_PIXELS


def pixels_of(mask: Mask, height: int, width: int) -> NDArray[np.bool_]:
    """Give a mask as (H, W) for an image of this size; raises ``ValueError`` when its runs do not fit it."""
    rle = masks.to_runs(mask, height, width)
    if (rle.height, rle.width) != (height, width):
        raise ValueError(f"its mask is {rle.width} x {rle.height} px, not {width} x {height}")
    return masks.decode(rle)


def place_crop(crop: NDArray[np.bool_], left: int, top: int, size: tuple[int, int]) -> Rle:
    """Give the run lengths of a mask (h, w) that lies at ``left``, ``top`` in an image of this size.

    ``size`` is width and height; raises ``ValueError`` when the mask does not lie inside. Only the
    columns that it touches are looked at, so that large images cost no more than their masks.
    """
    width, height = size
    high, wide = crop.shape
    if width * height > MAX_PIXELS:
        raise ValueError(f"a mask of an image of {width} x {height} px")
    if min(left, top) < 0 or left + wide > width or top + high > height:
        raise ValueError(f"its mask ({wide} x {high} px at {left}, {top}) leaves the image")
    columns = np.zeros((wide, height), np.bool_)
    columns[:, top : top + high] = crop.T
    flat = columns.ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    begin = left * height
    edges = [0, *(begin + turns).tolist(), width * height]
    if flat.size and flat[0]:
        edges.insert(1, begin)
    if flat.size and flat[-1]:
        edges[-1:] = [begin + flat.size] if left + wide == width else [begin + flat.size, width * height]
    runs = [after - before for before, after in pairwise(edges)]
    return masks.from_runs(runs, height, width)


def runs_of_rows(pixels: NDArray[np.bool_]) -> list[int]:
    """Give the run lengths of a mask row by row, the first run outside the object."""
    flat = pixels.ravel()
    turns = (np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist()
    edges = [0, *([0] if flat.size and flat[0] else []), *turns, flat.size]
    return [after - before for before, after in pairwise(edges)]


def from_rows(runs: list[int], width: int, height: int) -> NDArray[np.bool_]:
    """Give the mask (H, W) of run lengths that go row by row.

    Raises ``ValueError`` when they do not fit the size, or it is beyond that of any picture.
    """
    if width * height > MAX_PIXELS or min(width, height) <= 0:
        raise ValueError(f"its mask is {width} x {height} px")
    if any(run < 0 for run in runs) or sum(runs) != width * height:
        raise ValueError(f"its runs cover {sum(runs):,} pixels, not {width} x {height}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
