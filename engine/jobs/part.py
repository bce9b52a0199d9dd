"""One long-lived process that the supervisor keeps alive."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine.jobs.presence import open_log
from engine.jobs.processes import exit_sentence, signal_group
from engine.settings import Settings

LOG = logging.getLogger("lensmith.supervisor")

_ERROR = re.compile(r"[\w.]*(Error|Exception)\b.*: ")

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
SETTLED_SECONDS = 60.0
"""Seconds after which a start counts as having worked, and the next delay is short again."""


class Part:
    """A module run by ``engine.jobs.tether``, started again with growing delays when it dies."""

    def __init__(self, settings: Settings, name: str, command: tuple[str, ...]) -> None:
        self.settings = settings
        self.name = name
        self.command = command
        self.deaths = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._due = 0.0

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.settings.logs / f"{self.name}.log"

    def keep(self) -> None:
        """Start it if it does not run and its delay is over."""
        if self.alive:
            return
        now = time.monotonic()
        if self.process is not None:
            self._mourn(self.process, now)
        if now >= self._due:
            self._start(now)

    def _mourn(self, process: subprocess.Popen[bytes], now: float) -> None:
        code = process.returncode
        settled = now - self._started > SETTLED_SECONDS
        # Code 0 is a part that left on its own account, to be replaced by newer code.
        self.deaths = 0 if code == 0 else 1 if settled else self.deaths + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** max(self.deaths - 1, 0))
        LOG.warning("%s: %s Next start in %.1f s.", self.name, exit_sentence(code), delay)
        self._due = now + delay
        signal_group(process.pid, signal.SIGKILL)
        _close_stdin(process)
        self.process = None

    def _start(self, now: float) -> None:
        log = open_log(self.settings, self.name)
        self._started = now
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.jobs.tether", *self.command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **self.settings.environment()},
            start_new_session=True,
        )
        os.close(log)

    def terminate(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait_or_kill(self, seconds: float) -> None:
        """Wait for its end, then end its whole group."""
        if self.process is None:
            return
        try:
            self.process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            LOG.warning("%s did not end in time and is killed.", self.name)
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()
        _close_stdin(self.process)
        self.process = None

    def last_words(self) -> str:
        """Return the last error that its log names, or else its last line."""
        try:
            lines = self.log.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        last = [line.strip() for line in reversed(lines) if line.strip()]
        return next((line for line in last if _ERROR.match(line)), last[0] if last else "")


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
