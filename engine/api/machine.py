"""The machine in words: what it has, and what stands in the way of working."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import psutil

from engine.contracts.models import Machine
from engine.jobs.presence import worker_alive
from engine.models.catalog import read_catalog, read_devices
from engine.settings import Settings

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
ROOM = 2 * 2**30
MEMORY = 3 * 2**30


def describe_machine(settings: Settings) -> Machine:
    """Return devices, memory and disk (bytes), and a sentence for each problem; loads no torch."""
    settings.home.mkdir(parents=True, exist_ok=True)
    memory = psutil.virtual_memory().total
    free = shutil.disk_usage(settings.home).free
    alive = worker_alive(settings)
    return Machine(
        python=platform.python_version(),
        torch=version("torch"),
        devices=read_devices(settings),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=memory,
        disk_free=free,
        home=str(settings.home),
        weights=tuple(model.name for model in read_catalog(settings) if model.weights.cached),
        browser=find_browser(os.environ) or "",
        worker="running" if alive else "",
        problems=tuple(_problems(memory, free, settings)),
    )


def find_browser(environment: Mapping[str, str]) -> str | None:
    """Return a Chromium's path: ``CHROMIUM_PATH``, the usual names, Playwright's own; else None."""
    named = environment.get("CHROMIUM_PATH")
    if named:
        return named if Path(named).is_file() else None
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or _playwrights_own(environment)


def _playwrights_own(environment: Mapping[str, str]) -> str | None:
    cache = Path(environment.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return next((str(path) for path in sorted(cache.glob("chromium-*/chrome-linux*/chrome"))), None)


def _problems(memory: int, free: int, settings: Settings) -> list[str]:
    found = []
    if memory < MEMORY:
        found.append(f"This machine has {memory / 2**30:.1f} GB of memory; training wants 3 GB or more.")
    if free < ROOM:
        found.append(f"Only {free / 2**30:.1f} GB are free under {settings.home}; free 2 GB or more.")
    if not os.access(settings.home, os.W_OK):
        found.append(f"The workspace {settings.home} cannot be written; set LENSMITH_HOME to another folder.")
    return found
