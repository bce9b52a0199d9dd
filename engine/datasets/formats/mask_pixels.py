"""A mask as pixels, for writers that draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.datasets import masks
from engine.datasets.labels import Mask


def pixels_of(mask: Mask, height: int, width: int) -> NDArray[np.bool_]:
    """Give a mask as (H, W) for an image of this size; raises ``ValueError`` when its runs do not fit it."""
    rle = masks.to_runs(mask, height, width)
    if (rle.height, rle.width) != (height, width):
        raise ValueError(f"its mask is {rle.width} x {rle.height} px, not {width} x {height}")
    masks.check(rle)
    runs = masks.run_lengths(rle.counts)
    # Runs go down the columns, the first one outside the object.
    return np.repeat(np.arange(runs.size) % 2 == 1, runs).reshape(width, height).T
