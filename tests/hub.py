"""A stand-in for the weights hub: real sockets, a hub's headers, and every fault on demand.

As on the real hub, the weights' own address answers with the commit, the SHA-256 and a redirect to another
host ("localhost" stands for it), and small files are answered directly with git's SHA-1.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

COMMIT = "a" * 40
CHUNK = 1 << 14


@dataclass(frozen=True)
class Fault:
    """What happens to the bytes of a file: ``after`` is where in the file (bytes), ``status`` of a refusal.

    "cut" closes the line there, "stall" sends no more, "wrong" changes all bytes from there,
    "slow" rests 0.1 s after each ``CHUNK``, "refuse" answers with ``status``, "silent" never answers at all,
    "full" ignores Range. It befalls the first ``times`` requests for the bytes.
    """

    kind: Literal["cut", "stall", "wrong", "refuse", "silent", "full", "slow"]
    after: int = 0
    status: int = 503
    times: int = 1_000_000


@dataclass
class StandInHub:
    """Use as a context manager; ``seen`` lists (method, path, first byte asked for)."""

    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> StandInHub:
        hub = self

        class Handler(_Handler):
            stand_in = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def elsewhere(self) -> str:
        return f"http://localhost:{self.port}"

    def add(self, repository: str, content: bytes, file: str = "model.safetensors") -> None:
        """Publish a file of a repository, at every revision."""
        large = file.endswith(".safetensors")
        small = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        etag = hashlib.sha256(content).hexdigest() if large else small
        self.files[f"{repository}/{file}"] = content, etag
        if large:
            self.files[f"cdn/{etag}"] = content, etag

    def add_address(self, stem: str, content: bytes) -> str:
        """Publish a file as torchvision does, with the first digits in its name; returns its address."""
        name = f"models/{stem}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        self.files[name] = content, ""
        return f"{self.address}/{name}"

    def spoil(self, content: bytes, fault: Fault) -> None:
        """Let a fault befall the transfer of these bytes, wherever they are published."""
        for key, (published, _) in self.files.items():
            if published == content and not key.endswith(".safetensors"):
                self.faults[key] = fault


    def wait_for(self, content: bytes, seconds: float = 20.0) -> bool:
        """Wait until these bytes were sent as far as their fault allows."""
        deadline = time.monotonic() + seconds
        while not (found := hashlib.sha256(content).hexdigest() in self.sent) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when a client goes away: tests kill them."""


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandInHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.stand_in
        parts = self.path.strip("/").split("/")
        revision = COMMIT
        if len(parts) == 5 and parts[2] == "resolve":
            revision = parts[3] if len(parts[3]) == 40 else COMMIT
            parts = [parts[0], parts[1], parts[4]]
        key = "/".join(parts)
        span = self.headers.get("Range", "")
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        hub.seen.append((self.command, key, start))
        fault = hub.faults.get(key) or hub.faults.get("*")
        fault = fault if fault and fault.times else None
        if fault and fault.kind == "silent":
            hub.ended.wait()
            self.close_connection = True
        elif fault and fault.kind == "refuse":
            self._head(fault.status, {"Content-Length": "0"})
        elif key not in hub.files:
            self._head(200 if not key else 404, {"Content-Length": "0", "X-Repo-Commit": revision})
        elif key.endswith(".safetensors"):
            content, etag = hub.files[key]
            linked = {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
            there = {"Location": f"{hub.elsewhere}/cdn/{etag}", "Content-Length": "0"}
            self._head(302, {"X-Repo-Commit": revision, **linked, **there})
        else:
            self._content(key, revision, start, fault, body=body)

    def _content(self, key: str, revision: str, start: int, fault: Fault | None, *, body: bool) -> None:
        content, etag = self.stand_in.files[key]
        start = 0 if fault and fault.kind == "full" else start
        if start and start >= len(content):
            self._head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            return
        headers = {"Content-Length": str(len(content) - start), "X-Repo-Commit": revision}
        if etag:
            headers["ETag"] = f'"{etag}"'
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(206 if start else 200, headers)
        if body:
            self._send(key, start, fault)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, key: str, start: int, fault: Fault | None) -> None:
        hub = self.stand_in
        content, _ = hub.files[key]
        if fault:
            hub.faults[key] = replace(fault, times=fault.times - 1)
        if fault and fault.kind == "wrong":
            content = content[: fault.after] + bytes(byte ^ 1 for byte in content[fault.after :])
        end = max(start, fault.after) if fault and fault.kind in ("cut", "stall") else len(content)
        for at in range(start, end, CHUNK):
            self.wfile.write(content[at : min(at + CHUNK, end)])
            if fault and fault.kind == "slow":
                time.sleep(0.1)
        self.wfile.flush()
        hub.sent.add(hashlib.sha256(self.stand_in.files[key][0]).hexdigest())
        if end < len(content):
            if fault and fault.kind == "stall":
                hub.ended.wait()
            self.close_connection = True
