"""Tiles that say what the labels of their pictures say, and whether there is more to draw than words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app import theme
from app.components.gallery import Tile
from engine.contracts.datasets import ClassInfo, ImageItem
from engine.contracts.overlays import ImageTile

MOST_NAMED: Final = 2
"""As many classes are written on a picture; how many more there are stands behind them."""


def label_tiles(images: Sequence[ImageItem], classes: Sequence[ClassInfo]) -> list[Tile]:
    """Make tiles that show the classes of each picture in words."""
    by_id = {c.id: c for c in classes}
    return drawn_tiles([ImageTile(image=item, classes=item.count_classes(by_id)) for item in images])


def drawn_tiles(images: Sequence[ImageTile]) -> list[Tile]:
    """Make tiles that show the classes of each picture in words, and over it what can be drawn."""
    return [_tile(found) for found in images]


def _tile(found: ImageTile) -> Tile:
    item, parts = found.image, label_parts(found)
    split = f" · {item.split}" if item.split else ""
    return Tile(
        item.id,
        ", ".join(text for text, _ in parts),
        about=f"{item.path} · {item.width}\u00a0×\u00a0{item.height}\u00a0px{split}",
        parts=parts[:MOST_NAMED],
        more=max(0, len(parts) - MOST_NAMED),
        overlay=found.look,
    )


def label_parts(found: ImageTile) -> tuple[tuple[str, str], ...]:
    """Put the labels of a picture into words, each with its colour; counts where a class comes repeatedly."""
    if not found.classes:
        if found.ignored:
            return (("only ignored regions", ""),)
        return (("nothing on it" if found.image.negative else "no label", ""),)
    several = any(c.count > 1 for c in found.classes)
    return tuple(
        (f"{c.count:,} × {c.name}" if several else c.name, theme.class_color(c.position))
        for c in found.classes
    )
