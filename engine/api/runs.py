"""Runs: what a training would be, starting it, watching it, stopping it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.api.jobs import Jobs
from engine.api.live import live_run
from engine.api.options import train_options
from engine.api.people import local_person
from engine.api.projects import find_project
from engine.contracts.jobs import JobInfo, JobState
from engine.contracts.results import MetricValue, WeightsUsed
from engine.contracts.runs import LiveRun, RunDetail, RunSummary, TrainOptions
from engine.contracts.training import STRATEGY_TITLES, Plan, TrainingConfig
from engine.datasets.manifest import freeze_version
from engine.errors import InputError, NotFoundError
from engine.jobs import queue
from engine.models.weights import absolute_weights
from engine.storage.database import Database, new_id
from engine.storage.tables import AttemptRow, ExportRow, JobRow, RunRow, VersionRow
from engine.tasks.base import TaskSpec
from engine.tasks.registry import get_task
from engine.training.choices import choose


class Runs:
    """Everything about training runs."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self.database = database
        self.jobs = jobs

    def options(self, project: str, *, weights: str = "auto", backbone: str = "auto") -> TrainOptions:
        """Return presets, forecasts, the parameter schema and what stands in the way.

        ``weights`` and ``backbone`` are what a person has chosen already. Raises ``WeightsError`` or
        ``NotFoundError`` when those weights cannot be used.
        """
        start = {"weights": weights, "backbone": backbone}
        with self.database.read() as session:
            row = find_project(session, project)
            return train_options(session, self.database.settings, row, start)

    def start(self, project: str, config: Mapping[str, Any], key: str | None = None) -> RunSummary:
        """Freeze the data and queue a training; the same ``key`` again returns the first run.

        ``config`` holds any of the task's settings; what is left out comes from the preset. Raises
        ``InputError`` that names the setting and what it allows, or what is missing in the data, and
        ``WeightsError`` for weights that cannot be used.
        """
        with self.database.write() as session:
            row = find_project(session, project)
            spec = get_task(row.task)
            if not spec.trains:
                raise InputError(train_options(session, self.database.settings, row).problems[0])
            checked = check_config(spec, config)
            # The run is trained in another process, whose folder is another one.
            checked = checked.model_copy(update={"weights": absolute_weights(checked.weights)})
            problems = train_options(session, self.database.settings, row).problems
            if problems:
                raise InputError(problems[0])
            choose(self.database.settings, spec, checked)
            person = local_person(session)
            version = freeze_version(session, self.database.settings, row.id, "train", person)
            run_id = new_id()
            job = queue.enqueue(
                session, "train", {"run_id": run_id}, project_id=row.id, key=key, job_id=run_id
            )
            if job.id == run_id:
                number = session.scalar(
                    select(func.coalesce(func.max(RunRow.number), 0)).where(RunRow.project_id == row.id)
                )
                session.add(
                    RunRow(
                        id=run_id,
                        project_id=row.id,
                        number=(number or 0) + 1,
                        version_id=version.id,
                        task=row.task,
                        config=checked.model_dump(mode="json"),
                    )
                )
                session.flush()
            return summarise(session, find_run(session, job.id))

    def list(self, project: str | None = None) -> tuple[RunSummary, ...]:
        """Return runs, newest first."""
        with self.database.read() as session:
            query = select(RunRow).join(JobRow, JobRow.id == RunRow.id).order_by(JobRow.created_at.desc())
            if project is not None:
                query = query.where(RunRow.project_id == find_project(session, project).id)
            return tuple(summarise(session, row) for row in session.scalars(query))

    def get(self, run: str) -> RunDetail:
        """Return one run; raises ``NotFoundError``."""
        with self.database.read() as session:
            row = find_run(session, run)
            exported = session.scalars(select(ExportRow.id).where(ExportRow.run_id == row.id)).first()
            return RunDetail(
                **summarise(session, row).model_dump(),
                config=row.config,
                plan=Plan.model_validate(row.plan) if row.plan else None,
                attempt=queue.info(session, row.id).attempt,
                exported=exported is not None,
            )

    def live(self, run: str) -> LiveRun:
        """Return a run with its curves so far; cheap enough to ask every second."""
        with self.database.read() as session:
            row = find_run(session, run)
            return live_run(session, row, summarise(session, row))

    def stop(self, run: str, keep_best: bool = False) -> RunSummary:
        """Ask a run to stop: thrown away, or finished early with its best weights."""
        with self.database.write() as session:
            row = find_run(session, run)
            queue.request_stop(session, row.id, "keep_best" if keep_best else "cancel")
            session.flush()
            return summarise(session, row)

    def pause(self, run: str) -> RunSummary:
        """Put a run aside; ``resume`` takes it up from its last checkpoint."""
        with self.database.write() as session:
            row = find_run(session, run)
            queue.request_stop(session, row.id, "pause")
            session.flush()
            return summarise(session, row)

    def resume(self, run: str) -> RunSummary:
        """Put a paused, cancelled or failed run back in the queue; it goes on where it was."""
        with self.database.write() as session:
            row = find_run(session, run)
            queue.resume(session, row.id)
            session.flush()
            return summarise(session, row)

    def log(self, run: str) -> str:
        """Return the run's log, its last 200 kB."""
        with self.database.read() as session:
            row = find_run(session, run)
        path = self.database.settings.runs / row.id / "log.txt"
        if not path.exists():
            return ""
        return path.read_bytes()[-200_000:].decode("utf-8", "replace")

    def wait(self, run: str, timeout: float | None = None) -> RunSummary:
        """Return when the run has ended or is paused; raises ``UnavailableError`` after ``timeout`` s."""
        self.jobs.wait(self.get(run).id, timeout)
        return self.get(run)


