"""How fast models learn, against what the libraries themselves can do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.api import Lensmith
from engine.api.live import training_speed
from engine.bench.measure import interleaved, row
from engine.bench.workspace import bench_workspace, draw_photos
from engine.contracts.jobs import JobState
from engine.errors import RunError
from engine.settings import Settings

FINE_TUNE = {
    "backbone": "resnet18",
    "weights": "random",
    "strategy": "full",
    "image_size": 224,
    "epochs": 3,
    "time_budget": None,
}
FINE_TUNE_IMAGES = 400
FIRST_ANSWER = {"backbone": "mobilenetv3_large_100", "weights": "random", "strategy": "probe"}
FIRST_ANSWER_IMAGES = 1000


def fine_tuning(settings: Settings) -> dict[str, Any]:
    """Compare a real run's training images/s with a bare loop of the same model, batch and precision.

    Both count steps only, without the first ones; both run in a process and a session of their own.
    """
    with tempfile.TemporaryDirectory(prefix="lensmith-photos-") as folder:
        draw_photos(Path(folder), FINE_TUNE_IMAGES)
        with bench_workspace(settings) as lensmith:
            project = _imported(lensmith, Path(folder))
            _train(lensmith, project, FINE_TUNE)  # measures the machine once; later runs reuse it

            def ours() -> float:
                run = _train(lensmith, project, FINE_TUNE)
                with lensmith.database.read() as session:
                    # The bare loop's first steps are not counted either.
                    speed = training_speed(session, run, warm_up_epochs=1)
                if speed is None:
                    raise RunError("The benchmark's run tells no speed.")
                return speed

            plan = lensmith.runs.get(lensmith.runs.list(project)[0].id).plan
            if plan is None:
                raise RunError("The benchmark's run has no plan.")
            order = plan.model_dump(mode="json")

            def bare() -> float:
                command = [sys.executable, "-m", "engine.bench.bare_loop", json.dumps(order)]
                environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
                # In a session of its own like a training child: schedulers share the cores between sessions.
                done = subprocess.run(
                    command,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                    start_new_session=True,
                )
                return float(done.stdout.split()[-1])

            ratio, a, b = interleaved(ours, bare, rounds=3)
    note = (
        f"{a:.1f} against {b:.1f} images/s, batch {plan.batch_size}, {plan.precision}, {plan.memory_format}, "
        f"{plan.threads} threads"
    )
    return row("fine-tune", "images/s, ours / bare loop", ratio, 0.9, "ratio", note)


def first_answer(settings: Settings) -> dict[str, Any]:
    """Measure seconds from the end of an import to the probe's result, child start included."""
    with tempfile.TemporaryDirectory(prefix="lensmith-photos-") as folder:
        draw_photos(Path(folder), FIRST_ANSWER_IMAGES)
        seconds = []
        for _ in range(3):
            with bench_workspace(settings) as lensmith:
                project = _imported(lensmith, Path(folder))
                run = lensmith.runs.get(_train(lensmith, project, FIRST_ANSWER))
                if run.finished_at is None:
                    raise RunError("The benchmark's run did not end.")
                seconds.append((run.finished_at - run.created_at).total_seconds())
    note = f"{FIRST_ANSWER_IMAGES} images of 500 x 400, report included; seconds: " + ", ".join(
        f"{value:.1f}" for value in seconds
    )
    return row("first-answer", "s", sorted(seconds)[1], 15.0, "s", note)


def sample_quick(settings: Settings) -> dict[str, Any]:
    """Measure seconds of Quick on the sample set, start and report included, and what it reaches."""
    seconds, shares = [], []
    for _ in range(3):
        with bench_workspace(settings) as lensmith:
            sample = lensmith.projects.samples()[0]
            job = lensmith.jobs.wait(lensmith.projects.create_sample(sample.name).id, 600)
            if job.project is None:
                raise RunError("The sample set could not be imported.")
            run = lensmith.runs.get(_train(lensmith, job.project, {"preset": "quick"}))
            if run.finished_at is None or run.best is None or run.best.value is None:
                raise RunError("The benchmark's run has no result.")
            seconds.append((run.finished_at - run.created_at).total_seconds())
            shares.append(run.best.value)
    note = "top-1 on the test images: " + ", ".join(f"{share:.3f}" for share in shares)
    return row("sample-quick", "s", sorted(seconds)[1], 90.0, "s", note)


def _imported(lensmith: Lensmith, folder: Path) -> str:
    job = lensmith.jobs.wait(lensmith.datasets.start_import(folder, name="bench", any_folder=True).id, 600)
    if job.state is not JobState.SUCCEEDED or job.project is None:
        raise RunError("The import of the benchmark did not succeed.")
    return job.project


def _train(lensmith: Lensmith, project: str, config: dict[str, Any]) -> str:
    started = lensmith.runs.start(project, config)
    # Seldom: each look takes a core from the training, and nothing looks at the bare loop.
    lensmith.jobs.wait(started.id, 1200, poll=1.0)
    run = lensmith.runs.get(started.id)
    if run.state is not JobState.SUCCEEDED:
        raise RunError(f"The run of the benchmark ended as {run.state}.", run.message)
    return run.id
