"""``GET /healthz``: the process is up; the supervisor and the tests ask it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route


async def health(_request: Request) -> JSONResponse:
    """Say that requests are answered; opens nothing."""
    return JSONResponse({"ok": True}, headers={"Cache-Control": "no-store"})


routes: list[BaseRoute] = [Route("/healthz", health)]
