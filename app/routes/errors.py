"""Errors of the routes as JSON: a sentence and a next step; the trace stays in the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from app.security import HEADERS
from engine.errors import LensmithError

Handler = Callable[[Request, Exception], Awaitable[Response]]


async def expected(_request: Request, error: Exception) -> Response:
    """Answer an error that was raised on purpose, with its own status."""
    assert isinstance(error, LensmithError)
    return JSONResponse({"error": error.message, "hint": error.hint}, status_code=error.http_status)


async def unexpected(_request: Request, _error: Exception) -> Response:
    """Answer a bug: nothing of it leaves the server; Starlette raises it on, so that it is logged."""
    body = {"error": "Something went wrong on the server.", "hint": "Try again; the log has the details."}
    return JSONResponse(body, status_code=500, headers=HEADERS)


async def gone(_request: Request, _error: Exception) -> Response:
    """Nobody is there any more to read an answer; the status is for the access log only."""
    return Response(status_code=400)


HANDLERS: dict[type[Exception], Handler] = {
    LensmithError: expected,
    ClientDisconnect: gone,
    Exception: unexpected,
}
