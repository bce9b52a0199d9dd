"""Sending one file of the workspace, safely: fixed type, no sniffing, no script, revalidation by ETag."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from engine.contracts.files import ServedFile
from engine.errors import NotFoundError

INLINE_TYPES: Final = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/heic"}
)
"""What may open in the page; everything else, SVG and HTML above all, is only ever saved."""

SANDBOX: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; sandbox"
"""Content-Security-Policy of whatever is sent: should it be opened as a page, it can do nothing."""


async def send_file(request: Request, file: ServedFile, *, inline: bool, cache: str) -> Response:
    """Answer with ``file``, or 304 where the browser has it; ``cache`` is the Cache-Control to give.

    Raises ``NotFoundError`` when the file has gone.
    """
    etag = f'"{file.etag}"'
    shown = inline and file.media_type in INLINE_TYPES
    headers = {"ETag": etag, "Cache-Control": cache, "Content-Security-Policy": SANDBOX}
    if _matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if not await run_in_threadpool(file.path.is_file):
        raise NotFoundError(f"“{file.name}” is no longer in the workspace.", "Reload the page.")
    return FileResponse(
        file.path,
        media_type=file.media_type if shown or not inline else "application/octet-stream",
        filename=file.name,
        content_disposition_type="inline" if shown else "attachment",
        headers=headers,
    )


def _matches(header: str, etag: str) -> bool:
    candidates = (candidate.strip().removeprefix("W/") for candidate in header.split(","))
    return any(candidate in (etag, "*") for candidate in candidates)
