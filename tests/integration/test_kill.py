"""Processes are killed at bad moments; what was acknowledged stays and the work goes on by itself."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from dataclasses import replace

import psutil

from engine.contracts.jobs import ENDED, JobState
from engine.jobs import queue
from engine.jobs.states import Lease
from engine.storage.tables import AttemptRow, CheckpointRow
from tests.integration.workspace import TIMING, Workspace


def keys(workspace: Workspace, job: str) -> Counter[str | None]:
    return Counter(event.key for event in workspace.events(job, "epoch"))


def pid_of(workspace: Workspace, job: str) -> int:
    """The process of the present attempt, once it has said so."""

    def look() -> int | None:
        with workspace.database.read() as session:
            row = session.get(AttemptRow, (job, queue.get(session, job).attempt))
            return row.pid if row is not None else None

    found = workspace.until(look, "the child")
    assert isinstance(found, int)
    return found


def freeze(workspace: Workspace, job: str) -> psutil.Process:
    """Suspend the child of a job at a moment when it holds no lock on the database."""
    process = psutil.Process(pid_of(workspace, job))

    def outside_a_transaction() -> bool:
        process.suspend()
        probe = sqlite3.connect(workspace.settings.home / "lensmith.db", timeout=0.2, isolation_level=None)
        try:
            probe.execute("BEGIN IMMEDIATE")
            return True
        except sqlite3.OperationalError:
            process.resume()
            return False
        finally:
            probe.close()

    workspace.until(outside_a_transaction, "a quiet moment")
    return process


def test_a_killed_child_goes_on_by_itself(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=30)
    workspace.worker()
    workspace.until(lambda: len(workspace.events(job, "epoch")) > 3, "some steps")
    os.kill(pid_of(workspace, job), signal.SIGKILL)
    info = workspace.until_state(job, *ENDED)
    assert info.state is JobState.SUCCEEDED
    assert info.attempt == 2
    assert keys(workspace, job) == Counter({f"epoch:{step}": 1 for step in range(1, 31)})
    starts = [event.data["from"] for event in workspace.events(job, "start")]
    assert starts[0] == 0
    assert starts[1] > 0


def test_ten_kills_with_progress_between_do_not_end_a_job(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=11, die_at=list(range(2, 12)))
    workspace.worker("--until-idle").wait()
    info = workspace.info(job)
    assert (info.state, info.attempt) == (JobState.SUCCEEDED, 11)
    assert keys(workspace, job) == Counter({f"epoch:{step}": 1 for step in range(1, 12)})


def test_three_deaths_without_a_checkpoint_end_it(workspace: Workspace) -> None:
    job, after = workspace.enqueue("t-poison"), workspace.enqueue("t-echo")
    workspace.worker("--until-idle").wait()
    info = workspace.info(job)
    assert (info.state, info.attempt) == (JobState.FAILED, 3)
    assert info.problem is not None
    assert "started 3 times" in info.problem.message
    assert "memory" in info.problem.message
    assert workspace.info(after).state is JobState.SUCCEEDED


def test_a_crash_is_named(workspace: Workspace) -> None:
    job = workspace.enqueue("t-poison", signal=signal.SIGSEGV)
    workspace.worker("--until-idle").wait()
    problem = workspace.info(job).problem
    assert problem is not None
    assert "native library" in problem.message
    assert "(signal 11)" in problem.message


def test_a_killed_worker_leaves_no_orphan_and_the_next_one_goes_on(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=20)
    worker = workspace.worker()
    workspace.until(lambda: len(workspace.events(job, "epoch")) > 3, "some steps")
    child = psutil.Process(pid_of(workspace, job))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    workspace.until(lambda: not child.is_running(), "the end of the child")
    assert workspace.processes() == []
    assert workspace.info(job).state is JobState.INTERRUPTED
    workspace.worker("--until-idle").wait()
    assert workspace.info(job).state is JobState.SUCCEEDED
    assert keys(workspace, job) == Counter({f"epoch:{step}": 1 for step in range(1, 21)})


def test_a_locked_database_does_not_keep_an_orphan(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=10_000)
    worker = workspace.worker()
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    child = psutil.Process(pid_of(workspace, job))
    with workspace.database.write() as session:
        session.connection()  # takes the lock
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        workspace.until(lambda: not child.is_running(), "the end of the child")
    assert workspace.info(job).state is JobState.RUNNING


def test_killed_together_they_are_found_by_the_next_worker(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=20)
    worker = workspace.worker()
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    for pid in (worker.pid, pid_of(workspace, job)):
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    assert workspace.info(job).state is JobState.RUNNING
    workspace.worker()
    assert workspace.until_state(job, *ENDED).state is JobState.SUCCEEDED


def test_a_hung_child_loses_its_lease_and_the_work_goes_on(workspace: Workspace) -> None:
    workspace.settings = replace(workspace.settings, timing=replace(TIMING, lease=4.0))
    job = workspace.enqueue("t-steps", n=5, pause=0.3)
    workspace.worker()
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    frozen = freeze(workspace, job)
    assert workspace.until_state(job, *ENDED).state is JobState.SUCCEEDED
    assert workspace.info(job).attempt == 2
    assert not frozen.is_running()


def test_a_child_that_wakes_up_late_writes_nothing(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=10_000, pause=0.3)
    worker = workspace.worker()
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    sleeper = freeze(workspace, job)
    os.kill(worker.pid, signal.SIGKILL)  # nobody is left who would end the sleeper
    with workspace.database.write() as session:
        row = queue.get(session, job)
        assert row.worker_id is not None
        queue.interrupt(session, Lease(job, row.attempt, row.worker_id), "It slept.")
        assert queue.claim(session, "other") is not None
    before = workspace.events(job)
    sleeper.resume()
    workspace.until(lambda: not sleeper.is_running(), "the end of the late child")
    assert workspace.events(job) == before
    info = workspace.info(job)
    assert (info.state, info.attempt) == (JobState.RUNNING, 2)


def test_a_torn_checkpoint_falls_back_and_says_so(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=12, die_at=[6])
    with workspace.database.write() as session:  # run the first attempt by hand, then tear its newest file
        claimed = queue.claim(session, "hand")
        assert claimed is not None
    run_child(workspace, job)
    with workspace.database.write() as session:
        queue.interrupt(session, Lease(job, 1, "hand"), "It was killed.")
        rows = session.query(CheckpointRow).order_by(CheckpointRow.id.desc()).all()
        assert [row.step for row in rows] == [5, 4]
    newest = workspace.settings.runs / job / rows[0].path
    newest.write_bytes(b"x" + newest.read_bytes()[1:])
    workspace.worker("--until-idle").wait()
    assert workspace.info(job).state is JobState.SUCCEEDED
    assert [event.data["from"] for event in workspace.events(job, "start")] == [0, 4]
    assert "step 5 is damaged" in workspace.events(job, "note")[0].data["text"]
    assert workspace.checkpoints(job) == (0, 0)  # nothing goes on from a success


def run_child(workspace: Workspace, job: str) -> None:
    import subprocess
    import sys

    from engine.jobs.kinds import EXTRA_KINDS
    from tests.integration.workspace import ROOT

    process = subprocess.Popen(
        [sys.executable, "-m", "engine.jobs.child", job, "1", "hand"],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **workspace.settings.environment(), EXTRA_KINDS: "tests.integration.job_kinds"},
        start_new_session=True,
    )
    assert process.wait() == -signal.SIGKILL
