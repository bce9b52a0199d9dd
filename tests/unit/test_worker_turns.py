"""A worker's turns by themselves: what fails in one is tried again in the next."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from engine.contracts.jobs import JobState
from engine.jobs import queue, worker
from engine.jobs.worker import Worker
from engine.models.catalog import catalog_path, machine_path
from engine.settings import Settings, Timing
from engine.storage.database import Database

LOCKED = OperationalError("BEGIN IMMEDIATE", None, Exception("database is locked"))
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(
        home=tmp_path,
        database_url=f"sqlite:///{tmp_path / 'w.db'}",
        timing=Timing(heartbeat=0.0, poll=0.001, term_grace=0.0),
    )
    for path in (catalog_path(made), machine_path(made)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")
    return made


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    made = Database(settings)
    yield made
    made.close()


def failing_twice(real: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    left = [error, error]

    def call(*arguments: Any, **named: Any) -> Any:
        if left:
            raise left.pop()
        return real(*arguments, **named)

    return call


@pytest.mark.parametrize("error", [FULL, LOCKED], ids=["full", "locked"])
@pytest.mark.parametrize("step", ["write_presence", "_should_leave", "_queue_catalog", "_reap"])
def test_a_worker_lives_through_what_fails(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
    error: Exception,
) -> None:
    owner: Any = Worker if step.startswith("_") else worker
    monkeypatch.setattr(owner, step, failing_twice(getattr(owner, step), error))
    Worker(settings, idle_exit=0.0).run()
    assert caplog.text.count("the next one tries again") == 2


def test_pauses_grow_with_troubles_and_have_an_end(settings: Settings) -> None:
    tired = Worker(settings)
    pauses = [tired._pause(troubles) for troubles in range(2000)]
    assert pauses[0] == settings.timing.poll
    assert pauses == sorted(pauses)
    assert pauses[1] > pauses[0]
    assert pauses[-1] <= worker.LONGEST_PAUSE


@pytest.mark.parametrize("lease", [1.0, 30.0])
def test_a_turn_that_waits_and_its_pause_leave_time_for_a_sign_of_life(
    settings: Settings, lease: float
) -> None:
    patient = Worker(replace(settings, timing=replace(settings.timing, lease=lease)))
    assert patient.database.patience + patient._pause(2000) < lease


def test_a_worker_without_work_never_writes(settings: Settings, database: Database) -> None:
    with database.write() as session:
        session.connection()  # takes the lock
        Worker(settings, idle_exit=0.0).run()


def test_a_child_that_cannot_be_started_is_put_aside_until_there_is_room(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as session:
        job = queue.enqueue(session, "import", {}).id

    def full(*_arguments: Any) -> None:
        raise FULL

    monkeypatch.setattr(worker, "start_child", full)
    monkeypatch.setattr(worker, "ROOM_BYTES", 2**63)
    Worker(settings, idle_exit=0.0).run()
    with database.read() as session:
        info = queue.info(session, job)
    assert info.state is JobState.PAUSED
    assert info.problem is not None
    assert info.problem.flag == "disk_full"
