"""A job's ``Work`` without a queue: no lease, everything it is told kept in lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from engine.contracts.jobs import Checkpoint
from engine.errors import JobCancelledError
from engine.settings import Settings
from engine.storage.database import Database


@dataclass
class FakeWork:
    """Implements ``engine.contracts.jobs.Work`` in memory.

    ``stop`` is what a person wants; ``on_check`` and ``on_progress`` may raise or change the world when the
    job's code asks or tells.
    """

    settings: Settings
    database: Database
    job_id: str
    folder: Path
    project_id: str | None = None
    attempt: int = 1
    payload: dict[str, Any] = field(default_factory=dict)
    stop: str | None = None
    on_check: Callable[[], None] = lambda: None
    on_progress: Callable[[float | None, str], None] = lambda fraction, message: None
    said: list[tuple[float | None, str]] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    saved: list[Checkpoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def again(self) -> FakeWork:
        """Return the next attempt at this job, which finds the checkpoints of this one."""
        return FakeWork(
            self.settings,
            self.database,
            self.job_id,
            self.folder.with_name(f"attempt-{self.attempt + 1}"),
            self.project_id,
            attempt=self.attempt + 1,
            payload=self.payload,
            saved=self.saved,
        )

    @contextmanager
    def write(self) -> Iterator[Session]:
        with self.database.write() as session:
            yield session

    def progress(self, fraction: float | None, message: str = "") -> None:
        assert fraction is None or 0 <= fraction <= 1
        self.said.append((fraction, message))
        self.on_progress(fraction, message)

    def event(self, kind: str, data: dict[str, Any], key: str | None = None) -> None:
        json.dumps(data)
        self.events.append((kind, data, key))

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [data for name, data, _ in self.events if name == kind]

    def check_stop(self) -> None:
        self.on_check()
        if self.stop in ("cancel", "pause"):
            raise JobCancelledError("The job was stopped.")

    def stop_requested(self) -> str | None:
        return self.stop

    def save_checkpoint(self, content: bytes, step: int) -> None:
        path = self.folder / f"{len(self.saved)}.bin"
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self.saved.insert(0, Checkpoint(path=path, step=step, sha256=digest, attempt=self.attempt))

    def checkpoints(self) -> list[Checkpoint]:
        return self.saved

    def log(self, line: str) -> None:
        self.lines.append(line)
