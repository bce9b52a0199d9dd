"""Is there a worker, and which? Its own account in ``worker.json``, checked against the process table."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from engine.errors import ConflictError, UnavailableError
from engine.settings import Settings
from engine.storage.blobs import write_atomic
from engine.storage.processes import Account, read_account, this_process

START_SECONDS = 30.0
IDLE_EXIT_SECONDS = 300.0


class Presence(Account):
    """What a worker says about itself; times are s since the epoch."""

    worker_id: str
    heartbeat: float
    code: str


def presence_path(settings: Settings) -> Path:
    """Return where the worker of this workspace says that it is there."""
    return settings.home / "worker.json"


def write_presence(settings: Settings, worker_id: str, code: str) -> None:
    """Say that this process is the worker, now."""
    pid, started = this_process()
    present = Presence(worker_id=worker_id, pid=pid, pid_started=started, heartbeat=time.time(), code=code)
    write_atomic(presence_path(settings), present.model_dump_json().encode(), sync=False)


def read_presence(settings: Settings) -> Presence | None:
    """Return the account of a worker whose process is alive, or None."""
    return read_account(presence_path(settings), Presence)


def worker_alive(settings: Settings) -> bool:
    """Say whether a worker of this workspace lives and gave a sign within one lease."""
    present = read_presence(settings)
    return present is not None and time.time() - present.heartbeat < settings.timing.lease


def code_version() -> str:
    """Return a fingerprint of the engine's source files, so that a worker of older code can leave."""
    root = Path(__file__).parents[1]
    stamps = sorted((str(p.relative_to(root)), p.stat().st_mtime_ns) for p in root.rglob("*.py"))
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16]


def open_log(settings: Settings, name: str) -> int:
    """Open ``logs/<name>.log`` for appending and return its descriptor; the caller closes it."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    return os.open(settings.logs / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def ensure_worker(settings: Settings) -> None:
    """Start a worker in the background when none runs; it leaves after five idle minutes.

    One whose process lives counts, however old its last sign is: after a machine has slept it goes on by
    itself. While an earlier worker is still leaving, this waits for its end.

    Raises ``UnavailableError`` when none comes up.
    """
    process: subprocess.Popen[bytes] | None = None
    end = time.monotonic() + START_SECONDS
    while read_presence(settings) is None:
        code = None if process is None else process.poll()
        if code not in (None, 0, ConflictError.exit_code) or time.monotonic() > end:
            raise UnavailableError("The worker did not start.", f"Its log is {settings.logs / 'worker.log'}.")
        if process is None or code is not None:
            process = _start_worker(settings)
        time.sleep(0.05)


def _start_worker(settings: Settings) -> subprocess.Popen[bytes]:
    log = open_log(settings, "worker")
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.jobs.worker", "--idle-exit", str(IDLE_EXIT_SECONDS)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, **settings.environment()},
        start_new_session=True,
    )
    os.close(log)
    return process
