"""How fast images are taken in."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from engine.bench.measure import interleaved, row
from engine.bench.workspace import bench_workspace, draw_photos
from engine.contracts.jobs import JobState
from engine.errors import RunError
from engine.settings import Settings

MASKS = ("1", "L", "P", "I;16")  # a mask's values are no colours
COUNT = 4000
"""Large enough that the start of the job (most of a second) does not decide what is a rate."""


def import_speed(settings: Settings) -> dict[str, Any]:
    """Compare the import job's images/s with decoding the same files in two processes."""
    with tempfile.TemporaryDirectory(prefix="lensmith-photos-") as folder:
        draw_photos(Path(folder), COUNT)
        with bench_workspace(settings) as lensmith:

            def ours() -> float:
                job = lensmith.datasets.start_import(Path(folder), name="bench", any_folder=True)
                done = lensmith.jobs.wait(job.id, 600)
                if done.state is not JobState.SUCCEEDED or not done.started_at or not done.finished_at:
                    raise RunError("The import of the benchmark did not succeed.")
                return COUNT / (done.finished_at - done.started_at).total_seconds()

            def plain() -> float:
                return COUNT / decode_all(Path(folder))

            ratio, a, b = interleaved(ours, plain)
    note = f"{a:.0f} against {b:.0f} images/s, {COUNT} JPEGs of 500 x 400, job start included"
    return row("import", "images/s, ours / plain", ratio, 0.7, "ratio", note)


def decode_all(folder: Path) -> float:
    """Return the seconds that two processes need to decode the JPEGs and PNGs of a folder."""
    paths = sorted(str(path) for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_decode, paths[:2]))
        start = time.perf_counter()
        list(pool.map(_decode, paths, chunksize=16))
        return time.perf_counter() - start


def _decode(path: str) -> int:
    with Image.open(path) as image:
        return len((image if image.mode in MASKS else image.convert("RGB")).tobytes())
