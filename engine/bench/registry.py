"""The one list of benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.bench import box_runs, house, intake, intake_formats, large_coco, learning, sets
from engine.settings import Settings


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: what it compares, and the code that measures it.

    ``run`` gives one row, or one for each set or format. ``needs_data``: it works on real sets that
    are not in the project, so it runs only when it is named.
    """

    name: str
    sentence: str
    run: Callable[[Settings], dict[str, Any] | list[dict[str, Any]]]
    needs_data: bool = False


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        "fine-tune", "full fine-tuning of resnet18 at 224 px against a bare loop", learning.fine_tuning
    ),
    Benchmark("first-answer", "end of import to the probe's result, 1,000 images", learning.first_answer),
    Benchmark("sample-quick", "Quick on the sample set, offline", learning.sample_quick),
    Benchmark("import", "import against plain Pillow decoding in two processes", intake.import_speed),
    Benchmark("import-labels", "the same with labels in six formats", intake_formats.labelled_import_speed),
    Benchmark("import-time", "`import engine.api` against bare Python", house.facade_import),
    Benchmark("first-page", "from `lensmith up` to the first page", house.first_page),
    Benchmark("box", "linear probes: the box, random and ImageNet weights", box_runs.probes, needs_data=True),
    Benchmark("sets", "real sets: imported, through every format and back", sets.real_sets, needs_data=True),
    Benchmark("large-coco", "memory of the import of a COCO JSON of 300 MB", large_coco.peak_memory),
    Benchmark("sets-large", "the same with a set of 22,000 images", sets.large_sets, needs_data=True),
    Benchmark(
        "box-fine-tune", "fine-tuning for 3 min: the box, random", box_runs.fine_tuning, needs_data=True
    ),
)
