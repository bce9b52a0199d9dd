"""Datasets: import, look, edit, versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Unpack

from sqlalchemy.orm import Session

from engine.api.jobs import Jobs
from engine.api.orders import import_payload
from engine.api.people import local_person
from engine.api.places import place_here
from engine.api.projects import clean_name, find_project, make_project
from engine.api.uploads import Uploads
from engine.contracts.datasets import (
    ClassInfo,
    DatasetSummary,
    EditReceipt,
    ImageFilter,
    ImageItem,
    ImageOrder,
    ImagePage,
    ImportChoices,
    ImportOffer,
    ImportReport,
    UploadInfo,
)
from engine.contracts.files import ServedFile
from engine.contracts.jobs import JobInfo
from engine.datasets import edits, queries
from engine.datasets.thumbnails import ensure_thumbnail
from engine.errors import ConflictError, InputError, NotFoundError
from engine.storage.blobs import BlobStore
from engine.storage.database import Database, new_id
from engine.storage.tables import FileRow, ImageRow, Project
from engine.tasks.registry import DEFAULT_TASK, get_task

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "HEIF": "image/heic",
}


class Datasets:
    """Everything about the images and labels of a project."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self.database = database
        self.jobs = jobs
        self.uploads = Uploads(database)
        self.files = BlobStore(database.settings.files)

    # -- taking in ---------------------------------------------------------------------------------

    def begin_upload(self, name: str, size: int, key: str | None = None) -> UploadInfo:
        """Open an upload of ``size`` bytes; see ``Uploads.begin``."""
        return self.uploads.begin(name, size, key)

    def upload(self, upload: str) -> UploadInfo:
        """Return an upload; raises ``NotFoundError``."""
        return self.uploads.get(upload)

    def upload_path(self, upload: str) -> Path:
        """Return where the bytes of an upload go."""
        return self.uploads.path(upload)

    def record_upload(self, upload: str, received: int) -> UploadInfo:
        """Note how many bytes of an upload are safely on disk."""
        return self.uploads.record(upload, received)

    def start_import(
        self,
        source: Path | None = None,
        *,
        uploads: Sequence[str] = (),
        project: str | None = None,
        name: str | None = None,
        key: str | None = None,
        any_folder: bool = False,
        **choices: Unpack[ImportChoices],
    ) -> JobInfo:
        """Start taking a ZIP, a folder or loose pictures into a project, which is made when it is new.

        ``source`` is a path on this machine; ``uploads`` are ids of complete uploads, one archive or
        several pictures. ``any_folder``: whoever asks may read all of this machine, as on its command
        line; otherwise ``source`` must lie where the settings allow it. Raises ``InputError`` when there
        is nothing to import or it may not be read, and ``NotFoundError`` when ``project`` is named and does
        not exist.
        """
        task = choices.get("task")
        if task:
            get_task(task)
        taken, source_name, staged = self._source(source, uploads, key, any_folder)
        with self.database.write() as session:
            made = self._project_for(session, project, name or _title(source_name), task, key)
            # A project that has images learns what it learns; an empty one takes what the set is for.
            kept = project is not None and queries.has_images(session, made.id)
            chosen = task or (made.task if kept else None)
            if task and made.task != task:
                _retarget(session, made, task)
            made_id, person = made.id, local_person(session)
        told: dict[str, Any] = {"staged": staged, "person": person, "made_project": project is None}
        payload = import_payload(taken, source_name, made_id, chosen, **told, **choices)
        return self.jobs.enqueue("import", payload, project=made_id, key=key and f"{key}:import")

    def start_recognition(
        self,
        source: Path | None = None,
        *,
        uploads: Sequence[str] = (),
        key: str | None = None,
        any_folder: bool = False,
    ) -> JobInfo:
        """Start looking at a source without taking it in; ``offers`` reads the answer.

        What was uploaded stays for the import. ``any_folder`` is as for ``start_import``.
        """
        taken, source_name, staged = self._source(source, uploads, key, any_folder)
        payload = import_payload(taken, source_name, "", None, staged=staged)
        return self.jobs.enqueue("recognise", payload, key=key and f"{key}:recognise")

    def offers(self, job: str) -> tuple[ImportOffer, ...]:
        """Return what a source could be taken in as, the recommended first; empty until the job has ended."""
        result = self.jobs.get(job).result or {}
        return tuple(ImportOffer.model_validate(offer) for offer in result.get("offers", ()))

    def _project_for(
        self, session: Session, project: str | None, name: str, task: str | None, key: str | None
    ) -> Project:
        if project is not None:
            return find_project(session, project)
        return make_project(session, clean_name(name), task or DEFAULT_TASK, key)

    def _source(
        self, source: Path | None, uploads: Sequence[str], key: str | None, any_folder: bool
    ) -> tuple[Path, str, bool]:
        if source is not None:
            return *place_here(source, self.database.settings, any_folder), False
        if not uploads:
            raise InputError("There is nothing to import.", "Choose a ZIP, a folder or pictures.")
        infos = [self.uploads.get(upload) for upload in uploads]
        for info in infos:
            if not info.complete:
                raise InputError(
                    f"“{info.name}” has not arrived whole ({info.received} of {info.size} bytes).",
                    "Wait for the upload to finish, or start it again.",
                )
        if len(infos) == 1:
            return self._named_upload(infos[0]), infos[0].name, True
        return self._staged_list(infos, key), f"{len(infos)} pictures", True

    def _named_upload(self, info: UploadInfo) -> Path:
        """Write a one-file list, which carries the name that the person's file had."""
        return self._staged_list([info], info.id)

    def _staged_list(self, infos: Sequence[UploadInfo], key: str | None) -> Path:
        """Write a file list, which keeps the names as data and the bytes where they arrived."""
        entries = [{"path": info.name, "file": str(self.uploads.path(info.id))} for info in infos]
        # A key comes from outside: its digest, not itself, becomes a file's name.
        stem = hashlib.sha256(key.encode()).hexdigest()[:24] if key else new_id()
        target = self.database.settings.staging / f"{stem}.files.json"
        target.write_text(json.dumps(entries), encoding="utf-8")
        return target

    def import_report(self, project: str) -> ImportReport | None:
        """Return the account of the project's last import, or None before the first."""
        with self.database.read() as session:
            return queries.last_import(session, find_project(session, project).id)

    def issues_file(self, project: str) -> ServedFile | None:
        """Return the CSV of every repair and skip of the last import, or None."""
        report = self.import_report(project)
        if report is None or not report.issues_file:
            return None
        path = self.database.settings.home / report.issues_file
        return ServedFile(path=path, media_type="text/csv", name="import-issues.csv", etag=path.parent.name)

    def issues_file_of(self, job: str) -> ServedFile | None:
        """Return the CSV of what an import that ended with a question or refusal had repaired and skipped.

        None when it had found nothing, or has not ended so. Raises ``NotFoundError``.
        """
        info = self.jobs.get(job)
        if info.problem is None or not info.problem.issues_file:
            return None
        path = self.database.settings.home / info.problem.issues_file
        return ServedFile(path=path, media_type="text/csv", name="import-issues.csv", etag=job)

    # -- looking -----------------------------------------------------------------------------------

    def summary(self, project: str) -> DatasetSummary:
        """Return counts, classes, splits and sizes of the working head."""
        with self.database.read() as session:
            return queries.summary(session, find_project(session, project).id)

    def images(
        self,
        project: str,
        filter: ImageFilter | None = None,
        offset: int = 0,
        limit: int = 60,
        order: ImageOrder = "path",
    ) -> ImagePage:
        """Return the images that match ``filter``, from ``offset``, at most ``limit``.

        They come by path, or ("mixed") one of each class in turn, those of a class by path.
        """
        with self.database.read() as session:
            row = find_project(session, project)
            return queries.images(session, row.id, filter or ImageFilter(), offset, limit, order)

    def image(self, project: str, image: str) -> ImageItem:
        """Return one image; raises ``NotFoundError``."""
        page = self.images(project, ImageFilter(image_ids=(image,), left_out=None), 0, 1)
        if not page.items:
            raise NotFoundError("This image is not in the project.", "Go back to Data.")
        return page.items[0]

    def image_file(self, project: str, image: str) -> ServedFile:
        """Return the original file of an image."""
        with self.database.read() as session:
            row = _image_row(session, project, image)
            file = session.get(FileRow, row.sha256)
            media = MEDIA_TYPES.get(file.format if file else "", "application/octet-stream")
            name = PurePosixPath(row.path).name
            return ServedFile(
                path=self.files.path(row.sha256), media_type=media, name=name, etag=row.sha256[:24]
            )

    def thumbnail(self, project: str, image: str) -> ServedFile:
        """Return the small JPEG of an image; it is made again when the cache was deleted."""
        with self.database.read() as session:
            row = _image_row(session, project, image)
            owner = session.get(Project, row.project_id)
        preprocessing = owner.preprocessing if owner else {}
        path = ensure_thumbnail(self.database.settings, row.sha256, preprocessing)
        etag = f"t{path.stem[:24]}{path.stem[len(row.sha256) :]}"  # its second part names the channels
        return ServedFile(path=path, media_type="image/jpeg", name="thumb.jpg", etag=etag)

    # -- editing -----------------------------------------------------------------------------------

    def add_class(self, project: str, name: str) -> ClassInfo:
        """Add a class, or return the one that has this name already."""
        with self.database.write() as session:
            return edits.add_class(session, find_project(session, project).id, clean_name(name))

    def change_class(
        self, project: str, image_ids: Sequence[str], class_id: str, key: str | None = None
    ) -> EditReceipt:
        """Give images another class; one undoable step."""
        with self.database.write() as session:
            row = find_project(session, project)
            person = local_person(session)
            return edits.change_class(session, row.id, list(image_ids), class_id, key or new_id(), person)

    def leave_out(
        self, project: str, image_ids: Sequence[str], left_out: bool = True, key: str | None = None
    ) -> EditReceipt:
        """Leave images out of training and evaluation, or take them in again; one undoable step."""
        with self.database.write() as session:
            row = find_project(session, project)
            person = local_person(session)
            return edits.leave_out(session, row.id, list(image_ids), left_out, key or new_id(), person)

    def undo(self, project: str, key: str | None = None) -> EditReceipt | None:
        """Take the last step back; None when there is nothing to take back.

        The same ``key`` again returns the first answer, so that a double click undoes one step.
        """
        with self.database.write() as session:
            row = find_project(session, project)
            return edits.undo(session, row.id, key or new_id(), local_person(session))


def _title(source_name: str) -> str:
    stem = PurePosixPath(source_name.replace("\\", "/")).name
    for ending in (".zip", ".tar.gz", ".tar"):
        stem = stem.removesuffix(ending)
    words = stem.replace("_", " ").replace("-", " ").strip() or "New project"
    return words[:1].upper() + words[1:]


def _retarget(session: Session, project: Project, task: str) -> None:
    """Give an empty project another task; raises ``ConflictError`` when it has images."""
    if queries.has_images(session, project.id):
        raise ConflictError(
            f"“{project.name}” is for {get_task(project.task).title.lower()}, and a project is one task.",
            "Take this set into a project of its own.",
        )
    project.task = task


def _image_row(session: Session, project: str, image: str) -> ImageRow:
    row = session.get(ImageRow, image)
    owner = session.get(Project, row.project_id) if row else None
    if row is None or owner is None or owner.id != project or owner.deleted_at is not None:
        raise NotFoundError("This image is not in the project.", "Go back to Data.")
    return row
