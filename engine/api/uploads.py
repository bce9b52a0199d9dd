"""Uploads: files that the web server streams to disk before an import takes them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from engine.contracts.base import utc_now
from engine.contracts.datasets import UploadInfo
from engine.errors import InputError, LimitError, NotFoundError
from engine.settings import Settings
from engine.storage.database import Database, new_id
from engine.storage.tables import UploadRow

DISK_RESERVE = 512 * 2**20


class Uploads:
    """Book-keeping of uploads; the bytes themselves are written by the web server's route."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def settings(self) -> Settings:
        """The workspace's settings."""
        return self.database.settings

    def begin(self, name: str, size: int, key: str | None = None) -> UploadInfo:
        """Open an upload of ``size`` bytes; the same ``key`` again returns the first one.

        Raises ``LimitError`` when the file is over the limit or the disk has no room.
        """
        if size <= 0:
            raise InputError(f"“{name}” is empty.", "Choose another file.")
        if size > self.settings.limits.archive_bytes:
            limit = self.settings.limits.archive_bytes / 2**30
            raise LimitError(
                f"“{name}” is larger than {limit:.0f} GB.",
                "Split it, or import the folder on the server with `lensmith import`.",
            )
        self.settings.staging.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.settings.staging).free < size + DISK_RESERVE:
            raise LimitError(
                f"The disk of the workspace has no room for “{name}”.", "Free some space and try again."
            )
        upload = hashlib.sha256(f"upload:{key}".encode()).hexdigest()[:12] if key else new_id()
        with self.database.write() as session:
            row = session.get(UploadRow, upload)
            if row is None:
                row = UploadRow(id=upload, name=name, size=size, received=0, created_at=utc_now())
                session.add(row)
                session.flush()
                self.path(upload).parent.mkdir(parents=True, exist_ok=True)
                self.path(upload).touch()
            return _info(row)

    def get(self, upload: str) -> UploadInfo:
        """Return an upload; raises ``NotFoundError``."""
        with self.database.read() as session:
            row = session.get(UploadRow, upload)
            if row is None:
                raise NotFoundError("This upload is not known (any more).", "Start it again.")
            return _info(row)

    def path(self, upload: str) -> Path:
        """Return where the bytes of an upload go."""
        if not upload.isalnum():
            raise NotFoundError("This upload is not known.", "Start it again.")
        return self.settings.staging / "uploads" / upload / "content"

    def record(self, upload: str, received: int) -> UploadInfo:
        """Note how many bytes are safely on disk."""
        with self.database.write() as session:
            row = session.get(UploadRow, upload)
            if row is None:
                raise NotFoundError("This upload is not known (any more).", "Start it again.")
            row.received = received
            session.flush()
            return _info(row)


def _info(row: UploadRow) -> UploadInfo:
    return UploadInfo(
        id=row.id, name=row.name, size=row.size, received=row.received, complete=row.received == row.size
    )
