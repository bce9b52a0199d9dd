"""Kinds of job for the process tests; children find this module through ``LENSMITH_EXTRA_KINDS``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from sqlalchemy import text

from engine.contracts.jobs import Work
from engine.errors import InputError
from engine.jobs.kinds import JobKind

HERE = "tests.integration.job_kinds"

KINDS = (
    JobKind("t-echo", "light", f"{HERE}:echo", "The echo"),
    JobKind("t-hub", "light", f"{HERE}:hub", "The hub's limits"),
    JobKind("t-steps", "heavy", f"{HERE}:steps", "The count"),
    JobKind("t-hold", "light", f"{HERE}:hold", "The long write"),
    JobKind("t-deaf", "light", f"{HERE}:deaf", "The deaf job"),
    JobKind("t-poison", "light", f"{HERE}:poison", "The poison"),
    JobKind("t-wrong", "light", f"{HERE}:wrong", "The wrong one"),
    JobKind("t-refuse", "light", f"{HERE}:refuse", "The refusal"),
    JobKind("t-greedy", "light", f"{HERE}:greedy", "The greedy one", memory=2**30),
    JobKind("t-serve", "serving", f"{HERE}:forever", "The server", retries=0),
)


def echo(work: Work) -> dict[str, Any]:
    """Give the payload back."""
    work.progress(0.5, "half")
    return {"echo": work.payload, "passive": os.environ.get("OMP_WAIT_POLICY")}


def hub(work: Work) -> dict[str, Any]:
    """Tell which limits the hub's client took up in this process."""
    from huggingface_hub import constants

    return {
        "offline": constants.HF_HUB_OFFLINE,
        "timeouts": [constants.HF_HUB_ETAG_TIMEOUT, constants.HF_HUB_DOWNLOAD_TIMEOUT],
        "silent": constants.HF_HUB_DISABLE_TELEMETRY,
    }


def steps(work: Work) -> dict[str, Any]:
    """Count to ``n`` with a checkpoint and a keyed event each step.

    Attempt i dies at step ``die_at[i - 1]``, before its checkpoint.
    """
    found = work.checkpoints()
    done = int(found[0].path.read_bytes()) if found else 0
    work.event("start", {"from": done, "attempt": work.attempt})
    for step in range(done + 1, work.payload["n"] + 1):
        work.check_stop()
        if work.stop_requested() == "keep_best":
            return {"steps": step - 1, "kept": True}
        time.sleep(work.payload.get("pause", 0.02))
        work.event("epoch", {"epoch": step, "attempt": work.attempt}, key=f"epoch:{step}")
        if work.payload.get("die_at", [])[work.attempt - 1 : work.attempt] == [step]:
            os.kill(os.getpid(), signal.SIGKILL)
        work.save_checkpoint(str(step).encode(), step)
        work.progress(step / work.payload["n"], f"step {step}")
    return {"steps": work.payload["n"], "kept": False}


def hold(work: Work) -> dict[str, Any]:
    """Hold the database for ``seconds`` in one transaction, and tell how long (ms) to wait for another's.

    ``alone``: so that nobody can even read. With ``freeze`` the first attempt stops dead in the middle of it.
    """
    with work.write() as session:
        if work.payload.get("alone"):  # changed pages that do not fit go to the file before the commit
            session.execute(text("PRAGMA cache_size=1"))
            session.execute(text("CREATE TABLE wide (x)"))
            session.execute(text("INSERT INTO wide VALUES (zeroblob(1000000))"))
        if work.payload.get("freeze") and work.attempt == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(work.payload.get("seconds", 0.0))
        waits = session.scalar(text("PRAGMA busy_timeout"))
    return {"waits": waits}


def deaf(work: Work) -> dict[str, Any]:
    """Never look at the flag, ignore TERM, and have a child that does the same."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    helper = subprocess.Popen([sys.executable, "-c", code])
    work.event("helper", {"pid": helper.pid})
    time.sleep(600)
    return {}


def forever(work: Work) -> dict[str, Any]:
    """Run until somebody ends it."""
    work.event("up", {"pid": os.getpid()})
    time.sleep(600)
    return {}


def poison(work: Work) -> dict[str, Any]:
    """Die before any checkpoint, every time."""
    work.event("try", {"attempt": work.attempt}, key=f"try:{work.attempt}")
    os.kill(os.getpid(), work.payload.get("signal", signal.SIGKILL))
    return {}


def wrong(work: Work) -> dict[str, Any]:
    """Have a bug."""
    raise KeyError("surprise")


def refuse(work: Work) -> dict[str, Any]:
    """Refuse the input in words."""
    raise InputError("The file cats.zip is empty.", "Choose another file.")


def greedy(work: Work) -> dict[str, Any]:
    """Ask for more memory than its kind may have."""
    return {"bytes": len(bytearray(3 * 2**30))}
