"""How fast the house opens: the facade and the first page."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.bench.measure import interleaved, row
from engine.errors import UnavailableError
from engine.settings import Settings


def facade_import(settings: Settings) -> dict[str, Any]:
    """Measure ``import engine.api`` in a fresh process, beside an empty Python."""

    def timed(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    ratio, a, b = interleaved(lambda: timed("import engine.api"), lambda: timed("pass"), rounds=5)
    note = f"{a:.2f} s against {b:.2f} s for an empty Python"
    return row("import-time", "s, facade / empty", ratio, None, "ratio", note)


def first_page(settings: Settings) -> dict[str, Any]:
    """Measure seconds from ``lensmith up`` to an answered page, in a fresh workspace."""
    seconds = []
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="lensmith-page-") as folder:
            home = Path(folder)
            fresh = replace(settings, home=home, database_url=f"sqlite:///{home / 'lensmith.db'}")
            seconds.append(_time_to_page({**os.environ, **fresh.environment()}))
    middle = sorted(seconds)[1]
    note = "seconds: " + ", ".join(f"{value:.1f}" for value in seconds)
    return row("first-page", "s", middle, 10.0, "s", note)


def _time_to_page(environment: dict[str, str], limit: float = 60.0) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "engine.cli", "up", "--port", str(port), "--no-browser"]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - start < limit:
            if _answers(f"http://127.0.0.1:{port}/"):
                return time.perf_counter() - start
            time.sleep(0.05)
        raise UnavailableError(f"No page within {limit:.0f} s.", "Look at `lensmith up` in a terminal.")
    finally:
        process.terminate()
        process.wait(60)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as reply:  # noqa: S310 - a loopback address of ours
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
