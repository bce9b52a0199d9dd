"""Writing COCO JSON: one file for each split, images below ``images``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from engine.contracts.datasets import LabelKind
from engine.datasets import masks
from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.coco_labels import extent, flat_points
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons

LABELLED = "labelled"
"""Key of ours in an image's entry: false for a picture that nobody has labelled yet."""
GROUP = "group"
"""Key of ours in an image's entry: what the picture belongs to, such as a patient or a video."""


def write(out: ExportSet, folder: Path) -> None:
    """Write ``folder/annotations/instances_<split>.json`` and copy the images to ``folder/images``."""
    names = ImageNames(folder)
    numbers = {head.name: number for number, head in enumerate(out.classes, start=1)}
    with ExitStack() as stack:
        files: dict[str, _File] = {}
        for number, (row, source) in enumerate(out.rows, start=1):
            name = names.place(row.path, source, "images")
            stem = f"instances_{row.split}" if row.split else "instances"
            if stem not in files:
                target = folder / "annotations" / f"{stem}.json"
                files[stem] = stack.enter_context(_File(target, out.classes, out.kind))
            files[stem].add(number, name, row, numbers)


class _File:
    """One label file; annotations wait in a file beside it until all images are known."""

    def __init__(self, path: Path, classes: Sequence[ClassHead], kind: LabelKind) -> None:
        self.path = path
        self.classes = classes
        self.kind = kind
        self.annotations = 0
        self.void = False

    def __enter__(self) -> _File:
        """Begin both parts."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.beside = self.path.with_suffix(".part")
        self.images: IO[str] = self.path.open("w", encoding="utf-8")
        self.rest: IO[str] = self.beside.open("w", encoding="utf-8")
        self.images.write(f'{{"info": {{"labels": "{self.kind}"}},\n"images": [')
        self.first = True
        return self

    def __exit__(self, *_: object) -> None:
        """Put both parts together."""
        self.rest.close()
        with self.beside.open(encoding="utf-8") as rest:
            self.images.write('\n],\n"annotations": [')
            shutil.copyfileobj(rest, self.images)
        categories = list(_categories(self.classes, self.void))
        self.images.write(f'\n],\n"categories": {json.dumps(categories, ensure_ascii=False)}}}\n')
        self.images.close()
        self.beside.unlink()

    def add(self, number: int, name: str, row: ImageLabels, numbers: dict[str, int]) -> None:
        """Add one image with its annotations."""
        assert row.size is not None  # every row of an export has it
        width, height = row.size
        entry: dict[str, Any] = {"id": number, "file_name": name, "width": width, "height": height}
        if not row.labels and not row.negative:
            entry[LABELLED] = False
        if row.group is not None:
            entry[GROUP] = row.group
        self._line(self.images, entry, self.first)
        self.first = False
        for label in row.labels:
            self.void |= not label.name
            category = numbers.get(label.name, len(numbers) + 1)
            self.annotations += 1
            values = {"id": self.annotations, "image_id": number, "category_id": category}
            self._line(self.rest, values | _values(label, width, height), self.annotations == 1)

    @staticmethod
    def _line(target: IO[str], values: dict[str, Any], first: bool) -> None:
        target.write(("\n" if first else ",\n") + json.dumps(values, ensure_ascii=False, allow_nan=False))


def _values(label: Label, width: int, height: int) -> dict[str, Any]:
    values: dict[str, Any] = {"iscrowd": int(label.ignored)}
    box = label.box or (masks.box_of(label.mask) if label.mask is not None else None)
    if box is not None:
        values["bbox"] = [box[0], box[1], extent(box[0], box[2]), extent(box[1], box[3])]
        values["area"] = (box[2] - box[0]) * (box[3] - box[1])
    if isinstance(label.mask, Polygons):
        values["segmentation"] = [ring.tolist() for ring in label.mask.rings]
    elif label.mask is not None:
        values["segmentation"] = {"size": [height, width], "counts": label.mask.counts}
    if label.mask is not None:
        values["area"] = masks.area(label.mask)
    if label.points is not None:
        values["keypoints"] = flat_points(label.points)
        values["num_keypoints"] = sum(seen > 0 for _, _, seen in label.points)
    if label.attributes:
        values["attributes"] = dict(label.attributes)
    return values


def _categories(classes: Sequence[ClassHead], void: bool) -> Iterator[dict[str, Any]]:
    for number, head in enumerate(classes, start=1):
        values: dict[str, Any] = {"id": number, "name": head.name}
        if head.points:
            values["keypoints"] = list(head.points)
            values["skeleton"] = [[one + 1, other + 1] for one, other in head.skeleton]
        yield values
    if void:
        yield {"id": len(classes) + 1, "name": "void", "supercategory": "void"}
