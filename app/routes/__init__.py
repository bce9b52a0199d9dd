"""Everything that the browser or a script asks of the server besides Streamlit's own addresses."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from app.routes import downloads, health, images, predict, uploads


async def _nothing_here(_request: Request) -> JSONResponse:
    # Without this, Streamlit answers an unknown address with its page and status 200.
    return JSONResponse({"error": "There is nothing at this address.", "hint": ""}, status_code=404)


ROUTES: list[BaseRoute] = [
    *health.routes,
    *uploads.routes,
    *images.routes,
    *downloads.routes,
    *predict.routes,
    *(
        Route(f"/{area}/{{rest:path}}", _nothing_here, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        for area in ("api", "image", "overlay", "download")
    ),
]
