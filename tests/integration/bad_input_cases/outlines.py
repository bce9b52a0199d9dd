"""Outlines and run lengths of COCO that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pycocotools import mask as runs

from tests.integration.bad_input_cases.case import SIZE, Case, coco, thing

POLYGON = "Polygon with fewer than 3 points or an odd count"
EMPTY = "Empty `segmentation`"
RLE = "Bad RLE, crowd, compressed RLE"
WIDTH, HEIGHT = SIZE
SOUND = [[2, 3, 10, 3, 10, 9, 2, 9]]


def polygons(folder: Path) -> None:
    """Two points; an odd count, with and without a box; one good ring beside a bad; all on one line."""
    coco(
        folder,
        [
            thing(1, segmentation=[[2, 3, 10, 9]]),
            thing(2, segmentation=[[2, 3, 10, 3, 10, 9, 2]]),
            {"id": 3, "image_id": 1, "category_id": 1, "segmentation": [[2, 3, 10, 3, 10, 9, 2]]},
            thing(4, segmentation=[*SOUND, [1, 1]]),
            thing(5, segmentation=[[2, 3, 10, 3, 18, 3]]),
            thing(6, segmentation=[[-4, 3, 10, 3, 10, 9, -4, 9]]),
            thing(7, segmentation=SOUND, image=2),
        ],
    )


def empty(folder: Path) -> None:
    coco(
        folder,
        [
            thing(1, segmentation=[]),
            thing(2, segmentation=SOUND),
            thing(3, image=2, segmentation=SOUND),
            thing(4, segmentation=[[]]),
        ],
    )


def compressed() -> dict[str, object]:
    pixels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    pixels[3:9, 2:10] = 1
    found = runs.encode(pixels)
    return {"size": found["size"], "counts": found["counts"].decode()}


def run_lengths(folder: Path) -> None:
    """Sound, plain and compressed; a sum that is not height x width; spelt wrong; huge; a crowd."""
    whole = WIDTH * HEIGHT
    sound = compressed()
    coco(
        folder,
        [
            thing(1, segmentation=sound),
            thing(2, segmentation={"size": [HEIGHT, WIDTH], "counts": [35, 6, whole - 41]}),
            thing(3, segmentation={"size": [HEIGHT, WIDTH], "counts": [35, 6, whole]}),
            thing(4, segmentation={"size": [HEIGHT, WIDTH], "counts": [35, -6, whole - 29]}),
            thing(5, segmentation={"size": [HEIGHT, WIDTH], "counts": str(sound["counts"])[:-1]}),
            thing(6, segmentation={"size": [HEIGHT, WIDTH], "counts": "\u00e4\u00f6"}),
            thing(7, segmentation={"size": [10**6, 10**6], "counts": "0" * 40}),
            thing(8, image=2, iscrowd=1, segmentation=sound),
            thing(9, image=2, segmentation={"size": [HEIGHT * 2, WIDTH * 2], "counts": [0, 4 * whole]}),
            thing(10, image=2, segmentation={"size": [HEIGHT, HEIGHT], "counts": [0, HEIGHT * HEIGHT]}),
        ],
    )


CASES = (
    Case("outline_of_too_few_points", POLYGON, polygons),
    Case("outline_of_too_few_points_as_masks", POLYGON, polygons, task="instance"),
    Case("segmentation_empty", EMPTY, empty),
    Case("segmentation_empty_as_masks", EMPTY, empty, task="instance"),
    Case("segmentation_empty_as_regions", EMPTY, empty, task="semantic"),
    Case("run_lengths", RLE, run_lengths, task="instance"),
    Case("run_lengths_as_boxes", RLE, run_lengths),
    Case("run_lengths_as_regions", RLE, run_lengths, task="semantic", share=0.9),
)
