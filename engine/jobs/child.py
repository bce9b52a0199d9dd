"""The process of one attempt: ``python -m engine.jobs.child JOB ATTEMPT WORKER``.

It leads its own process group, loads the code of its kind, and writes one outcome. Expected errors
become a problem with a sentence; everything else a sentence with the trace in the log. It ends itself
when its worker is gone or when another attempt owns the job.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from engine.contracts.jobs import JobState
from engine.errors import JobCancelledError, LeaseLostError, LensmithError
from engine.jobs import queue
from engine.jobs.context import JobContext
from engine.jobs.kinds import JobKind, kind_named
from engine.jobs.overdue import LONGEST_WRITE
from engine.jobs.problems import DISK_FULL, no_room, problem_of
from engine.jobs.processes import end_group_now, parent_gone
from engine.jobs.states import Lease
from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.processes import this_process

WORKER_GONE = "Its worker ended."
WORKER_STOPPED = "Lensmith was stopped."

LOOK_SECONDS = 60.0
GIVE_BACK_SECONDS = 5.0
"""Seconds that a child without a worker has to write so; then it ends in any case."""

NO_ROOM_EXIT = 28
"""Exit code of an attempt that could not even write its end, because the disk is full."""


class TerminatedError(BaseException):
    """Raised in the main thread by SIGTERM; not an ``Exception``, so that job code cannot swallow it."""


def main(arguments: list[str]) -> int:
    """Run one attempt; returns the exit code of the process."""
    job_id, attempt, worker_id = arguments[0], int(arguments[1]), arguments[2]
    settings = Settings.from_environment()
    # While a long transaction runs, nobody can take the job away: waiting it out loses nothing, an error
    # would lose the work.
    database = Database(settings, patience=LONGEST_WRITE + settings.timing.lease)
    lease = Lease(job_id, attempt, worker_id, settings.timing.lease)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with database.write() as session:
            queue.started(session, lease, *this_process())
            job = queue.get(session, job_id)
        context = JobContext(settings, database, job, lease)
        done = threading.Event()
        _watch(context, done)
        outcome = attempt_job(context, kind_named(job.kind))
        # From here on the outcome stands: a late TERM must not cut its writing.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        done.set()
        context.flush()
        with database.write() as session:
            outcome(session, lease)
            state = queue.get(session, job_id).state
        if state == JobState.SUCCEEDED:
            context.drop_checkpoints()
    except (LeaseLostError, TerminatedError) as error:
        print(f"Attempt {attempt} ends without writing: {error!r}", flush=True)  # noqa: T201 - the log
        return 3
    except (OSError, OperationalError) as error:
        if not no_room(error):
            raise
        return NO_ROOM_EXIT
    return 0


Outcome = Callable[[Any, Lease], object]


def attempt_job(context: JobContext, kind: JobKind) -> Outcome:
    """Run the job's code and return how its end is to be written."""
    try:
        _limit_memory(kind.memory)
        result = load_handler(kind.handler)(context)
        json.dumps(result)  # what the row cannot hold is an error of the job, not of its end
    except LeaseLostError:
        raise
    except TerminatedError:
        return lambda session, lease: queue.interrupt(session, lease, WORKER_STOPPED, counted=False)
    except JobCancelledError:
        state = JobState.PAUSED if context.stop_requested() == "pause" else JobState.CANCELLED
        return lambda session, lease: queue.finish(session, lease, state)
    except Exception as error:  # noqa: BLE001 - the border: whatever job code raises becomes a sentence
        problem = problem_of(error, kind)
        context.log(problem.message)
        if not isinstance(error, LensmithError):
            context.log(traceback.format_exc())
        state = JobState.PAUSED if problem.flag == DISK_FULL else JobState.FAILED
        return lambda session, lease: queue.finish(session, lease, state, problem=problem)
    return lambda session, lease: queue.finish(session, lease, JobState.SUCCEEDED, result=result)


def load_handler(dotted: str) -> Callable[[JobContext], dict[str, Any]]:
    """Import ``package.module:function``."""
    module, _, function = dotted.partition(":")
    handler: Callable[[JobContext], dict[str, Any]] = getattr(importlib.import_module(module), function)
    return handler


def _watch(context: JobContext, done: threading.Event) -> None:
    """Start the threads that end this process group when there is no reason left for it to live.

    They are two, because the one that keeps the lease may wait long for a locked database.
    """
    for work in (_keep_lease, _end_with_worker):
        threading.Thread(target=work, args=(context, done), daemon=True, name=work.__name__).start()


def _keep_lease(context: JobContext, done: threading.Event) -> None:
    def end(error: Exception) -> None:
        if done.is_set():  # the outcome was just written, which also gave the lease back
            return
        context.log(f"This attempt ends itself: {error}")
        if no_room(error):
            os._exit(NO_ROOM_EXIT)  # the code tells the worker, which ends the rest of the group

    try:
        context.keep_alive(done.wait, end)
    except Exception:  # noqa: BLE001 - whatever it is: an attempt that keeps no lease must not go on
        context.log(traceback.format_exc())
    if not done.is_set():
        end_group_now()


def _end_with_worker(context: JobContext, done: threading.Event) -> None:
    while not parent_gone(LOOK_SECONDS):
        pass
    # Neither a locked database nor an error keeps this process; nor an end that cannot be written.
    last = threading.Timer(GIVE_BACK_SECONDS, end_group_now)
    last.daemon = True
    last.start()
    if done.is_set():
        return
    try:
        # Written at once, so that the next worker need not wait until the lease runs out.
        with context.database.write() as session:
            queue.interrupt(session, context.lease, WORKER_GONE, counted=False)
    except (LensmithError, SQLAlchemyError) as error:
        context.log(f"The job could not be given back: {error}")
    finally:
        end_group_now()


def _limit_memory(limit: int | None) -> None:
    # RLIMIT_DATA, because RLIMIT_AS would already stop libraries that map much and use little.
    if limit is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise TerminatedError


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
