"""``POST /api/predict/{run}``: predictions over HTTP, as the Export screen shows with ``curl``.

The body is one image (``--data-binary @photo.jpg``; a name may be given as ``?name=``), or a form with
one or more files (``-F file=@a.jpg -F file=@b.jpg``). The answer is the list of ``FilePrediction``
records that ``lensmith predict --json`` prints.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from app.engine_client import client
from engine.errors import InputError, LimitError

BODY_BYTES: Final = 64 * 2**20
FILES: Final = 64

NamedFile = tuple[str, bytes]


async def predict(request: Request) -> JSONResponse:
    """Predict for the images of the body."""
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    files = await _form_files(request) if is_form else await _raw_file(request)
    answers = await run_in_threadpool(client().models.predict, request.path_params["run"], files)
    return JSONResponse([answer.model_dump(mode="json", exclude_none=True) for answer in answers])


async def _raw_file(request: Request) -> list[NamedFile]:
    body = b"".join([chunk async for chunk in _limited(request)])
    if not body:
        raise InputError("The request has no image.", "Send the bytes of one as the body.")
    return [(request.query_params.get("name", "image"), body)]


async def _form_files(request: Request) -> list[NamedFile]:
    try:
        form = await MultiPartParser(
            request.headers, _limited(request), max_files=FILES, max_fields=8
        ).parse()
    except MultiPartException as error:
        raise InputError("The form cannot be read.", error.message) from error
    try:
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        files = [(upload.filename or "image", await upload.read()) for upload in uploads]
    finally:
        await form.close()
    if not files:
        raise InputError("The form has no file.", "Add at least one image as a file field.")
    return files


async def _limited(request: Request) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > BODY_BYTES:
            limit = BODY_BYTES // 2**20
            raise LimitError(f"More than {limit} MB in one request.", "Send fewer or smaller images.")
        yield chunk


routes: list[BaseRoute] = [Route("/api/predict/{run}", predict, methods=["POST"])]
