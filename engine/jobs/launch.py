"""A child as its worker holds it: start it, ask it to end, make it end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass

from engine.jobs.context import log_path
from engine.jobs.processes import signal_group
from engine.jobs.states import Lease
from engine.models.weights import hub_environment
from engine.settings import Settings


@dataclass
class Child:
    """A running attempt; ``terminated`` says whether it was asked to end."""

    lease: Lease
    kind: str
    process: subprocess.Popen[bytes]
    terminated: bool = False
    code: int | None = None

    def exit_code(self) -> int | None:
        """Return the exit code once the child has ended (negative: a signal), else None."""
        if self.code is None:
            self.code = self.process.poll()
            if self.code is not None:
                self.kill()  # whatever the child itself started and left behind
                if self.process.stdin is not None:
                    self.process.stdin.close()
        return self.code

    def terminate(self) -> None:
        """Ask the whole group to end, once."""
        if not self.terminated:
            self.terminated = True
            signal_group(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group."""
        signal_group(self.process.pid, signal.SIGKILL)


def start_child(settings: Settings, lease: Lease, kind: str) -> Child:
    """Start the process of an attempt in its own group, with its output in the job's log.

    Its standard input is a pipe that nobody writes to: it ends when this worker does, however that
    happens, and the child sees it.
    """
    log = log_path(settings, lease.job_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.jobs.child", lease.job_id, str(lease.attempt), lease.worker_id],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Without PASSIVE, idle OpenMP threads spin and starve each other as soon as another process
            # is busy.
            env={
                **os.environ,
                **settings.environment(),
                **hub_environment(settings),
                "OMP_WAIT_POLICY": "PASSIVE",
                "PYTHONUNBUFFERED": "1",
                "PYTHONFAULTHANDLER": "1",
            },
            start_new_session=True,
        )
    return Child(lease, kind, process)
