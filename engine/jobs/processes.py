"""Processes: ending them and their groups, and what became of them."""

from __future__ import annotations

import os
import select
import signal
import sys


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group that ``pid`` leads; no group is no error."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # macOS answers "not permitted" for a group of which only zombies are left


def end_group_now() -> None:
    """End this process and all of its group at once, without any clean-up."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def parent_gone(timeout: float) -> bool:
    """Wait up to ``timeout`` s for the end of standard input, which the starting process holds open.

    A pipe cannot be fooled by process ids that are used again, and closes however the parent ended.
    """
    ready, _, _ = select.select([sys.stdin], [], [], timeout)
    return bool(ready) and os.read(sys.stdin.fileno(), 1) == b""


_SIGNALS = {
    signal.SIGKILL: "was ended by the system, probably because the memory was full",
    signal.SIGTERM: "was asked to end by another program or by the shutdown of the machine",
    signal.SIGINT: "was stopped from the keyboard",
    signal.SIGHUP: "ended because its terminal was closed",
    signal.SIGSEGV: "crashed inside a native library (invalid memory access)",
    signal.SIGBUS: "crashed because a file or the memory behind it went away (disk or /dev/shm full)",
    signal.SIGABRT: "crashed inside a native library (it gave up on an internal check)",
    signal.SIGFPE: "crashed inside a native library (arithmetic error)",
    signal.SIGILL: "crashed because the processor does not know an instruction it uses",
    signal.SIGXCPU: "used more processor time than the system allows",
}


def exit_sentence(code: int) -> str:
    """Turn a return code of ``subprocess`` (negative: a signal) into a sentence about the process."""
    if code >= 0:
        return f"Its process ended without a result (exit code {code})."
    try:
        what = _SIGNALS.get(signal.Signals(-code)) or f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        what = "was ended by an unknown signal"
    return f"Its process {what} (signal {-code})."
