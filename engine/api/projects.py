"""Projects: one task on one growing dataset each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.api.jobs import Jobs
from engine.api.orders import import_payload
from engine.api.people import local_person
from engine.contracts.base import utc_now
from engine.contracts.jobs import ENDED, JobInfo, JobState
from engine.contracts.projects import ProjectStatus, ProjectSummary, SampleInfo, TaskInfo
from engine.contracts.results import MetricValue
from engine.datasets import queries
from engine.errors import ConflictError, InputError, NotFoundError
from engine.storage.database import Database, new_id
from engine.storage.tables import ClassRow, ExportRow, ImageRow, JobRow, Project, RunRow
from engine.tasks.registry import DEFAULT_TASK, TASKS, get_task

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
COVER_IMAGES = 5
NAME_LENGTH = 120


class Projects:
    """Make, list, rename and delete projects."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self.database = database
        self.jobs = jobs

    def list(self) -> tuple[ProjectSummary, ...]:
        """Return all projects, newest first, but not what a refused or stopped import left empty."""
        with self.database.read() as session:
            rows = session.scalars(
                select(Project).where(Project.deleted_at.is_(None)).order_by(Project.created_at.desc())
            ).all()
            return tuple(_summary(session, row) for row in rows if not _left_empty(session, row.id))

    def get(self, project: str) -> ProjectSummary:
        """Return one project by id or by its unique name; raises ``NotFoundError``."""
        with self.database.read() as session:
            return _summary(session, find_project(session, project))

    def status(self, project: str) -> ProjectStatus:
        """Return what the side bar shows behind each step."""
        with self.database.read() as session:
            row = find_project(session, project)
            jobs = session.scalars(
                select(JobRow).where(JobRow.project_id == row.id, JobRow.kind == "train")
            ).all()
            live = [job for job in jobs if job.state in (JobState.RUNNING, JobState.INTERRUPTED)]
            exports = session.scalar(
                select(func.count())
                .select_from(ExportRow)
                .join(RunRow, RunRow.id == ExportRow.run_id)
                .where(RunRow.project_id == row.id)
            )
            best = _best_run(session, row)
            return ProjectStatus(
                project=_summary(session, row),
                training_progress=(live[0].progress or 0.0) if live else None,
                training_run=live[0].id if live else None,
                queued=sum(job.state == JobState.QUEUED for job in jobs),
                runs=len(jobs),
                finished_runs=sum(job.state == JobState.SUCCEEDED for job in jobs),
                best_run=best.id if best else None,
                exports=exports or 0,
            )

    def create(self, name: str, task: str = DEFAULT_TASK, key: str | None = None) -> ProjectSummary:
        """Make an empty project; a taken name gets a number behind it.

        ``key`` makes a repeated call return the first project. Raises ``InputError`` on an empty name
        or an unknown task.
        """
        spec = get_task(task)
        with self.database.write() as session:
            return _summary(session, make_project(session, clean_name(name), spec.name, key))

    def rename(self, project: str, name: str) -> ProjectSummary:
        """Give a project another name; raises ``ConflictError`` when it is taken."""
        with self.database.write() as session:
            row = find_project(session, project)
            wanted = clean_name(name)
            if wanted != row.name and _name_taken(session, wanted):
                raise ConflictError(f"There is already a project called “{wanted}”.", "Choose another name.")
            row.name = wanted
            session.flush()
            return _summary(session, row)

    def delete(self, project: str) -> None:
        """Put a project away (softly) and stop its jobs."""
        with self.database.write() as session:
            row = find_project(session, project)
            row.deleted_at = utc_now()
            active = session.scalars(
                select(JobRow.id).where(JobRow.project_id == row.id, JobRow.state.not_in(ENDED))
            ).all()
        for job in active:
            self.jobs.cancel(job)

    def tasks(self) -> tuple[TaskInfo, ...]:
        """Return the tasks that can be chosen."""
        return tuple(
            TaskInfo(
                name=spec.name,
                title=spec.title,
                labels=spec.labels,
                metrics=tuple(metric.name for metric in spec.metrics),
                presets=tuple(spec.presets),
            )
            for spec in TASKS
        )

    def samples(self) -> tuple[SampleInfo, ...]:
        """Return the sample sets that ship with Lensmith."""
        return tuple(
            SampleInfo(**{name: entry[name] for name in SampleInfo.model_fields}) for entry in _catalogue()
        )

    def create_sample(self, name: str, key: str | None = None) -> JobInfo:
        """Make a project from a sample set; returns its import job."""
        entry = next((entry for entry in _catalogue() if entry["name"] == name), None)
        if entry is None:
            raise NotFoundError(f"There is no sample set called “{name}”.", "Choose one on Home.")
        made = self.create(str(entry["title"]), str(entry["task"]), key=key)
        file = str(entry["file"])
        with self.database.write() as session:
            person = local_person(session)
        payload = import_payload(SAMPLES / file, file, made.id, made.task, person=person)
        return self.jobs.enqueue("import", payload, project=made.id, key=key and f"{key}:import")


