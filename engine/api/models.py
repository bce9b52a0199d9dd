"""Models: the catalog, weights, this machine, export and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.api.jobs import Jobs
from engine.api.machine import describe_machine
from engine.api.options import weights_plan
from engine.api.runs import check_config, find_run
from engine.contracts.files import ServedFile
from engine.contracts.jobs import JobState
from engine.contracts.models import Machine, ModelInfo, WeightsPlan
from engine.contracts.predictions import FilePrediction
from engine.contracts.runs import ExportInfo
from engine.errors import ConflictError, InputError, NotFoundError
from engine.jobs import queue
from engine.models.catalog import catalog_path, read_catalog
from engine.serving import client
from engine.storage.database import Database
from engine.storage.tables import ExportRow, JobRow, ReportRow, RunRow
from engine.tasks.registry import DEFAULT_TASK, get_task

PREDICT_TIMEOUT = 120.0


class Models:
    """What can be trained, and what trained models can do."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self.database = database
        self.jobs = jobs

    def catalog(
        self, query: str = "", recommended: bool = False, limit: int = 50, task: str | None = None
    ) -> tuple[ModelInfo, ...]:
        """Return backbones whose name or family contains ``query``; recommended ones come first.

        ``task`` leaves out what that task cannot build. There is only the short list until the first worker
        has written the catalog (see ``catalog_written``).
        """
        words = query.lower().split()
        libraries = get_task(task).libraries if task else None
        found = [
            model
            for model in read_catalog(self.database.settings)
            if all(word in f"{model.name} {model.family}".lower() for word in words)
            and (model.recommended or not recommended)
            and (libraries is None or model.library in libraries)
        ]
        found.sort(key=lambda model: (not model.recommended,))
        return tuple(found[:limit])

    @property
    def catalog_written(self) -> bool:
        """Whether the whole catalog of the installed timm stands on this machine."""
        return catalog_path(self.database.settings).is_file()

    def weights_plan(self, config: Mapping[str, Any], task: str = DEFAULT_TASK) -> WeightsPlan:
        """Return which weights a run with these settings would start from, in a sentence.

        Raises ``InputError`` for a task that cannot be trained yet.
        """
        spec = get_task(task)
        if not spec.trains:
            raise InputError(f"{spec.title} cannot be trained here yet.")
        return weights_plan(self.database.settings, spec, check_config(spec, config))

    def machine(self) -> Machine:
        """Return devices, memory, disk and what stands in the way of working."""
        return describe_machine(self.database.settings)

    # -- export ------------------------------------------------------------------------------------

    def start_export(self, run: str, key: str | None = None) -> ExportInfo:
        """Make the bundle of a finished run and prove it; one at a time for each run.

        Raises ``ConflictError`` when the run has no model yet.
        """
        with self.database.write() as session:
            row = _finished_run(session, run)
            current = _export_job(session, row.id)
            if current is None or current.state in (JobState.FAILED, JobState.CANCELLED):
                queue.enqueue(session, "export", {"run_id": row.id}, project_id=row.project_id, key=key)
                session.flush()
            info = _export_info(session, row.id)
        if info is None:
            raise ConflictError("The export did not start.", "Try again.")
        return info

    def export(self, run: str) -> ExportInfo | None:
        """Return the bundle of a run, or None when none was asked for."""
        with self.database.read() as session:
            return _export_info(session, find_run(session, run).id)

    def export_file(self, run: str) -> ServedFile:
        """Return the proven bundle; raises ``NotFoundError`` when there is none."""
        with self.database.read() as session:
            row = session.scalars(
                select(ExportRow).where(ExportRow.run_id == run).order_by(ExportRow.created_at.desc())
            ).first()
        path = self.database.settings.home / row.path if row else None
        if row is None or path is None or not path.exists():
            raise NotFoundError("There is no bundle of this run yet.", "Make it on the Export screen.")
        return ServedFile(path=path, media_type="application/zip", name=path.name, etag=row.sha256[:24])

    # -- prediction --------------------------------------------------------------------------------

    def predict(
        self,
        target: str | Path,
        files: Sequence[tuple[str, bytes]],
        timeout: float = PREDICT_TIMEOUT,
        *,
        previews: bool = False,
    ) -> tuple[FilePrediction, ...]:
        """Predict images (name and content) with a run (id) or a bundle (path of the ZIP or folder).

        ``previews`` asks for a small JPEG of each picture. Raises ``NotFoundError`` for an unknown target and
        ``UnavailableError`` after ``timeout`` s.
        """
        if not files:
            raise InputError("There is no image to predict.", "Give one or more images.")
        if isinstance(target, str):
            with self.database.read() as session:
                target = _finished_run(session, target).id
        settings = self.database.settings
        return client.predict(settings, target, files, timeout, self._wake_serving, previews=previews)

    def _wake_serving(self) -> None:
        with self.database.write() as session:
            queue.enqueue_single(session, "serve")


def _finished_run(session: Session, run: str) -> RunRow:
    row = find_run(session, run)
    if session.get(ReportRow, row.id) is None:
        raise ConflictError(
            f"The run {row.number} has no model yet.", "Wait until it has finished, or choose another."
        )
    return row


def _export_job(session: Session, run: str) -> JobRow | None:
    jobs = session.scalars(select(JobRow).where(JobRow.kind == "export").order_by(JobRow.created_at.desc()))
    return next((job for job in jobs if job.payload.get("run_id") == run), None)


def _export_info(session: Session, run: str) -> ExportInfo | None:
    job = _export_job(session, run)
    if job is None:
        return None
    info = queue.info(session, job.id)
    row = session.get(ExportRow, job.id)
    return ExportInfo(
        id=job.id,
        run=run,
        state=info.state,
        progress=info.progress,
        message=info.message,
        problem=info.problem,
        bytes=row.bytes if row else None,
        sha256=row.sha256 if row else "",
        files=tuple((str(name), int(size)) for name, size in row.files) if row else (),
        parity=row.parity if row else None,
    )
