"""Whoever queues a job and waits for it finds a worker, also when the last one is just leaving."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from filelock import FileLock

from engine.cli import support
from engine.contracts.jobs import JobInfo, JobState
from engine.jobs import presence
from engine.jobs.launch import Child
from engine.jobs.presence import ensure_worker, presence_path, read_presence, write_presence
from engine.jobs.states import Lease
from engine.jobs.worker import Worker
from engine.models.catalog import catalog_path, machine_path
from engine.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'p.db'}")
    for path in (catalog_path(made), machine_path(made)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")
    return made


@pytest.fixture
def ended(settings: Settings) -> Iterator[None]:
    yield
    found = read_presence(settings)
    if found is not None:
        process = psutil.Process(found.pid)
        process.kill()
        process.wait()


class Watching(Child):
    """A child that notes, when it is asked to end, whether its worker still says that it is there."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.seen, self.code, self.kind = settings, list[bool](), None, "train"
        self.lease = Lease("j", 1, "w")

    def exit_code(self) -> int | None:
        return 0 if self.seen else None

    def terminate(self) -> None:
        self.seen.append(presence_path(self.settings).exists())


def test_a_worker_that_leaves_says_so_before_it_ends_its_children(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, child = Worker(settings), Watching(settings)
    monkeypatch.setattr(leaving, "_interrupt", lambda *_arguments, **_named: None)
    leaving.children["j", 1] = child
    write_presence(settings, leaving.id, "code")
    leaving._close()
    assert child.seen == [False]


@pytest.mark.usefixtures("ended")
def test_a_new_worker_waits_for_the_one_that_leaves(settings: Settings) -> None:
    log = settings.logs / "worker.log"
    with FileLock(str(settings.home / "worker.lock")).acquire(timeout=0):
        starting = threading.Thread(target=ensure_worker, args=(settings,))
        starting.start()
        while not (log.is_file() and "is running already" in log.read_text()):
            assert starting.is_alive()
            time.sleep(0.02)
    starting.join()
    assert read_presence(settings) is not None


def test_a_worker_that_slept_with_the_machine_is_left_to_wake_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence.time, "time", lambda: 1.0)
    write_presence(settings, "w", "code")
    monkeypatch.undo()

    def no_second(*_arguments: Any, **_named: Any) -> None:
        raise AssertionError("a second worker was started")

    monkeypatch.setattr(subprocess, "Popen", no_second)
    ensure_worker(settings)


def test_a_waiting_command_looks_for_a_worker_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED, JobState.SUCCEEDED]
    left = iter(states)

    def get(job: str) -> JobInfo:
        return JobInfo(id=job, kind="train", project=None, state=next(left), created_at=datetime.now(UTC))

    looks: list[Any] = []
    monkeypatch.setattr(support, "start_worker", looks.append)
    monkeypatch.setattr(support, "POLL", 0.0)
    monkeypatch.setattr(support, "WORKER_SECONDS", 0.0, raising=False)
    lensmith: Any = SimpleNamespace(jobs=SimpleNamespace(get=get), settings="these")
    assert support.follow(lensmith, "j", "train").state is JobState.SUCCEEDED
    assert looks == ["these"] * 3
