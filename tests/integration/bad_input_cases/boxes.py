"""Boxes that reach out of their image, have no area, or stand the wrong way round."""

from __future__ import annotations

from pathlib import Path

from tests.integration.bad_input_cases.case import (
    Case,
    coco,
    listed,
    picture,
    put,
    thing,
    voc,
    voc_text,
    voc_thing,
    yolo,
)

OUTSIDE = "Box partly outside the image"
NO_AREA = "Zero-area box, x2 <= x1"
LARGE = [listed(1, "a.png", (200, 100)), listed(2, "b.png")]
HEADER = "filename,class,xmin,ymin,xmax,ymax\n"


def outside(folder: Path) -> None:
    """Cut by 0.5 %, by 10 %, on two sides at once; the middle outside; all of it outside."""
    boxes = [[-1, 10, 50, 30], [-20, 10, 60, 30], [150, 60, 60, 60], [190, 10, 60, 30], [300, 200, 10, 10]]
    coco(folder, [thing(at, bbox=box) for at, box in enumerate(boxes, 1)], LARGE)
    put(folder, {"a.png": picture(1, (200, 100))})


def outside_yolo(folder: Path) -> None:
    yolo(folder, "0 0.1 0.5 0.205 0.5\n0 0.1 0.5 0.4 0.5\n1 1.1 0.5 0.4 0.5\n")


def without_area(folder: Path) -> None:
    boxes = [[2, 3, 0, 6], [2, 3, 8, 0], [9, 3, -4, 6], [2, 3, 8, 6]]
    coco(folder, [thing(at, bbox=box) for at, box in enumerate(boxes, 1)])


def some_exchanged(folder: Path) -> None:
    voc(folder, voc_text(voc_thing((10, 9, 2, 3)), voc_thing()))


def all_exchanged(folder: Path) -> None:
    voc(folder, voc_text(voc_thing((10, 9, 2, 3)), voc_thing((10, 3, 2, 9))))
    put(folder, {"Annotations/b.xml": voc_text(voc_thing((18, 14, 12, 4), "dog"))})


def all_exchanged_table(folder: Path) -> None:
    put(folder, {"a.png": picture(1), "b.png": picture(2)})
    put(folder, {"boxes.csv": HEADER + "a.png,cat,10,9,2,3\nb.png,dog,18,14,12,4\n"})


def table(folder: Path) -> None:
    put(folder, {"a.png": picture(1), "b.png": picture(2)})
    rows = (
        "a.png,cat,2,3,10,9",
        "a.png,cat,nan,3,10,9",
        "a.png,dog,2,3,2,9",
        "b.png,dog,1e999,3,10,9",
        "b.png,dog,12,4,18,14",
    )
    put(folder, {"boxes.csv": HEADER + "\n".join(rows) + "\n"})


def one_of_many(folder: Path) -> None:
    """Two of 22 labels, or 9 %, have no area."""
    coco(folder, [thing(at, bbox=[2, 3, 8 if at > 2 else 0, 6]) for at in range(1, 22)])


CASES = (
    Case(
        "skips_of_more_than_5_percent",
        "An import that would skip more than 5 % of its labels stops and asks",
        one_of_many,
        answers=[{"accept_skips": True}],
        share=0.05,
    ),
    Case("box_outside", OUTSIDE, outside),
    Case("box_outside_yolo", OUTSIDE, outside_yolo),
    Case("box_without_area", NO_AREA, without_area),
    Case("box_corners_exchanged_in_one", NO_AREA, some_exchanged),
    Case(
        "box_corners_exchanged_in_all",
        NO_AREA,
        all_exchanged,
        answers=[{"swap_boxes": True}, {"accept_skips": True}],
    ),
    Case("box_corners_exchanged_in_a_table", NO_AREA, all_exchanged_table, answers=[{"swap_boxes": True}]),
    Case("box_numbers_in_a_table", "NaN, 1e999, 10^5-deep JSON", table),
)
