"""The live view of a run, from its events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.api.live import live_run, training_speed
from engine.api.runs import summarise
from engine.contracts.base import utc_now
from engine.contracts.jobs import JobState
from engine.storage.database import Database
from engine.storage.tables import EventRow, JobRow, RunRow
from tests.training import make_project, make_run, make_settings


class Run:
    """A run in a database, without the training: tests tell its events."""

    def __init__(self, home: Path) -> None:
        settings = make_settings(home)
        self.database = Database(settings)
        version = make_project(settings, self.database, images=6, side=8)
        self.id = make_run(settings, self.database, version, {"preset": "quick"}).job_id

    def tell(self, kind: str, **data: Any) -> None:
        with self.database.write() as session:
            session.add(EventRow(job_id=self.id, attempt=1, time=utc_now(), kind=kind, data=data))

    def plan(self, strategy: str) -> None:
        with self.database.write() as session:
            session.get_one(RunRow, self.id).plan = {
                "strategy": strategy,
                "epochs": 5,
                "steps_per_epoch": 10,
                "batch_size": 8,
                "images_per_second": 1000.0,
            }

    def end(self) -> None:
        with self.database.write() as session:
            session.get_one(JobRow, self.id).state = JobState.SUCCEEDED

    def seconds_left(self) -> float | None:
        with self.database.read() as session:
            row = session.get_one(RunRow, self.id)
            return live_run(session, row, summarise(session, row)).seconds_left

    def speeds(self) -> tuple[float | None, float | None]:
        """Return what the live screen and what the report say."""
        with self.database.read() as session:
            row = session.get_one(RunRow, self.id)
            live = live_run(session, row, summarise(session, row))
            return live.images_per_second, training_speed(session, self.id)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path / "home")
    yield made
    made.database.close()


def epoch(run: Run, number: int, speed: float, seconds: float = 0.0) -> None:
    """Tell the end of an epoch, ``seconds`` after the first step of all."""
    losses = {"train_loss": 1.0, "val_loss": 1.0, "metrics": {}}
    run.tell("epoch", epoch=number, images_per_second=speed, seconds=seconds, **losses)


def step(run: Run, number: int, speed: float) -> None:
    run.tell("step", step=number, epoch=(number - 1) // 10 + 1, loss=1.0, lr=0.1, images_per_second=speed)


def test_the_report_tells_the_speed_of_all_epochs_not_the_plans(run: Run) -> None:
    run.plan("full")
    assert run.speeds() == (None, None)
    run.tell("probe", metric="top1", value=0.5, images_per_second=900.0)
    assert run.speeds() == (None, None)
    epoch(run, 1, 30.0)
    epoch(run, 2, 60.0)
    step(run, 29, 55.0)
    # As many images at 30/s as at 60/s: 2n / (n/30 + n/60) = 40/s.
    assert run.speeds() == (55.0, pytest.approx(40.0))
    run.end()
    assert run.speeds() == (pytest.approx(40.0), pytest.approx(40.0))


def test_a_probes_speed_is_that_of_its_features(run: Run) -> None:
    run.plan("probe")
    run.tell("probe", metric="top1", value=0.5, images_per_second=900.0)
    run.end()
    assert run.speeds() == (900.0, 900.0)


def test_a_probe_from_the_cache_has_no_speed(run: Run) -> None:
    run.plan("probe")
    run.tell("probe", metric="top1", value=0.5, images_per_second=None)
    run.end()
    assert run.speeds() == (None, None)


def test_time_left_is_of_the_steps_to_come_at_the_latest_speed(run: Run) -> None:
    run.plan("full")
    assert run.seconds_left() is None
    step(run, 5, 40.0)
    # 45 steps of 8 images at 40/s; the start, however slow, is over.
    assert run.seconds_left() == pytest.approx(9.0)
    step(run, 10, 80.0)
    epoch(run, 1, 80.0, seconds=4.0)
    # 1 of the 4 s were steps, 3 were measuring: 4 more epochs, and once for the report.
    assert run.seconds_left() == pytest.approx(40 * 8 / 80 + 5 * 3)
    step(run, 20, 80.0)
    epoch(run, 2, 80.0, seconds=6.0)
    assert run.seconds_left() == pytest.approx(30 * 8 / 80 + 4 * 1)
    step(run, 50, 80.0)
    assert run.seconds_left() == pytest.approx(1.0)
    run.end()
    assert run.seconds_left() is None
