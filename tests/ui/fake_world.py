"""What the fake projects are made of: classes, pictures, runs."""

from __future__ import annotations

import random
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from PIL import ImageFilter as PillowFilter

from engine.contracts.jobs import JobState
from engine.contracts.results import (
    MetricValue,
    WeightsUsed,
)
from engine.contracts.runs import (
    RunSummary,
)

NOW = datetime(2026, 11, 20, 10, 42, tzinfo=UTC)
CLASSES = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
HOSTILE = (
    "<img src=x onerror=window.pwned=1>",
    '=HYPERLINK("http://x","y")',
    ":red[**bold**]",
    "[a](javascript:1)",
)
TOTAL = 120
CONFUSION = (
    (76, 0, 0, 3, 1, 0),
    (0, 108, 6, 0, 9, 1),
    (0, 7, 84, 1, 3, 2),
    (4, 0, 1, 112, 2, 3),
    (1, 8, 3, 2, 84, 3),
    (0, 1, 2, 3, 2, 16),
)


@cache
def picture(number: int, side: int) -> Path:
    """Draw a shape on a soft ground; the same number gives the same picture."""
    chance = random.Random(number)
    width, height = chance.choice(((320, 240), (240, 320), (300, 300)))
    ground = tuple(chance.randint(150, 235) for _ in range(3))
    image = Image.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(image)
    for y in range(height):
        shade = tuple(max(0, c - int(50 * y / height)) for c in ground)
        pen.line((0, y, width, y), fill=shade)
    color = tuple(chance.randint(20, 200) for _ in range(3))
    box = (width * 0.25, height * 0.2, width * 0.75, height * 0.85)
    kind = number % len(CLASSES)
    if kind < 2:
        pen.rectangle(box, fill=color)
    elif kind < 4:
        pen.ellipse(box, fill=color)
    else:
        pen.regular_polygon(
            (width / 2, height / 2, height * 0.3), 3 + kind, chance.randint(0, 90), fill=color
        )
    image = image.filter(PillowFilter.GaussianBlur(1.2))
    image.thumbnail((side, side))
    folder = Path(tempfile.gettempdir()) / "lensmith-fake-pictures"
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}-{side}.jpg"
    image.save(path, quality=85)
    return path


def run_summary(number: int, state: JobState = JobState.SUCCEEDED, **changes: Any) -> RunSummary:
    """Make a run; number 2 is the one that trains in the normal world."""
    fields: dict[str, Any] = {
        "id": f"run{number}",
        "project": "p1",
        "task": "classification",
        "number": number,
        "title": f"Balanced · mobilenetv2_100, run {number}",
        "state": state,
        "progress": 1.0 if state is JobState.SUCCEEDED else 0.62,
        "message": "",
        "preset": "balanced",
        "strategy": "last_stages",
        "backbone": "mobilenetv2_100",
        "weights": WeightsUsed(source="cache", name="mobilenetv2_100.ra_in1k", licence="Apache-2.0"),
        "version": 3,
        "created_at": NOW - timedelta(hours=5 - number),
        "started_at": NOW - timedelta(minutes=4),
        "finished_at": NOW if state is JobState.SUCCEEDED else None,
        "seconds": 372.0,
        "best": MetricValue(name="top1", value=0.874, low=0.842, high=0.903, n=431),
    }
    return RunSummary(**{**fields, **changes})
