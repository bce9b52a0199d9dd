"""Sets that declare another size than their pictures have, because of EXIF or for other reasons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.integration.bad_input_cases.case import (
    Case,
    coco,
    listed,
    mask,
    picture,
    put,
    saved,
    thing,
    turned,
    voc,
    voc_size,
    voc_text,
    voc_thing,
    yolo,
)

EXIF = "EXIF rotation"
DECLARED = "Declared size is not the real size"
RING = [[2, 3, 10, 3, 10, 9]]


def coco_size(size: tuple[int, int], content: bytes, name: str = "a.jpg") -> Callable[[Path], None]:
    """One picture whose declared size is ``size``, with a box and an outline."""

    def build(folder: Path) -> None:
        coco(folder, [thing(1, segmentation=RING), thing(2)], [listed(1, name, size), listed(2, "b.png")])
        (folder / "a.png").unlink()
        put(folder, {name: content})

    return build


def voc_raw(folder: Path) -> None:
    voc(folder, voc_text(voc_thing(), size=voc_size(20, 16)))
    (folder / "JPEGImages/a.png").unlink()
    put(folder, {"JPEGImages/a.jpg": turned(6)})


def keypoints(folder: Path) -> None:
    """Points turn with their picture."""
    head = [{"id": 1, "name": "cat", "keypoints": ["nose", "tail"]}]
    points = [2, 3, 2, 10, 9, 1]
    images = [listed(1, "a.jpg"), listed(2, "b.png")]
    coco(folder, [thing(1, keypoints=points)], images, head)
    (folder / "a.png").unlink()
    put(folder, {"a.jpg": turned(8)})


def masks_turned(folder: Path) -> None:
    """A mask of the stored size is turned with its picture; one of the turned size is taken as it is."""
    put(folder, {"images/a.jpg": turned(6), "masks/a.png": saved(mask({(2, 3, 10, 9): 1}))})
    put(folder, {"images/b.jpg": turned(6, 2), "masks/b.png": saved(mask({(2, 3, 10, 9): 1}, (16, 20)))})
    put(folder, {"images/c.png": picture(3), "masks/c.png": saved(mask({(2, 3, 10, 9): 1}))})


def yolo_turned(folder: Path) -> None:
    yolo(folder, "0 0.5 0.25 0.4 0.5\n")
    (folder / "images/a.png").unlink()
    put(folder, {"images/a.jpg": turned(6)})


def without_size(folder: Path) -> None:
    coco(folder, [thing(1)], [listed(1, "a.jpg", None), listed(2, "b.png")])
    (folder / "a.png").unlink()
    put(folder, {"a.jpg": turned(6)})


PLAIN = Image.new("RGB", (20, 16), (90, 120, 40))
CASES = (
    Case("exif_declared_as_stored", EXIF, coco_size((20, 16), turned(6)), task="instance"),
    Case("exif_declared_as_stored_mirrored", EXIF, coco_size((20, 16), turned(7)), task="instance"),
    Case("exif_declared_as_stored_voc", EXIF, voc_raw),
    Case("exif_declared_upright", EXIF, coco_size((16, 20), turned(6))),
    Case("exif_upside_down", EXIF, coco_size((20, 16), turned(3))),
    Case("exif_without_declared_size", EXIF, without_size),
    Case("exif_of_shares", EXIF, yolo_turned),
    Case("exif_points", EXIF, keypoints, task="keypoints"),
    Case("exif_masks", EXIF, masks_turned, task="semantic"),
    Case("size_exchanged", DECLARED, coco_size((16, 20), saved(PLAIN), "a.png")),
    Case(
        "size_scaled",
        DECLARED,
        coco_size((40, 32), saved(PLAIN), "a.png"),
        answers=[{"rescale": True}, {"accept_skips": True}],
    ),
    Case("size_of_another_shape", DECLARED, coco_size((40, 20), saved(PLAIN), "a.png")),
)
