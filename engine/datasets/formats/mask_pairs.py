"""Images and class masks in pairs: ``images/a.jpg`` with ``masks/a.png``, or ``a.jpg`` with ``a_mask.png``.

A value of a mask is a class. What the values mean is said by a list beside (``classes.txt``,
``class_dict.csv``, ``labelmap.txt``, ``labels.json``) or settled once all masks have been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    SourceView,
    number_of,
)
from engine.datasets.formats.mask_drawing import blank, label_pixels, save_mask
from engine.datasets.formats.mask_folders import (
    are_masks,
    are_numbered,
    export_path,
    find_pairs,
    look,
    rows_of,
)
from engine.datasets.formats.mask_lists import IGNORED, VOID, described, find_list, heads, mask_values
from engine.datasets.formats.object_table import find_table
from engine.datasets.formats.text_lists import some
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ImageLabels, MaskValues
from engine.datasets.mask_classes import SHOWN
from engine.datasets.mask_pictures import MaskPicture
from engine.errors import InputError


def recognise(view: SourceView) -> Recognition | None:
    """Recognise pictures that pair by stem, one side of which look like masks of classes."""
    pairs = find_pairs(view)
    if not pairs.masks or find_table(view, values=True) or find_table(view, values=False):
        return None
    paths, listed = sorted(pairs.masks.values()), find_list(view)
    values, _ = mask_values(listed, look(view, paths, MaskValues()) if not listed.colors else ())
    pictures = look(view, paths, values)
    if not are_masks(view, paths, values) or (not listed.path and are_numbered(pictures)):
        return None
    told = f"; classes in {PurePosixPath(listed.path).name}: {described(values)}" if values.names else ""
    told = told or _values(pictures, len(paths))
    return Recognition(
        f"{number_of(len(paths), 'image')} with a mask of the same name, as {paths[0]}{told}",
        ("regions",),
        tuple(head.name for head in heads(values)),
        len(pairs.images),
    )


def _values(pictures: Sequence[MaskPicture], number: int) -> str:
    """Say which values the masks hold that were looked at: what they are is settled with all of them."""
    held = sorted({value for picture in pictures for value, _ in picture.regions})
    if not held or any(picture.colored for picture in pictures):
        return ""
    which = "that were looked at " if len(pictures) < number else ""
    return f"; the masks {which}hold {'the values ' if len(held) > 1 else ''}{some(held, SHOWN)}"


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read pairs; raises ``InputError`` when the list of classes is damaged."""
    pairs, listed = find_pairs(view), find_list(view)
    paths = sorted(pairs.masks.values())
    values, notes = mask_values(listed, look(view, paths, MaskValues()) if not listed.colors else ())
    return Reading(rows_of(pairs, "classes"), heads(values), values, (*pairs.notes, *notes), pairs.images)


def write(out: ExportSet, folder: Path) -> None:
    """Write ``images``, ``masks`` (palette PNG: 0 background, 255 void) and ``classes.txt``.

    An image that is neither labelled nor a negative gets no mask. Above 254 classes the masks have 16
    bits. Where regions overlap, the later one lies on top, and what is ignored on top of all. Raises
    ``InputError`` when a label has no mask.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ImageNames(folder, flat=True, unique_stems=True)
    values = {head.name: at if at < VOID else at + 1 for at, head in enumerate(out.classes, 1)}
    _write_list(values, folder)
    for row, source in out.rows:
        under = f"images/{row.split}" if row.split else "images"
        name = names.place(export_path(row.path), source, under)
        if not row.labels and not row.negative:
            continue
        target = (folder / "masks" / PurePosixPath(name).relative_to("images")).with_suffix(".png")
        save_mask(_draw(row, values), target)


def _write_list(values: dict[str, int], folder: Path) -> None:
    by_value = {value: name for name, value in values.items()}
    lines = [by_value.get(v, IGNORED if v else "background") for v in range(max(by_value, default=0) + 1)]
    if IGNORED in values:
        raise InputError(f"A class cannot be called “{IGNORED}” in this format.", "Export as COCO instead.")
    (folder / "classes.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")


def _draw(row: ImageLabels, values: dict[str, int]) -> NDArray[np.uint16]:
    drawn = blank(row)
    for label in sorted(row.labels, key=lambda label: label.ignored):
        drawn[label_pixels(row, label)] = VOID if label.ignored else values[label.name]
    return drawn


FORMAT = DatasetFormat(
    name="mask_pairs",
    title="Images and masks",
    carries=frozenset({"regions"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "runs", "ignored", "classes"}),
)
