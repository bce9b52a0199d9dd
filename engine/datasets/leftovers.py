"""Pixels that nothing refers to: what stopped and killed imports have stored before they ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select

from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.tables import FileRow, VersionRow

KEPT_SECONDS = 86_400.0
"""An import that is repeated within a day finds its pixels, and one that runs keeps them."""
MARK = "swept"
"""Name of the file, in the cache, whose time says when this was done last."""


def sweep_unused(settings: Settings, database: Database, older_than_seconds: float = KEPT_SECONDS) -> int:
    """Remove stored files and thumbnails that no image and no version names; returns how many.

    Only those that are older than ``older_than_seconds``: an import names its files at its very end. Done at
    most once in that time, since it looks at every file.
    """
    now, mark = time.time(), settings.cache / MARK
    if mark.exists() and mark.stat().st_mtime > now - older_than_seconds:
        return 0
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    with database.read() as session:
        used = {*session.scalars(select(FileRow.sha256)), *session.scalars(select(VersionRow.manifest))}
    removed = 0
    for path in _stored(settings):
        with suppress(FileNotFoundError):  # another process sweeps at the same time
            if path.name[:64] not in used and path.stat().st_mtime < now - older_than_seconds:
                path.unlink()
                removed += 1
    return removed


def _stored(settings: Settings) -> Iterator[Path]:
    for folder in (settings.files, settings.cache / "thumbnails"):
        yield from (path for path in folder.rglob("*") if path.is_file())
