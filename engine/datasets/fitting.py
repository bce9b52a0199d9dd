"""Fitting labels to what a task learns: a box from a mask, regions from objects, one class per image.

A set may say more than a task needs; what is missing for it is left out with the reason. Nothing here
asks which task it is: only which kind of label it learns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.contracts.datasets import LabelKind
from engine.datasets import masks
from engine.datasets.geometry import box_around
from engine.datasets.labels import Box, Label, Mask, Rle

SOURCE = "source"
"""Attribute that tells masks of objects from masks of classes, where a picture has both."""
NO_MASK = "it has no outline and no mask"
COVERED = "all of it lies under another class, or it has no pixel"


@dataclass(frozen=True)
class Fitted:
    """The labels that are kept, and those that are not, with the reason.

    ``merged`` counts labels that went into another one; they are used all the same.
    """

    labels: tuple[Label, ...]
    skipped: tuple[tuple[Label, str], ...] = ()
    merged: tuple[Label, ...] = ()


def fit(labels: Sequence[Label], kind: LabelKind, size: tuple[int, int]) -> Fitted:
    """Fit the labels of one image to a kind; ``size`` is its width and height in px."""
    return _FITS[kind](labels, size)


def _one_class(labels: Sequence[Label], _size: tuple[int, int]) -> Fitted:
    names = tuple(dict.fromkeys(label.name for label in labels))
    if len(names) > 1:
        reason = f"the image stands under {', '.join(names[:5])}; which is right?"
        return Fitted((), tuple((label, reason) for label in labels))
    return _bare(labels[:1], labels[1:])


def _tags(labels: Sequence[Label], _size: tuple[int, int]) -> Fitted:
    first: dict[str, Label] = {}
    again = []
    for label in labels:
        if label.name in first:
            again.append(label)
        else:
            first[label.name] = label
    return _bare(tuple(first.values()), again)


def _bare(labels: Sequence[Label], again: Sequence[Label]) -> Fitted:
    """Keep the classes only."""
    kept = tuple(replace(label, box=None, mask=None, points=None, ignored=False) for label in labels)
    return Fitted(kept, merged=tuple(again))


def _one_box(labels: Sequence[Label], size: tuple[int, int]) -> Fitted:
    fitted = _boxes(labels, size)
    if len(fitted.labels) > 1:
        reason = f"the image has {len(fitted.labels)} boxes where the task has one"
        return Fitted((), (*fitted.skipped, *((label, reason) for label in fitted.labels)))
    return fitted


def _boxes(labels: Sequence[Label], _size: tuple[int, int]) -> Fitted:
    kept, lost = [], []
    for label in _of_source(labels, "objects"):
        box = box_around(label)
        if box is None:
            lost.append((label, _why(label, "it has no box")))
        else:
            kept.append(_shaped(label, box, None))
    return Fitted(tuple(kept), tuple(lost))


def _shaped(label: Label, box: Box | None, mask: Mask | None) -> Label:
    """Give a label these shapes and no points; where it has them, it stays the same record."""
    if box is label.box and mask is label.mask and label.points is None:
        return label
    return replace(label, box=box, mask=mask, points=None)


def _masks(labels: Sequence[Label], _size: tuple[int, int]) -> Fitted:
    kept, lost = [], []
    for label in _of_source(labels, "objects"):
        if label.mask is None:
            lost.append((label, _why(label, NO_MASK)))
        else:
            kept.append(_shaped(label, box_around(label), label.mask))
    return Fitted(tuple(kept), tuple(lost))


def _regions(labels: Sequence[Label], size: tuple[int, int]) -> Fitted:
    """Merge the masks of each class into one region; a pixel belongs to the last that claims it."""
    lost, kinds = [], dict[tuple[str, bool], list[Label]]()
    for label in _of_source(labels, "classes"):
        if label.mask is None:
            lost.append((label, _why(label, NO_MASK)))
        else:
            kinds.setdefault((label.name, label.ignored), []).append(label)
    width, height = size
    regions: list[Label] = []
    for (name, ignored), parts in kinds.items():
        runs = [masks.to_runs(part.mask, height, width) for part in parts if part.mask is not None]
        whole = runs[0] if len(runs) == 1 else masks.union(runs)
        repairs = tuple(dict.fromkeys(reason for part in parts for reason in part.repairs))
        regions.append(
            Label(name, mask=whole, ignored=ignored, file=parts[0].file, line=parts[0].line, repairs=repairs)
        )
    kept = _disjoint(regions)
    left = {(region.name, region.ignored) for region in kept}
    merged = tuple(part for kind, parts in kinds.items() if kind in left for part in parts[1:])
    lost += [(part, COVERED) for kind, parts in kinds.items() if kind not in left for part in parts]
    return Fitted(kept, tuple(lost), merged)


def _why(label: Label, missing: str) -> str:
    """Say what a label lacks, after what was wrong with it before."""
    return "; ".join((*label.repairs, missing))


def _disjoint(regions: list[Label]) -> tuple[Label, ...]:
    """Take from each region what a later one covers; regions that never meet stay as they are."""
    if len(regions) < 2:
        return tuple(regions)
    if not masks.overlap(region.mask for region in regions if isinstance(region.mask, Rle)):
        return tuple(regions)
    kept: list[Label] = []
    above = None
    for region in reversed(regions):
        assert isinstance(region.mask, Rle)
        pixels = masks.decode(region.mask)
        free = pixels if above is None else pixels & ~above
        above = pixels if above is None else above | pixels
        repairs = region.repairs
        if free.sum() != pixels.sum():
            repairs = (*repairs, "parts under another class were given to that class")
        if free.any():
            kept.append(replace(region, mask=masks.encode(free), repairs=repairs))
    return tuple(reversed(kept))


def _points(labels: Sequence[Label], _size: tuple[int, int]) -> Fitted:
    """Keep objects with a labelled point; one with a box and none counts neither for nor against.

    People who are too small or hidden stand so in COCO, and its evaluation ignores them too.
    """
    kept, lost = [], []
    for label in labels:
        if label.points and any(seen for _, _, seen in label.points):
            kept.append(replace(label, mask=None))
        elif label.box is not None and (label.points or label.ignored):
            kept.append(replace(label, mask=None, points=None, ignored=True))
        else:
            lost.append((label, _without_points(label)))
    return Fitted(tuple(kept), tuple(lost))


def _without_points(label: Label) -> str:
    if label.points:
        return "none of its points is labelled"
    return f"it has no points ({'; '.join(label.repairs)})" if label.repairs else "it has no points"


def _nothing(labels: Sequence[Label], _size: tuple[int, int]) -> Fitted:
    return Fitted((), tuple((label, "this task has no labels") for label in labels))


def _of_source(labels: Sequence[Label], wanted: str) -> Sequence[Label]:
    """Choose between masks of objects and of classes where a picture has both."""
    if not any(label.attributes for label in labels):
        return labels
    sources = {dict(label.attributes).get(SOURCE) for label in labels}
    if wanted not in sources:
        return labels
    return [
        replace(label, attributes=tuple(pair for pair in label.attributes if pair[0] != SOURCE))
        for label in labels
        if dict(label.attributes).get(SOURCE) in (wanted, None)
    ]


_FITS: dict[LabelKind, Callable[[Sequence[Label], tuple[int, int]], Fitted]] = {
    "class": _one_class,
    "tags": _tags,
    "box": _one_box,
    "boxes": _boxes,
    "regions": _regions,
    "masks": _masks,
    "points": _points,
    "none": _nothing,
}
