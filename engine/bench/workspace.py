"""A workspace of its own for benchmarks, with drawn photographs and a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from engine.api import Lensmith, open_workspace
from engine.settings import Settings


@contextmanager
def quiet_workspace(settings: Settings) -> Iterator[Lensmith]:
    """Open a fresh workspace in a folder that goes away, in which nobody takes up jobs."""
    with tempfile.TemporaryDirectory(prefix="lensmith-bench-") as folder:
        home = Path(folder)
        fresh = replace(settings, home=home, database_url=f"sqlite:///{home / 'lensmith.db'}", offline=True)
        lensmith = open_workspace(fresh)
        try:
            yield lensmith
        finally:
            lensmith.close()


@contextmanager
def bench_workspace(settings: Settings) -> Iterator[Lensmith]:
    """Open a fresh workspace in a folder that goes away, with a worker of its own."""
    with quiet_workspace(settings) as lensmith:
        command = [sys.executable, "-m", "engine.cli", "worker"]
        environment = {**os.environ, **lensmith.settings.environment()}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            yield lensmith
        finally:
            process.terminate()
            process.wait(30)


def draw_photos(folder: Path, count: int, classes: int = 5, size: tuple[int, int] = (500, 400)) -> None:
    """Write ``count`` JPEGs of photograph-like noise (about 40 kB each) into class folders."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 256, (size[1] // 20, size[0] // 20, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        grain = random.normal(0, 6, (size[1], size[0], 1))
        pixels = np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)
        target = folder / f"class {number % classes}" / f"{number:05}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.6)).save(target, quality=88)
