"""Writing CVAT's XML for images: ``annotations.xml`` beside a folder ``images``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape

import numpy as np

from engine.contracts.datasets import LabelKind
from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.conventions import VOID
from engine.datasets.formats.mask_pixels import pixels_of, runs_of_rows
from engine.datasets.formats.writing import ImageNames
from engine.datasets.formats.xml_files import content, quoted, spelt
from engine.datasets.labels import ClassHead, ImageLabels, Label, Mask, Polygons
from engine.errors import InputError

SUBSETS = {"train": "train", "val": "validation", "test": "test"}


def write(out: ExportSet, folder: Path) -> None:
    """Write each label as the shape that the kind asks for; images that are not labelled are not listed.

    Raises ``InputError`` when a label lacks what its kind needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ImageNames(folder)
    heads = {head.name: head for head in out.classes}
    with (folder / "annotations.xml").open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.write(f"  <!-- labels: {out.kind} -->\n  <version>1.1</version>\n")
        _write_meta(file, out)
        for number, (row, source) in enumerate(out.rows):
            name = names.place(row.path.removeprefix("images/"), source, under="images")
            if row.labels or row.negative or row.split:
                _write_image(file, number, name.removeprefix("images/"), row, out.kind, heads)
        file.write("</annotations>\n")


def _write_meta(file: TextIO, out: ExportSet) -> None:
    file.write("  <meta>\n    <task>\n      <labels>\n")
    for head in out.classes:
        skeleton = bool(head.points) and out.kind == "points"
        kind = "skeleton" if skeleton else "any"
        svg = f"<svg>{content(_svg(head))}</svg>" if skeleton else ""
        file.write(f"        <label><name>{content(head.name)}</name><type>{kind}</type>{svg}</label>\n")
        for point in head.points if skeleton else ():
            parent = f"<parent>{content(head.name)}</parent>"
            file.write(f"        <label><name>{content(point)}</name><type>points</type>{parent}</label>\n")
    file.write("      </labels>\n    </task>\n  </meta>\n")


def _svg(head: ClassHead) -> str:
    """Draw a skeleton as CVAT does: the edges, then the points in a row."""
    lines = [
        f'<line data-type="edge" data-node-from="{one + 1}" data-node-to="{other + 1}"/>'
        for one, other in head.skeleton
    ]
    for number, name in enumerate(head.points, 1):
        label = escape(name, {'"': "&quot;"})
        at = f'cx="{100 * number / (len(head.points) + 1):.1f}" cy="50" r="1.5"'
        lines.append(
            f'<circle {at} data-type="element node" data-element-id="{number}" data-node-id="{number}" '
            f'data-label-name="{label}"/>'
        )
    return "".join(lines)


def _write_image(
    file: TextIO, number: int, name: str, row: ImageLabels, kind: LabelKind, heads: dict[str, ClassHead]
) -> None:
    words = [f'id="{number}"', f"name={quoted(name)}"]
    if row.split:
        words.append(f'subset="{SUBSETS[row.split]}"')
    if row.size:
        words.append(f'width="{row.size[0]}" height="{row.size[1]}"')
    if not row.labels and not row.negative:
        words.append('annotated="0"')
    file.write(f"  <image {' '.join(words)}>\n")
    for group, label in enumerate(row.labels, 1):
        for line in _shape(row, label, kind, heads, group):
            file.write(f"    {line}\n")
    file.write("  </image>\n")


def _shape(
    row: ImageLabels, label: Label, kind: LabelKind, heads: dict[str, ClassHead], group: int
) -> Iterator[str]:
    if kind in ("class", "tags"):
        yield _element("tag", label, "", [])
    elif kind == "points" and label.points is not None and label.name in heads:
        yield _element("skeleton", label, "", list(_points(label, heads[label.name])))
    elif kind in ("masks", "regions") and label.mask is not None:
        yield from _mask(row, label, label.mask, group)
    elif kind in ("box", "boxes") and label.box is not None:
        sides = zip(("xtl", "ytl", "xbr", "ybr"), label.box, strict=True)
        yield _element("box", label, " ".join(f'{side}="{spelt(at)}"' for side, at in sides), [])
    else:
        raise InputError(
            f"A label “{label.name}” of “{row.path}” has not what labels of the kind “{kind}” need.",
            "Export it in another format.",
        )


def _points(label: Label, head: ClassHead) -> Iterator[str]:
    for name, (x, y, visible) in zip(head.points, label.points or (), strict=True):
        state = f'outside="{int(visible == 0)}" occluded="{int(visible == 1)}"'
        yield f'<points label={quoted(name)} {state} points="{spelt(x)},{spelt(y)}"></points>'


def _mask(row: ImageLabels, label: Label, mask: Mask, group: int) -> Iterator[str]:
    """Spell outlines as polygons (several of one object share a group), all else as run lengths."""
    if isinstance(mask, Polygons):
        together = f' group_id="{group}"' if len(mask.rings) > 1 else ""
        for ring in mask.rings:
            pairs = zip(ring[0::2], ring[1::2], strict=True)
            corners = ";".join(f"{spelt(x)},{spelt(y)}" for x, y in pairs)
            yield _element("polygon", label, f'points="{corners}"{together}', [])
        return
    pixels = pixels_of(mask, mask.height, mask.width)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not rows.size:
        raise InputError(f"A mask “{label.name}” of “{row.path}” is empty.", "Take it out.")
    crop = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    runs = ", ".join(str(run) for run in runs_of_rows(crop))
    place = f'left="{columns[0]}" top="{rows[0]}" width="{crop.shape[1]}" height="{crop.shape[0]}"'
    yield _element("mask", label, f'rle="{runs}" {place}', [])


def _element(tag: str, label: Label, words: str, inner: list[str]) -> str:
    attributes = list(label.attributes)
    occluded = bool(attributes) and attributes[0] == ("occluded", "1") and tag != "tag"
    state = "" if tag == "tag" else f'occluded="{int(occluded)}" '
    attributes = attributes[occluded:] + ([("ignored", "true")] if label.ignored else [])
    inner += [f"<attribute name={quoted(name)}>{content(word)}</attribute>" for name, word in attributes]
    parts = (f"label={quoted(label.name or VOID)}", 'source="file"', state.strip(), words)
    head = " ".join(part for part in parts if part)
    return f"<{tag} {head}>{''.join(inner)}</{tag}>"
