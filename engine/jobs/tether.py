"""``python -m engine.jobs.tether MODULE ARGUMENT...``: run a module, and end it with its parent.

It runs ``MODULE`` as ``python -m`` would, in this process. When the process that holds the other end of
standard input is gone, however it ended, the module gets TERM and a few seconds, then its whole group is
killed. So nothing outlives a supervisor that was killed.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

from engine.jobs.processes import end_group_now, parent_gone

GRACE_SECONDS = 10.0
LOOK_SECONDS = 60.0


def main(arguments: list[str]) -> None:
    """Run the module named first with the other arguments as its own."""
    threading.Thread(target=_end_with_parent, daemon=True, name="tether").start()
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    while not parent_gone(LOOK_SECONDS):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    end_group_now()


if __name__ == "__main__":
    main(sys.argv[1:])
