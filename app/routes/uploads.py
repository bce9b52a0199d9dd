"""Uploads: streamed to disk in pieces, so that the server's memory stays flat at any size.

``POST /api/uploads`` ``{name, size, key?}`` opens one, ``PUT /api/uploads/{id}?offset=N`` appends bytes
from ``N`` on, ``GET /api/uploads/{id}`` tells from where to go on after a break. Every answer is an
``UploadInfo``. Bytes count as received only after they were synced to disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from app.engine_client import client
from engine.contracts.datasets import UploadInfo
from engine.errors import ConflictError, InputError, LimitError

PIECE_BYTES: Final = 2**20
"""Written at once: large enough that the hop to a thread costs nothing, small enough for the memory."""
RECORD_BYTES: Final = 64 * 2**20
"""At most this much is sent again after the server was killed."""
OPENING_BYTES: Final = 16 * 1024

_writing: set[str] = set()


class Opening(BaseModel):
    """Body of ``POST /api/uploads``; the same ``key`` again returns the first upload."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=1024)
    size: int = Field(ge=0, description="bytes")
    key: str | None = Field(None, max_length=200)


async def begin(request: Request) -> JSONResponse:
    """Open an upload."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > OPENING_BYTES:
            raise LimitError("This is too long for an upload's name.", "Send {name, size} as JSON.")
    try:
        opening = Opening.model_validate_json(body)
    except ValidationError as error:
        raise InputError("An upload begins with its name and size.", "Send {name, size} as JSON.") from error
    begin_upload = client().datasets.begin_upload
    return _answer(await run_in_threadpool(begin_upload, opening.name, opening.size, opening.key), status=201)


async def state(request: Request) -> JSONResponse:
    """Tell how much of an upload is on disk."""
    return _answer(await run_in_threadpool(client().datasets.upload, request.path_params["upload"]))


async def append(request: Request) -> JSONResponse:
    """Append the body to an upload, from ``offset`` bytes on.

    Raises ``ConflictError`` when the offset is not where the upload stands or another request is writing
    it, ``LimitError`` when more comes than was announced.
    """
    upload = request.path_params["upload"]
    offset = request.query_params.get("offset", "")
    if not offset.isdecimal():
        raise InputError("The offset is missing.", "Add ?offset= with the bytes already received.")
    if upload in _writing:
        raise ConflictError("This file is already being uploaded.", "Close the other tab, or wait for it.")
    _writing.add(upload)
    try:
        info = await run_in_threadpool(client().datasets.upload, upload)
        if int(offset) != info.received:
            raise ConflictError(f"{info.received} bytes of this upload are here.", "Go on from there.")
        return _answer(await _receive(request, info))
    finally:
        _writing.discard(upload)


async def _receive(request: Request, info: UploadInfo) -> UploadInfo:
    datasets = client().datasets
    path = await run_in_threadpool(datasets.upload_path, info.id)
    file = await run_in_threadpool(_open_at, path, info.received)
    here = recorded = info.received
    try:
        async for piece in _pieces(request):
            if here + len(piece) > info.size:
                raise LimitError("More bytes came than the file has.", "Choose the file again.")
            await run_in_threadpool(_write, file, piece)
            here += len(piece)
            if here - recorded >= RECORD_BYTES:
                await run_in_threadpool(_sync, file)
                info = await run_in_threadpool(datasets.record_upload, info.id, here)
                recorded = here
    except ClientDisconnect:
        pass  # not an error: what came is kept below, and the browser goes on from there
    finally:
        await run_in_threadpool(_sync, file)
        await run_in_threadpool(file.close)
    return await run_in_threadpool(datasets.record_upload, info.id, here)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Gather the body into pieces of about ``PIECE_BYTES``; what came before a break is still given."""
    piece = bytearray()
    broken: ClientDisconnect | None = None
    try:
        async for chunk in request.stream():
            piece += chunk
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    except ClientDisconnect as error:
        broken = error
    if piece:
        yield bytes(piece)
    if broken is not None:
        raise broken


def _open_at(path: Path, offset: int) -> BinaryIO:
    """Open the file for writing at ``offset``, dropping bytes behind it that were never recorded."""
    file = path.open("r+b")
    file.seek(offset)
    file.truncate()
    return file


def _write(file: BinaryIO, piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        hint = "Free some space, then choose the same file again to go on."
        raise LimitError("The disk of the workspace is full.", hint) from error


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _answer(info: UploadInfo, status: int = 200) -> JSONResponse:
    return JSONResponse(info.model_dump(mode="json"), status, headers={"Cache-Control": "no-store"})


routes: list[BaseRoute] = [
    Route("/api/uploads", begin, methods=["POST"]),
    Route("/api/uploads/{upload}", state),
    Route("/api/uploads/{upload}", append, methods=["PUT"]),
]
