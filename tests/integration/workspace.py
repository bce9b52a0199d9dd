"""A workspace with short deadlines, and real processes in it, for tests of the job machinery."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, select

from engine.contracts.jobs import JobEvent, JobInfo, JobState
from engine.jobs import events, queue
from engine.jobs.kinds import EXTRA_KINDS
from engine.models.catalog import catalog_path, machine_path
from engine.settings import Settings, Timing
from engine.storage.database import Database
from engine.storage.tables import CheckpointRow

ROOT = Path(__file__).parents[2]
TIMING = Timing(heartbeat=0.5, lease=8.0, poll=0.05, term_grace=0.5, cancel_deadline=4.0)
PATIENCE = 90.0
"""Seconds after which a test gives up waiting; nothing asserts how long things take."""


class Workspace:
    """Settings, database and processes of one test; ``close`` ends every process it started."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, database_url=f"sqlite:///{home / 'lensmith.db'}", timing=TIMING)
        self.database = Database(self.settings)
        self.started: list[subprocess.Popen[bytes]] = []
        for path in (catalog_path(self.settings), machine_path(self.settings)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("[]")  # so that no worker of a test loads torch to list models

    def run(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``python -m module`` in this workspace, with its output beside the logs."""
        self.settings.logs.mkdir(parents=True, exist_ok=True)
        with (self.settings.logs / f"test-{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={
                    **os.environ,
                    **self.settings.environment(),
                    EXTRA_KINDS: "tests.integration.job_kinds",
                    "PYTHONPATH": str(ROOT),
                },
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return self.run("engine.jobs.worker", *arguments)

    def output(self) -> str:
        """Return everything that the processes wrote."""
        return "\n".join(path.read_text() for path in sorted(self.settings.logs.glob("*.log")))

    def enqueue(self, kind: str, **payload: Any) -> str:
        """Queue a job and return its id."""
        with self.database.write() as session:
            return queue.enqueue(session, kind, payload).id

    def info(self, job: str) -> JobInfo:
        """Return a job as it is now."""
        with self.database.read() as session:
            return queue.info(session, job)

    def events(self, job: str, kind: str | None = None) -> tuple[JobEvent, ...]:
        """Return a job's events."""
        with self.database.read() as session:
            return events.read(session, job, kinds=None if kind is None else [kind])

    def checkpoints(self, job: str) -> tuple[int, int]:
        """Return how many checkpoints of a job there are: rows and files."""
        counted = select(func.count()).select_from(CheckpointRow).where(CheckpointRow.job_id == job)
        with self.database.read() as session:
            rows = session.scalar(counted) or 0
        return rows, len(list((self.settings.runs / job).rglob("checkpoint-*")))

    def stop(self, job: str, how: queue.Stop = "cancel") -> None:
        """Ask a job to stop."""
        with self.database.write() as session:
            queue.request_stop(session, job, how)

    def until(self, true: Callable[[], Any], what: str = "the condition") -> Any:
        """Wait until ``true()`` gives something, and return it."""
        end = time.monotonic() + PATIENCE
        while not (value := true()):
            assert time.monotonic() < end, f"{what} did not happen:\n{self.output()}"
            time.sleep(0.05)
        return value

    def until_state(self, job: str, *states: JobState) -> JobInfo:
        """Wait until a job is in one of ``states``."""
        self.until(lambda: self.info(job).state in states, f"{states} of {self.info(job)}")
        return self.info(job)

    def processes(self) -> list[psutil.Process]:
        """Return all processes that live in this workspace, whoever their parent is by now."""
        home = str(self.settings.home)
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    process.status() != psutil.STATUS_ZOMBIE
                    and process.environ().get("LENSMITH_HOME") == home
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return [process for process in found if process.pid != os.getpid()]

    def close(self) -> None:
        """End every process of this workspace."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        for started in self.started:
            started.wait()
        self.database.close()
