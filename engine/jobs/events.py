"""What happened in a job: rows that its child adds, and that screens read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.jobs import JobEvent
from engine.storage.tables import EventRow


@dataclass(frozen=True)
class Happening:
    """An event on its way into the table."""

    kind: str
    data: dict[str, Any]
    key: str | None = None
    time: datetime = field(default_factory=utc_now)


def record(session: Session, job_id: str, attempt: int, happenings: Sequence[Happening]) -> None:
    """Write events in their order; one with a known key replaces the first and keeps its place.

    The caller holds the write lock and has checked the fence.
    """
    for one in happenings:
        values = {"attempt": attempt, "time": one.time, "kind": one.kind, "data": one.data}
        if one.key is not None and _replace(session, job_id, one.key, values):
            continue
        session.add(EventRow(job_id=job_id, key=one.key, **values))
        session.flush()


def _replace(session: Session, job_id: str, key: str, values: dict[str, Any]) -> bool:
    outcome = session.execute(
        update(EventRow).where(EventRow.job_id == job_id, EventRow.key == key).values(**values)
    )
    assert isinstance(outcome, CursorResult)
    return outcome.rowcount == 1


def read(
    session: Session, job_id: str, after: int = 0, kinds: Sequence[str] | None = None
) -> tuple[JobEvent, ...]:
    """Return a job's events with ``seq > after``, in order; only of these ``kinds`` if given."""
    wanted = select(EventRow).where(EventRow.job_id == job_id, EventRow.seq > after).order_by(EventRow.seq)
    if kinds is not None:
        wanted = wanted.where(EventRow.kind.in_(kinds))
    return tuple(
        JobEvent(seq=row.seq, time=row.time, kind=row.kind, data=row.data, key=row.key)
        for row in session.scalars(wanted)
    )
