"""The tables; ``schema.md`` beside this file says in one page what they mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, also on databases that forget the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store as naive UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read as aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Common base with names for all constraints, which migrations need."""

    metadata = MetaData(naming_convention=NAMING)


ID = String(24)


class Project(Base):
    """One task on one growing dataset; ``split_rule``: how a person had the splits drawn (``SplitRule``)."""

    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    task: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    preprocessing: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    edit_seq: Mapped[int] = mapped_column(Integer, default=0)
    split_rule: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class Person(Base):
    """Someone who edits; until sign-in there is one row, 'local'."""

    __tablename__ = "people"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))


class ClassRow(Base):
    """A class; the id stays when the name changes.

    ``points`` names its keypoints; ``skeleton`` lists the pairs of them that a line joins, from 0.
    """

    __tablename__ = "classes"
    __table_args__ = (UniqueConstraint("project_id", "name"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(500))
    position: Mapped[int] = mapped_column(Integer)
    points: Mapped[list[str] | None] = mapped_column(JSON)
    skeleton: Mapped[list[list[int]] | None] = mapped_column(JSON)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FileRow(Base):
    """Pixels by SHA-256; ``mode`` and ``bits`` as decoded, before preprocessing."""

    __tablename__ = "files"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    bytes: Mapped[int] = mapped_column(Integer)
    format: Mapped[str] = mapped_column(String(16))
    mode: Mapped[str] = mapped_column(String(16))
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)


class ImageRow(Base):
    """A path in a project; ``negative``: the set or a person says that nothing is on it."""

    __tablename__ = "images"
    __table_args__ = (
        UniqueConstraint("project_id", "path"),
        Index("ix_images_project_split", "project_id", "split"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(ForeignKey("files.sha256"))
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    split: Mapped[str | None] = mapped_column(String(8))
    group_key: Mapped[str | None] = mapped_column(Text)
    left_out: Mapped[bool] = mapped_column(default=False)
    negative: Mapped[bool] = mapped_column(default=False, server_default=false())
    revision: Mapped[int] = mapped_column(Integer, default=0)
    import_id: Mapped[str | None] = mapped_column(ID)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AnnotationRow(Base):
    """One label; never changed once written, only taken off the head."""

    __tablename__ = "annotations"
    __table_args__ = (Index("ix_annotations_image_head", "image_id", "on_head"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"))
    class_id: Mapped[str | None] = mapped_column(ForeignKey("classes.id"))
    kind: Mapped[str] = mapped_column(String(16), default="class")
    geometry: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    on_head: Mapped[bool] = mapped_column(default=True)
    person_id: Mapped[str | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class EditRow(Base):
    """One image changed by one batch; ``removed`` and ``added`` are annotation ids.

    ``before`` holds what else changed, as it was: columns of the image by name. A row without an image
    is about the project: ``before`` holds its columns by name, and under ``classes`` columns by class id.
    """

    __tablename__ = "edits"
    __table_args__ = (UniqueConstraint("project_id", "seq"), Index("ix_edits_batch", "batch"))
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    seq: Mapped[int] = mapped_column(Integer)
    batch: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(24))
    image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"))
    removed: Mapped[list[str]] = mapped_column(JSON, default=list)
    added: Mapped[list[str]] = mapped_column(JSON, default=list)
    left_out_before: Mapped[bool | None] = mapped_column()
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    undoes: Mapped[str | None] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(Text, default="")
    person_id: Mapped[str | None] = mapped_column(ForeignKey("people.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class VersionRow(Base):
    """A frozen manifest of the head."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("project_id", "number"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(String(40))
    manifest: Mapped[str] = mapped_column(String(64))
    images: Mapped[int] = mapped_column(Integer)
    edit_seq: Mapped[int] = mapped_column(Integer)
    changes: Mapped[str] = mapped_column(Text, default="")
    person_id: Mapped[str | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobRow(Base):
    """A unit of work; see ``engine.contracts.jobs.JobState`` for the ways between states."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state_lane", "state", "lane"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    lane: Mapped[str] = mapped_column(String(40))
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"))
    state: Mapped[str] = mapped_column(String(16))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    idempotency_key: Mapped[str | None] = mapped_column(String(100), unique=True)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    idle_attempts: Mapped[int] = mapped_column(Integer, default=0)
    worker_id: Mapped[str | None] = mapped_column(ID)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stop: Mapped[str | None] = mapped_column(String(16))
    stop_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    progress: Mapped[float | None] = mapped_column(Float)
    message: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AttemptRow(Base):
    """One child process: identity is process id, its start time and heartbeat age together."""

    __tablename__ = "attempts"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker_id: Mapped[str] = mapped_column(ID)
    pid: Mapped[int | None] = mapped_column(Integer)
    pid_started: Mapped[float | None] = mapped_column(Float)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    exit: Mapped[str] = mapped_column(Text, default="")


class EventRow(Base):
    """Something that happened in a job."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("job_id", "key"), Index("ix_events_job_seq", "job_id", "seq"))
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int] = mapped_column(Integer)
    time: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(24))
    key: Mapped[str | None] = mapped_column(String(60))
    data: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class CheckpointRow(Base):
    """A whole checkpoint file, relative to the job's folder."""

    __tablename__ = "checkpoints"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    attempt: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(Integer)
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RunRow(Base):
    """A training: the train job's own columns."""

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("project_id", "number"),)
    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[int] = mapped_column(Integer)
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"))
    task: Mapped[str] = mapped_column(String(40))
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    weights: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    best: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class ReportRow(Base):
    """What a finished run measured (``engine.contracts.results.Report`` and the probe)."""

    __tablename__ = "reports"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    probe: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    gain: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ImportRow(Base):
    """The account of one import."""

    __tablename__ = "imports"
    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    source: Mapped[str] = mapped_column(Text)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ExportRow(Base):
    """A bundle on disk with its proof; ``path`` is relative to the workspace."""

    __tablename__ = "exports"
    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(Integer)
    files: Mapped[list[list[Any]]] = mapped_column(JSON)
    parity: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class UploadRow(Base):
    """A file on its way in; ``received`` and ``size`` in bytes."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(Integer)
    received: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
