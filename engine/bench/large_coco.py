"""How much memory a COCO file of 300 MB needs."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

import psutil
from PIL import Image

from engine.bench.measure import row
from engine.bench.workspace import bench_workspace
from engine.contracts.jobs import JobState
from engine.errors import RunError
from engine.settings import Settings

BYTES = 300_000_000
IMAGES = 10_000
SIDE = 64  # px
CLASSES = 80
CORNERS = 30  # of an outline
GOAL = 1.5  # GB
LOOK = 0.2  # seconds between two looks at the memory


def peak_memory(settings: Settings) -> dict[str, Any]:
    """Import outlines from one file of ``BYTES``; the figure is the peak of all processes of the job."""
    with tempfile.TemporaryDirectory(prefix="lensmith-coco-") as folder:
        annotations = _write_set(Path(folder))
        with bench_workspace(settings) as lensmith:
            watch = _Watch(str(lensmith.settings.home))
            watch.start()
            start = time.perf_counter()
            job = lensmith.datasets.start_import(Path(folder), name="large", task="instance", any_folder=True)
            done = lensmith.jobs.wait(job.id, 1800)
            seconds = time.perf_counter() - start
            watch.stop()
    if done.state is not JobState.SUCCEEDED:
        raise RunError(f"The import did not succeed: {done.problem.message if done.problem else done.state}")
    note = f"{annotations:,} outlines on {IMAGES:,} images in {seconds:.0f} s"
    what = "peak memory of the import, a COCO JSON of 300 MB"
    return row("large-coco", what, watch.peak / 1e9, GOAL, "GB", note)


class _Watch(threading.Thread):
    """Adds up the memory of a workspace's processes: the job's child and those that it starts."""

    def __init__(self, home: str) -> None:
        super().__init__(daemon=True)
        self.home = home
        self.peak = 0
        self._end = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        while not self._end.wait(LOOK):
            now = sum(_resident(process, self.home) for process in psutil.process_iter())
            self.peak = max(self.peak, now)

    def stop(self) -> None:
        """End the watch."""
        self._end.set()
        self.join()


def _resident(process: psutil.Process, home: str) -> int:
    try:
        command = " ".join(process.cmdline())
        ours = "engine.jobs.child" in command or "engine.datasets.intake" in command
        return process.memory_info().rss if ours and process.environ().get("LENSMITH_HOME") == home else 0
    except psutil.Error:  # it has ended meanwhile
        return 0


def _write_set(folder: Path) -> int:
    """Draw small pictures and write outlines until the file is large enough; returns how many."""
    generator = random.Random(0)
    (folder / "images").mkdir()
    for number in range(IMAGES):
        color = (number % 256, number // 256 % 256, 7)
        Image.new("RGB", (SIDE, SIDE), color).save(folder / "images" / f"{number:06d}.png")
    with (folder / "instances.json").open("w", encoding="ascii") as handle:
        images = [
            {"id": number, "file_name": f"{number:06d}.png", "width": SIDE, "height": SIDE}
            for number in range(IMAGES)
        ]
        categories = [{"id": 7 * number, "name": f"class {number}"} for number in range(CLASSES)]
        handle.write(f'{{"images": {json.dumps(images)}, "categories": {json.dumps(categories)}, ')
        count = _write_annotations(handle, generator)
    return count


def _write_annotations(handle: IO[str], generator: random.Random) -> int:
    handle.write('"annotations": [')
    count = 0
    while handle.tell() < BYTES:
        ring = [round(generator.uniform(0, SIDE), 2) for _ in range(2 * CORNERS)]
        values = {
            "id": count,
            "image_id": generator.randrange(IMAGES),
            "category_id": 7 * generator.randrange(CLASSES),
            "bbox": [1.5, 2.5, 30, 30],
            "iscrowd": 0,
            "segmentation": [ring],
        }
        handle.write((",\n" if count else "\n") + json.dumps(values))
        count += 1
    handle.write("]}")
    return count
