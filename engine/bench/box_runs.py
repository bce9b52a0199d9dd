"""What the backbones in the box are worth: `lensmith bench box` and `lensmith bench box-fine-tune`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.bench.measure import row
from engine.bench.workspace import bench_workspace
from engine.contracts.jobs import JobState
from engine.errors import InputError, RunError
from engine.models.bundled import BUNDLED, Bundled
from engine.models.weights_file import read_config
from engine.settings import Settings
from engine.tasks.registry import TASKS

YARDSTICK = Path("weights") / "mobilenetv2_100_imagenet" / "model.safetensors"
FOLDER = "LENSMITH_BENCH_DATA"
SEEDS = (0, 1, 2)
SECONDS = 180.0
GRAY = (0.5, 0.5, 0.5)


def data_folder() -> Path:
    """Return the folder of the judging sets; raises ``InputError`` when it is not named."""
    folder = os.environ.get(FOLDER, "")
    if not folder or not Path(folder).is_dir():
        raise InputError(f"Set {FOLDER} to the folder that holds trashnet_192, facemask_dev and cards_tags.")
    return Path(folder)


def _first() -> Bundled:
    if not BUNDLED:
        raise InputError("There is no backbone in the box.")
    return BUNDLED[0]


def probes(_: Settings) -> dict[str, Any]:
    """Compare linear probes on the box with random and with ImageNet weights, three sets, three seeds."""
    from engine.bench.box import filled_network, judge, random_network, record_for, share

    folder, entry = data_folder(), _first()
    file = folder / YARDSTICK
    config = read_config(file)
    ours = record_for(entry.input_size, entry.mean, entry.std)
    theirs = record_for(entry.input_size, config.mean or GRAY, config.std or GRAY)
    box = judge(folder, lambda _: filled_network(entry.architecture, entry.path, entry.model_args), ours)
    random = judge(
        folder, lambda seed: random_network(entry.architecture, seed, entry.model_args), ours, fixed=False
    )
    best = judge(folder, lambda _: filled_network(config.architecture, file, config.model_args), theirs)
    note = "; ".join(
        f"{name}: random {np.mean(random[name]):.3f}, box {np.mean(box[name]):.3f}, "
        f"ImageNet {np.mean(best[name]):.3f}"
        for name in box
    )
    ratio = share(box, random, best)
    return row("box", "(box - random) / (ImageNet - random)", ratio, 0.6, "share", note)


def fine_tuning(settings: Settings) -> dict[str, Any]:
    """Compare the headline metric after three minutes of fine-tuning, box against random, three seeds.

    Sets whose task is not registered yet are named in the note and left out.
    """
    folder, notes, gains = data_folder(), [], []
    known = {spec.name for spec in TASKS}
    for name, task, prepare in FINE_TUNED:
        if task not in known:
            notes.append(f"{name} waits for the task {task}")
            continue
        with tempfile.TemporaryDirectory(prefix=f"lensmith-{name}-") as scratch:
            scores = _compared(settings, prepare(folder, Path(scratch)), task)
        gains += [b - r for b, r in zip(scores["bundled"], scores["random"], strict=True)]
        said = (f"{kind} " + ", ".join(f"{v:.3f}" for v in values) for kind, values in scores.items())
        notes.append(f"{name}: " + "; ".join(said))
    # The least, not the mean: the box is to be ahead on each set with every seed.
    title = "headline metric, box - random, the least of sets and seeds"
    return row("box-fine-tune", title, min(gains), 0.0, "points", "; ".join(notes))


def _compared(settings: Settings, source: Path, task: str) -> dict[str, list[float]]:
    """Return the headline metric of each seed, from the box and from random numbers."""
    scores: dict[str, list[float]] = {"bundled": [], "random": []}
    for seed in SEEDS:
        for weights, found in scores.items():
            found.append(_tuned(settings, source, task, weights, seed))
    return scores


def _as_it_is(name: str) -> Callable[[Path, Path], Path]:
    return lambda folder, _scratch: folder / name


def _copy_by_lists(folder: Path, target: Path) -> Path:
    """Copy trashnet_192 into train/class, val/class and test/class as its lists say; return ``target``."""
    from engine.bench.box import trashnet

    judged = trashnet(folder)
    for part, rows in zip(("train", "val", "test"), judged.parts(0), strict=True):
        for number in rows:
            file = judged.files[int(number)]
            place = target / part / file.parent.name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place / file.name)
    return target


def _tuned(settings: Settings, source: Path, task: str, weights: str, seed: int) -> float:
    """Return the headline metric on the test images of a run of three minutes in a fresh workspace."""
    config = {
        "backbone": _first().architecture,
        "weights": weights,
        "strategy": "full",
        "image_size": 160,
        "time_budget": SECONDS,
        "seed": seed,
    }
    with bench_workspace(settings) as lensmith:
        queued = lensmith.datasets.start_import(source, name="bench", task=task, any_folder=True)
        job = lensmith.jobs.wait(queued.id, 600)
        if job.state is not JobState.SUCCEEDED or job.project is None:
            raise RunError("The import of the benchmark did not succeed.")
        started = lensmith.runs.start(job.project, config)
        lensmith.jobs.wait(started.id, 1200, poll=1.0)
        run = lensmith.runs.get(started.id)
        if run.state is not JobState.SUCCEEDED or run.best is None or run.best.value is None:
            raise RunError(f"The run of the benchmark ended as {run.state}.", run.message)
        return float(run.best.value)


FINE_TUNED: tuple[tuple[str, str, Callable[[Path, Path], Path]], ...] = (
    ("trashnet_192", "classification", _copy_by_lists),
    ("bccd", "detection", _as_it_is("bccd")),
    ("isbi_membrane", "semantic", _as_it_is("isbi_membrane")),
)
"""Set, task, and how its folder is made ready for an import: from the data folder, in a scratch folder."""