def make_project(session: Session, name: str, task: str, key: str | None) -> Project:
    """Add a project row; the same ``key`` again returns the first, a taken name gets a number."""
    row = session.get(Project, _keyed_id(key)) if key else None
    if row is None:
        row = Project(
            id=_keyed_id(key) if key else new_id(),
            name=_free_name(session, name),
            task=task,
            created_at=utc_now(),
            preprocessing={},
            edit_seq=0,
        )
        session.add(row)
        session.flush()
    return row


def find_project(session: Session, project: str) -> Project:
    """Return the project row with this id or this exact name; raises ``NotFoundError``.

    Of several of one name, what a failed import left empty comes last.
    """
    row = session.get(Project, project)
    if row is None or row.deleted_at is not None:
        rows = session.scalars(
            select(Project).where(Project.name == project, Project.deleted_at.is_(None))
        ).all()
        row = min(rows, key=lambda found: len(rows) > 1 and _left_empty(session, found.id), default=None)
    if row is None:
        raise NotFoundError(
            f"There is no project “{project}”.", "It may have been deleted; choose one on Home."
        )
    return row


def clean_name(name: str) -> str:
    """Collapse white space and bound the length; raises ``InputError`` when nothing is left."""
    cleaned = " ".join(name.split())[:NAME_LENGTH]
    if not cleaned:
        raise InputError("A project needs a name.", "Type one, for example “Recycling line”.")
    return cleaned


def _catalogue() -> list[dict[str, object]]:
    path = SAMPLES / "catalogue.json"
    if not path.exists():
        return []
    entries: list[dict[str, object]] = json.loads(path.read_text("utf-8"))
    return entries


def _keyed_id(key: str) -> str:
    return hashlib.sha256(f"project:{key}".encode()).hexdigest()[:12]


def _name_taken(session: Session, name: str) -> bool:
    rows = session.scalars(select(Project.id).where(Project.name == name, Project.deleted_at.is_(None))).all()
    return any(not _left_empty(session, row) for row in rows)


def _free_name(session: Session, name: str) -> str:
    candidate, number = name, 2
    while _name_taken(session, candidate):
        candidate, number = f"{name} {number}", number + 1
    return candidate


def _best_run(session: Session, row: Project) -> RunRow | None:
    """Return the finished run with the best headline value, whichever way is better."""
    rows = session.scalars(
        select(RunRow)
        .join(JobRow, JobRow.id == RunRow.id)
        .where(RunRow.project_id == row.id, JobRow.state == JobState.SUCCEEDED)
    ).all()
    scored = [run for run in rows if run.best and run.best.get("value") is not None]
    if not scored:
        return None
    sign = 1 if get_task(row.task).metrics[0].higher_is_better else -1

    def value(run: RunRow) -> float:
        best = run.best or {}
        return sign * float(best["value"])

    return max(scored, key=value)


def _left_empty(session: Session, project: str) -> bool:
    """Whether a project was made by an import that has ended without a picture, and nothing else came."""
    if queries.has_images(session, project):
        return False
    jobs = session.scalars(select(JobRow).where(JobRow.project_id == project)).all()
    return any(job.payload.get("made_project") for job in jobs) and all(job.state in ENDED for job in jobs)


def _summary(session: Session, row: Project) -> ProjectSummary:
    images = session.scalar(
        select(func.count())
        .select_from(ImageRow)
        .where(ImageRow.project_id == row.id, ImageRow.left_out.is_(False))
    )
    classes = session.scalar(
        select(func.count())
        .select_from(ClassRow)
        .where(ClassRow.project_id == row.id, ClassRow.deleted_at.is_(None))
    )
    best = _best_run(session, row)
    last = session.scalars(
        select(JobRow)
        .where(JobRow.project_id == row.id, JobRow.kind == "train")
        .order_by(JobRow.created_at.desc())
    ).first()
    importing = session.scalars(
        select(JobRow.id).where(
            JobRow.project_id == row.id, JobRow.kind == "import", JobRow.state.not_in(ENDED)
        )
    ).first()
    return ProjectSummary(
        id=row.id,
        name=row.name,
        task=row.task,
        task_title=get_task(row.task).title,
        created_at=row.created_at,
        images=images or 0,
        classes=classes or 0,
        cover=_cover(session, row.id, images or 0),
        best=MetricValue.model_validate(best.best) if best and best.best else None,
        last_run=last.id if last else None,
        last_run_state=last.state if last else None,
        importing=importing,
    )


def _cover(session: Session, project: str, images: int) -> tuple[str, ...]:
    """Pick a few pictures spread over the set, so that a card shows more than one class."""
    if not images:
        return ()
    step = max(1, images // COVER_IMAGES)
    picks = []
    for number in range(min(COVER_IMAGES, images)):
        found = session.scalars(
            select(ImageRow.id)
            .where(ImageRow.project_id == project, ImageRow.left_out.is_(False))
            .order_by(ImageRow.path)
            .offset(number * step)
            .limit(1)
        ).first()
        if found:
            picks.append(found)
    return tuple(picks)
