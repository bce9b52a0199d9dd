"""Lines of Ultralytics NDJSON as records: what the first says of the set, and the labels of an image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.contracts.datasets import LabelKind
from engine.datasets.formats.base import clean_class, number_of
from engine.datasets.formats.text_lists import some
from engine.datasets.formats.yolo import LARGEST_PIXEL, LARGEST_SHARE, shape
from engine.datasets.formats.yolo_yaml import MOST_POINTS, class_name
from engine.datasets.labels import ClassHead, Label
from engine.errors import InputError, LimitError
from engine.settings import Limits

KEYS = ("boxes", "segments", "obb", "pose", "classification")
WHOLE = 2**53
"""Above it a float is no exact whole number."""


@dataclass(frozen=True)
class Head:
    """The first line: class names by number (None: not named) and the shape of keypoints."""

    names: dict[int, str] | None
    points: int = 0
    dims: int = 0
    point_names: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def name(self, index: int) -> str:
        """Give the name of a class."""
        return class_name(index) if self.names is None else self.names[index]

    def heads(self, used: Sequence[int]) -> tuple[ClassHead, ...]:
        """Give the classes in order; ``used`` are the numbers in use, for sets without names."""
        names = self.names if self.names is not None else {index: class_name(index) for index in used}
        plain = tuple(f"point {n}" for n in range(1, self.points + 1))
        found = {names[n]: ClassHead(names[n], self.point_names.get(n, plain)) for n in sorted(names)}
        return tuple(found.values())


def read_head(file: str, record: dict[str, Any]) -> Head:
    """Read the first line; raises ``InputError`` when its classes or its keypoints cannot be."""
    named = record.get("class_names")
    if isinstance(named, list):
        named = {str(index): name for index, name in enumerate(named)}
    names = None
    if isinstance(named, dict) and named:
        if len(named) > Limits().classes:
            raise LimitError(f"“{file}” lists more than {Limits().classes:,} classes.")
        names = {_class_number(file, key): _class_text(file, name) for key, name in named.items()}
        if len(names) < len(named):
            raise InputError(f"“{file}” gives two classes one number.", "Correct class_names.")
    elif named:
        raise InputError(f"“class_names” in “{file}” are no names by number.", "Correct class_names.")
    points, dims = _keypoint_shape(file, record.get("kpt_shape"))
    return Head(names, points, dims, _point_names(record.get("kpt_names"), points))


def _class_number(file: str, key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < 10):
        raise InputError(f"The class “{key[:40]}” in “{file}” has no number.", "Correct class_names.")
    return int(key)


def _class_text(file: str, name: object) -> str:
    found = clean_class(name) if isinstance(name, str) else ""
    if not found:
        raise InputError(f"A class in “{file}” has no name.", "Correct class_names.")
    return found


def _keypoint_shape(file: str, value: Any) -> tuple[int, int]:
    if value is None:
        return 0, 0
    whole = isinstance(value, list) and len(value) == 2 and all(type(number) is int for number in value)
    if whole and 1 <= value[0] <= MOST_POINTS and value[1] in (2, 3):
        return value[0], value[1]
    raise InputError(f"“kpt_shape” in “{file}” should be like [17, 3].", "Correct it.")


def _point_names(value: object, points: int) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for key, names in value.items() if isinstance(value, dict) else ():
        texts = (
            [clean_class(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
        )
        if key.isdigit() and len(key) < 10 and len(texts) == points and all(texts):
            found[int(key)] = tuple(texts)
    return found


def rows_of(record: dict[str, Any]) -> dict[str, list[Any]]:
    """Give the labels of an image by kind, as they stand there."""
    found = record.get("annotations")
    if not isinstance(found, dict):
        return {}
    return {key: found[key] for key in KEYS if isinstance(found.get(key), list)}


def odd_labels(record: dict[str, Any]) -> Iterator[str]:
    """Yield a reason for each label of an image that is of no known kind."""
    found = record.get("annotations")
    if found is not None and not isinstance(found, dict):
        yield "“annotations” are no lists by kind"
    for key, rows in found.items() if isinstance(found, dict) else ():
        if key not in KEYS or not isinstance(rows, list):
            count = max(len(rows), 1) if isinstance(rows, list) else 1
            yield from (f"labels of the kind “{key[:40]}” are not known" for _ in range(count))


def numbers_of(row: Any) -> tuple[int, list[float]]:
    """Check one label's class and coordinates; raises ``ValueError`` with the reason."""
    cells = row if isinstance(row, list) else [row]
    if not cells or not all(type(cell) in (int, float) for cell in cells):
        raise ValueError("it holds something that is no number")
    if not all(type(cell) is int or math.isfinite(cell) for cell in cells):
        raise ValueError("a number is not finite")
    if abs(cells[0]) >= WHOLE or cells[0] != int(cells[0]):
        raise ValueError("its class is no whole number")
    if any(abs(cell) > LARGEST_PIXEL for cell in cells[1:]):
        raise ValueError("a coordinate is far outside any image")
    return int(cells[0]), [float(cell) for cell in cells[1:]]


