"""A running Lensmith for browser tests: `lensmith up` in a workspace of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.web import free_port, wait_for
from tests.workspace import settings_in


@dataclass(frozen=True)
class House:
    """A running Lensmith: its address and its workspace folder."""

    url: str
    home: Path


@contextmanager
def running(home: Path) -> Iterator[House]:
    """Start `lensmith up` as a person does, and end it with Ctrl-C."""
    port = free_port()
    log = home / "up.log"
    with log.open("wb") as handle:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", "up", "--no-browser", "--port", str(port)],
            env={**os.environ, **settings_in(home).environment()},
            stdout=handle,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}", process, log)
            yield House(f"http://127.0.0.1:{port}", home)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
