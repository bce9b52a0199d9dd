"""Jobs: their states, the legal ways between them, and what a job's code is given to work with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from engine.contracts.base import Record
from engine.contracts.datasets import ImportIssue
from engine.settings import Settings


class JobState(StrEnum):
    """Where a job is; a transition names the state that it leaves."""

    QUEUED = "queued"  # waits for a slot in its lane
    RUNNING = "running"  # a child holds the lease
    SUCCEEDED = "succeeded"  # ended with a result
    FAILED = "failed"  # ended with an error that a person can read
    CANCELLED = "cancelled"  # a person stopped it
    INTERRUPTED = "interrupted"  # its process went away; goes on by itself
    PAUSED = "paused"  # a person, or a full disk, put it aside


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.PAUSED}),
    JobState.RUNNING: frozenset(
        {
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.INTERRUPTED,
            JobState.PAUSED,
        }
    ),
    JobState.INTERRUPTED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED}),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}

ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
"""States in which nothing more happens by itself."""


class Problem(Record):
    """Why a job did not succeed, for a person: what is wrong and what to do.

    ``of_input`` tells that what the person gave cannot be used, rather than that something broke.
    ``flag`` is the option that answers a question, ``choices`` its values where it takes one.

    Of an import: ``issues`` are the first of what had been repaired and skipped until it ended, skips
    first, ``issues_total`` is how many there were, and ``issues_file`` the CSV of all, inside the workspace.
    """

    message: str
    hint: str = ""
    flag: str = ""
    choices: tuple[str, ...] = ()
    of_input: bool = False
    issues_total: int = 0
    issues: tuple[ImportIssue, ...] = Field((), description="the first 1,000")
    issues_file: str = ""


class JobInfo(Record):
    """A job as screens see it; ``progress`` is 0 to 1."""

    id: str
    kind: str
    project: str | None
    state: JobState
    progress: float | None = None
    message: str = ""
    problem: Problem | None = None
    result: dict[str, Any] | None = None
    attempt: int = 0
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    ahead: int = Field(0, description="jobs before this one in its lane")


class JobEvent(Record):
    """One thing that happened in a job; ``key`` makes a repeated event replace the first."""

    seq: int
    time: datetime
    kind: str
    data: dict[str, Any]
    key: str | None = None


class Checkpoint(Record):
    """A whole checkpoint on disk, named by a fenced row."""

    path: Path
    step: int
    sha256: str
    attempt: int


class Work(Protocol):
    """What a job's code gets: its order, its folder, and fenced ways to report.

    Every method that writes raises ``LeaseLostError`` when another attempt owns the job by now.
    """

    job_id: str
    attempt: int
    payload: dict[str, Any]
    project_id: str | None
    folder: Path
    settings: Settings

    @property
    def database(self) -> Any:
        """The workspace's ``engine.storage.database.Database``; for reading."""

    def write(self) -> AbstractContextManager[Any]:
        """Open a transaction (an SQLAlchemy session) that stands only while this attempt owns the job.

        A long one costs no job its lease, but every other writer waits for its end: a request of the web
        process half a minute, then it fails.
        """

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Say how far the job is (0 to 1) and what it does; cheap, may be called each step."""

    def event(self, kind: str, data: dict[str, Any], key: str | None = None) -> None:
        """Record an event; a second event with the same ``key`` replaces the first."""

    def check_stop(self) -> None:
        """Raise ``JobCancelledError`` when a person asked to stop."""

    def stop_requested(self) -> str | None:
        """Return "cancel" or "keep_best" when a person asked to stop, else None."""

    def save_checkpoint(self, content: bytes, step: int) -> None:
        """Write a checkpoint whole or not at all, then name it in a fenced row."""

    def checkpoints(self) -> list[Checkpoint]:
        """List this job's checkpoints whose files are whole, newest first."""

    def log(self, line: str) -> None:
        """Append a line to the job's log."""