@dataclass
class Survey:
    """What a first pass finds."""

    indices: Counter[int] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    pixels: int = 0
    first_pixel: str = ""
    several: bool = False

    def take(self, record: dict[str, Any], where: str) -> None:
        """Count the labels of one image."""
        for key, rows in rows_of(record).items():
            self.keys[key] += len(rows)
            self.several = self.several or (key == "classification" and len(rows) > 1)
            for row in rows:
                try:
                    index, values = numbers_of(row)
                except ValueError:
                    continue  # the rows say so
                self.indices[index] += 1
                if len(self.indices) > Limits().classes:
                    raise LimitError(f"The labels use more than {Limits().classes:,} classes.")
                if any(abs(value) > LARGEST_SHARE for value in values):
                    self.pixels += 1
                    self.first_pixel = self.first_pixel or where

    def kinds(self) -> tuple[LabelKind, ...]:
        """Give the kinds that the labels can be read as."""
        found: list[LabelKind] = []
        found += ["points"] if self.keys["pose"] else []
        found += ["masks"] if self.keys["segments"] or self.keys["obb"] else []
        found += ["boxes"] if found or self.keys["boxes"] else []
        found += [("tags" if self.several else "class")] if self.keys["classification"] else []
        return tuple(found) or ("boxes",)

    def refuse(self, file: str, head: Head) -> None:
        """Raise ``InputError`` for what would teach wrong labels."""
        known = head.names
        wrong = sorted(n for n in self.indices if n < 0 or (known is not None and n not in known))
        if wrong:
            raise InputError(
                f"The labels use the classes {some(wrong, 20)}, which “{file}” does not list.",
                "Complete class_names, or correct the labels.",
            )
        if self.pixels:
            raise InputError(
                f"“{file}” has {number_of(self.pixels, 'label')} in px ({self.first_pixel}); the coordinates "
                "should be shares of the image from 0 to 1.",
                "Divide x and width by the width of the image, y and height by its height.",
            )


def label_of(numbers: Any, key: str, head: Head) -> Label:
    """Turn one row into a label; raises ``ValueError`` with the reason."""
    index, values = numbers_of(numbers)
    name = head.name(index)
    if key == "classification":
        if values:
            raise ValueError("a class of the whole image has one number")
        return Label(name)
    if not values:
        raise ValueError("it has no coordinates")
    points, dims = (head.points, head.dims) if key == "pose" else (0, 0)
    if key == "pose" and not points and len(values) > 4 and len(values) % 3 == 1:
        points, dims = (len(values) - 4) // 3, 3
    box, mask, found = shape(values, points, dims)
    if (key == "boxes") != (box is not None) and key != "pose":
        raise ValueError(f"it has {len(values) + 1} numbers")
    if key == "pose" and box is None:
        raise ValueError(f"it has {len(values) + 1} numbers, which are no box with points")
    return Label(name, box, mask, found or None)


def merge(
    labels: list[Label | None], rows: Sequence[Any], key: str, head: Head
) -> tuple[list[Label | None], str]:
    """Put further shapes into the labels of the same objects; says why they are not used otherwise."""
    try:
        others = [label_of(numbers, key, head) for numbers in rows]
    except ValueError as error:
        return labels, f"{key}: {error}"
    names = [label.name if label else "" for label in labels]
    if key == "classification" or names != [other.name for other in others]:
        return labels, f"{key}: not the same objects as the labels that are used"
    found: list[Label | None] = []
    for label, other in zip(labels, others, strict=True):
        found.append(label and _both(label, other))
    return found, ""


def _both(label: Label, other: Label) -> Label:
    return replace(
        label,
        box=label.box or other.box,
        mask=label.mask or other.mask,
        points=label.points or other.points,
    )
