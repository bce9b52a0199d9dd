"""What a case is, and the small sets that the cases change in one place."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (20, 16)
"""Width and height of an ordinary picture, in px."""
Entry = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One set with one thing wrong.

    ``name`` is that of the golden file, ``row`` the row of the rules for bad input. ``build`` draws the set
    into an empty folder; a single ``set.zip`` in it is imported instead of the folder. ``choices`` are
    options of the import, ``answers`` those that answer its question, each tried by itself. ``seconds``
    bounds the import, where the rules give a time. ``share`` of labels may be skipped without a question:
    the sets are so small that one fault is more than the ordinary 5 %.
    """

    name: str
    row: str
    build: Callable[[Path], None]
    task: str | None = "detection"
    choices: Mapping[str, Any] = field(default_factory=dict)
    answers: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None
    share: float = 0.7


def put(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def picture(seed: int = 0, size: tuple[int, int] = SIZE, kind: str = "PNG", **options: Any) -> bytes:
    """Noise, other for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), kind, **options)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, seed: int = 1) -> bytes:
    """A JPEG of 20 x 16 px as stored, with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(seed, kind="JPEG", exif=exif)


def thing(number: int, image: int = 1, category: object = 1, **more: Any) -> Entry:
    """An annotation of COCO with a sound box, unless ``more`` says otherwise."""
    return {"id": number, "image_id": image, "category_id": category, "bbox": [2, 3, 8, 6]} | more


def listed(number: int, name: str, size: tuple[int, int] | None = SIZE) -> Entry:
    """An image of COCO."""
    found: Entry = {"id": number, "file_name": name}
    return found if size is None else found | {"width": size[0], "height": size[1]}


def coco_text(
    annotations: Sequence[Entry],
    images: Sequence[Entry] | None = None,
    categories: Sequence[Entry] | None = None,
) -> str:
    """COCO JSON; two images a.png and b.png and the classes cat and dog if nothing else is said."""
    return json.dumps(
        {
            "images": [listed(1, "a.png"), listed(2, "b.png")] if images is None else list(images),
            "annotations": list(annotations),
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
            if categories is None
            else list(categories),
        }
    )


def coco(
    folder: Path,
    annotations: Sequence[Entry],
    images: Sequence[Entry] | None = None,
    categories: Sequence[Entry] | None = None,
) -> None:
    """Write COCO JSON with the pictures a.png and b.png; the last annotation is sound."""
    sound = thing(1_000, image=2, category=2)
    if categories is not None:
        sound["category_id"] = categories[-1]["id"]
    text = coco_text([*annotations, sound], images, categories)
    put(folder, {"annotations.json": text, "a.png": picture(1), "b.png": picture(2)})


def yolo(folder: Path, a: str | bytes, header: str = "names: [cat, dog]\n", **more: str | bytes) -> None:
    """Write a YOLO set of two images; ``a`` are the labels of the first, the second is sound."""
    files = {"data.yaml": header} if header else {}
    put(folder, files | {"images/a.png": picture(1), "images/b.png": picture(2), "labels/a.txt": a})
    put(folder, {"labels/b.txt": "1 0.5 0.5 0.4 0.5\n"} | more)


def voc_text(*objects: str, size: str = "", filename: str = "a.png") -> str:
    return f"<annotation>\n<filename>{filename}</filename>{size}\n" + "\n".join(objects) + "\n</annotation>"


def voc_size(width: object, height: object) -> str:
    return f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"


def voc_thing(box: Sequence[object] = (2, 3, 10, 9), name: str = "cat") -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{side}>{at}</{side}>" for side, at in sides)
    return f"<object><name>{name}</name><bndbox>{inner}</bndbox></object>"


def voc(folder: Path, a: str, **more: str | bytes) -> None:
    """Write a VOC set of two images; ``a`` is the XML of the first, the second is sound."""
    put(folder, {"JPEGImages/a.png": picture(1), "JPEGImages/b.png": picture(2)})
    put(
        folder,
        {"Annotations/a.xml": a, "Annotations/b.xml": voc_text(voc_thing(name="dog"), filename="b.png")},
    )
    put(folder, more)


def mask(
    values: Mapping[tuple[int, int, int, int], int], size: tuple[int, int] = SIZE, below: int = 0
) -> Image.Image:
    """Draw rectangles (x1, y1, x2, y2 in px) of values over each other into a grey picture."""
    pixels = np.full((size[1], size[0]), below, dtype=np.uint8)
    for (x1, y1, x2, y2), value in values.items():
        pixels[y1:y2, x1:x2] = value
    return Image.fromarray(pixels)
