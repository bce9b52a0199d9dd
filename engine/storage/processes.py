"""Which process is which: an id alone says nothing, because ids are used again; id and start time do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import psutil
from pydantic import ValidationError

from engine.contracts.base import Record

SAME_START = 2.0
"""Start times (s) of one process may differ by this much when the machine's clock is corrected."""


def start_time(pid: int) -> float | None:
    """Return when the process started (s since the epoch), or None when there is none."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def is_alive(pid: int | None, started: float | None) -> bool:
    """Say whether the process with this id is still the one that started then."""
    if pid is None or started is None:
        return False
    now = start_time(pid)
    return now is not None and abs(now - started) < SAME_START


def this_process() -> tuple[int, float]:
    """Return the id of this process and when it started (s since the epoch)."""
    pid = os.getpid()
    return pid, float(psutil.Process(pid).create_time())


class Account(Record):
    """What a process says about itself in a file of the workspace."""

    pid: int
    pid_started: float


Said = TypeVar("Said", bound=Account)


def read_account(path: Path, kind: type[Said]) -> Said | None:
    """Return the account in a file if it is whole and its process lives, or None."""
    try:
        account = kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return account if is_alive(account.pid, account.pid_started) else None
