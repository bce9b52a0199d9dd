"""What was uploaded or unpacked for imports: which files an import reads, and when they go away."""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from engine.contracts.jobs import Work
from engine.errors import InputError, JobCancelledError, LeaseLostError, QuestionError
from engine.settings import Settings

FILE_LIST = ".files.json"
"""End of the name of a staged list: ``[{"path": original name, "file": place on disk}, ...]``."""
KEPT_SECONDS = 3 * 86_400
UNPACKED = "unpacked"
"""Folder, inside that of a job's attempt, of what had to be unpacked to be read."""


def listed_files(source: Path) -> tuple[tuple[str, Path], ...]:
    """Return original name and place of each file that a staged list names; () for another source.

    Raises ``FileNotFoundError`` when the list is gone.
    """
    if not source.name.endswith(FILE_LIST):
        return ()
    entries = json.loads(source.read_text(encoding="utf-8"))
    return tuple((str(entry["path"]), Path(entry["file"])) for entry in entries)


def staged_files(payload: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return what was uploaded for the import with this payload and is there still; its list is last."""
    if not payload.get("staged"):
        return ()
    source = Path(payload["source"])
    listed = listed_files(source) if source.exists() else ()
    return (*(path for _, path in listed), source)


@contextmanager
def scratch_folder(work: Work) -> Iterator[Path]:
    """Give a folder for what must be unpacked to be read; it is gone behind the ``with``.

    What an attempt that was killed has left in its own goes away too.
    """
    for left in work.folder.parent.glob(f"attempt-*/{UNPACKED}"):
        shutil.rmtree(left, ignore_errors=True)
    folder = work.folder / UNPACKED
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        # Whatever cannot be removed must not hide how the import ended.
        shutil.rmtree(folder, ignore_errors=True)


def goes_on(work: Work, error: BaseException, *, chosen_again: bool = False) -> bool:
    """Whether the source is read again: by this job's next attempt, or after a person's answer.

    ``chosen_again``: a person who stops the job, or whose set cannot be used as what it was taken for, may
    choose otherwise; what nobody takes up again is cleared away later by the sweep.
    """
    asks = InputError if chosen_again else QuestionError
    if isinstance(error, (asks, LeaseLostError, OperationalError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    if isinstance(error, JobCancelledError):
        return chosen_again or work.stop_requested() == "pause"
    # What is no ``Exception`` ends the process, and the job goes on in another one.
    return not isinstance(error, Exception) and (chosen_again or work.stop_requested() != "cancel")


def remove_staged(payload: Mapping[str, Any], settings: Settings) -> None:
    """Remove what was uploaded for this import; nothing outside the staging folder is touched."""
    for path in staged_files(payload):
        if path.resolve().is_relative_to(settings.staging.resolve()):
            _remove(path, settings)


def sweep_staging(
    settings: Settings, older_than_seconds: float = KEPT_SECONDS, needed: Collection[Path] = ()
) -> None:
    """Remove uploads that nobody imported and the lists of cancelled imports, but not what is ``needed``."""
    before = time.time() - older_than_seconds
    for path in list(settings.staging.rglob("*")):
        with suppress(FileNotFoundError):  # another import sweeps at the same time
            if path.is_file() and path not in needed and path.stat().st_mtime < before:
                _remove(path, settings)


def _remove(path: Path, settings: Settings) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if path.parent.parent == settings.staging / "uploads":
        with suppress(OSError):  # something else lies in the folder of this upload
            path.parent.rmdir()
