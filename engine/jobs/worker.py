"""The worker: claims jobs, keeps one child per job, and accounts for every child that ends.

There is one per workspace (a file lock). It holds nothing that would be missed: when it is killed, its
children end themselves, and the next worker goes on from what stands in the table.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
import threading
import time
from types import FrameType

from filelock import FileLock, Timeout
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.jobs import JobState
from engine.errors import ConflictError, LeaseLostError
from engine.jobs import queue
from engine.jobs.child import NO_ROOM_EXIT, WORKER_GONE, WORKER_STOPPED
from engine.jobs.kinds import kind_named
from engine.jobs.launch import Child, start_child
from engine.jobs.overdue import Key, Overdue
from engine.jobs.presence import code_version, ensure_worker, presence_path, worker_alive, write_presence
from engine.jobs.problems import NO_ROOM, no_room
from engine.jobs.processes import exit_sentence, signal_group
from engine.jobs.states import Lease
from engine.models.catalog import catalog_path, machine_path
from engine.settings import Settings
from engine.storage.database import Database, held, new_id
from engine.storage.processes import is_alive
from engine.storage.tables import AttemptRow, JobRow

__all__ = ["Worker", "ensure_worker", "run_worker", "worker_alive"]

LOG = logging.getLogger("lensmith.worker")

HUNG = "It gave no sign of life for longer than its lease."
ROOM_BYTES = 512 * 2**20
"""Free space at which jobs that met a full disk are tried again."""
LONGEST_PAUSE = 5.0


class Worker:
    """One worker of one workspace."""

    def __init__(self, settings: Settings, *, idle_exit: float | None = None) -> None:
        """Prepare; ``idle_exit`` is after how many idle seconds it leaves (None: never, 0: at once)."""
        self.settings = settings
        # A third of the lease, as the longest pause: its own sign of life comes within the lease, although
        # a turn waits for a held database.
        self.database = Database(settings, patience=settings.timing.lease / 3)
        self.id = new_id()
        self.children: dict[tuple[str, int], Child] = {}  # by job and attempt
        self.stopping = threading.Event()
        self._idle_exit = idle_exit
        self._busy_at = time.monotonic()
        self._cared_at = -float("inf")
        self._code = code_version()
        self._outdated = False
        self._settled = False
        self._overdue = Overdue(settings.timing)

    def run(self) -> None:
        """Work until asked to stop (``stopping``), or until idle for long enough."""
        troubles = 0
        while not self.stopping.is_set():
            try:
                self._turn()
                if self._should_leave():
                    break
                troubles = 0
                self._overdue.free()
            except (OperationalError, OSError) as error:  # a full disk, a database that is locked for long
                troubles += 1
                LOG.warning("This turn failed, the next one tries again: %s", error)
                if isinstance(error, OperationalError) and held(error):
                    self._wait_it_out()
            self.stopping.wait(self._pause(troubles))
        self._close()

    def _pause(self, troubles: int) -> float:
        """Return the seconds until the next turn: longer after each turn in a row that failed."""
        timing = self.settings.timing
        longest = min(LONGEST_PAUSE, timing.lease / 3)
        return timing.poll if troubles == 0 else min(timing.poll * 2 ** min(troubles, 10), longest)

    def _wait_it_out(self) -> None:
        """Leave the children alone while the database is held, unless no write can take that long."""
        if self._overdue.held():
            LOG.warning("The database is held for too long: all children are ended")
            for child in self.children.values():
                child.kill()

    def _turn(self) -> None:
        if self._due_to_care():
            self._care()
        self._reap()
        self._watch_running()
        while (job := self._claim()) is not None:
            self._start(job)

    # --- starting -----------------------------------------------------------------------------------

    def _claim(self) -> JobRow | None:
        with self.database.read() as session:
            if not queue.claimable(session):
                return None
        with self.database.write() as session:
            return queue.claim(session, self.id, lease=self.settings.timing.lease)

    def _start(self, job: JobRow) -> None:
        lease = Lease(job.id, job.attempt, self.id, self.settings.timing.lease)
        try:
            child = start_child(self.settings, lease, job.kind)
        except OSError as error:
            if no_room(error):
                self._put_aside(lease)
            else:
                self._interrupt(lease, f"Its process could not be started: {error}.", counted=True)
            raise
        self.children[job.id, job.attempt] = child
        LOG.info("Started %s %s, attempt %d", job.kind, job.id, job.attempt)

    # --- ending -------------------------------------------------------------------------------------

    def _reap(self) -> None:
        for key, child in list(self.children.items()):
            code = child.exit_code()
            if code is not None:
                LOG.info("Child of %s %s ended with %d", child.kind, child.lease.job_id, code)
                if code == NO_ROOM_EXIT:
                    self._put_aside(child.lease)
                else:
                    self._interrupt(child.lease, exit_sentence(code), counted=True)
                del self.children[key]  # last: what could not be written is tried again

    def _interrupt(self, lease: Lease, reason: str, *, counted: bool) -> None:
        """Put a job back whose child wrote no outcome; one that did is left as it is."""
        try:
            with self.database.write() as session:
                state = queue.interrupt(session, lease, reason, counted=counted)
        except LeaseLostError:
            return
        LOG.info("Job %s is %s: %s", lease.job_id, state.value, reason)

    def _put_aside(self, lease: Lease) -> None:
        """Write for a child what it could not: that the disk is full."""
        try:
            with self.database.write() as session:
                queue.finish(session, lease, JobState.PAUSED, problem=NO_ROOM)
        except LeaseLostError:
            return
        LOG.warning("Job %s is put aside: the disk is full", lease.job_id)

    def _watch_running(self) -> None:
        rows, hung = self._look()
        for row, attempt in rows:
            child = self.children.get((row.id, row.attempt))
            if child is not None and row.stop in ("cancel", "pause"):
                self._press(child, row)
            gone = attempt is not None and not is_alive(attempt.pid, attempt.pid_started)
            orphan = row.worker_id != self.id
            silent = (row.id, row.attempt) in hung
            if silent or (orphan and attempt is not None and attempt.pid is not None and gone):
                if attempt is not None and attempt.pid is not None and not gone:
                    signal_group(attempt.pid, signal.SIGKILL)
                assert row.worker_id is not None
                stale = Lease(row.id, row.attempt, row.worker_id)
                self._interrupt(stale, WORKER_GONE if orphan else HUNG, counted=True)

    def _look(self) -> tuple[list[tuple[JobRow, AttemptRow | None]], set[Key]]:
        """Return the running jobs with their attempts, and which of them could have renewed and did not."""
        with self.database.read() as session:
            rows = _running(session)
        waited = 0.0
        if any(map(_expired, rows)):
            # Is the database free, so that it could have been renewed? Then look again, at what was
            # written while this waited.
            start = time.monotonic()
            with self.database.write() as session:
                rows = _running(session)
            waited = time.monotonic() - start
        late = [(row.id, row.attempt) for row, attempt in rows if _expired((row, attempt))]
        return rows, self._overdue.missed(late, waited)

    def _press(self, child: Child, row: JobRow) -> None:
        """Make a stop happen: the child's own look at the flag, then TERM, then KILL to its group."""
        assert row.stop_at is not None
        timing = self.settings.timing
        waited = (utc_now() - row.stop_at).total_seconds()
        if waited > 0.75 * timing.cancel_deadline:
            child.kill()
        elif waited > timing.term_grace:
            child.terminate()

    def _close(self) -> None:
        """End all children; jobs that go on later become interrupted, the others end."""
        # First, so that whoever queues a job from now on does not count on this worker.
        presence_path(self.settings).unlink(missing_ok=True)
        for child in self.children.values():
            child.terminate()
        end = time.monotonic() + self.settings.timing.term_grace
        while self.children and time.monotonic() < end:
            self._reap_stopped()
            time.sleep(0.05)
        for child in self.children.values():
            child.kill()
            child.process.wait()
        self._reap_stopped()
        self.database.close()

    def _reap_stopped(self) -> None:
        for key, child in list(self.children.items()):
            if child.exit_code() is not None:
                del self.children[key]
                try:
                    self._interrupt(child.lease, WORKER_STOPPED, counted=False)
                except (OperationalError, OSError) as error:  # the next worker finds that it is gone
                    LOG.warning("Job %s could not be put back: %s", child.lease.job_id, error)

    # --- now and then -------------------------------------------------------------------------------

    def _due_to_care(self) -> bool:
        due = time.monotonic() - self._cared_at >= self.settings.timing.heartbeat
        if due:
            self._cared_at = time.monotonic()
        return due

    def _care(self) -> None:
        write_presence(self.settings, self.id, self._code)
        if not self._settled:
            self._queue_catalog()
            self._settled = True
        self._outdated = code_version() != self._code
        if shutil.disk_usage(self.settings.home).free > ROOM_BYTES:
            self._requeue_roomy()

    def _requeue_roomy(self) -> None:
        with self.database.read() as session:  # looking first takes no write lock, which others may hold
            if not queue.put_aside(session):
                return
        with self.database.write() as session:
            again = queue.requeue_roomy(session)
        LOG.info("%d jobs go on: there is room on the disk again", again)

    def _queue_catalog(self) -> None:
        if catalog_path(self.settings).exists() and machine_path(self.settings).exists():
            return
        with self.database.write() as session:
            queue.enqueue_single(session, "catalog")

    def _should_leave(self) -> bool:
        with self.database.read() as session:
            waiting = queue.claimable(session)
        working = any(kind_named(child.kind).retries > 0 for child in self.children.values())
        if waiting or working:
            self._busy_at = time.monotonic()
            return False
        if self._idle_exit is not None and time.monotonic() - self._busy_at >= self._idle_exit:
            return True
        return self._outdated


