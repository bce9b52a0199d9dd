"""From the raw outputs of a grid detector to boxes.

The export pastes this file verbatim into ``predict.py``, so it needs numpy and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]

SETTINGS: dict[str, Any] = {
    "strides": [8, 16, 32],
    "floor": 0.01,
    "iou": 0.6,
    "most": 100,
    "candidates": 1000,
}
"""``strides`` of the levels in px, the least score, the overlap from which the weaker of two boxes of one
class goes, and how many boxes an image keeps, of how many that are looked at."""


def decode(
    logits: NDArray[np.floating],
    distances: NDArray[np.floating],
    size: tuple[int, int],
    settings: Mapping[str, Any] = SETTINGS,
) -> list[Found]:
    """Return for each image its boxes (n, 4) in input px, scores (n,) and classes (n,), the best first.

    ``logits``: (N, A, K); ``distances``: (N, A, 4) to the left, top, right and bottom, in strides;
    ``size``: height and width of the input (px). ``settings``: as ``SETTINGS``, which fills what is left out.
    """
    asked = {**SETTINGS, **settings}
    points, strides = grid_points(size, asked["strides"])
    if len(points) != logits.shape[1]:
        raise ValueError(f"{logits.shape[1]} places do not belong to an input of {size[0]} x {size[1]} px")
    return [
        _decode_one(np.asarray(one, np.float32), np.asarray(far, np.float32), (points, strides), size, asked)
        for one, far in zip(logits, distances, strict=True)
    ]


def grid_points(
    size: tuple[int, int], strides: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the centres (A, 2), x and y in px, of all cells, and their strides (A,)."""
    points, steps = [], []
    for stride in strides:
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        points.append((np.stack([x.ravel(), y.ravel()], 1) + 0.5) * np.float32(stride))
        steps.append(np.full(rows * columns, stride, np.float32))
    return np.concatenate(points), np.concatenate(steps)


def _decode_one(
    logits: NDArray[np.float32],
    distances: NDArray[np.float32],
    grid: tuple[NDArray[np.float32], NDArray[np.float32]],
    size: tuple[int, int],
    asked: Mapping[str, Any],
) -> Found:
    # Most pairs are far below the floor, so they are sorted out before any exponential.
    flat = logits.reshape(-1)
    floor = float(asked["floor"])
    lowest = np.log(floor / (1 - floor)) if 0 < floor < 1 else -np.inf
    chosen = np.flatnonzero(flat >= lowest)
    if len(chosen) > asked["candidates"]:
        part = np.argpartition(-flat[chosen], asked["candidates"] - 1)[: asked["candidates"]]
        chosen = np.sort(chosen[part])
    chosen = chosen[np.argsort(-flat[chosen], kind="stable")]
    places, classes = np.divmod(chosen, logits.shape[1])
    points, strides = grid[0][places], grid[1][places, None]
    reach = distances[places] * strides
    boxes = np.concatenate([points - reach[:, :2], points + reach[:, 2:]], 1)
    limits = np.array([size[1], size[0], size[1], size[0]], np.float32)
    boxes = np.clip(boxes, 0, limits).astype(np.float32)
    # An extreme logit gives a score of exactly 0 or 1 and no warning.
    scores = (1 / (1 + np.exp(-np.clip(flat[chosen], -60, 60)))).astype(np.float32)
    kept = suppress(boxes, classes, float(asked["iou"]), int(asked["most"]))
    return boxes[kept], scores[kept], classes[kept].astype(np.int64)


def suppress(
    boxes: NDArray[np.float32], classes: NDArray[np.integer], iou: float, most: int
) -> NDArray[np.int64]:
    """Return which of the boxes (n, 4), the best first, stay: at most ``most`` (non-maximum suppression).

    A box goes when a better one of its class overlaps it by more than ``iou``.
    """
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        width = np.minimum(x2[left], x2[best]) - np.maximum(x1[left], x1[best])
        height = np.minimum(y2[left], y2[best]) - np.maximum(y1[left], y1[best])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[left] + areas[best] - shared
        left = left[(shared <= iou * union) | (classes[left] != classes[best])]
    return np.array(kept, np.int64)
