"""Records about projects."""

from __future__ import annotations

from datetime import datetime

from engine.contracts.base import Record
from engine.contracts.results import MetricValue


class ProjectSummary(Record):
    """A project as a card on Home shows it."""

    id: str
    name: str
    task: str
    task_title: str
    created_at: datetime
    images: int
    classes: int
    cover: tuple[str, ...] = ()
    best: MetricValue | None = None
    last_run: str | None = None
    last_run_state: str | None = None
    importing: str | None = None


class ProjectStatus(Record):
    """What stands behind each step of the side bar."""

    project: ProjectSummary
    training_progress: float | None = None
    training_run: str | None = None
    queued: int = 0
    runs: int = 0
    finished_runs: int = 0
    best_run: str | None = None
    exports: int = 0


class TaskInfo(Record):
    """A task that can be chosen; from the registry."""

    name: str
    title: str
    labels: str
    metrics: tuple[str, ...]
    presets: tuple[str, ...]


class SampleInfo(Record):
    """A sample set that ships with Lensmith; ``sentence`` says what is on its pictures."""

    name: str
    title: str
    task: str
    images: int
    sentence: str
