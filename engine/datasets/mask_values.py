"""Settling mask values: from the regions of mask pictures to labels with classes.

What a value means can only be said when all masks of a set have been seen: 255 alone is the one class,
beside others it is no class at all. Hence two steps: ``settle`` counts, decides and refuses; the rows
that it returns are made one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.datasets import masks
from engine.datasets.formats.base import Row, skipped
from engine.datasets.formats.mask_pixels import pixels_of
from engine.datasets.labels import ClassHead, ImageLabels, Label, MaskFile, MaskValues, Rle
from engine.datasets.mask_classes import Answer, Census, Decision, decide, is_crowded
from engine.datasets.mask_pictures import MaskPicture
from engine.datasets.preprocessing import UPRIGHT, UnreadableImageError

VALUE = "value"
MASK = "mask"
"""Attributes of a label without a shape: it is the object with this number in the mask of this path."""
SOURCE = "source"
"""Attribute of labels of a row that has both sorts of masks: "objects" or "classes"."""
OBJECT = "object"
"""Class of objects for which the source names none."""
ROUNDING = 0.02  # by which two ratios of width to height may differ and still be called the same
SIDEWAYS = 5  # EXIF orientations from here on swap width and height

Read = MaskPicture | str
"""A decoded mask picture, or the reason why there is none."""
Told = dict[tuple[str, int], Label]


class Extent(NamedTuple):
    """Size of an image in px, upright, and the EXIF orientation that its file asks for."""

    width: int
    height: int
    orientation: int = 1


@dataclass(frozen=True)
class Settled:
    """Rows whose masks have become labels, lazily; ``classes`` in order; ``notes`` are sentences.

    A region that does not count is a label without a name, ``ignored``.
    """

    rows: Iterable[Row]
    classes: tuple[ClassHead, ...]
    notes: tuple[str, ...]


def told(mask: str, value: int) -> tuple[tuple[str, str], ...]:
    """Return the attributes of a label that names the object ``value`` of the mask at a path."""
    return ((MASK, mask), (VALUE, str(value)))


def settle(
    rows: Collection[ImageLabels],
    pictures: Mapping[str, Read],
    extents: Mapping[str, Extent],
    values: MaskValues,
    void: Answer = "",
) -> Settled:
    """Turn mask pictures into labels.

    Args:
        rows: images of the set; gone through more than once. Rows without masks pass unchanged.
        pictures: by path, each mask picture (or why it cannot be used) of ``MaskFile.path``.
        extents: by path, each image that can be used; the masks of another are skipped.
        values: what the source says of its class masks.
        void: the person's answer about 255: "class", "ignore", or "" for none.

    Raises:
        QuestionError: 255 may be a class or void; ``--void`` answers it.
        InputError: values or colours that are not in the class list, with their histogram; or class
            masks that were saved with loss.
    """
    census, turned = Census(), 0
    for row in rows:
        found = [pictures.get(mask.path) for mask in row.masks]
        extent = extents.get(row.path)
        for mask, picture in zip(row.masks, found, strict=True):
            if isinstance(picture, MaskPicture) and mask.meaning == "classes":
                census.add(picture)
        turned += extent is not None and extent.orientation > 1 and any(_fits(one, extent) for one in found)
    decision = decide(census, values, void)
    names = dict.fromkeys([*decision.names.values(), *_object_names(rows)])
    notes = list(decision.notes)
    if turned:
        notes.append(
            f"Images that are turned as their EXIF data says, with masks of the turned size, which are taken "
            f"as they are: {turned:,}."
        )
    made = (one for row in rows for one in _settled(row, pictures, extents, decision))
    return Settled(made, tuple(ClassHead(name) for name in names if name), tuple(notes))


def _fits(picture: Read | None, extent: Extent) -> bool:
    return isinstance(picture, MaskPicture) and (picture.width, picture.height) == extent[:2]


def _object_names(rows: Iterable[ImageLabels]) -> Iterator[str]:
    """Yield the names of objects, as far as they are known without looking at what lies below them."""
    for row in rows:
        things = [mask for mask in row.masks if mask.meaning != "classes"]
        named = [label.name for label in row.labels if _key(label)]
        yield from named
        for mask in things:
            yield mask.name or ("" if named or len(things) < len(row.masks) else OBJECT)


@dataclass(frozen=True)
class _Usable:
    """A mask that fits its image: its regions with values, and what was put right."""

    mask: MaskFile
    regions: tuple[tuple[int, Rle], ...]
    repairs: tuple[str, ...]
    lost: tuple[int, ...] = ()
    """Values of which resizing left nothing."""


def _settled(
    row: ImageLabels, pictures: Mapping[str, Read], extents: Mapping[str, Extent], decision: Decision
) -> Iterator[Row]:
    """Yield what became of masks that cannot be used, and the row with its labels."""
    if not row.masks:
        yield row
        return
    usable: list[_Usable] = []
    for mask in row.masks:
        try:
            usable.append(_usable(mask, pictures.get(mask.path), extents.get(row.path), decision))
        except UnreadableImageError as error:
            yield skipped(mask.path, None, str(error))
    named: Told = {key: label for label in row.labels if (key := _key(label))}
    areas = [label for entry in usable for label in _areas(entry, decision)]
    things: list[Label] = []
    empty = len(usable) < len(row.masks)
    failed = {mask.path for mask in row.masks if mask.meaning == "object"}
    for entry in usable:
        found = _things(entry, named, areas, decision.said)
        if entry.mask.meaning == "object" and not found:
            empty = True
            yield skipped(entry.mask.path, None, "the mask is empty")
        things.extend(found)
        for value in entry.lost:
            empty = True
            yield skipped(entry.mask.path, None, f"nothing is left of value {value} after resizing")
    for (path, value), label in named.items():
        empty = True
        if path in failed:
            continue  # its one mask has been reported
        yield skipped(label.file or row.file, label.line, f"the mask “{path}” has no usable object {value}")
    if areas and things:
        areas, things = _marked(areas, "classes"), _marked(things, "objects")
    labels = (*(label for label in row.labels if not _key(label)), *things, *areas)
    # Without a label and with nothing skipped, the masks say that nothing is on the image.
    yield replace(row, labels=labels, masks=(), negative=row.negative or not (labels or empty))


def _usable(mask: MaskFile, picture: Read | None, extent: Extent | None, decision: Decision) -> _Usable:
    """Bring a mask to the size of its image; raises ``UnreadableImageError`` with the reason if not."""
    if not isinstance(picture, MaskPicture):
        raise UnreadableImageError(picture or "the mask was not read")
    if extent is None:
        raise UnreadableImageError("its image cannot be used")
    if mask.meaning == "classes" and is_crowded(picture):
        raise UnreadableImageError(
            f"the mask has {len(picture.regions):,} different values: a photo, numbered objects, "
            "or a mask that was saved with loss"
        )
    if mask.meaning == "classes":
        wanted = [at for at, (value, _) in enumerate(picture.regions) if decision.name_of(value) is not None]
    else:
        wanted = [at for at, (value, _) in enumerate(picture.regions) if value != 0]
    turn = _turn(picture, extent)
    repairs = _repairs(picture, extent, turn)
    if not repairs:
        return _Usable(mask, tuple((picture.regions[at][0], picture.region(at)) for at in wanted), ())
    regions, lost = [], []
    for at in wanted:
        value, made = picture.regions[at][0], _resized(picture.region(at), extent, turn)
        if made is None:
            lost.append(value)
        else:
            regions.append((value, made))
    return _Usable(mask, tuple(regions), repairs, tuple(lost))


def _turn(picture: MaskPicture, extent: Extent) -> int:
    """Return the EXIF orientation by which a mask has to be turned, as its image is; 1: not at all."""
    raw = (picture.height, picture.width)
    if extent.orientation < SIDEWAYS or raw[0] == raw[1]:
        return 1
    if raw == extent[:2] or not _same_shape(picture.width, picture.height, extent):
        return extent.orientation
    return 1


def _repairs(picture: MaskPicture, extent: Extent, turn: int) -> tuple[str, ...]:
    """Say what must be done to a mask to fit its image; raises ``UnreadableImageError`` if nothing can.

    A mask of the same shape is resized; one of the raw size of an image that EXIF turns is turned too.
    """
    width, height = picture.width, picture.height
    repairs = []
    if turn != 1:
        repairs.append("the mask was turned as the image's EXIF data says")
        width, height = height, width
    if not _same_shape(width, height, extent):
        raise UnreadableImageError(
            f"the mask has {picture.width} x {picture.height} px, its image {extent.width} x {extent.height}"
        )
    if (width, height) != (extent.width, extent.height):
        size = f"from {width} x {height} to {extent.width} x {extent.height} px"
        repairs.append(f"the mask was resized {size} (nearest)")
    return tuple(repairs)


def _same_shape(width: int, height: int, extent: Extent) -> bool:
    """Whether width to height is as in the extent, but for the rounding of sides to whole pixels."""
    return abs(width * extent.height / (height * extent.width) - 1) <= ROUNDING


def _resized(region: Rle, extent: Extent, turn: int) -> Rle | None:
    """Turn a region and resize it by nearest neighbour; None when nothing of it is left."""
    pixels: NDArray[np.bool_] = _drawn(region)
    if turn != 1:
        turned = Image.fromarray(pixels.view(np.uint8)).transpose(UPRIGHT[turn])
        pixels = np.asarray(turned).astype(bool)
    rows = (np.arange(extent.height) + 0.5) * pixels.shape[0] / extent.height
    columns = (np.arange(extent.width) + 0.5) * pixels.shape[1] / extent.width
    pixels = pixels[rows.astype(np.intp)[:, None], columns.astype(np.intp)]
    return masks.encode(pixels) if pixels.any() else None


def _areas(entry: _Usable, decision: Decision) -> list[Label]:
    """Make one label for each class, and one for all that does not count."""
    if entry.mask.meaning != "classes":
        return []
    by_name: dict[str, list[Rle]] = {}
    for value, region in entry.regions:
        by_name.setdefault(decision.name_of(value) or "", []).append(region)
    path, repairs = entry.mask.path, entry.repairs
    return [
        Label(name, mask=_union(regions), ignored=not name, file=path, repairs=repairs)
        for name, regions in by_name.items()
    ]


def _things(entry: _Usable, named: Told, areas: list[Label], void: frozenset[int]) -> list[Label]:
    """Make a label for each object; takes out of ``named`` what is used. ``void`` numbers no object."""
    mask = entry.mask
    if mask.meaning == "classes" or not entry.regions:
        return []
    regions = entry.regions
    if mask.meaning == "object":
        regions = ((0, _union([region for _, region in regions])),)
    drawn = _class_map(areas)
    found = []
    for value, region in regions:
        label = named.pop((mask.path, value), None)
        if label is None:
            name = "" if value in void else mask.name or _below(region, areas, drawn)
            label = Label(name, ignored=not name, file=mask.path)
        plain = tuple(pair for pair in label.attributes if pair[0] not in (MASK, VALUE))
        repairs = (*label.repairs, *entry.repairs)
        found.append(replace(label, mask=region, attributes=plain, repairs=repairs))
    return found


def _class_map(areas: list[Label]) -> NDArray[np.int32] | None:
    """Draw the class regions of an image, numbered from 1, into one array (H, W); None without any."""
    drawn = None
    for number, label in enumerate(areas, start=1):
        if isinstance(label.mask, Rle):
            pixels = _drawn(label.mask)
            drawn = np.zeros(pixels.shape, np.int32) if drawn is None else drawn
            drawn[pixels] = number
    return drawn


def _below(region: Rle, areas: list[Label], drawn: NDArray[np.int32] | None) -> str:
    """Return the class that most of an object's pixels have in the class mask, else ``OBJECT``.

    "" when they are void there, as the outlines of objects are in Pascal VOC's masks.
    """
    if drawn is None:
        return OBJECT
    votes = np.bincount(drawn[_drawn(region)], minlength=len(areas) + 1)
    votes[0] = 0
    return areas[int(votes.argmax()) - 1].name if votes.any() else OBJECT


def _drawn(region: Rle) -> NDArray[np.bool_]:
    return pixels_of(region, region.height, region.width)


def _union(regions: list[Rle]) -> Rle:
    return regions[0] if len(regions) == 1 else masks.union(regions)


def _marked(labels: list[Label], source: str) -> list[Label]:
    return [replace(label, attributes=(*label.attributes, (SOURCE, source))) for label in labels]


def _key(label: Label) -> tuple[str, int] | None:
    """Return mask and number of an object that a label names without showing it."""
    said = dict(label.attributes)
    if label.mask is not None or MASK not in said or not said.get(VALUE, "").isdecimal():
        return None
    return said[MASK], int(said[VALUE])
