"""The job that keeps models warm and answers on a local socket until nobody asks any more."""

from __future__ import annotations

import hmac
import secrets
import socketserver
import threading
import time
import traceback
from typing import Any, BinaryIO, cast

from engine.contracts.jobs import Work
from engine.errors import LensmithError
from engine.serving.models import WarmModels
from engine.serving.protocol import (
    ProtocolError,
    publish,
    receive_blobs,
    receive_header,
    send,
    withdraw,
)

POLL_SECONDS = 0.25
READ_SECONDS = 10.0
"""A connection that says nothing for so long is closed; shorter than the deadline of a stop."""


def run(work: Work) -> dict[str, Any]:
    """Serve predictions until idle for ``timing.serving_idle`` s or stopped; the result counts them."""
    with PredictionServer(work, WarmModels(work.settings, work.database)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        thread.start()
        address = publish(work.settings, server.server_address[1], server.token)
        work.progress(None, "Ready to predict")
        try:
            while server.idle_seconds() < work.settings.timing.serving_idle:
                work.check_stop()
                time.sleep(POLL_SECONDS)
        finally:
            # First the address, so that nobody new comes; then the requests that are under way end.
            withdraw(work.settings, address)
            server.shutdown()
    return {"requests": server.requests}


class PredictionServer(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1 at a port that the system picks; a thread a connection."""

    daemon_threads = False  # closing waits for requests under way
    block_on_close = True

    def __init__(self, work: Work, models: WarmModels) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.work = work
        self.models = models
        self.token = secrets.token_urlsafe(32)
        self.requests = 0
        self._active = 0
        self._last = time.monotonic()
        self._counting = threading.Lock()

    def idle_seconds(self) -> float:
        """Return how long nobody has asked; 0 while a request is under way."""
        with self._counting:
            return 0.0 if self._active else time.monotonic() - self._last

    def began(self) -> None:
        """Count a request that is let in."""
        with self._counting:
            self._active += 1
            self.requests += 1

    def ended(self) -> None:
        """Count a request out, which starts the idle time anew."""
        with self._counting:
            self._active -= 1
            self._last = time.monotonic()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Put a bug's trace into the job's log; the client sees its connection end."""
        self.work.log(traceback.format_exc())


class _Handler(socketserver.StreamRequestHandler):
    """One connection: one request, one answer."""

    timeout = READ_SECONDS
    server: PredictionServer

    def handle(self) -> None:
        source, sink = cast("BinaryIO", self.rfile), cast("BinaryIO", self.wfile)
        try:
            header = receive_header(source)
            if not self._let_in(header.get("token")):
                return
            contents = receive_blobs(source, header)
        except (ProtocolError, OSError) as error:
            self.server.work.log(f"A request was not understood: {error}")
            return
        self.server.began()
        try:
            send(sink, self._answer(header, contents))
        except OSError as error:
            self.server.work.log(f"An answer was not taken: {error}")
        finally:
            self.server.ended()

    def _let_in(self, token: object) -> bool:
        return hmac.compare_digest(str(token).encode(), self.server.token.encode())

    def _answer(self, header: dict[str, Any], contents: list[bytes]) -> dict[str, Any]:
        try:
            found = self.server.models.answer(header, contents)
        except LensmithError as error:
            kind = type(error).__name__
            return {"error": {"kind": kind, "message": error.message, "hint": error.hint}}
        return {"answers": [item.model_dump(exclude_none=True) for item in found]}
