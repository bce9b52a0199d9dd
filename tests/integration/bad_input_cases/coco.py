"""COCO files whose ids, categories and numbers are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.bad_input_cases.case import Case, coco, coco_text, listed, picture, put, thing

PAIR = [listed(1, "a.png"), listed(2, "b.png")]


def built(
    annotations: Any = (), images: Any = None, categories: Any = None, **files: Any
) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        coco(folder, annotations or [thing(1)], images, categories)
        put(folder, files)

    return build


def raw(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Write a sound file and change its text."""

    def build(folder: Path) -> None:
        put(folder, {"a.png": picture(1), "b.png": picture(2)})
        put(folder, {"annotations.json": change(coco_text([thing(1), thing(2, image=2, category=2)]))})

    return build


def categories(*pairs: tuple[object, str]) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in pairs]


def deep(text: str) -> str:
    return text.replace("[2, 3, 8, 6]", "[" * 100_000 + "]" * 100_000, 1)


def beside(folder: Path) -> None:
    """The depth stands where no label is looked for."""
    put(folder, {"a.png": picture(1), "b.png": picture(2)})
    text = coco_text([thing(1), thing(2, image=2, category=2)])
    put(folder, {"annotations.json": text[:-1] + ', "info": ' + "[" * 100_000 + "]" * 100_000 + "}"})


def two_files(folder: Path) -> None:
    """Two files of no split describe the same pictures."""
    put(folder, {"a.png": picture(1), "b.png": picture(2), "one.json": coco_text([thing(1)])})
    put(folder, {"two.json": coco_text([thing(1), thing(2, image=2)])})


def two_skeletons(folder: Path) -> None:
    points = [
        {"id": 1, "name": "cat", "keypoints": ["nose", "tail"]},
        {"id": 2, "name": "dog", "keypoints": ["nose", "ear", "tail"]},
    ]
    one = thing(1, keypoints=[3, 4, 2, 9, 8, 1])
    two = thing(2, image=2, category=2, keypoints=[3, 4, 2, 9, 8, 1, 30, 4, 2])
    put(
        folder, {"a.png": picture(1), "b.png": picture(2), "points.json": coco_text([one, two], PAIR, points)}
    )


NOT_FINITE = "NaN, 1e999, 10^5-deep JSON"
IMAGE_IDS = "Duplicate image ids"
MISSING = "Annotation whose image is missing"
NAMES = "Duplicate category names"
CASES = (
    Case(
        "coco_unknown_category",
        "Unknown category id",
        built([thing(1), thing(2, category=7), thing(3, category="x")]),
    ),
    Case(
        "coco_sparse_category_ids",
        "Sparse or huge category ids",
        built(
            [thing(1, category=7), thing(2, category=10**17)],
            None,
            categories((7, "cat"), (10**17, "owl"), (90, "dog")),
        ),
    ),
    Case(
        "coco_two_categories_of_one_name",
        NAMES,
        built([thing(1), thing(2, category=2)], None, categories((1, "cat"), (2, "cat"), (3, "dog"))),
        answers=[{"merge_classes": True}],
    ),
    Case(
        "coco_categories_that_differ_in_case",
        NAMES,
        built(
            [thing(1), thing(2), thing(3, category=2)], None, categories((1, "cat"), (2, "Cat"), (3, "dog"))
        ),
        answers=[{"merge_classes": True}],
    ),
    Case(
        "coco_doubled_annotation_id",
        "Duplicate annotation ids",
        built([thing(1), thing(1, bbox=[4, 5, 6, 7])]),
    ),
    Case(
        "coco_doubled_image_id", IMAGE_IDS, built(images=[*PAIR, listed(1, "c.png")], **{"c.png": picture(3)})
    ),
    Case("coco_doubled_image_entry", IMAGE_IDS, built(images=[*PAIR, PAIR[0]])),
    Case(
        "coco_one_image_under_two_ids",
        IMAGE_IDS,
        built([thing(1), thing(2, image=3)], [*PAIR, listed(3, "a.png")]),
    ),
    Case("coco_image_not_listed", MISSING, built([thing(1), thing(2, image=99)])),
    Case(
        "coco_image_not_there",
        MISSING,
        built([thing(1), thing(2, image=3)], [*PAIR, listed(3, "gone.png"), listed(4, "empty.png")]),
    ),
    Case("coco_nan", NOT_FINITE, raw(lambda text: text.replace("[2, 3, 8, 6]", "[NaN, 3, 8, 6]", 1))),
    Case("coco_infinite", NOT_FINITE, raw(lambda text: text.replace("[2, 3, 8, 6]", "[1e999, 3, 8, 6]", 1))),
    Case(
        "coco_large_whole_number",
        NOT_FINITE,
        raw(lambda text: text.replace("[2, 3, 8, 6]", f"[{10**400}, 3, 8, 6]", 1)),
    ),
    Case("coco_deep", NOT_FINITE, raw(deep), seconds=10),
    Case("coco_deep_elsewhere", NOT_FINITE, beside, seconds=10),
    Case("coco_cut_short", NOT_FINITE, raw(lambda text: text[:-30])),
    Case("coco_byte_order_mark", "Byte-order mark", raw(lambda text: "\ufeff" + text)),
    Case(
        "coco_image_without_objects",
        "Image without objects",
        built([thing(1)], [*PAIR, listed(3, "c.png")], **{"c.png": picture(3), "d.png": picture(4)}),
    ),
    Case(
        "coco_two_files_of_the_same_images",
        "Where a person must choose: files about the same images",
        two_files,
        answers=[{"schema": "one.json"}, {"schema": "two.json"}],
    ),
    Case(
        "coco_two_sorts_of_points",
        "Where a person must choose: sorts of keypoints",
        two_skeletons,
        task="keypoints",
        answers=[{"schema": "cat"}, {"schema": "dog"}],
    ),
)
