"""Tiles that say what the labels of their pictures say, and whether there is more to draw than words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from app import theme
from app.components.gallery import Tile
from engine.contracts.datasets import ClassInfo, ImageItem, LabelItem

MOST_NAMED: Final = 2
"""As many classes are written on a picture; how many more there are stands behind them."""


def label_tiles(
    images: Sequence[ImageItem], classes: Sequence[ClassInfo], *, overlays: bool = False
) -> list[Tile]:
    """Make tiles that show the classes of each picture; with ``overlays``, drawn over it as well."""
    by_id = {c.id: c for c in classes}
    look = _digest(f"{c.id}{c.position}{c.name}{c.points}{c.skeleton}" for c in classes) if overlays else ""
    return [_tile(item, by_id, look) for item in images]


def _tile(item: ImageItem, classes: Mapping[str, ClassInfo], look: str) -> Tile:
    parts = label_parts(item, classes)
    split = f" · {item.split}" if item.split else ""
    about = f"{item.path} · {item.width} × {item.height} px{split}"
    drawn = look and any(_can_be_drawn(label) for label in item.labels)
    overlay = _digest((look, str(item.revision), *(label.id for label in item.labels))) if drawn else ""
    return Tile(
        item.id,
        ", ".join(text for text, _ in parts),
        about=about,
        parts=parts[:MOST_NAMED],
        more=max(0, len(parts) - MOST_NAMED),
        overlay=overlay,
    )


def label_parts(item: ImageItem, classes: Mapping[str, ClassInfo]) -> tuple[tuple[str, str], ...]:
    """Put the labels of a picture into words, each with its colour; counts where a class comes repeatedly."""
    found = item.count_classes(classes)
    if not found:
        if item.negative:
            return (("nothing on it", ""),)
        return (("only ignored regions" if item.labels else "no label", ""),)
    several = any(c.count > 1 for c in found)
    return tuple(
        (f"{c.count:,} {c.name}" if several else c.name, theme.class_color(c.position)) for c in found
    )


def _can_be_drawn(label: LabelItem) -> bool:
    return not (label.box is None and label.polygons is None and label.rle is None and label.points is None)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
