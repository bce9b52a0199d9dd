"""Jobs run in this process: dozens of small ones would otherwise be spent on starting children."""

from __future__ import annotations

import importlib
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from engine.api import Lensmith
from engine.contracts.jobs import Checkpoint, JobInfo, Work
from engine.errors import LensmithError, QuestionError
from engine.jobs.kinds import kind_named
from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.tables import JobRow

BROKEN = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""What a job's code can raise by mistake: a finding of the benchmark, not its end."""


@dataclass
class WorkHere:
    """A job's ``Work`` in this process: no lease, nobody who stops it, nothing is kept of what it says."""

    job_id: str
    payload: dict[str, Any]
    project_id: str | None
    folder: Path
    settings: Settings
    database: Database
    attempt: int = 1

    def write(self) -> AbstractContextManager[Session]:
        """Open a transaction."""
        return self.database.write()

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Say nothing."""

    def event(self, kind: str, data: dict[str, Any], key: str | None = None) -> None:
        """Record nothing."""

    def check_stop(self) -> None:
        """Go on."""

    def stop_requested(self) -> str | None:
        """Nobody stops it."""
        return None

    def save_checkpoint(self, content: bytes, step: int) -> None:
        """Keep none."""

    def checkpoints(self) -> list[Checkpoint]:
        """There is none."""
        return []

    def log(self, line: str) -> None:
        """Keep none."""


@dataclass(frozen=True)
class Done:
    """What became of a job: its result, or why it has none, and the option that would answer it.

    ``seconds`` without any start of a child.
    """

    project: str
    result: dict[str, Any] | None
    problem: str = ""
    flag: str = ""
    seconds: float = 0.0


def run_here(lensmith: Lensmith, job: JobInfo) -> Done:
    """Run a queued job at once."""
    with lensmith.database.read() as session:
        row = session.get(JobRow, job.id)
        payload = dict(row.payload) if row is not None else {}
    folder = lensmith.settings.runs / job.id
    folder.mkdir(parents=True, exist_ok=True)
    work: Work = WorkHere(job.id, payload, job.project, folder, lensmith.settings, lensmith.database)
    start = time.perf_counter()
    try:
        module, name = kind_named(job.kind).handler.split(":")
        result = getattr(importlib.import_module(module), name)(work)
    except QuestionError as error:
        return Done(str(job.project), None, f"{error.message} {error.hint}".strip(), error.flag)
    except LensmithError as error:
        return Done(str(job.project), None, f"{error.message} {error.hint}".strip())
    except BROKEN as error:
        return Done(str(job.project), None, f"{type(error).__name__}: {error}")
    return Done(str(job.project), result, seconds=time.perf_counter() - start)
