"""A process with its own caches of weights that fetches as it is told.

The hub's client reads its environment when it is imported, so each environment needs a process.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import close_session

from engine.errors import JobCancelledError, LensmithError
from engine.models.fetch import ask, fetch
from engine.models.hub_cache import cached, cached_items, remove_cached
from engine.models.published import Published
from engine.models.weights import hub_environment
from engine.settings import Settings

SHORT, LONG = 1.0, 30.0
"""Limits of silence in seconds: for what falls silent, and for what a busy machine only makes slow."""

Usage = namedtuple("Usage", "total used free")


class Fetcher:
    """A process with its own caches that does what its standard input says."""

    def __init__(self, home: Path, endpoint: str, **environment: str) -> None:
        self.home, self.endpoint = home, endpoint
        self.hub, self.checkpoints = home / "hf" / "hub", home / "torch" / "hub" / "checkpoints"
        settings = Settings(home=home, database_url="", hub_timeout=SHORT)
        self.environment = {
            **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            **hub_environment(settings),
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home / "hf"),
            "TORCH_HOME": str(home / "torch"),
            **environment,
        }
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fetcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.environment,
        )

    def send(self, call: str, published: Published | None = None, **options: Any) -> None:
        assert self.process.stdin is not None
        order = {"call": call, "published": asdict(published) if published else None, **options}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        reply: dict[str, Any] = json.loads(self.process.stdout.readline())
        return reply

    def __call__(self, call: str, published: Published | None = None, **options: Any) -> dict[str, Any]:
        self.send(call, published, **options)
        return self.receive()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def partial_files(self) -> list[str]:
        left = [*self.home.rglob("*.incomplete"), *self.home.rglob(".lensmith-*"), *self.home.rglob("*.part")]
        return [path.name for path in left]


def _serve() -> None:
    """Do what each line of standard input says, and answer with one line."""
    usage, look_up = shutil.disk_usage, socket.getaddrinfo
    for line in sys.stdin:
        order = json.loads(line)
        free, hang = order.get("free"), order.get("names_hang")
        shutil.disk_usage = (lambda path, free=free: Usage(free, 0, free)) if free is not None else usage  # type: ignore
        if hang:
            close_session()  # what is connected already needs no name
        socket.getaddrinfo = (lambda *_, **__: time.sleep(8) or []) if hang else look_up  # type: ignore
        print(json.dumps(_obey(order)), flush=True)


def _obey(order: dict[str, Any]) -> dict[str, Any]:
    offline, timeout = order.get("offline", False), order.get("timeout", LONG)
    settings = Settings(home=Path(), database_url="", offline=offline, hub_timeout=timeout)
    published = Published(**order["published"]) if order["published"] else None
    told: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        told.append((done, total))

    def check_stop() -> None:
        if order.get("stop_at") is not None and told and told[-1][0] >= order["stop_at"]:
            raise JobCancelledError("stopped")

    calls: dict[str, Any] = {
        "fetch": lambda: str(fetch(settings, published, progress, check_stop)),  # type: ignore[arg-type]
        "ask": lambda: asdict(ask(settings, published)),  # type: ignore[arg-type]
        "cached": lambda: (path := cached(published)) and str(path),  # type: ignore[arg-type]
        "items": lambda: [{**asdict(item), "path": str(item.path)} for item in cached_items()],
        "remove": lambda: remove_cached(published),  # type: ignore[arg-type]
    }
    reply: dict[str, Any] = {"value": None, "error": None, "hint": "", "kind": "", "progress": told}
    try:
        reply["value"] = calls[order["call"]]()
    except LensmithError as error:
        reply.update(error=error.message, hint=error.hint, kind=type(error).__name__)
    return reply


if __name__ == "__main__":
    _serve()
