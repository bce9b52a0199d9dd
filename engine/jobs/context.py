"""What a job's code is given to work with: the implementation of ``engine.contracts.jobs.Work``.

Progress and events are buffered and written by one thread, which also extends the lease, reads the stop
flag and notices when the worker is gone. The job's own code therefore never waits for the database,
except where it asks for a checkpoint or a transaction.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.jobs import Checkpoint
from engine.errors import JobCancelledError, LeaseLostError
from engine.jobs import events, queue
from engine.jobs.checkpoints import CheckpointStore
from engine.jobs.problems import no_room
from engine.jobs.states import Lease
from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.tables import JobRow

FLUSH_SECONDS = 1.0
TICK_SECONDS = 0.25


def job_folder(settings: Settings, job_id: str) -> Path:
    """Return the folder of all attempts of a job."""
    return settings.runs / job_id


def log_path(settings: Settings, job_id: str) -> Path:
    """Return the log of a job, over all its attempts."""
    return job_folder(settings, job_id) / "log.txt"


class JobContext:
    """One attempt at one job, seen from inside the child."""

    def __init__(self, settings: Settings, database: Database, job: JobRow, lease: Lease) -> None:
        self.settings = settings
        self.lease = lease
        self.job_id = job.id
        self.attempt = lease.attempt
        self.payload: dict[str, Any] = job.payload
        self.project_id = job.project_id
        self.folder = job_folder(settings, job.id) / f"attempt-{lease.attempt}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._database = database
        self._store = CheckpointStore(database, lease, self.folder.parent)
        self._lock = threading.Lock()  # around the buffers
        self._writing = threading.Lock()  # one flush at a time, so that events keep their order
        self._events: list[events.Happening] = []
        self._progress: dict[str, Any] = {}
        self._stop: str | None = job.stop
        self._lost = False
        self._unlogged = 0
        self._renewed = time.monotonic()

    @property
    def database(self) -> Database:
        """The workspace's database; what a job writes for good goes through ``write`` instead."""
        return self._database

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that stands only while this attempt owns the job."""
        with self._database.write() as session:
            queue.heartbeat(session, self.lease)
            yield session

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Say how far the job is (0 to 1) and what it does; written at most once a second."""
        self._check_lost()
        with self._lock:
            self._progress = {"progress": fraction, "message": message}

    def event(self, kind: str, data: dict[str, Any], key: str | None = None) -> None:
        """Record an event; a second event with the same ``key`` replaces the first.

        Raises ``TypeError`` for ``data`` that JSON cannot hold, here and not in the thread that writes.
        """
        self._check_lost()
        json.dumps(data)
        with self._lock:
            self._events.append(events.Happening(kind, data, key))

    def check_stop(self) -> None:
        """Raise ``JobCancelledError`` when a person asked to stop or to pause."""
        self._check_lost()
        if self._stop in ("cancel", "pause"):
            raise JobCancelledError("The job was stopped.")

    def stop_requested(self) -> str | None:
        """Return "cancel", "keep_best" or "pause" when a person asked for it, else None."""
        self._check_lost()
        return self._stop

    def save_checkpoint(self, content: bytes, step: int) -> None:
        """Write a checkpoint whole or not at all, then name it in a fenced row.

        What was reported before it is written first, so that a later attempt never goes on from a
        state whose events are missing.
        """
        self.flush()
        self._store.save(content, step)

    def checkpoints(self) -> list[Checkpoint]:
        """List this job's checkpoints whose files are whole, newest first; notes those that are not."""
        return self._store.whole(self._note)

    def drop_checkpoints(self) -> None:
        """Remove this job's checkpoints; only after it has succeeded, as nothing resumes it then."""
        self._store.drop()

    def log(self, line: str) -> None:
        """Append a line with the time (UTC) to the job's log.

        What cannot be written, because the disk is full, ends nothing; the next line that can says so.
        """
        now = f"{utc_now():%Y-%m-%d %H:%M:%S}"
        missed = f"{now} Lines before this one that could not be written: {self._unlogged}\n"
        try:
            with log_path(self.settings, self.job_id).open("a", encoding="utf-8") as handle:
                handle.write(f"{missed if self._unlogged else ''}{now} {line}\n")
            self._unlogged = 0
        except OSError:
            self._unlogged += 1

    def _note(self, text: str) -> None:
        self.log(text)
        self.event("note", {"text": text})

    def flush(self) -> None:
        """Write what is buffered, and extend the lease; raises ``LeaseLostError``."""
        self._check_lost()
        with self._writing:
            with self._lock:
                batch, self._events = self._events, []
                values, self._progress = self._progress, {}
            try:
                with self._database.write() as session:
                    queue.heartbeat(session, self.lease, **values)
                    events.record(session, self.job_id, self.attempt, batch)
            except LeaseLostError:
                self._lost = True
                raise
            except OperationalError:
                with self._lock:  # nothing was written: keep it for the next time
                    self._events = batch + self._events
                    self._progress = self._progress or values
                raise
            self._renewed = time.monotonic()

    def _check_lost(self) -> None:
        if self._lost:
            raise LeaseLostError(f"Attempt {self.attempt} no longer owns this job.")

    # --- the thread ---------------------------------------------------------------------------------

    def keep_alive(self, wait: Callable[[float], bool], end: Callable[[Exception], None]) -> None:
        """Run until ``wait(seconds)`` returns True: flush, extend the lease, read the stop flag.

        Calls ``end(error)`` and returns when the lease is lost, or could not be extended in time. On a
        full disk that is half the lease, so that this attempt ends before its worker takes it for hung.
        """
        timing = self.settings.timing
        tick = pause = min(TICK_SECONDS, timing.heartbeat)
        while not wait(pause):
            pause = tick
            try:
                self._read_stop()
                if self._due(timing.heartbeat):
                    self.flush()
            except LeaseLostError as error:
                end(error)
                return
            except OperationalError as error:
                self.log(f"The database did not answer: {error.orig}")
                if time.monotonic() - self._renewed > timing.lease / (2 if no_room(error) else 1):
                    end(error)
                    return
                pause = timing.heartbeat

    def _due(self, heartbeat: float) -> bool:
        age = time.monotonic() - self._renewed
        with self._lock:
            waiting = bool(self._events or self._progress)
        return age >= (min(FLUSH_SECONDS, heartbeat) if waiting else heartbeat)

    def _read_stop(self) -> None:
        with self._database.read() as session:
            self._stop = session.scalar(select(JobRow.stop).where(JobRow.id == self.job_id))
