"""A web server of a few lines, so that the supervisor's tests need not start the screens."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

app = Starlette(routes=[Route("/healthz", lambda _request: PlainTextResponse("ok"))])
