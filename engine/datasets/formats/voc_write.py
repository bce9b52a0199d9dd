"""Writing Pascal VOC: XML files and lists of splits; for masks also pictures with a colour map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.datasets import masks
from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.conventions import VOID as VOID_NAME
from engine.datasets.formats.mask_pixels import pixels_of
from engine.datasets.formats.writing import ImageNames
from engine.datasets.formats.xml_files import content, spelt
from engine.datasets.labels import Box, ImageLabels, Label
from engine.errors import InputError

ELEMENTS = {
    "pose": ("", "Unspecified"),
    "truncated": ("", "0"),
    "occluded": ("", "0"),
    "difficult": ("", "0"),
}
"""Elements of an object that become attributes, with the values that say nothing."""
VOID = 255
MOST_VALUES = 254  # of a mask with 8 bits, beside background and void


def write(out: ExportSet, folder: Path) -> None:
    """Write JPEGImages, Annotations and ImageSets, and SegmentationClass and -Object for masks.

    An image without labels gets an XML file only when it is a negative. Where masks overlap, the later
    one lies on top. Raises ``InputError`` when a mask would need more than 254 values, or a label has no
    box.
    """
    names = ImageNames(folder, flat=True, unique_stems=True)
    values = {head.name: value for value, head in enumerate(out.classes, 1)}
    by_mask = out.kind in ("masks", "regions")
    folder.mkdir(parents=True, exist_ok=True)
    if by_mask:
        _write_labelmap(values, folder)
    splits: dict[str, list[str]] = defaultdict(list)
    for row, source in out.rows:
        name = names.place(row.path, source, under="JPEGImages")
        stem = PurePosixPath(name).stem
        if row.split:
            splits[row.split].append(stem)
        if row.labels or row.negative:
            _write_xml(row, PurePosixPath(name).name, folder / "Annotations" / f"{stem}.xml", by_mask)
        if by_mask and (row.labels or row.negative):
            _write_masks(row, values, stem, folder, objects=out.kind == "masks")
    lists = folder / "ImageSets" / ("Segmentation" if by_mask else "Main")
    for split, stems in splits.items():
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems), "utf-8", newline="\n")


def _write_xml(row: ImageLabels, name: str, target: Path, segmented: bool) -> None:
    lines = ["<annotation>", "  <folder>JPEGImages</folder>", f"  <filename>{content(name)}</filename>"]
    if row.size:
        width, height = row.size
        lines.append(f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>")
    if segmented:
        lines.append("  <segmented>1</segmented>")
    for label in row.labels:
        lines += _object(row, label)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join([*lines, "</annotation>", ""]), "utf-8", newline="\n")


def _object(row: ImageLabels, label: Label) -> list[str]:
    plain, further = _divide(label)
    words = {tag: empty[-1] for tag, empty in ELEMENTS.items()} | plain
    lines = ["  <object>", f"    <name>{content(label.name or VOID_NAME)}</name>"]
    if label.ignored and "difficult" not in plain:
        words["difficult"] = "1"
        lines.append("    <ignored>1</ignored>")
    lines += [f"    <{tag}>{content(word)}</{tag}>" for tag, word in words.items() if word]
    sides = zip(("xmin", "ymin", "xmax", "ymax"), _box(row, label), strict=True)
    lines.append(
        "    <bndbox>" + "".join(f"<{side}>{spelt(at)}</{side}>" for side, at in sides) + "</bndbox>"
    )
    if further:
        pairs = (f"<name>{content(name)}</name><value>{content(word)}</value>" for name, word in further)
        lines.append(
            "    <attributes>" + "".join(f"<attribute>{pair}</attribute>" for pair in pairs) + "</attributes>"
        )
    return [*lines, "  </object>"]


def _divide(label: Label) -> tuple[dict[str, str], Sequence[tuple[str, str]]]:
    """Divide attributes into VOC's own elements and others, so that all are read back in their order."""
    plain: dict[str, str] = {}
    order = list(ELEMENTS)
    for position, (name, word) in enumerate(label.attributes):
        fits = name in order and word == word.strip() and word not in ELEMENTS[name]
        if not fits or (name == "difficult" and not label.ignored):
            return plain, label.attributes[position:]
        plain[name] = word
        order = order[order.index(name) + 1 :]
    return plain, ()


def _box(row: ImageLabels, label: Label) -> Box:
    box = label.box or (masks.box_of(label.mask) if label.mask else None)
    if box is None:
        raise InputError(f"A label “{label.name}” of “{row.path}” has no box.", "Choose another format.")
    return box


def _write_masks(row: ImageLabels, values: dict[str, int], stem: str, folder: Path, objects: bool) -> None:
    if row.size is None:
        raise InputError(f"The size of “{row.path}” is not known.", "Export again.")
    width, height = row.size
    classes = np.zeros((height, width), np.uint8)
    numbers = np.zeros((height, width), np.uint8)
    number = 0
    for label in row.labels:
        if label.mask is None:
            continue
        inside = pixels_of(label.mask, height, width)
        number += not label.ignored
        if number > MOST_VALUES:
            raise InputError(f"“{row.path}” has more than {MOST_VALUES} objects.", "Export as COCO instead.")
        classes[inside] = VOID if label.ignored else values[label.name]
        numbers[inside] = VOID if label.ignored else number
    _save(classes, folder / "SegmentationClass" / f"{stem}.png")
    if objects:
        _save(numbers, folder / "SegmentationObject" / f"{stem}.png")


def _save(values: NDArray[np.uint8], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    picture.putpalette([part for value in range(256) for part in color(value)])
    picture.save(target)


def _write_labelmap(values: dict[str, int], folder: Path) -> None:
    if len(values) > MOST_VALUES:
        raise InputError(f"Masks of VOC hold at most {MOST_VALUES} classes.", "Export as COCO instead.")
    lines = [f"{name}:{','.join(map(str, color(value)))}::\n" for name, value in values.items()]
    text = "".join(["# label:color_rgb:parts:actions\n", "background:0,0,0::\n", *lines])
    (folder / "labelmap.txt").write_text(text, "utf-8", newline="\n")


def color(value: int) -> tuple[int, int, int]:
    """Return VOC's colour of a value: its bits, dealt in turn to red, green and blue from the top."""
    parts = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            parts[channel] |= (value >> (3 * place + channel) & 1) << (7 - place)
    return parts[0], parts[1], parts[2]
