"""``GET /image/{project}/{image}/thumb|full``: the pictures that galleries and panels show."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.engine_client import client
from app.routes.files import send_file

CACHE: Final = "private, max-age=31536000, immutable"
"""An image id never changes its pixels, so a browser need not ask again."""


async def thumbnail(request: Request) -> Response:
    """Send the small JPEG of an image."""
    project, image = request.path_params["project"], request.path_params["image"]
    file = await run_in_threadpool(client().datasets.thumbnail, project, image)
    return await send_file(request, file, inline=True, cache=CACHE)


async def full(request: Request) -> Response:
    """Send the original file of an image."""
    project, image = request.path_params["project"], request.path_params["image"]
    file = await run_in_threadpool(client().datasets.image_file, project, image)
    return await send_file(request, file, inline=True, cache=CACHE)


routes: list[BaseRoute] = [
    Route("/image/{project}/{image}/thumb", thumbnail),
    Route("/image/{project}/{image}/full", full),
]
