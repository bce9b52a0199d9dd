"""Checkpoint files and the fenced rows that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.jobs import Checkpoint
from engine.jobs import queue
from engine.jobs.states import Lease
from engine.storage.blobs import sha256_of, write_atomic
from engine.storage.database import Database
from engine.storage.tables import CheckpointRow

KEPT = 2
"""Checkpoints kept: the newest, and the one to fall back to when it is torn."""


class CheckpointStore:
    """The checkpoints of one job, written by one attempt under ``root/attempt-<n>/``."""

    def __init__(self, database: Database, lease: Lease, root: Path) -> None:
        self.database = database
        self.lease = lease
        self.root = root
        self._written = 0

    def save(self, content: bytes, step: int) -> None:
        """Write ``content`` whole, name it in a fenced row, and only then drop older files.

        Raises ``LeaseLostError`` when another attempt owns the job; its files are left alone.
        """
        self._written += 1
        name = f"attempt-{self.lease.attempt}/checkpoint-{self._written:05d}-step-{step}.bin"
        write_atomic(self.root / name, content)
        with self.database.write() as session:
            # A new checkpoint is progress: the count of attempts that got nowhere starts again.
            queue.heartbeat(session, self.lease, idle_attempts=0)
            session.add(
                CheckpointRow(
                    job_id=self.lease.job_id,
                    attempt=self.lease.attempt,
                    step=step,
                    path=name,
                    sha256=hashlib.sha256(content).hexdigest(),
                    created_at=utc_now(),
                )
            )
            session.flush()
            old = self._rows(session)[KEPT:]
            session.execute(delete(CheckpointRow).where(CheckpointRow.id.in_([row.id for row in old])))
        for row in old:
            (self.root / row.path).unlink(missing_ok=True)

    def whole(self, torn: Callable[[str], None]) -> list[Checkpoint]:
        """List the checkpoints whose files have the recorded SHA-256, newest first.

        Calls ``torn`` with a sentence for each file that is damaged or gone.
        """
        with self.database.read() as session:
            rows = self._rows(session)
        good = []
        for row in rows:
            path = self.root / row.path
            if path.is_file() and sha256_of(path) == row.sha256:
                good.append(Checkpoint(path=path, step=row.step, sha256=row.sha256, attempt=row.attempt))
            else:
                torn(f"The checkpoint of step {row.step} is damaged; the one before it is used.")
        return good

    def drop(self) -> None:
        """Remove all checkpoints of a job that has its result: they are several times as large as it."""
        with self.database.write() as session:
            session.execute(delete(CheckpointRow).where(CheckpointRow.job_id == self.lease.job_id))
        for path in self.root.glob("attempt-*/checkpoint-*.bin"):
            path.unlink(missing_ok=True)

    def _rows(self, session: Session) -> list[CheckpointRow]:
        wanted = select(CheckpointRow).where(CheckpointRow.job_id == self.lease.job_id)
        return list(session.scalars(wanted.order_by(CheckpointRow.id.desc())))
