"""A real worker with real children: outcomes, sentences, stopping."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from engine.contracts.jobs import ENDED, JobState
from engine.storage.processes import start_time
from tests.integration.workspace import Workspace


def test_a_job_gives_its_result_and_the_worker_leaves_when_idle(workspace: Workspace) -> None:
    job = workspace.enqueue("t-echo", a=1)
    assert workspace.worker("--until-idle").wait() == 0
    info = workspace.info(job)
    assert info.state is JobState.SUCCEEDED
    assert info.result == {"echo": {"a": 1}, "passive": "PASSIVE"}
    assert info.progress == 1.0
    assert workspace.processes() == []


@pytest.mark.parametrize(
    ("kind", "message", "in_log"),
    [
        ("t-refuse", "The file cats.zip is empty.", "cats.zip"),
        ("t-wrong", "KeyError: 'surprise'", "Traceback"),
        ("t-greedy", "needed more memory than there is", "MemoryError"),
    ],
)
def test_an_error_becomes_a_sentence(workspace: Workspace, kind: str, message: str, in_log: str) -> None:
    job = workspace.enqueue(kind)
    workspace.worker("--until-idle").wait()
    info = workspace.info(job)
    assert (info.state, info.attempt) == (JobState.FAILED, 1)
    assert info.problem is not None
    assert message in info.problem.message
    assert info.problem.hint
    assert "Traceback" not in info.problem.message + info.problem.hint
    assert in_log in (workspace.settings.runs / job / "log.txt").read_text()


@pytest.mark.parametrize(("offline", "timeout", "seconds"), [(True, 7.0, 7), (False, 0.2, 1)])
def test_the_hubs_client_keeps_to_our_settings(
    workspace: Workspace, offline: bool, timeout: float, seconds: int
) -> None:
    workspace.settings = replace(workspace.settings, offline=offline, hub_timeout=timeout)
    job = workspace.enqueue("t-hub")
    workspace.worker("--until-idle").wait()
    expected = {"offline": offline, "timeouts": [seconds, seconds], "silent": True}
    assert workspace.info(job).result == expected


def test_a_running_job_hears_a_cancel(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=10_000)
    workspace.worker()
    workspace.until(lambda: workspace.checkpoints(job)[0] == 2, "the first steps")
    workspace.stop(job)
    assert workspace.until_state(job, *ENDED).state is JobState.CANCELLED
    assert workspace.checkpoints(job) == (2, 2)  # a resume goes on from them


def test_keep_best_ends_with_a_result(workspace: Workspace) -> None:
    job = workspace.enqueue("t-steps", n=10_000)
    workspace.worker()
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    workspace.stop(job, "keep_best")
    info = workspace.until_state(job, *ENDED)
    assert info.state is JobState.SUCCEEDED
    assert info.result is not None
    assert info.result["kept"]
    workspace.until(lambda: workspace.checkpoints(job) == (0, 0), "the end of its checkpoints")


def test_a_paused_job_goes_on_where_it_was(workspace: Workspace) -> None:
    from engine.jobs import queue

    job = workspace.enqueue("t-steps", n=40)
    workspace.worker()
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    workspace.stop(job, "pause")
    workspace.until_state(job, JobState.PAUSED)
    with workspace.database.write() as session:
        queue.resume(session, job)
    assert workspace.until_state(job, *ENDED).state is JobState.SUCCEEDED
    starts = [event.data["from"] for event in workspace.events(job, "start")]
    assert starts[0] == 0
    assert starts[1] > 0


def test_a_deaf_child_and_its_own_child_are_ended(workspace: Workspace) -> None:
    job = workspace.enqueue("t-deaf")
    workspace.worker()
    helper = workspace.until(lambda: workspace.events(job, "helper"), "the deaf child")[0].data["pid"]
    assert start_time(helper) is not None
    workspace.stop(job)
    assert workspace.until_state(job, *ENDED).state is JobState.CANCELLED
    workspace.until(lambda: start_time(helper) is None, "the end of the helper")


def test_two_light_jobs_run_beside_a_heavy_one(workspace: Workspace) -> None:
    heavy = [workspace.enqueue("t-steps", n=10_000) for _ in range(2)]
    light = [workspace.enqueue("t-deaf") for _ in range(3)]
    workspace.worker()
    for job in (heavy[0], *light[:2]):
        workspace.until_state(job, JobState.RUNNING)
    workspace.until(lambda: workspace.events(heavy[0], "epoch"), "the first step")
    assert [workspace.info(job).state for job in (heavy[1], light[2])] == [JobState.QUEUED] * 2
    assert workspace.info(heavy[1]).ahead == 1


def test_a_stopped_worker_puts_its_jobs_back_and_ends_the_server(workspace: Workspace) -> None:
    job, server = workspace.enqueue("t-steps", n=40), workspace.enqueue("t-serve")
    worker = workspace.worker()
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    workspace.until(lambda: workspace.events(server, "up"), "the server")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait() == 0
    assert workspace.info(job).state is JobState.INTERRUPTED
    assert workspace.info(server).state is JobState.CANCELLED
    assert workspace.processes() == []
    workspace.worker("--until-idle").wait()
    assert workspace.info(job).state is JobState.SUCCEEDED


def test_only_one_worker_in_a_workspace(workspace: Workspace) -> None:
    from engine.jobs.presence import read_presence

    first = workspace.worker()
    workspace.until(lambda: read_presence(workspace.settings), "the worker")
    assert workspace.worker().wait() == 2
    assert "is running already" in workspace.output()
    second = workspace.worker("--wait")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    present = workspace.until(lambda: read_presence(workspace.settings), "the second worker")
    assert present.pid == second.pid


def test_a_worker_is_started_where_there_is_none(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.jobs.worker import ensure_worker, worker_alive
    from tests.integration.workspace import ROOT

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert not worker_alive(workspace.settings)
    ensure_worker(workspace.settings)
    assert worker_alive(workspace.settings)
    ensure_worker(workspace.settings)
    workers = [p for p in workspace.processes() if "engine.jobs.worker" in p.cmdline()]
    assert len(workers) == 1
    job = workspace.enqueue("t-echo")
    assert workspace.until_state(job, *ENDED).state is JobState.SUCCEEDED
