"""Masks: run lengths, outlines and arrays, one into another.

Run lengths are COCO's, made and read by pycocotools; the sum of the runs is checked before anything is
allocated for them (an unchecked one reads beyond its memory: cocoapi #362).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from engine.datasets.labels import Box, Mask, Rle
from engine.datasets.preprocessing import MAX_PIXELS

MOST_RUN_BYTES = 7  # a run length of 2**32 in groups of five bits
FEW_NUMBERS = 200  # of an outline, up to which numpy takes longer to start than it saves


def encode(pixels: NDArray[np.bool_] | NDArray[np.uint8]) -> Rle:
    """Give the run lengths of an (H, W) mask; every value but 0 is inside."""
    found = coco.encode(np.asfortranarray(pixels != 0).view(np.uint8))
    return Rle(pixels.shape[0], pixels.shape[1], found["counts"].decode("ascii"))


def decode(rle: Rle) -> NDArray[np.bool_]:
    """Give the mask (H, W) of run lengths; raises ``ValueError`` when they do not fit its size."""
    runs = run_lengths(rle.counts)
    _check_sum(runs, rle)
    inside = np.arange(runs.size) % 2 == 1
    return np.repeat(inside, runs).reshape(rle.width, rle.height).T


def check(rle: Rle) -> int:
    """Count the pixels inside; raises ``ValueError`` unless the runs sum to height times width."""
    runs = run_lengths(rle.counts)
    _check_sum(runs, rle)
    return int(runs[1::2].sum())


def _check_sum(runs: NDArray[np.int64], rle: Rle) -> None:
    total = int(runs.sum())
    if total != rle.height * rle.width:
        raise ValueError(f"its runs cover {total:,} pixels, not {rle.height} x {rle.width}")


def run_lengths(counts: str) -> NDArray[np.int64]:
    """Read COCO's compressed counts (``rleFrString`` in its maskApi.c); raises ``ValueError``."""
    codes = np.frombuffer(counts.encode("ascii", "strict") if counts.isascii() else b"\xff", np.uint8)
    values = codes.astype(np.int64) - 48
    if values.size and (values.min() < 0 or values.max() > 63):
        raise ValueError("its run lengths hold characters that do not belong there")
    more = (values & 32) != 0
    if not values.size or more[-1]:
        raise ValueError("its run lengths end in the middle" if values.size else "it has no run lengths")
    ends = np.flatnonzero(~more)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(values.size) - np.repeat(starts, ends - starts + 1)
    if place.max() >= MOST_RUN_BYTES:
        raise ValueError("one of its runs is too long")
    numbers = np.add.reduceat((values & 31) << (5 * place), starts)
    sign = (values[ends] & 16) != 0
    numbers = np.where(sign, numbers - (1 << (5 * (place[ends] + 1))), numbers)
    # From the third on, each is written as the difference to the one before the last.
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    if numbers.min() < 0:
        raise ValueError("one of its runs is negative")
    return numbers


def from_runs(runs: Sequence[int], height: int, width: int) -> Rle:
    """Pack plain run lengths.

    Raises ``ValueError`` when one is negative, their sum is not the size, or that is no picture's: for longer
    runs pycocotools' buffer is too short.
    """
    if height * width > MAX_PIXELS:
        raise ValueError(f"it covers more than {MAX_PIXELS // 10**6} million pixels")
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"its runs cover {sum(runs):,} pixels, not {height} x {width}")
    found = coco.frPyObjects({"counts": list(runs), "size": [height, width]}, height, width)
    return Rle(height, width, found["counts"].decode("ascii"))


def to_runs(mask: Mask, height: int, width: int) -> Rle:
    """Give the run lengths of a mask in an image of this size; outlines are filled as COCO does."""
    if isinstance(mask, Rle):
        return mask
    drawn = coco.frPyObjects([ring.tolist() for ring in mask.rings], height, width)
    found = coco.merge(drawn)
    return Rle(height, width, found["counts"].decode("ascii"))


def union(masks: Iterable[Rle]) -> Rle:
    """Merge masks of one size."""
    parts = list(masks)
    found = coco.merge([_plain(rle) for rle in parts])
    height, width = found["size"]
    sound = bool(parts) and all(rle.sound for rle in parts)
    return Rle(height, width, found["counts"].decode("ascii"), sound)


def overlap(masks: Iterable[Rle]) -> bool:
    """Whether a pixel lies in more than one of some masks of one size."""
    parts = [_plain(rle) for rle in masks]
    *areas, whole = coco.area([*parts, coco.merge(parts)]).tolist()
    return bool(sum(areas) != whole)


def area(mask: Mask) -> float:
    """Area in px: of outlines by the shoelace formula (their sum), of run lengths their pixels."""
    if isinstance(mask, Rle):
        return float(coco.area(_plain(mask)))
    return sum(_ring_area(ring) for ring in mask.rings)


def box_of(mask: Mask) -> Box | None:
    """Give the smallest box around a mask, or None when it is empty."""
    if isinstance(mask, Rle):
        x, y, width, height = (float(value) for value in coco.toBbox(_plain(mask)))
        return (x, y, x + width, y + height) if width and height else None
    ends = [ring_ends(ring) for ring in mask.rings if len(ring) > 1]
    if len(ends) < 2:
        return ends[0] if ends else None
    lefts, tops, rights, bottoms = zip(*ends, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def ring_ends(ring: array[float]) -> Box:
    """Give the least x and y and the greatest x and y of an outline of one corner or more."""
    if len(ring) > FEW_NUMBERS:
        corners = np.frombuffer(ring, np.float64)
        xs, ys = corners[0::2], corners[1::2]
        return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())
    across, down = ring[0::2], ring[1::2]
    return min(across), min(down), max(across), max(down)


def _ring_area(ring: array[float]) -> float:
    xs, ys = np.array(ring[0::2]), np.array(ring[1::2])
    return float(abs(np.dot(xs, np.roll(ys, 1)) - np.dot(ys, np.roll(xs, 1))) / 2)


def _plain(rle: Rle) -> dict[str, object]:
    return {"size": [rle.height, rle.width], "counts": rle.counts.encode("ascii")}
