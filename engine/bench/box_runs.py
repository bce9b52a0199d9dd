"""What the backbones in the box are worth: `lensmith bench box` and `lensmith bench box-fine-tune`."""

from __future__ import annotations

import os
import shutil
import tempfile
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
    """Compare top-1 on trashnet_192 after three minutes of fine-tuning, box against random, three seeds."""
    folder, entry = data_folder(), _first()
    scores: dict[str, list[float]] = {"bundled": [], "random": []}
    with tempfile.TemporaryDirectory(prefix="lensmith-trashnet-") as parts:
        _copy_by_lists(folder, Path(parts))
        for seed in SEEDS:
            for weights, found in scores.items():
                found.append(_tuned(settings, Path(parts), entry.architecture, weights, seed))
    note = "; ".join(f"{name}: " + ", ".join(f"{v:.3f}" for v in values) for name, values in scores.items())
    # The least, not the mean: the box is to be ahead with every seed.
    gain = min(b - r for b, r in zip(scores["bundled"], scores["random"], strict=True))
    return row("box-fine-tune", "top-1, box - random, the least of the seeds", gain, 0.0, "top-1", note)


def _copy_by_lists(folder: Path, target: Path) -> None:
    """Copy trashnet_192 into train/class, val/class and test/class as its lists say."""
    from engine.bench.box import trashnet

    judged = trashnet(folder)
    for part, rows in zip(("train", "val", "test"), judged.parts(0), strict=True):
        for number in rows:
            file = judged.files[int(number)]
            place = target / part / file.parent.name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place / file.name)


def _tuned(settings: Settings, source: Path, backbone: str, weights: str, seed: int) -> float:
    """Return top-1 on the test images of a run of three minutes in a fresh workspace."""
    config = {
        "backbone": backbone,
        "weights": weights,
        "strategy": "full",
        "image_size": 160,
        "time_budget": SECONDS,
        "seed": seed,
    }
    with bench_workspace(settings) as lensmith:
        job = lensmith.jobs.wait(lensmith.datasets.start_import(source, name="bench").id, 600)
        if job.state is not JobState.SUCCEEDED or job.project is None:
            raise RunError("The import of the benchmark did not succeed.")
        started = lensmith.runs.start(job.project, config)
        lensmith.jobs.wait(started.id, 1200, poll=1.0)
        run = lensmith.runs.get(started.id)
        if run.state is not JobState.SUCCEEDED or run.best is None or run.best.value is None:
            raise RunError(f"The run of the benchmark ended as {run.state}.", run.message)
        return float(run.best.value)
