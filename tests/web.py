"""A web server for tests: the real server and routes over a stand-in for the workspace.

``python -m tests.web FOLDER SCRIPT PORT`` serves; tests use ``serving``.
"""

from __future__ import annotations

import asyncio
import io
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from PIL import Image

from engine.contracts.datasets import UploadInfo
from engine.contracts.files import ServedFile
from engine.contracts.overlays import Legend, OverlaySize
from engine.contracts.predictions import FilePrediction, Prediction
from engine.errors import InputError, LimitError, NotFoundError

ROOT = Path(__file__).parents[1]
TOKEN = "test-token-of-this-workspace"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread of its own: a browser of an earlier test keeps a loop in this one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


class StandInDatasets:
    """Uploads and files in a folder; ``limit`` is the largest upload in bytes."""

    def __init__(self, folder: Path, limit: int = 2**30) -> None:
        self.folder = folder
        self.limit = limit
        self.uploads: dict[str, UploadInfo] = {}
        self.keys: dict[str, str] = {}
        self.files: dict[tuple[str, str], ServedFile] = {}
        self.issues: ServedFile | None = None
        self.found: dict[str, ServedFile] = {}

    def begin_upload(self, name: str, size: int, key: str | None = None) -> UploadInfo:
        if key in self.keys:
            return self.uploads[self.keys[key]]
        if size == 0:
            raise InputError(f"“{name}” is empty.", "Choose another file.")
        if size > self.limit:
            raise LimitError(f"“{name}” is too large.", "Split it.")
        info = UploadInfo(id=f"u{len(self.uploads)}", name=name, size=size, received=0, complete=False)
        self.uploads[info.id] = info
        if key:
            self.keys[key] = info.id
        self.upload_path(info.id).touch()
        return info

    def upload(self, upload: str) -> UploadInfo:
        if upload not in self.uploads:
            raise NotFoundError("This upload is not known.", "Start it again.")
        return self.uploads[upload]

    def upload_path(self, upload: str) -> Path:
        return self.folder / upload

    def record_upload(self, upload: str, received: int) -> UploadInfo:
        info = self.uploads[upload]
        self.uploads[upload] = info.model_copy(
            update={"received": received, "complete": received == info.size}
        )
        return self.uploads[upload]

    def thumbnail(self, project: str, image: str) -> ServedFile:
        return self.image_file(project, image)

    def image_file(self, project: str, image: str) -> ServedFile:
        if (project, image) not in self.files:
            raise NotFoundError("There is no such image.", "Reload the page.")
        return self.files[project, image]

    def issues_file(self, project: str) -> ServedFile | None:
        return self.issues

    def issues_file_of(self, job: str) -> ServedFile | None:
        return self.found.get(job)


class StandInOverlays:
    """Gives what ``labels`` has for a project and an image: the bytes say which and in which size."""

    def __init__(self) -> None:
        self.labels: dict[tuple[str, str], Legend] = {}

    def overlay(self, project: str, image: str, size: OverlaySize) -> bytes:
        self.legend(project, image)
        buffer = io.BytesIO()
        Image.new("RGBA", (40, 30), (0, 0, 255, 102)).save(buffer, "PNG")
        return buffer.getvalue() + f"{project} {image} {size}".encode()

    def legend(self, project: str, image: str) -> Legend:
        if (project, image) not in self.labels:
            raise NotFoundError("There is no such image.", "Reload the page.")
        return self.labels[project, image]


class StandInModels:
    """Answers each file with one prediction that tells its size."""

    def __init__(self) -> None:
        self.bundle: ServedFile | None = None

    def export_file(self, run: str) -> ServedFile:
        if self.bundle is None:
            raise NotFoundError("This run has no export.", "Make one first.")
        return self.bundle

    def predict(self, target: str, files: Sequence[tuple[str, bytes]]) -> tuple[FilePrediction, ...]:
        if target == "bug":
            raise RuntimeError("a secret of the server")
        return tuple(
            FilePrediction(file=name, predictions=(Prediction(label=f"{len(data)} bytes", score=1.0),))
            for name, data in files
        )


class StandInSetExports:
    """Sends a set for the project and the job that ``archives`` names."""

    def __init__(self) -> None:
        self.archives: dict[tuple[str, str], ServedFile] = {}

    def file(self, project: str, job: str) -> ServedFile:
        if (project, job) not in self.archives:
            raise NotFoundError("This export does not exist.", "Export the set again.")
        return self.archives[project, job]


class StandInWeights:
    """Sends one file, whatever it is asked for."""

    def __init__(self) -> None:
        self.archive: ServedFile | None = None

    def file(self, item: str) -> ServedFile:
        if self.archive is None:
            raise NotFoundError(f"There are no imported weights called “{item}”.", "Reload the page.")
        return self.archive


class StandIn:
    """What the web server needs of a workspace."""

    def __init__(self, folder: Path) -> None:
        self.token = TOKEN
        self.settings = SimpleNamespace(allowed_hosts=())
        self.datasets = StandInDatasets(folder)
        self.dataset_exports = StandInSetExports()
        self.overlays = StandInOverlays()
        self.models = StandInModels()
        self.weights = StandInWeights()


@dataclass(frozen=True)
class Served:
    """A running server: its address, its process and the folder where uploads land."""

    url: str
    pid: int
    folder: Path


@contextmanager
def serving(script: Path, folder: Path) -> Iterator[Served]:
    """Run the real server around the Streamlit ``script`` in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "tests.web", str(folder), str(script), str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process, folder / "server.log")
        yield Served(url, process.pid, folder)
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers; raises with its log when it ended instead."""
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(log.read_text("utf-8"))
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("The server did not answer within a minute.\n" + log.read_text("utf-8"))


def main(folder: Path, script: Path, port: int) -> None:
    """Serve until the process is ended."""
    import uvicorn

    from app import engine_client

    engine_client.use(StandIn(folder))  # type: ignore[arg-type]
    from app.server import create_app

    uvicorn.run(create_app(script), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
