"""What an image's labels say in words: classes with their counts, and names that belong at objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.contracts.datasets import ClassInfo, ImageItem, LabelItem
from engine.contracts.overlays import LabelName, Legend

MOST_NAMES: Final = 30
"""More names than these would hide the picture below them."""


def legend(item: ImageItem, classes: Sequence[ClassInfo]) -> Legend:
    """Put the labels of an image into words."""
    known = {c.id: c for c in classes}
    named = [label for label in item.labels if label.class_id in known and not label.ignored]
    counted = item.count_classes(known)
    rarity = {one.position: one.count for one in counted}
    # Names make room for those before them; the rare ones should not go.
    named.sort(key=lambda label: rarity[known[label.class_id].position])
    corners = [(known[label.class_id], _corner(label)) for label in named]
    names = tuple(
        LabelName(
            name=found.name,
            position=found.position,
            x=min(1.0, max(0.0, corner[0] / item.width)),
            y=min(1.0, max(0.0, corner[1] / item.height)),
        )
        for found, corner in corners
        if corner is not None
    )
    return Legend(
        width=item.width,
        height=item.height,
        classes=counted,
        names=names if len(names) <= MOST_NAMES else (),
        ignored=sum(label.ignored for label in item.labels),
    )


def _corner(label: LabelItem) -> tuple[float, float] | None:
    """Give the upper left corner (px) of a box or of points; an area may lie anywhere in its own."""
    if label.box is not None:
        return label.box[:2]
    labelled = [(x, y) for x, y, visibility in label.points or () if visibility > 0]
    if not labelled:
        return None
    return min(x for x, _ in labelled), min(y for _, y in labelled)