def check_config(spec: TaskSpec, config: Mapping[str, Any]) -> TrainingConfig:
    """Check settings against the task's model; what is left out stays "auto", which the preset fills.

    Raises ``InputError`` that names the first wrong setting and what it allows.
    """
    preset = str(config.get("preset", "quick"))
    if preset not in spec.presets:
        raise InputError(f"There is no preset “{preset}”.", f"Choose one of: {', '.join(spec.presets)}.")
    try:
        return spec.config.model_validate({**config, "preset": preset})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        known = ", ".join(spec.config.model_fields)
        hint = f"Known settings: {known}." if first["type"] == "extra_forbidden" else ""
        raise InputError(f"The setting “{name}” cannot be used: {first['msg']}.", hint) from error


def find_run(session: Session, run: str) -> RunRow:
    """Return the run row with this id; raises ``NotFoundError``."""
    row = session.get(RunRow, run)
    if row is None:
        raise NotFoundError(f"There is no run “{run}”.", "Choose one on the Runs screen.")
    return row


def _seconds(session: Session, run: str) -> float | None:
    """Add up the time that attempts really ran, not the time between them."""
    attempts = session.scalars(select(AttemptRow).where(AttemptRow.job_id == run)).all()
    if not attempts:
        return None
    total = 0.0
    for attempt in attempts:
        end = attempt.ended_at or attempt.heartbeat_at or attempt.started_at
        total += max(0.0, (end - attempt.started_at).total_seconds())
    return total


def _title(row: RunRow, strategy: str) -> str:
    preset = str(row.config.get("preset", "")).capitalize()
    return f"{preset} · {STRATEGY_TITLES[strategy]}"


def summarise(session: Session, row: RunRow) -> RunSummary:
    """Put a run row and its job together as lists show them."""
    info: JobInfo = queue.info(session, row.id)
    version = session.get(VersionRow, row.version_id)
    plan = row.plan or {}
    strategy = str(plan.get("strategy") or row.config.get("strategy", "auto"))
    return RunSummary(
        id=row.id,
        project=row.project_id,
        task=row.task,
        number=row.number,
        title=_title(row, strategy),
        state=info.state,
        progress=1.0 if info.state is JobState.SUCCEEDED else info.progress,
        message=info.message,
        preset=str(row.config.get("preset", "")),
        strategy=strategy,
        backbone=str(plan.get("backbone") or row.config.get("backbone", "")),
        weights=WeightsUsed.model_validate(row.weights) if row.weights else None,
        version=version.number if version else 0,
        created_at=info.created_at,
        started_at=info.started_at,
        finished_at=info.finished_at,
        seconds=_seconds(session, row.id),
        best=MetricValue.model_validate(row.best) if row.best else None,
        problem=info.problem,
        ahead=info.ahead,
    )
