"""Sets with masks for the tests of their formats: drawn, written, read back and settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contracts.datasets import ImportIssue, LabelKind, Split
from engine.datasets import masks
from engine.datasets.archive import open_source, read_member
from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    LabelIssue,
    Reading,
    ReadOptions,
    SourceView,
)
from engine.datasets.labels import ClassHead, ImageLabels, Label, Rle
from engine.datasets.mask_pictures import MaskPicture, read_mask
from engine.datasets.mask_values import Extent, settle
from engine.datasets.preprocessing import UnreadableImageError, open_image
from engine.settings import Limits

SIDE = 12
SPLITS: tuple[Split | None, ...] = ("train", "val", "test", None)
HOSTILE = (
    "a b.png",
    "Größe 日本.jpg",
    'it\'s "quoted".png',
    "=cmd.png",
    "🐱.png",
    ".hidden.png",
    "a,b;c.png",
    "x" * 230 + ".png",
    "one/same.png",
    "two/same.png",
    "same.jpg",
    "a_mask.png",
    "a.png",
    "a_predict.png",
    "a_cat_1.png",
    "img_1.png",
    "1.png",
    "deep/down/here/1.png",
)


def photo(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """A picture that is no mask."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def draw(folder: Path, pictures: Mapping[str, Any]) -> None:
    """Write files: None for a photo, an array for a mask, text for a list."""
    for number, (name, content) in enumerate(pictures.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, "utf-8")
        elif content is None:
            photo(number).save(path)
        else:
            (content if isinstance(content, Image.Image) else Image.fromarray(content)).save(path)


def view_of(folder: Path) -> SourceView:
    return SourceView(open_source((("set", folder),), Limits()))


@dataclass(frozen=True)
class Settled:
    """What an import would see after settling."""

    rows: dict[str, ImageLabels]
    issues: list[ImportIssue]
    classes: list[str]
    reading: Reading

    def drawn(self, path: str) -> list[tuple[str, list[list[int]]]]:
        """The labels of an image: name and pixels."""
        return [(label.name, pixels(label).astype(int).tolist()) for label in self.rows[path].labels]


def pixels(label: Label) -> NDArray[np.bool_]:
    assert isinstance(label.mask, Rle)
    return masks.decode(label.mask)


def settled(form: DatasetFormat, folder: Path, kind: LabelKind = "masks") -> Settled:
    """Read a set and settle its masks, as an import does."""
    view = view_of(folder)
    reading = form.read(view, ReadOptions(kind))
    rows = list(reading.rows)
    images = [row for row in rows if isinstance(row, ImageLabels)]
    pictures: dict[str, MaskPicture | str] = {}
    for mask in (mask for row in images for mask in row.masks):
        try:
            content = read_member(view.by_path[mask.path])
            pictures[mask.path] = read_mask(content, reading.mask_values.colors)
        except UnreadableImageError as error:
            pictures[mask.path] = str(error)
    extents = {row.path: Extent(*open_image(read_member(view.by_path[row.path])).size, 1) for row in images}
    made = settle(images, pictures, extents, reading.mask_values)
    out = [*(row for row in rows if isinstance(row, LabelIssue)), *made.rows]
    names = [head.name for head in (*reading.classes, *made.classes)]
    return Settled(
        {row.path: row for row in out if isinstance(row, ImageLabels)},
        [row.issue for row in out if isinstance(row, LabelIssue)],
        list(dict.fromkeys(names)),
        reading,
    )


def mask_of(*boxes: tuple[int, int, int, int]) -> Rle:
    """A mask of rectangles x1, y1, x2, y2."""
    drawn = np.zeros((SIDE, SIDE), bool)
    for x1, y1, x2, y2 in boxes:
        drawn[y1:y2, x1:x2] = True
    return masks.encode(drawn)


def written(
    form: DatasetFormat,
    folder: Path,
    rows: Sequence[ImageLabels],
    classes: Sequence[str],
    kind: LabelKind,
) -> list[ImageLabels]:
    """Write rows with a photo each and read them back, in the order in which they were written.

    Which image is which is told by its bytes.
    """
    originals, out = folder / "originals", folder / "out"
    originals.mkdir(parents=True)
    pairs = []
    for number, row in enumerate(rows):
        photo(number).save(originals / str(number), "PNG")
        pairs.append((row, originals / str(number)))
    assert form.write
    form.write(ExportSet(kind, tuple(map(ClassHead, classes)), iter(pairs)), out)
    back = settled(form, out, kind)
    assert not back.issues
    assert back.classes == list(classes)
    by_bytes = {(out / path).read_bytes(): row for path, row in back.rows.items()}
    assert len(by_bytes) == len(back.rows) == len(rows)
    return [by_bytes[source.read_bytes()] for _, source in pairs]
