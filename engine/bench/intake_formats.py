"""How fast labelled images are taken in, by the format of their labels."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from math import cos, pi, sin
from pathlib import Path
from statistics import median
from typing import Any, Final

from engine.api import Lensmith
from engine.bench.intake import decode_all
from engine.bench.measure import interleaved, row
from engine.bench.workspace import bench_workspace, draw_photos
from engine.contracts.datasets import SPLITS, LabelKind
from engine.contracts.jobs import JobState
from engine.datasets import masks
from engine.datasets.formats.base import ExportSet
from engine.datasets.formats.registry import get_format
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons
from engine.errors import RunError
from engine.settings import Settings
from engine.tasks.registry import tasks_by_labels

COUNT: Final = 4_000
"""As many as in the benchmark of bare pictures, so that the start of the job does not decide."""
SIZE: Final = (500, 400)
OBJECTS: Final = 5
CORNERS: Final = 30
ROUNDS: Final = 2
CLASSES: Final = ("ant", "bee", "cat", "dog", "elk")
FORMATS: Final[tuple[tuple[str, LabelKind], ...]] = (
    ("class_folders", "class"),
    ("csv_table", "class"),
    ("coco", "masks"),
    ("voc", "boxes"),
    ("yolo", "boxes"),
    ("mask_pairs", "regions"),
)


def labelled_import_speed(settings: Settings) -> list[dict[str, Any]]:
    """Compare importing the same photographs with labels of each format with decoding all their pictures.

    Masks are pictures too, so the plain decoding reads them as well.
    """
    with tempfile.TemporaryDirectory(prefix="lensmith-photos-") as folder, bench_workspace(settings) as house:
        place = Path(folder)
        draw_photos(place / "photos", COUNT, size=SIZE)
        for job in house.jobs.active():  # what a new workspace does by itself
            house.jobs.wait(job.id, 600)
        return [_compared(house, place / "photos", place / name, name, kind) for name, kind in FORMATS]


def _compared(house: Lensmith, photos: Path, source: Path, name: str, kind: LabelKind) -> dict[str, Any]:
    write = get_format(name, kind).write
    assert write is not None
    source.mkdir()
    write(ExportSet(kind, tuple(map(ClassHead, CLASSES)), labelled(photos, kind)), source)

    inside: list[float] = []

    def ours() -> float:
        seconds, own = _import(house, source, tasks_by_labels()[kind])
        inside.append(COUNT / own)
        return COUNT / seconds

    ratio, a, b = interleaved(ours, lambda: COUNT / decode_all(source), ROUNDS)
    shutil.rmtree(source)
    note = (
        f"{a:.0f} against {b:.0f} images/s, {COUNT:,} JPEGs of 500 x 400, start of the job included; "
        f"{median(inside):.0f} images/s without it"
    )
    return row(f"import: {name}, {kind}", "images/s, ours / plain", ratio, 0.7, "ratio", note)


def _import(house: Lensmith, source: Path, task: str) -> tuple[float, float]:
    """Import what is not stored yet; return the seconds of the job, and of them those without its start."""
    # Put aside, not removed: a file system that has just freed thousands of inodes is slow to give new ones.
    aside = Path(tempfile.mkdtemp(prefix="stored-", dir=house.settings.home))
    for stored in (house.settings.files, house.settings.cache / "thumbnails"):
        if stored.exists():
            stored.rename(aside / stored.name)
    done = house.jobs.wait(
        house.datasets.start_import(source, name="bench", task=task, any_folder=True).id, 600
    )
    if done.state is not JobState.SUCCEEDED or not done.started_at or not done.finished_at:
        raise RunError(
            f"The import of {source.name} did not succeed.", done.problem.message if done.problem else ""
        )
    report = house.datasets.import_report(str(done.project))
    assert report is not None
    return (done.finished_at - done.started_at).total_seconds(), report.seconds


def labelled(photos: Path, kind: LabelKind) -> Iterator[tuple[ImageLabels, Path]]:
    """Give the photographs with labels: a class, or five objects with outline and box, side by side."""
    for number, file in enumerate(sorted(photos.rglob("*.jpg"))):
        if kind == "class":
            labels = [Label(CLASSES[number % len(CLASSES)])]
        else:
            labels = [_object(place, number) for place in range(OBJECTS)]
        if kind == "regions":
            height, width = SIZE[::-1]
            labels = [
                Label(label.name, mask=masks.to_runs(label.mask, height, width))
                for label in labels
                if label.mask
            ]
        elif kind == "boxes":
            labels = [Label(label.name, box=label.box) for label in labels]
        split = SPLITS[number // len(CLASSES) % len(SPLITS)]
        yield ImageLabels(file.name, tuple(labels), split, size=SIZE), file


def _object(place: int, number: int) -> Label:
    """Draw a polygon in its fifth of the width, another for each picture."""
    across, down = 50 + 100 * place, 120 + number % 160
    ring = []
    for corner in range(CORNERS):
        angle = 2 * pi * corner / CORNERS
        radius = 30 + (number + 7 * corner) % 15
        ring += [round(across + radius * cos(angle), 2), round(down + radius * sin(angle), 2)]
    mask = Polygons.of([ring])
    return Label(CLASSES[place], box=masks.box_of(mask), mask=mask)
