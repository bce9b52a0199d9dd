"""One annotation of COCO as a label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.datasets import masks
from engine.datasets.labels import Box, ClassHead, Label, Mask, Point, Polygons, Rle
from engine.datasets.preprocessing import MAX_PIXELS

NUMBERS = frozenset({int, float})
SHAPES = ("bbox", "segmentation", "keypoints")
VOID = ""
"""Name of the class of regions that do not count; as a category: "void" with the supercategory "void"."""


@dataclass(frozen=True)
class Category:
    """A category; ``points`` name its keypoints, ``skeleton`` pairs of their positions, from 0."""

    name: str
    points: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, entry: dict[str, Any], name: str) -> Category:
        """Read an entry of ``categories``."""
        if name == "void" and entry.get("supercategory") == "void":
            return cls(VOID)
        points = entry.get("keypoints")
        names = tuple(str(point) for point in points) if isinstance(points, list) else ()
        skeleton = entry.get("skeleton")
        bones = skeleton if isinstance(skeleton, list) else []
        pairs = [
            (bone[0] - 1, bone[1] - 1)
            for bone in bones
            if isinstance(bone, list) and len(bone) == 2 and all(isinstance(end, int) for end in bone)
        ]
        inside = tuple(pair for pair in pairs if min(pair) >= 0 and max(pair) < len(names))
        return cls(name, names, inside)

    @property
    def head(self) -> ClassHead:
        """Give it as a class."""
        return ClassHead(self.name, self.points, self.skeleton)


def label_of(entry: dict[str, Any], category: Category) -> tuple[Label, set[str]]:
    """Give the label of an annotation, and which sorts of shape it has.

    Raises ``ValueError`` with the reason when nothing of it can be used.
    """
    repairs: list[str] = []
    box = _box(entry.get("bbox"), repairs)
    mask = _mask(entry.get("segmentation"), repairs)
    points = _points(entry.get("keypoints"), category, repairs)
    if not (box or mask or points) and any(entry.get(key) not in (None, [], {}) for key in SHAPES):
        raise ValueError(repairs[-1] if repairs else "nothing of it can be read")
    attributes = entry.get("attributes")
    label = Label(
        name=category.name,
        box=box,
        mask=mask,
        points=points,
        ignored=category.name == VOID or _yes(entry.get("iscrowd")) or _yes(entry.get("ignore")),
        attributes=tuple(sorted((str(name), _word(value)) for name, value in attributes.items()))
        if isinstance(attributes, dict)
        else (),
        repairs=tuple(repairs),
    )
    shapes = (("boxes", box), ("masks", mask if _usable(mask) else None), ("points", points))
    kinds = {word for word, shape in shapes if shape is not None}
    return label, kinds or {"bare"}


def _usable(mask: Mask | None) -> bool:
    """Whether a mask may enclose something; an outline needs three corners."""
    return isinstance(mask, Rle) or (mask is not None and any(len(ring) >= 6 for ring in mask.rings))


def _box(value: Any, repairs: list[str]) -> Box | None:
    if value in (None, []):
        return None
    numbers = _numbers(value)
    if numbers is None or len(numbers) != 4:
        repairs.append("its bbox is not x, y, width, height")
        return None
    x, y, width, height = numbers
    return (x, y, x + width, y + height)


def _mask(value: Any, repairs: list[str]) -> Mask | None:
    """Read outlines or run lengths; an empty one is no mask, as tools write it for boxes."""
    if value in (None, [], {}):
        return None
    if isinstance(value, dict):
        try:
            return _runs(value)
        except ValueError as error:
            repairs.append(f"its mask cannot be used: {error}")
            return None
    rings = value if isinstance(value, list) else []
    if rings and not isinstance(rings[0], list):
        rings = [rings]  # one outline, not in a list of its own
    if not rings or not all(map(_are_numbers, rings)):
        repairs.append("its outline is not a list of numbers")
        return None
    return Polygons.of(rings)


def _runs(value: dict[str, Any]) -> Rle:
    size, counts = value.get("size"), value.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise ValueError("its run lengths have no size")
    height, width = size
    if min(height, width) <= 0 or height * width > MAX_PIXELS:
        raise ValueError(f"its size is {height} x {width}")
    if isinstance(counts, str):
        return Rle(height, width, counts)
    if not isinstance(counts, list) or not all(isinstance(run, int) for run in counts):
        raise ValueError("its run lengths are neither text nor numbers")
    return masks.from_runs(counts, height, width)


def _points(value: Any, category: Category, repairs: list[str]) -> tuple[Point, ...] | None:
    if value in (None, []):
        return None
    numbers = _numbers(value)
    count = len(category.points)
    if numbers is None or len(numbers) % 3 or (count and len(numbers) != 3 * count):
        wanted = f"{count} times " if count else ""
        repairs.append(f"its keypoints are not {wanted}x, y, visibility")
        return None
    triples = zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True)
    return tuple((x, y, int(min(max(seen, 0), 2))) for x, y, seen in triples)


def _numbers(value: Any) -> list[float] | None:
    return list(map(float, value)) if _are_numbers(value) else None


def _are_numbers(value: Any) -> bool:
    """Whether it is a list of numbers; true and false are none."""
    return isinstance(value, list) and NUMBERS.issuperset(map(type, value))


def _yes(value: Any) -> bool:
    return value in (1, True)


def _word(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: ""}[value]
    return str(value)


def extent(start: float, end: float) -> float:
    """Give the width that brings ``start`` exactly to ``end`` when it is added, where there is one."""
    width = end - start
    for candidate in (width, math.nextafter(width, math.inf), math.nextafter(width, -math.inf)):
        if start + candidate == end:
            return candidate
    return width


def flat_points(points: Sequence[Point]) -> list[float]:
    """Give keypoints as COCO writes them."""
    return [number for point in points for number in point]
