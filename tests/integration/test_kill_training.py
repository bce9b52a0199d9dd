"""kill -9 in the middle of an epoch: the run goes on by itself and ends with the very same weights."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from sqlalchemy import select

from engine.api import Lensmith
from engine.contracts.jobs import JobState
from engine.storage.tables import AttemptRow, CheckpointRow, EventRow
from tests.workspace import TINY, draw_folders, live_workspace, succeeded

CONFIG = {**TINY, "strategy": "full", "epochs": 6, "batch_size": 2, "ema": 0.9, "dropout": 0.2}
STEPS_PER_EPOCH = 14


@pytest.fixture(scope="module")
def lensmith(tmp_path_factory: pytest.TempPathFactory):
    with live_workspace(
        tmp_path_factory.mktemp("home"), checkpoint=0.05, heartbeat=1.0, lease=6.0
    ) as workspace:
        yield workspace


def _weights(lensmith: Lensmith, run: str) -> dict[str, bytes]:
    result = lensmith.jobs.get(run).result
    assert result is not None
    tensors = load_file(lensmith.settings.home / result["model"] / "model.safetensors")
    return {name: tensor.tobytes() for name, tensor in tensors.items()}


def _kill_in_mid_epoch(lensmith: Lensmith, run: str) -> int:
    """Kill the child once a checkpoint stands inside an epoch; returns that checkpoint's step."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with lensmith.database.read() as session:
            steps = session.scalars(select(CheckpointRow.step).where(CheckpointRow.job_id == run)).all()
            attempt = session.get(AttemptRow, (run, 1))
        inside = [step for step in steps if step % STEPS_PER_EPOCH not in (0, STEPS_PER_EPOCH - 1)]
        if inside and attempt is not None and attempt.pid is not None:
            os.kill(attempt.pid, signal.SIGKILL)
            return inside[-1]
        time.sleep(0.01)
    raise AssertionError("no checkpoint inside an epoch within two minutes")


@pytest.mark.timeout(400)
def test_a_killed_run_ends_with_the_same_bits(lensmith: Lensmith, tmp_path: Path) -> None:
    folder = draw_folders(tmp_path / "shapes", 14)
    project = str(succeeded(lensmith, lensmith.datasets.start_import(folder).id).project)
    straight = lensmith.runs.start(project, CONFIG).id
    succeeded(lensmith, straight)
    killed = lensmith.runs.start(project, CONFIG).id
    _kill_in_mid_epoch(lensmith, killed)
    succeeded(lensmith, killed, 240)

    with lensmith.database.read() as session:
        attempts = session.scalars(select(AttemptRow.number).where(AttemptRow.job_id == killed)).all()
        epochs = session.scalars(
            select(EventRow.key).where(EventRow.job_id == killed, EventRow.kind == "epoch")
        ).all()
    assert len(attempts) == 2, "the child was not killed before its end"
    assert sorted(epochs) == [f"epoch:{n}" for n in range(1, 7)]
    one, other = _weights(lensmith, straight), _weights(lensmith, killed)
    assert one == other
    reports = [lensmith.results.report(run) for run in (straight, killed)]
    assert reports[0] is not None and reports[1] is not None
    assert reports[0].metrics == reports[1].metrics


@pytest.mark.timeout(400)
def test_a_cancelled_run_can_be_taken_up_again(lensmith: Lensmith) -> None:
    project = lensmith.projects.list()[0].id
    run = lensmith.runs.start(project, {**CONFIG, "epochs": 2000}).id
    _wait_for_epochs(lensmith, run, 1)
    lensmith.runs.stop(run)
    assert lensmith.runs.wait(run, 60).state is JobState.CANCELLED
    assert lensmith.results.report(run) is None
    before = len(_epochs(lensmith, run))

    lensmith.runs.resume(run)
    _wait_for_epochs(lensmith, run, before + 1)
    assert "Goes on from step" in lensmith.runs.log(run)
    lensmith.runs.stop(run, keep_best=True)
    succeeded(lensmith, run)
    report = lensmith.results.report(run)
    assert report is not None
    assert report.images_per_second is not None
    assert any("by a person" in note for note in report.notes)
    epochs = _epochs(lensmith, run)
    assert sorted(epochs) == list(range(1, len(epochs) + 1)), "an epoch was lost or told twice"


def _epochs(lensmith: Lensmith, run: str) -> list[int]:
    with lensmith.database.read() as session:
        told = session.scalars(
            select(EventRow.data).where(EventRow.job_id == run, EventRow.kind == "epoch")
        ).all()
    return [data["epoch"] for data in told]


def _wait_for_epochs(lensmith: Lensmith, run: str, count: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if len(_epochs(lensmith, run)) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"not {count} epochs within two minutes")


def test_another_seed_gives_other_bits(lensmith: Lensmith, tmp_path: Path) -> None:
    project = lensmith.projects.list()[0].id
    first = lensmith.runs.list(project)[-1].id
    other = lensmith.runs.start(project, {**CONFIG, "seed": 2, "epochs": 1}).id
    succeeded(lensmith, other)
    assert _weights(lensmith, first) != _weights(lensmith, other)
