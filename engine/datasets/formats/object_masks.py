"""One mask picture per object.

Read are the layouts of the Data Science Bowl 2018 (``<id>/images/x.png``, ``<id>/masks/*.png``), of
folders named after the image (``masks/<image>/*.png``), in both with folders for classes below, of
pycococreator (``<image>_<class>_<number>.png``), and this format's own, with a table ``objects.csv``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    number_of,
    skipped,
)
from engine.datasets.formats.mask_drawing import label_pixels, save_mask
from engine.datasets.formats.mask_folders import (
    IMAGE_WORDS,
    NO_IMAGE,
    Index,
    Place,
    are_single,
    places_in,
)
from engine.datasets.formats.object_table import TableWriter, classes_beside, find_table, read_table
from engine.datasets.formats.text_lists import FolderSplits, some
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ClassHead, ImageLabels, MaskFile

NUMBER_END = re.compile(r"_\d+$")


@dataclass(frozen=True)
class _Layout:
    """``masks``: of each image, each with its class; ``images`` in order."""

    masks: dict[str, list[tuple[str, str]]]
    images: tuple[str, ...]
    strays: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, by name."""
        return tuple(sorted({name for masks in self.masks.values() for _, name in masks if name}))


def recognise(view: SourceView) -> Recognition | None:
    """Recognise a table, or masks in folders or under names of images, each with one object."""
    table = find_table(view, values=False)
    if table is not None:
        heads = tuple(head.name for head in classes_beside(view, table))
        return Recognition(f"“{table.path}” lists one mask per object", ("masks", "regions"), heads)
    layout = _layout(view)
    paths = sorted(path for masks in layout.masks.values() for path, _ in masks)
    if len(paths) <= len(layout.strays) or not are_single(view, paths):
        return None
    told = f" of {some(layout.names)}" if layout.names else ""
    images = number_of(len(layout.masks), "image")
    return Recognition(
        f"{number_of(len(paths), 'mask')}, one per object{told}, for {images}, as {paths[0]}",
        ("masks", "regions"),
        layout.names,
        len(layout.images),
    )


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read masks of objects; which kind of label they become is decided later."""
    table = find_table(view, values=False)
    if table is not None:
        return Reading(read_table(view, table), classes_beside(view, table))
    layout = _layout(view)
    heads = tuple(ClassHead(name) for name in layout.names)
    return Reading(_rows(layout), heads, notes=layout.notes, ahead=layout.images)


def write(out: ExportSet, folder: Path) -> None:
    """Write ``images``, ``masks/<image>/<number>.png`` (0 and 255), ``objects.csv`` and ``classes.txt``.

    Raises ``InputError`` when a label has no mask.
    """
    names = ImageNames(folder, flat=True, unique_stems=True)
    with TableWriter(folder, out.classes, values=False) as table:
        for row, source in out.rows:
            image = names.place(row.path, source, f"images/{row.split}" if row.split else "images")
            if row.negative and not row.labels:
                table.add(image)
            place = PurePosixPath(image)
            below = PurePosixPath("masks", *place.parts[1:-1], f"of {place.stem}")
            for number, label in enumerate(row.labels, 1):
                mask = str(below / f"{number:04d}.png")
                save_mask(label_pixels(row, label).astype(np.uint16) * 255, folder / mask)
                table.add(image, mask, label)


def _rows(layout: _Layout) -> Iterator[Row]:
    splits = FolderSplits(layout.images, IMAGE_WORDS)
    for image in layout.images:
        files = tuple(MaskFile(path, "object", name) for path, name in layout.masks.get(image, ()))
        yield ImageLabels(image, split=splits(image), masks=files)
    for path, reason in layout.strays:
        yield skipped(path, None, reason)


def _layout(view: SourceView) -> _Layout:
    """Find the image of each mask: by the folder they share, by a folder's name, or by the file's."""
    places = places_in(view)
    images = [place for place in places if place.role != "mask"]
    masks = [place for place in places if place.role == "mask"]
    by_stem = Index()
    for image in images:
        by_stem.add(image.stem, image)
    # Beside their images, masks are told by their names alone.
    beside = {place.path for place in images if _named(place, by_stem)}
    images = [place for place in images if place.path not in beside]
    homes = _homes(images)
    layout = _Layout({}, tuple(image.path for image in images), (), ())
    strays: list[tuple[str, str]] = []
    words, left = set(), defaultdict(list)
    for mask in [*masks, *(place for place in places if place.path in beside)]:
        found, name = _image_of(mask, homes, by_stem)
        if len(found) == 1:
            layout.masks.setdefault(found[0].path, []).append((mask.path, name))
            words.add(mask.word)
        else:
            left[mask.word].append((mask.path, found))
    for word, unused in left.items():
        strays += [(path, _reason(found)) for path, found in unused if found or word in words]
    others = sum(not found for word, unused in left.items() for _, found in unused if word not in words)
    notes = (f"Not used: {number_of(others, 'mask')} of another sort.",) if others and words else ()
    return _Layout(layout.masks, layout.images, tuple(sorted(strays)), notes)


def _homes(images: Sequence[Place]) -> dict[str, Place]:
    """Return the folders that hold the folder of one image and nothing else."""
    found: dict[str, list[Place]] = defaultdict(list)
    for image in images:
        if image.role == "image" and not image.below:
            found[_above(image.path, 2)].append(image)
    return {home: several[0] for home, several in found.items() if len(several) == 1}


def _above(path: str, levels: int) -> str:
    """Return the folder some levels above a file; "" is that of the source."""
    return "/".join(path.split("/")[:-levels])


def _image_of(mask: Place, homes: dict[str, Place], by_stem: Index) -> tuple[list[Place], str]:
    """Return the images that a mask may belong to, and its class where a folder or name says it."""
    if mask.role == "mask":
        up = len(mask.below) + 1
        home = homes.get(_above(mask.path, up + 1))
        # One image and one mask of its name are a pair, of which the mask may hold several objects.
        if home is not None and (mask.stem != home.stem or mask.below):
            return [home], clean_class(mask.below[0]) if mask.below else ""
        for at, folder in enumerate(mask.below):
            near = by_stem.closest(mask, folder)
            if near:
                return near, clean_class(mask.below[at + 1]) if len(mask.below) > at + 1 else ""
    named = _named(mask, by_stem)
    return (by_stem.closest(mask, named[0]), named[1]) if named else ([], "")


def _named(mask: Place, by_stem: Index) -> tuple[str, str] | None:
    """Part a name such as ``1000_square_0``: the stem of an image as far as one goes, and the class."""
    if not NUMBER_END.search(mask.stem):
        return None
    parts = mask.stem.split("_")[:-1]
    for end in range(len(parts) - 1, 0, -1):
        stem, name = "_".join(parts[:end]), clean_class(" ".join(parts[end:]))
        if stem in by_stem and name:
            return stem, name
    return None


def _reason(found: Sequence[Place]) -> str:
    if not found:
        return NO_IMAGE
    return f"it could belong to {some(image.path for image in found)}"


FORMAT = DatasetFormat(
    name="object_masks",
    title="One mask per object",
    carries=frozenset({"masks", "regions"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "runs", "ignored", "attributes", "classes"}),
)
