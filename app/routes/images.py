"""``GET /image/{project}/{image}/thumb|full`` and ``/overlay/{project}/{image}``: what galleries show."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.engine_client import client
from app.routes.files import SANDBOX, send_file
from engine.contracts.overlays import OverlaySize
from engine.contracts.palette import class_color
from engine.errors import InputError

CACHE: Final = "private, max-age=31536000, immutable"
"""An image id never changes its pixels, so a browser need not ask again."""
SIZES: Final[dict[str, OverlaySize]] = {"thumb": "thumb", "small": "small", "full": "full"}


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


async def overlay(request: Request) -> Response:
    """Send the labels of an image as a see-through PNG."""
    project, image = request.path_params["project"], request.path_params["image"]
    size = SIZES.get(request.query_params.get("size", "full"))
    if size is None:
        raise InputError("A picture of labels has the size “thumb”, “small” or “full”.", "Change “size”.")
    drawn = await run_in_threadpool(client().overlays.overlay, project, image, size)
    return Response(drawn, media_type="image/png", headers=_kept(request))


async def legend(request: Request) -> Response:
    """Say in JSON which classes are on an image, with their colours, and where their names belong."""
    project, image = request.path_params["project"], request.path_params["image"]
    found = await run_in_threadpool(client().overlays.legend, project, image)
    words = {
        "width": found.width,
        "height": found.height,
        "classes": [[c.name, class_color(c.position), c.count] for c in found.classes],
        "names": [[n.name, class_color(n.position), n.x, n.y] for n in found.names],
        "ignored": found.ignored,
    }
    return JSONResponse(words, headers=_kept(request))


def _kept(request: Request) -> dict[str, str]:
    """Let a browser keep what has a revision in its address; labels change, so the rest is asked again."""
    cache = CACHE if request.query_params.get("r") else "private, no-cache"
    return {"Cache-Control": cache, "Content-Security-Policy": SANDBOX}


routes: list[BaseRoute] = [
    Route("/image/{project}/{image}/thumb", thumbnail),
    Route("/image/{project}/{image}/full", full),
    Route("/overlay/{project}/{image}", overlay),
    Route("/overlay/{project}/{image}/legend", legend),
]
