"""One transaction that takes longer than a lease: it costs nobody the job."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from engine.contracts.jobs import ENDED, JobState
from engine.jobs import overdue
from engine.jobs.worker import Worker
from tests.integration.workspace import TIMING, Workspace

LEASE = 2.0
HELD = 1.6 * LEASE


@pytest.fixture
def brief(workspace: Workspace) -> Workspace:
    """A workspace whose leases are shorter than the transaction of the test."""
    timing = replace(TIMING, lease=LEASE, heartbeat=0.2)
    workspace.settings = replace(workspace.settings, timing=timing)
    return workspace


def held_for(workspace: Workspace) -> float:
    """Wait until nobody holds the database, and return how long (s) that took."""
    start = time.monotonic()
    path = workspace.settings.home / "lensmith.db"
    with closing(sqlite3.connect(path, timeout=90, isolation_level=None)) as probe:
        probe.execute("BEGIN IMMEDIATE")
    return time.monotonic() - start


def test_it_costs_neither_its_own_job_nor_those_beside_it(brief: Workspace) -> None:
    beside = brief.enqueue("t-steps", n=10_000)
    brief.worker()
    brief.until(lambda: brief.events(beside, "epoch"), "the first step")
    # One after the other, without a pause that would let anybody else in between for sure.
    jobs = [brief.enqueue("t-hold", seconds=HELD, alone=alone) for alone in (True, False)]
    brief.until(lambda: held_for(brief) > 1.2 * LEASE, "the long transaction")
    for job in jobs:
        info = brief.until_state(job, *ENDED)
        assert (info.state, info.attempt) == (JobState.SUCCEEDED, 1)
        assert info.result is not None
        assert info.result["waits"] > 1000 * overdue.LONGEST_WRITE
    steps = len(brief.events(beside, "epoch"))
    brief.until(lambda: len(brief.events(beside, "epoch")) > steps + 3, "more steps")
    info = brief.info(beside)
    assert (info.state, info.attempt) == (JobState.RUNNING, 1)


@pytest.fixture
def worker_here(brief: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker in this process that soon loses patience."""
    monkeypatch.setattr(overdue, "LONGEST_WRITE", 0.3)
    worker = Worker(brief.settings)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.stopping.set()
    thread.join()


@pytest.mark.usefixtures("worker_here")
def test_who_hangs_in_one_is_ended(brief: Workspace) -> None:
    job = brief.enqueue("t-hold", freeze=True)
    info = brief.until_state(job, *ENDED)
    assert (info.state, info.attempt) == (JobState.SUCCEEDED, 2)
