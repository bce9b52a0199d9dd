"""Results: what a finished run measured, and the images behind each number."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from engine.api.live import training_speed
from engine.api.projects import find_project
from engine.api.runs import find_run, summarise
from engine.contracts.jobs import JobState
from engine.contracts.results import ImageResult, MetricValue, ProbeResult, Report, RunReport
from engine.storage.database import Database
from engine.storage.tables import JobRow, ReportRow, RunRow


class Results:
    """Reports of runs."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def report(self, run: str) -> RunReport | None:
        """Return the report of a run, or None while there is none; raises ``NotFoundError``."""
        with self.database.read() as session:
            row = find_run(session, run)
            stored = session.get(ReportRow, run)
            if stored is None:
                return None
            report = Report.model_validate(stored.report)
            summary = summarise(session, row)
            speed = training_speed(session, row.id)
        return RunReport(
            run=row.id,
            project=row.project_id,
            task=row.task,
            state=summary.state,
            seconds=summary.seconds,
            images_per_second=speed,
            strategy=summary.strategy,
            backbone=summary.backbone,
            weights=summary.weights,
            metrics=report.metrics,
            probe=ProbeResult.model_validate(stored.probe) if stored.probe else None,
            gain=MetricValue.model_validate(stored.gain) if stored.gain else None,
            panels=report.panels,
            notes=report.notes,
        )

    def latest(self, project: str) -> str | None:
        """Return the newest run of a project that succeeded, or None."""
        with self.database.read() as session:
            return session.scalars(
                select(RunRow.id)
                .join(JobRow, JobRow.id == RunRow.id)
                .where(
                    RunRow.project_id == find_project(session, project).id,
                    JobRow.state == JobState.SUCCEEDED,
                )
                .order_by(JobRow.finished_at.desc())
            ).first()

    def scores(self, run: str, image_ids: Sequence[str]) -> dict[str, ImageResult]:
        """Return what the run said of these images; images it was not measured on are left out."""
        with self.database.read() as session:
            stored = session.get(ReportRow, run)
            if stored is None:
                return {}
            wanted = set(image_ids)
            return {
                entry["image_id"]: ImageResult.model_validate(entry)
                for entry in stored.report["results"]
                if entry["image_id"] in wanted
            }

    def classes(self, run: str) -> tuple[str, ...]:
        """Return the class names in the order of the run's scores."""
        with self.database.read() as session:
            stored = session.get(ReportRow, run)
            return tuple(stored.report["classes"]) if stored else ()
