"""The real sets of ``lensmith bench sets``, and what is known of each before it is imported.

Figures are those of the ``SOURCE.md`` beside each set; "counted" says that a few lines of plain Python
(json, csv, glob, xml.etree) counted them in the files, without anything of Lensmith.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

Prepare = Callable[[Path, Path], Path]
"""Data folder and empty scratch folder to what is imported."""


@dataclass(frozen=True)
class RealSet:
    """A set: where it lies, what it is for, and its figures.

    ``task``: what it should be taken as. ``asked``: the task must be named, since the set serves others
    as well. ``schema`` answers the question which of several label files. ``objects``: labels by class;
    ``splits``: None where the set has none. ``skipped``: labels that cannot be used and are reported.
    ``refused``: part of the sentence with which a set must be refused that contradicts itself.
    """

    name: str
    task: str
    images: int
    objects: Mapping[str, int]
    source: str
    splits: Mapping[str, int] | None = None
    skipped: int = 0
    asked: bool = False
    schema: str = ""
    refused: str = ""
    prepare: Prepare = field(default=lambda folder, _: folder)


def at(*parts: str) -> Prepare:
    """Take a part of the data folder as it is."""
    return lambda folder, _: folder.joinpath(*parts)


def copied(*pairs: tuple[str, str]) -> Prepare:
    """Copy files (patterns below the data folder) into folders of a new set, each by its name."""

    def prepare(folder: Path, scratch: Path) -> Path:
        for pattern, target in pairs:
            (scratch / target).mkdir(parents=True, exist_ok=True)
            for file in sorted(folder.glob(pattern)):
                shutil.copyfile(file, scratch / target / file.name)
        return scratch

    return prepare


COUNTED: Final = "SOURCE.md, counted"
POSE: Final = "mmpose_mini/tests/data"


def pose(
    folder: str,
    images: int,
    objects: Mapping[str, int],
    *,
    schema: str = "",
    skipped: int = 0,
    refused: str = "",
) -> RealSet:
    """Give one of mmpose's sets of samples; people without a labelled point are reported."""
    name = f"mmpose_mini/{folder}" + (f"/{schema}" if schema else "")
    return RealSet(
        name,
        "keypoints",
        images,
        objects,
        "counted",
        schema=schema,
        skipped=skipped,
        refused=refused,
        prepare=at(POSE, folder),
    )


DETECTION: Final = (
    RealSet(
        "bccd",
        "detection",
        364,
        {"RBC": 4153, "WBC": 372, "Platelets": 361},
        "SOURCE.md; RBC 4155 less the 2 boxes without area",
        {"train": 205, "val": 87, "test": 72},
        skipped=2,
        prepare=at("bccd"),
    ),
    RealSet("raccoon", "detection", 200, {"raccoon": 217}, "SOURCE.md", prepare=at("raccoon")),
)
CLASSES: Final = (
    RealSet(
        "cards_tags",
        "tagging",
        363,
        {"ace": 102, "king": 104, "queen": 92, "jack": 94, "ten": 91, "nine": 98},
        COUNTED,
        {"train": 296, "val": 0, "test": 67},
        prepare=at("cards_tags"),
    ),
    RealSet(
        "facemask_dev",
        "classification",
        800,
        {"with_mask": 400, "without_mask": 400},
        "SOURCE.md",
        prepare=at("facemask_dev"),
    ),
    RealSet(
        "trashnet_192",
        "classification",
        2527,
        {"glass": 501, "paper": 594, "cardboard": 403, "plastic": 482, "metal": 410, "trash": 137},
        COUNTED,
        {"train": 1768, "val": 328, "test": 431},
        prepare=at("trashnet_192"),
    ),
)
OUTLINES: Final = (
    RealSet("dsb2018_dev", "instance", 150, {"": 4408}, COUNTED, prepare=at("dsb2018_dev")),
    RealSet(
        "dsb2018_dev, class masks",
        "semantic",
        150,
        {"": 150},
        "SOURCE.md",
        prepare=copied(
            ("dsb2018_dev/stage1_train/*/images/*.png", "images"),
            ("dsb2018_dev/derived_semantic_masks/*.png", "masks"),
        ),
    ),
    RealSet(
        "fruits_nuts_coco",
        "instance",
        18,
        {"date": 71, "fig": 41, "hazelnut": 53},
        "SOURCE.md",
        prepare=at("fruits_nuts_coco"),
    ),
    RealSet(
        "fruits_nuts_coco, class masks",
        "semantic",
        18,
        {},
        "SOURCE.md",
        prepare=copied(
            ("fruits_nuts_coco/data/images/*.jpg", "images"),
            ("fruits_nuts_coco/derived_semantic_masks/*.png", "masks"),
        ),
    ),
    RealSet("isbi_membrane", "semantic", 30, {}, "SOURCE.md", prepare=at("isbi_membrane")),
    RealSet("shapes_coco", "instance", 2, {"square": 3, "circle": 2}, COUNTED, prepare=at("shapes_coco")),
)
POINTS: Final = (
    RealSet("dlib_faces", "keypoints", 12, {"": 43}, "SOURCE.md: 18 and 25 faces", prepare=at("dlib_faces")),
    RealSet(
        "facial_keypoints_dev",
        "keypoints",
        380,
        {"": 380},
        "SOURCE.md",
        {"train": 300, "val": 0, "test": 80},
        prepare=at("facial_keypoints_dev"),
    ),
    pose("300w", 2, {"face": 2}),
    pose("aflw", 2, {"face": 2}),
    pose("aic", 3, {"person": 9}),
    pose("animalpose", 2, {"cat": 2}),
    pose("ap10k", 2, {"antelope": 1, "jaguar": 1}),
    pose("atrw", 2, {"tiger": 2}),
    pose("coco", 4, {"person": 12}, schema="test_coco.json", skipped=2),
    pose("coco", 4, {"person": 12}, schema="test_coco_wholebody.json", skipped=2),
    # 17 names for 133 points: what the points mean stands nowhere.
    pose("coco", 4, {}, schema="test_keypoint_partition_metric.json", refused="14 of 14 labels"),
    pose("cofw", 2, {"face": 2}),
    pose("crowdpose", 2, {"person": 4}, skipped=1),
    pose("deepfasion2", 2, {"long_sleeved_dress": 2}),
    pose("fly", 2, {"fly": 2}),
    pose("freihand", 8, {"hand": 8}),
    pose("horse10", 3, {"horse": 3}),
    pose("jhmdb", 3, {"person": 3}),
    pose("locust", 2, {"locust": 2}),
    pose("macaque", 2, {"macaque": 2}),
    pose("mpii", 5, {"person": 5}),
    RealSet(
        "mmpose_mini/mpii/test_mpii.json",
        "keypoints",
        5,
        {"person": 5},
        "counted",
        prepare=copied((f"{POSE}/mpii/*.jpg", "images"), (f"{POSE}/mpii/test_mpii.json", ".")),
    ),
    pose("onehand10k", 4, {"hand": 4}),
    pose("wflw", 2, {"face": 4}),
    pose("zebra", 2, {"zebra": 2}),
)
SETS: Final = (*DETECTION, *CLASSES, *OUTLINES, *POINTS)
LARGE: Final = (
    RealSet(
        "tiny_imagenet_22k",
        "classification",
        22_000,
        {},
        "README.md: 200 classes, 110 images each",
        prepare=at("tiny_imagenet_22k.tar"),
    ),
)
"""Only by name: minutes each."""
