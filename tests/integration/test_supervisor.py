"""``lensmith up`` and ``down`` with real processes; the page is a server of a few lines."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from engine.contracts.jobs import ENDED, JobState
from engine.errors import InputError
from engine.jobs import supervisor
from engine.jobs.part import Part
from engine.jobs.ports import DEFAULT_PORT, choose_port
from engine.jobs.presence import read_presence
from engine.jobs.supervisor import Running, down, read_running, up
from tests.integration.workspace import ROOT, Workspace

WEB = "tests.integration.tiny_web:app"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def start(workspace: Workspace, port: int, web: str = WEB) -> subprocess.Popen[bytes]:
    return workspace.run("engine.jobs.supervisor", web, "--host", "127.0.0.1", "--port", str(port))


def until_up(workspace: Workspace) -> Running:
    def ready() -> Running | None:
        running = read_running(workspace.settings)
        return (
            running if running is not None and running.ready and read_presence(workspace.settings) else None
        )

    found = workspace.until(ready, "the start")
    assert isinstance(found, Running)
    return found


def named(workspace: Workspace, part: str) -> psutil.Process:
    return next(
        p for p in workspace.processes() if "engine.jobs.tether" in p.cmdline() and part in p.cmdline()
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_everything_and_the_work_goes_on_later(
    workspace: Workspace, port: int, number: signal.Signals
) -> None:
    job = workspace.enqueue("t-steps", n=40)
    process = start(workspace, port)
    running = until_up(workspace)
    assert f"Lensmith is at {running.url}" in workspace.output()
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    os.kill(process.pid, number)
    assert process.wait() == 0
    assert workspace.processes() == []
    assert workspace.info(job).state is JobState.INTERRUPTED
    assert read_running(workspace.settings) is None
    if number is not signal.SIGINT:
        return  # from here on it is the same for each signal
    start(workspace, port)
    assert workspace.until_state(job, *ENDED).state is JobState.SUCCEEDED


def test_a_killed_supervisor_leaves_nothing_behind(workspace: Workspace, port: int) -> None:
    job, deaf = workspace.enqueue("t-steps", n=10_000), workspace.enqueue("t-deaf")
    process = start(workspace, port)
    until_up(workspace)
    workspace.until(lambda: workspace.events(job, "epoch"), "the first step")
    workspace.until(lambda: workspace.events(deaf, "helper"), "the deaf child")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    workspace.until(lambda: not workspace.processes(), "the end of all")
    assert workspace.info(job).state is JobState.INTERRUPTED


@pytest.mark.parametrize("part", ["uvicorn", "engine.jobs.worker"])
def test_either_part_is_started_again(workspace: Workspace, port: int, part: str) -> None:
    start(workspace, port)
    until_up(workspace)
    first = named(workspace, part)
    first.kill()
    workspace.until(lambda: not first.is_running(), "its end")
    again = workspace.until(
        lambda: next((p for p in workspace.processes() if part in p.cmdline()), None), "its return"
    )
    assert again.pid != first.pid
    job = workspace.enqueue("t-echo")
    assert workspace.until_state(job, *ENDED).state is JobState.SUCCEEDED


def test_a_second_up_says_where_the_first_is(workspace: Workspace, port: int) -> None:
    start(workspace, port)
    running = until_up(workspace)
    said: list[str] = []
    assert up(workspace.settings, open_browser=False, say=said.append) == 0
    assert said == [f"Lensmith runs already, at {running.url}"]


def test_detached_until_down(workspace: Workspace, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    said: list[str] = []
    options = {"open_browser": False, "detach": True, "say": said.append, "web_app": WEB}
    assert up(workspace.settings, port=port, **options) == 0  # type: ignore[arg-type]
    assert f"http://127.0.0.1:{port}" in said[0]
    until_up(workspace)
    assert down(workspace.settings, say=said.append) == 0
    assert "has ended" in said[1]
    assert workspace.processes() == []
    assert down(workspace.settings, say=said.append) == 0
    assert said[2] == "Lensmith does not run."


def test_a_page_that_cannot_start_is_an_error_with_its_reason(workspace: Workspace, port: int) -> None:
    process = start(workspace, port, web="tests.integration.no_such_module:app")
    assert process.wait() == 1
    assert "The page does not start: " in workspace.output()
    assert "no_such_module" in workspace.output().split("The page does not start: ")[1]
    assert workspace.processes() == []


def test_a_foreign_process_with_the_same_id_is_not_taken_for_ours(workspace: Workspace) -> None:
    record = Running(pid=os.getpid(), pid_started=1.0, url="http://127.0.0.1:1", ready=True)
    workspace.settings.home.mkdir(parents=True, exist_ok=True)
    (workspace.settings.home / "supervisor.json").write_text(record.model_dump_json())
    assert read_running(workspace.settings) is None
    assert down(workspace.settings, say=lambda _line: None) == 0


def test_down_does_not_mind_a_process_that_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setattr(supervisor, "is_alive", lambda _pid, _started: True)  # as a moment ago
    supervisor._end(gone.pid, 1.0)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org"])
def test_a_public_host_is_refused(workspace: Workspace, host: str) -> None:
    with pytest.raises(InputError, match="no sign-in"):
        up(workspace.settings, host, open_browser=False)


def test_a_port_in_use_is_refused_by_name_and_passed_over_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(InputError, match="--port"):
            choose_port("127.0.0.1", number)
        monkeypatch.setattr("engine.jobs.ports.DEFAULT_PORT", number)
        assert number < choose_port("127.0.0.1", None) < number + 20
    assert DEFAULT_PORT == 8501


def test_delays_grow_with_deaths(workspace: Workspace) -> None:
    part = Part(workspace.settings, "bad", ("tests.integration.no_such_module",))
    delays = []
    for deaths in (1, 2, 3):
        part._due = 0.0
        part.keep()
        assert part.process is not None
        part.process.wait()
        now = time.monotonic()
        part.keep()
        assert (part.deaths, part.alive) == (deaths, False)
        delays.append(round(part._due - now, 1))
    assert delays == [0.5, 1.0, 2.0]
    assert "no_such_module" in part.last_words()


def test_supervisor_module_names_the_screens_only_by_a_string() -> None:
    source = Path(supervisor.__file__).read_text()
    assert 'WEB_APP = "app.server:app"' in source
    assert "import app" not in source
