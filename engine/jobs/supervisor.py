"""``lensmith up``: keeps the web server and the worker alive, and ends both together.

The web server is named by a string, because the engine does not know the screens. ``supervisor.json``
says which process supervises and where the page is; it counts only while that very process lives.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from engine.errors import ConflictError, LensmithError, UnavailableError
from engine.jobs.part import Part
from engine.jobs.ports import answers, check_host, choose_port, url_of
from engine.jobs.presence import open_log, read_presence
from engine.settings import Settings
from engine.storage.blobs import write_atomic
from engine.storage.processes import Account, is_alive, read_account, this_process

LOG = logging.getLogger("lensmith.supervisor")

WEB_APP = "app.server:app"
START_SECONDS = 120.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.2
HOPELESS = 3
"""So often may the web server die before its first answer."""

Say = Callable[[str], None]


class Running(Account):
    """A supervisor's account of itself; ``ready`` once the page has answered."""

    url: str
    ready: bool


def read_running(settings: Settings) -> Running | None:
    """Return the account of the supervisor of this workspace if its process is alive."""
    return read_account(_record_path(settings), Running)


def say_aloud(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def up(
    settings: Settings,
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    open_browser: bool = True,
    detach: bool = False,
    say: Say = say_aloud,
    web_app: str = WEB_APP,
) -> int:
    """Start page and worker and keep them alive until Ctrl-C; returns the exit code.

    With ``detach`` they go on in the background, and this returns once the page answers. Where they run
    already, it only says so. Raises ``InputError`` for a public host or a port in use, and
    ``UnavailableError`` when the page does not come up.
    """
    check_host(host)
    running = read_running(settings)
    if running is not None:
        say(f"Lensmith runs already, at {running.url}")
        if open_browser and running.ready:
            webbrowser.open(running.url)
        return 0
    port = choose_port(host, port)
    if detach:
        url = _detach(settings, host, port, web_app)
        say(f"Lensmith is at {url} and runs in the background. `lensmith down` ends it.")
        if open_browser:
            webbrowser.open(url)
        return 0
    supervisor = Supervisor(settings, host, port, web_app)
    supervisor.run(say, open_browser=open_browser)
    return 0


def down(settings: Settings, *, say: Say = say_aloud) -> int:
    """End the supervisor with all it started, and any worker of this workspace; returns the exit code."""
    running, worker = read_running(settings), read_presence(settings)
    if running is None and worker is None:
        say("Lensmith does not run.")
        return 0
    for process in (running, worker):
        if process is not None:
            _end(process.pid, process.pid_started)
    say("Lensmith has ended. Runs in progress go on at the next `lensmith up`.")
    return 0


class Supervisor:
    """Both parts of a running Lensmith, and the signals that end them."""

    def __init__(self, settings: Settings, host: str, port: int, web_app: str = WEB_APP) -> None:
        self.settings = settings
        self.host, self.port, self.url = host, port, url_of(host, port)
        self.stopping = threading.Event()
        self._ready = False
        address = ("--host", host, "--port", str(port))
        # A proxy's headers are not believed: the checks of the server look at the real peer.
        quiet = ("--no-access-log", "--no-proxy-headers", "--timeout-graceful-shutdown", "3")
        self.web = Part(settings, "web", ("uvicorn", web_app, *address, *quiet))
        self.worker = Part(settings, "worker", ("engine.jobs.worker", "--wait"))

    def run(self, say: Say, *, open_browser: bool) -> None:
        """Keep both parts alive until a signal asks to stop; then end both.

        Says the address, and opens it in a browser if wanted, once the page answers.

        Raises ``ConflictError`` when another supervisor holds this workspace, and ``UnavailableError``
        when the web server cannot start.
        """
        self.settings.home.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(str(self.settings.home / "supervisor.lock")).acquire(timeout=0):
                self._listen()
                self._supervise(say, open_browser)
        except Timeout:
            raise ConflictError(
                "Lensmith is being started or stopped elsewhere.", "Try again in a few seconds."
            ) from None

    def _listen(self) -> None:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)

    def _supervise(self, say: Say, open_browser: bool) -> None:
        self._write_record()
        try:
            while not self.stopping.is_set():
                self.web.keep()
                self.worker.keep()
                if not self._ready and self._page_answers():
                    say(f"Lensmith is at {self.url}")
                    say("Ctrl-C ends it; runs in progress go on at the next start.")
                    if open_browser:
                        webbrowser.open(self.url)
                self.stopping.wait(LOOK_SECONDS)
        finally:
            self._stop()

    def _page_answers(self) -> bool:
        if self.web.deaths >= HOPELESS:
            raise UnavailableError(
                f"The page does not start: {self.web.last_words()}", f"Its log is {self.web.log}."
            )
        if self.web.alive and answers(self.host, self.port):
            self._ready = True
            self._write_record()
        return self._ready

    def _stop(self) -> None:
        for part in (self.worker, self.web):
            part.terminate()
        end = time.monotonic() + STOP_SECONDS
        for part in (self.worker, self.web):
            part.wait_or_kill(end - time.monotonic())
        _record_path(self.settings).unlink(missing_ok=True)

    def _write_record(self) -> None:
        pid, started = this_process()
        running = Running(pid=pid, pid_started=started, url=self.url, ready=self._ready)
        write_atomic(_record_path(self.settings), running.model_dump_json().encode(), sync=False)


def _record_path(settings: Settings) -> Path:
    return settings.home / "supervisor.json"


def _detach(settings: Settings, host: str, port: int, web_app: str) -> str:
    log = open_log(settings, "supervisor")
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.jobs.supervisor", web_app, "--host", host, "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, **settings.environment()},
        start_new_session=True,
    )
    os.close(log)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        running = read_running(settings)
        if running is not None and running.ready:
            return running.url
        time.sleep(LOOK_SECONDS)
    raise UnavailableError("Lensmith did not start.", f"Its log is {settings.logs / 'supervisor.log'}.")


def _end(pid: int, started: float) -> None:
    end = time.monotonic() + STOP_SECONDS + 5
    asked = False
    with suppress(ProcessLookupError):  # it may end by itself between the look and the signal
        while is_alive(pid, started):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)  # what it started ends itself when it sees this
            elif not asked:
                os.kill(pid, signal.SIGTERM)
                asked = True
            time.sleep(0.1)


def main(arguments: list[str] | None = None) -> int:
    """Be the supervisor in the background; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lensmith up")
    parser.add_argument("web_app")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = Settings.from_environment()
        return up(settings, options.host, options.port, open_browser=False, web_app=options.web_app)
    except LensmithError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
