"""How an attempt ends: full disks, and threads that must not die."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from engine.contracts.jobs import JobState, Work
from engine.jobs import child, queue
from engine.jobs.context import JobContext, log_path
from engine.jobs.kinds import JobKind
from engine.jobs.launch import Child
from engine.jobs.states import Lease
from engine.jobs.worker import Worker
from engine.settings import Settings, Timing
from engine.storage.database import Database


@pytest.fixture
def context(tmp_path: Path) -> Iterator[JobContext]:
    url = f"sqlite:///{tmp_path / 'c.db'}"
    database = Database(Settings(home=tmp_path, database_url=url, timing=Timing(heartbeat=0.0, lease=0.0)))
    with database.write() as session:
        queue.enqueue(session, "import", {})
        row = queue.claim(session, "w1", lease=60)
    assert row is not None
    yield JobContext(database.settings, database, row, Lease(row.id, row.attempt, "w1"))
    database.close()


def fill_the_database() -> None:
    """Make SQLite itself say that there is no room."""
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE big (x)"))
            connection.execute(text("PRAGMA max_page_count=3"))
            connection.execute(text("INSERT INTO big VALUES (zeroblob(1000000))"))
    finally:
        engine.dispose()


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_room_in_database(_work: Work) -> dict[str, object]:
    fill_the_database()
    return {}


def no_room_for_file(_work: Work) -> dict[str, object]:
    fill_the_disk()
    return {}


@pytest.mark.parametrize("handler", ["no_room_in_database", "no_room_for_file"])
def test_a_full_disk_pauses_whoever_meets_it(context: JobContext, handler: str) -> None:
    kind = JobKind("import", "light", f"{__name__}:{handler}", "The import")
    outcome = child.attempt_job(context, kind)
    with context.database.write() as session:
        outcome(session, context.lease)
        info = queue.info(session, context.job_id)
    assert info.state is JobState.PAUSED
    assert info.problem is not None
    assert (info.problem.message, info.problem.flag) == ("The disk is full.", "disk_full")


def test_a_child_that_could_not_write_its_end_is_put_aside_by_the_worker(context: JobContext) -> None:
    worker = Worker(context.settings)
    worker.children[context.job_id, 1] = Ended(context.lease, child.NO_ROOM_EXIT)
    worker._reap()
    with context.database.read() as session:
        info = queue.info(session, context.job_id)
    assert info.state is JobState.PAUSED
    assert info.problem is not None
    assert info.problem.flag == "disk_full"
    assert worker.children == {}
    worker.database.close()


class Ended(Child):
    """A child that has ended."""

    def __init__(self, lease: Lease, code: int) -> None:
        self.lease, self.kind, self.code = lease, "import", code


@pytest.mark.parametrize("fill", [fill_the_database, fill_the_disk])
def test_the_exit_code_tells_of_a_full_disk(
    context: JobContext, monkeypatch: pytest.MonkeyPatch, fill: Callable[[], None]
) -> None:
    settings = context.settings
    monkeypatch.setattr(Settings, "from_environment", lambda: settings)
    monkeypatch.setattr(queue, "started", lambda *_arguments: fill())
    monkeypatch.setattr(child.signal, "signal", lambda *_arguments: None)
    assert child.main([context.job_id, "1", "w1"]) == child.NO_ROOM_EXIT


def test_a_log_that_cannot_be_written_ends_nothing(context: JobContext) -> None:
    log = log_path(context.settings, context.job_id)
    log.mkdir()
    context.log("lost")
    log.rmdir()
    context.log("kept")
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("could not be written: 1")
    assert lines[1].endswith(" kept")


class GroupEndedError(BaseException):
    """In place of the end of the process group."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def end() -> None:
        raise GroupEndedError

    monkeypatch.setattr(child, "end_group_now", end)
    monkeypatch.setattr(child, "GIVE_BACK_SECONDS", 3600.0)


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize("fill", [fill_the_database, fill_the_disk, lambda: {}["surprise"]])
def test_without_its_lease_thread_an_attempt_ends(
    context: JobContext, monkeypatch: pytest.MonkeyPatch, fill: Callable[[], None]
) -> None:
    monkeypatch.setattr(context, "keep_alive", lambda _wait, _end: fill())
    with pytest.raises(GroupEndedError):
        child._keep_lease(context, threading.Event())
    assert "Traceback" in log_path(context.settings, context.job_id).read_text()


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize("fill", [fill_the_database, lambda: {}["surprise"]])
def test_without_its_worker_an_attempt_ends_whatever_happens(
    context: JobContext, monkeypatch: pytest.MonkeyPatch, fill: Callable[[], None]
) -> None:
    monkeypatch.setattr(child, "parent_gone", lambda _timeout: True)
    monkeypatch.setattr(queue, "interrupt", lambda *_arguments, **_named: fill())
    with pytest.raises(GroupEndedError):
        child._end_with_worker(context, threading.Event())
