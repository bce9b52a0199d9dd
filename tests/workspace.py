"""A workspace with a real worker, and small drawn sets, for tests that go through the whole house."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from engine.api import Lensmith, open_workspace
from engine.contracts.jobs import JobInfo, JobState
from engine.settings import Settings

SHAPES = ("circle", "square", "bar")
TINY = {
    "backbone": "test_resnet.r160_in1k",
    "weights": "random",
    "image_size": 32,
    "batch_size": 8,
    "seed": 1,
}
"""Settings of a training that takes a second or two: timm's architecture for tests."""


def settings_in(home: Path, **timing: float) -> Settings:
    """Settings of a fresh workspace that never asks a hub; ``timing`` in s."""
    environment = {"LENSMITH_HOME": str(home), "LENSMITH_OFFLINE": "1", "LENSMITH_TIMING": json.dumps(timing)}
    return Settings.from_environment(environment)


@contextmanager
def worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker for ``settings`` while the block lasts."""
    environment = {**os.environ, **settings.environment(), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "engine.cli", "worker"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def live_workspace(home: Path, **timing: float) -> Iterator[Lensmith]:
    """Open a fresh workspace with a worker of its own; ``timing`` in s."""
    settings = settings_in(home, **timing)
    lensmith = open_workspace(settings)
    with worker(settings):
        yield lensmith
    lensmith.close()


def draw_shape(shape: str, seed: int, size: int = 48) -> Image.Image:
    """Draw one bright shape on dark noise, RGB, at a random place."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 90, (size, size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    x, y = (int(v) for v in random.integers(4, size - 28, 2))
    colour = tuple(int(v) for v in random.integers(160, 256, 3))
    if shape == "circle":
        draw.ellipse((x, y, x + 22, y + 22), fill=colour)
    elif shape == "square":
        draw.rectangle((x, y, x + 20, y + 20), fill=colour)
    else:
        draw.rectangle((x, y + 8, x + 24, y + 13), fill=colour)
    return image


def draw_folders(root: Path, per_class: int = 12) -> Path:
    """Write class folders of PNGs and return their root."""
    for index, shape in enumerate(SHAPES):
        (root / shape).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            draw_shape(shape, 100 * index + number).save(root / shape / f"{number:03}.png")
    return root


def zip_folder(root: Path, target: Path) -> Path:
    """Pack a folder as people do, with one root folder inside."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            archive.write(path, Path(root.name) / path.relative_to(root))
    return target


def succeeded(lensmith: Lensmith, job: str, timeout: float = 120) -> JobInfo:
    """Wait for a job and fail with its own sentence when it did not succeed."""
    info = lensmith.jobs.wait(job, timeout)
    log = lensmith.settings.runs / job / "log.txt"
    tail = log.read_text("utf-8", "replace")[-3000:] if log.exists() else ""
    assert info.state is JobState.SUCCEEDED, f"{info.kind} {info.state}: {info.problem}\n{tail}"
    return info
