"""Labels as they are stored and shown: px of the upright image, as plain values."""

from __future__ import annotations

import json
from array import array
from typing import Any

from pydantic_core import to_json

from engine.contracts.datasets import LabelItem
from engine.datasets import masks
from engine.datasets.labels import Box, Label, Polygons, Rle

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


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
    """Give all of a label but its class, keyed by the fields of ``LabelItem``; empty for a bare class.

    All keys are in order.
    """
    found: dict[str, Any] = {}
    if label.attributes:
        found["attributes"] = dict(sorted(dict(label.attributes).items()))
    if label.box is not None:
        found["box"] = list(label.box)
    if label.ignored:
        found["ignored"] = True
    if label.points is not None:
        found["points"] = [list(point) for point in label.points]
    if isinstance(label.mask, Polygons):
        found["polygons"] = [ring.tolist() for ring in label.mask.rings]
    elif label.mask is not None:
        found["rle"] = label.mask.counts
    return found


def json_text(value: Any) -> str:
    """Write a value as JSON in the way that all equal values share: keys in order, no spaces."""
    return _ENCODER.encode(value)


def geometry_text(label: Label) -> str | None:
    """Give the geometry of a label as it is stored, which is ``json_text`` of it; None for a bare class."""
    found = geometry_of(label)
    if not found:
        return None
    text = to_json(found).decode()  # several times faster with floats
    # It spells numbers below 0.0001 otherwise than Python does.
    return json_text(found) if "0.0000" in text or "e-" in text else text


def stored_text(text: str | None) -> str | None:
    """Give a geometry out of the database as ``geometry_text`` writes it; None for a bare class.

    Rows that are older have spaces behind colons, and their keys in another order.
    """
    if text is None or text in ("null", "{}"):
        return None
    return json_text(json.loads(text)) if text[text.index(":") + 1] == " " else text


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
