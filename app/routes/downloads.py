"""``GET /download/...``: what a person takes home, always as an attachment."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.engine_client import client
from app.routes.files import send_file
from engine.errors import NotFoundError

CACHE: Final = "private, no-cache"
"""A new export or import may stand behind the same address: always ask."""


async def bundle(request: Request) -> Response:
    """Send the export bundle of a run."""
    file = await run_in_threadpool(client().models.export_file, request.path_params["run"])
    return await send_file(request, file, inline=False, cache=CACHE)


async def issues(request: Request) -> Response:
    """Send every repair and skip of a project's latest import as CSV."""
    file = await run_in_threadpool(client().datasets.issues_file, request.path_params["project"])
    if file is None:
        raise NotFoundError("This project has no import report.", "Import images first.")
    return await send_file(request, file, inline=False, cache=CACHE)


async def job_issues(request: Request) -> Response:
    """Send every repair and skip that an import had found before it asked or was refused, as CSV."""
    file = await run_in_threadpool(client().datasets.issues_file_of, request.path_params["job"])
    if file is None:
        raise NotFoundError("This import has nothing to list.", "Look at the import itself.")
    return await send_file(request, file, inline=False, cache=CACHE)


async def weights(request: Request) -> Response:
    """Send imported weights with their config, as a ZIP that any Lensmith takes in."""
    file = await run_in_threadpool(client().weights.file, request.path_params["item"])
    return await send_file(request, file, inline=False, cache=CACHE)


async def dataset(request: Request) -> Response:
    """Send a set that was written in a format of other tools."""
    project, job = request.path_params["project"], request.path_params["job"]
    file = await run_in_threadpool(client().dataset_exports.file, project, job)
    return await send_file(request, file, inline=False, cache=CACHE)


routes: list[BaseRoute] = [
    Route("/download/{run}/bundle.zip", bundle),
    Route("/download/{project}/issues.csv", issues),
    Route("/download/import/{job}/issues.csv", job_issues),
    Route("/download/{project}/set/{job}.zip", dataset),
    Route("/download/weights/{item}/weights.zip", weights),
]
