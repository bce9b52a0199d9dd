"""Taking a dataset home in a format of other tools."""

from __future__ import annotations

from pathlib import Path

from engine.api.jobs import Jobs
from engine.api.people import local_person
from engine.api.projects import find_project
from engine.contracts.datasets import ExportFormat
from engine.contracts.files import ServedFile
from engine.contracts.jobs import JobInfo, JobState
from engine.datasets.formats.registry import formats_for, get_format
from engine.datasets.losses import holdings, holdings_of, losses
from engine.datasets.versions import find_version
from engine.errors import ConflictError, NotFoundError
from engine.storage.blobs import BlobStore
from engine.storage.database import Database
from engine.tasks.registry import get_task


class DatasetExports:
    """Write a version of a dataset in any format that carries its labels."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self.database = database
        self.jobs = jobs

    def formats(self, project: str, version: int | None = None) -> tuple[ExportFormat, ...]:
        """Return the formats that carry the labels of a project, with what each would lose.

        That is of a version, or (None) of the data as they are now. Raises ``NotFoundError`` for an
        unknown version.
        """
        with self.database.read() as session:
            row = find_project(session, project)
            kind = get_task(row.task).label_kind
            if version is None:
                held = holdings(session, row.id, kind)
            else:
                frozen = find_version(session, row.id, version).manifest
                held = holdings_of(BlobStore(self.database.settings.files).path(frozen), kind)
        found = [
            ExportFormat(name=known.name, title=known.title, losses=losses(known, held, kind))
            for known in formats_for(kind)
            if known.write is not None
        ]
        return tuple(sorted(found, key=lambda one: len(one.losses)))

    def start(
        self,
        project: str,
        format: str,
        *,
        version: int | None = None,
        to: Path | None = None,
        key: str | None = None,
    ) -> JobInfo:
        """Start writing a version (default: the data as they are now, frozen) in a format.

        ``to`` is a folder that does not exist or is empty, or the name of a ZIP; without it, ``file`` gives
        the ZIP when the job has ended. Raises ``InputError`` when the format does not carry the labels.
        """
        with self.database.write() as session:
            row = find_project(session, project)
            kind = get_task(row.task).label_kind
            get_format(format, kind)
            payload = {
                "project_id": row.id,
                "format": format,
                "kind": kind,
                "version": version,
                "person": local_person(session),
                "to": str(to.expanduser().absolute()) if to else "",
            }
        return self.jobs.enqueue("export-set", payload, project=str(payload["project_id"]), key=key)

    def file(self, project: str, job: str) -> ServedFile:
        """Return the ZIP of a finished export; raises ``ConflictError`` before its end."""
        info = self.jobs.get(job)
        if info.kind != "export-set" or info.project != project:
            raise NotFoundError("This export does not exist.", "Export the set again.")
        if info.state is not JobState.SUCCEEDED or not info.result:
            raise ConflictError("The export has not ended yet.", "Wait until it has.")
        path = Path(info.result["path"])
        if not path.is_file():
            raise NotFoundError("This export is not on the disk any more.", "Export the set again.")
        return ServedFile(path=path, media_type="application/zip", name=path.name, etag=job)