def _running(session: Session) -> list[tuple[JobRow, AttemptRow | None]]:
    return [(row, queue.attempt_of(session, row)) for row in queue.running(session)]


def _expired(pair: tuple[JobRow, AttemptRow | None]) -> bool:
    until = pair[0].lease_until
    return until is not None and until < utc_now()


def run_worker(
    settings: Settings, *, until_idle: bool = False, idle_exit: float | None = None, wait: bool = False
) -> int:
    """Be the worker of this workspace until SIGTERM, SIGINT or idleness; returns the exit code 0.

    ``until_idle`` leaves as soon as there is nothing to do, ``idle_exit`` after that many idle seconds.
    Raises ``ConflictError`` when there is a worker already and ``wait`` is false.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings.home.mkdir(parents=True, exist_ok=True)
    worker = Worker(settings, idle_exit=0.0 if until_idle else idle_exit)

    def stop(_number: int, _frame: FrameType | None) -> None:
        worker.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    lock = FileLock(str(settings.home / "worker.lock"))
    while not worker.stopping.is_set():
        try:
            with lock.acquire(timeout=0):
                worker.run()
                break
        except Timeout:
            if not wait:
                raise ConflictError("A worker of this workspace is running already.") from None
            worker.stopping.wait(1.0)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a worker as a process of its own; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lensmith worker")
    parser.add_argument("--until-idle", action="store_true", help="leave when there is nothing to do")
    parser.add_argument("--idle-exit", type=float, help="leave after this many idle seconds")
    parser.add_argument("--wait", action="store_true", help="wait while another worker runs")
    options = parser.parse_args(arguments)
    try:
        return run_worker(
            Settings.from_environment(),
            until_idle=options.until_idle,
            idle_exit=options.idle_exit,
            wait=options.wait,
        )
    except ConflictError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
