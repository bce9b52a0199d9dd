"""Jobs of any kind: look, wait, stop."""

from __future__ import annotations

import time
from typing import Any

from engine.contracts.jobs import ENDED, JobInfo, JobState
from engine.errors import UnavailableError
from engine.jobs import queue
from engine.storage.database import Database


class Jobs:
    """The facade's view of the ``jobs`` table."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def enqueue(
        self, kind: str, payload: dict[str, Any], *, project: str | None = None, key: str | None = None
    ) -> JobInfo:
        """Put a job in its lane; the same ``key`` again returns the first job."""
        with self.database.write() as session:
            row = queue.enqueue(session, kind, payload, project_id=project, key=key)
            return queue.info(session, row.id)

    def get(self, job: str) -> JobInfo:
        """Return one job; raises ``NotFoundError``."""
        with self.database.read() as session:
            return queue.info(session, job)

    def active(self, project: str | None = None) -> tuple[JobInfo, ...]:
        """Return the jobs that are not ended, oldest first."""
        with self.database.read() as session:
            return tuple(queue.active(session, project))

    def cancel(self, job: str) -> JobInfo:
        """Ask a job to stop; a queued one is cancelled at once."""
        with self.database.write() as session:
            queue.request_stop(session, job, "cancel")
            return queue.info(session, job)

    def resume(self, job: str) -> JobInfo:
        """Queue a paused, failed or cancelled job again, with all its attempts before it.

        Raises ``ConflictError`` for one that has succeeded or is still busy stopping.
        """
        with self.database.write() as session:
            queue.resume(session, job)
            return queue.info(session, job)

    def wait(self, job: str, timeout: float | None = None, *, poll: float = 0.2) -> JobInfo:
        """Return when the job has ended or is paused.

        Raises ``UnavailableError`` when ``timeout`` seconds pass first.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            info = self.get(job)
            if info.state in ENDED or info.state is JobState.PAUSED:
                return info
            if end is not None and time.monotonic() > end:
                raise UnavailableError(
                    f"The job {job} did not end within {timeout:.0f} s.",
                    "It goes on in the background; look again with `lensmith runs`.",
                )
            time.sleep(poll)
