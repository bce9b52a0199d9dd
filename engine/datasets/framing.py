"""How an upright picture lies in what the model is given: boxes and points there and back.

The export pastes this file verbatim behind ``preprocessing.py``, so it needs numpy and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.datasets.preprocessing import Preprocessing


@dataclass(frozen=True)
class Frame:
    """``input = picture * scale + shift``, for x and y (px; pixel edges, so 0 is the left edge of the first).

    ``size`` is the picture's width and height, upright; ``inside`` is where the picture lies in the input,
    left, top, right, bottom, which is all of it unless it was padded.
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    shift: tuple[float, float]
    inside: tuple[float, float, float, float]

    @classmethod
    def of(cls, width: int, height: int, record: Preprocessing) -> Frame:
        """Return where ``preprocessing.fit`` puts an upright picture of this size (px)."""
        target = (record.width, record.height)
        if record.resize == "pad":
            share = min(record.width / width, record.height / height)
            inner = (max(1, round(width * share)), max(1, round(height * share)))
            left, top = (record.width - inner[0]) // 2, (record.height - inner[1]) // 2
            scale = (inner[0] / width, inner[1] / height)
            inside = (float(left), float(top), float(left + inner[0]), float(top + inner[1]))
            return cls((width, height), scale, inside[:2], inside)
        kept = (width * record.crop_pct, height * record.crop_pct)
        if record.resize == "crop":
            share = min(width / record.width, height / record.height) * record.crop_pct
            kept = (record.width * share, record.height * share)
        scale = (target[0] / kept[0], target[1] / kept[1])
        shift = ((kept[0] - width) / 2 * scale[0], (kept[1] - height) / 2 * scale[1])
        inside = (0.0, 0.0, float(target[0]), float(target[1]))
        return cls((width, height), scale, shift, inside)

    def to_input(self, places: NDArray[np.floating]) -> NDArray[np.float32]:
        """Move (N, 2k) x, y pairs of the picture (k = 2: boxes) into the input; nothing is clipped."""
        pairs = _pairs(places)
        moved = pairs * np.array(self.scale) + np.array(self.shift)
        return np.asarray(moved.reshape(np.shape(places)), np.float32)

    def to_picture(self, places: NDArray[np.floating]) -> NDArray[np.float32]:
        """Move (N, 2k) x, y pairs of the input into the picture, and clip them to it."""
        pairs = _pairs(places)
        moved = (pairs - np.array(self.shift)) / np.array(self.scale)
        clipped = np.clip(moved, 0, np.array(self.size, np.float64))
        return np.asarray(clipped.reshape(np.shape(places)), np.float32)


def _pairs(places: NDArray[np.floating]) -> NDArray[np.float64]:
    """Part (N, 2k) numbers into (N, k, 2), also where N is 0."""
    values = np.asarray(places, np.float64)
    return values.reshape(len(values), values.shape[1] // 2, 2)
