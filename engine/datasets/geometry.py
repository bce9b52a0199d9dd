"""Labels as they are stored and shown: px of the upright image, as plain values."""

from __future__ import annotations

from array import array
from typing import Any

from engine.contracts.datasets import LabelItem
from engine.datasets import masks
from engine.datasets.labels import Box, Label, Polygons, Rle


def kind_of(label: Label) -> str:
    """Say what a label is made of: class, box, mask or points."""
    if label.points is not None:
        return "points"
    if label.mask is not None:
        return "mask"
    return "box" if label.box is not None else "class"


def box_around(label: Label) -> Box | None:
    """Return the box of a label, else the smallest one around its mask or points; None without area."""
    if label.box is not None:
        return label.box
    if label.mask is not None:
        return masks.box_of(label.mask)
    seen = [(x, y) for x, y, visible in label.points or () if visible]
    if not seen:
        return None
    xs, ys = zip(*seen, strict=True)
    box = (min(xs), min(ys), max(xs), max(ys))
    return box if box[2] > box[0] and box[3] > box[1] else None


def geometry_of(label: Label) -> dict[str, Any]:
    """Give all of a label but its class, keyed by the fields of ``LabelItem``; empty for a bare class."""
    found: dict[str, Any] = {}
    if label.box is not None:
        found["box"] = list(label.box)
    if isinstance(label.mask, Polygons):
        found["polygons"] = [ring.tolist() for ring in label.mask.rings]
    elif label.mask is not None:
        found["rle"] = label.mask.counts
    if label.points is not None:
        found["points"] = [list(point) for point in label.points]
    if label.ignored:
        found["ignored"] = True
    if label.attributes:
        found["attributes"] = dict(label.attributes)
    return found


def label_of(item: LabelItem, name: str, width: int, height: int) -> Label:
    """Give a stored label of an image (width x height px) as a record for writers."""
    mask: Polygons | Rle | None = None
    if item.polygons is not None:
        mask = Polygons(tuple(array("d", ring) for ring in item.polygons))
    elif item.rle is not None:
        mask = Rle(height, width, item.rle)
    return Label(
        name=name,
        box=item.box,
        mask=mask,
        points=item.points,
        ignored=item.ignored,
        attributes=tuple(item.attributes.items()),
    )
