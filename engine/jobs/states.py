"""The one place that changes a job's state, and the fence that keeps stale attempts out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from engine.contracts.jobs import TRANSITIONS, JobState
from engine.errors import ConflictError, LeaseLostError
from engine.storage.tables import AttemptRow, JobRow

LEASE_SECONDS = 30.0


@dataclass(frozen=True)
class Lease:
    """The right of one attempt to write about its job; ``seconds`` is how long each write extends it."""

    job_id: str
    attempt: int
    worker_id: str
    seconds: float = LEASE_SECONDS

    def holds(self) -> ColumnElement[bool]:
        """Return the condition that is true as long as nobody else owns the job."""
        return and_(
            JobRow.id == self.job_id,
            JobRow.attempt == self.attempt,
            JobRow.worker_id == self.worker_id,
            JobRow.state == JobState.RUNNING,
        )


def is_in(row: JobRow, state: JobState) -> ColumnElement[bool]:
    """Return the condition that a job is still in the state and attempt that were read."""
    return and_(JobRow.id == row.id, JobRow.state == state, JobRow.attempt == row.attempt)


def move(
    session: Session,
    leaving: JobState,
    to: JobState,
    where: ColumnElement[bool],
    values: Mapping[str, Any],
    otherwise: Exception | None = None,
) -> None:
    """Take a job from one state to another, if ``TRANSITIONS`` allows it and one row matches ``where``.

    Raises ``ConflictError``, or ``otherwise`` when no row matched.
    """
    if to not in TRANSITIONS[leaving]:
        raise ConflictError(f"This job is {leaving.value}; it cannot become {to.value}.")
    change_one(
        session,
        update(JobRow).where(where, JobRow.state == leaving).values(state=to, **values),
        otherwise or ConflictError("The job changed meanwhile.", "Look again."),
    )


def change_one(session: Session, statement: Any, otherwise: Exception) -> None:
    """Execute an UPDATE that must change exactly one row; raises ``otherwise``."""
    outcome = session.execute(statement.execution_options(synchronize_session="fetch"))
    assert isinstance(outcome, CursorResult)
    if outcome.rowcount != 1:
        raise otherwise


def note_attempt(session: Session, lease: Lease, **values: Any) -> None:
    """Set columns of the attempt that holds ``lease``."""
    session.execute(
        update(AttemptRow)
        .where(
            AttemptRow.job_id == lease.job_id,
            AttemptRow.number == lease.attempt,
            AttemptRow.worker_id == lease.worker_id,
        )
        .values(**values)
    )


def lost(lease: Lease) -> LeaseLostError:
    """Return the error of an attempt that is no longer the one."""
    return LeaseLostError(f"Attempt {lease.attempt} of job {lease.job_id} no longer owns the job.")
