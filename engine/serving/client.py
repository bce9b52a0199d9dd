"""Ask the warm prediction process; never loads torch, timm or onnxruntime."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from engine import errors
from engine.contracts.predictions import FilePrediction
from engine.errors import LensmithError, NotFoundError, UnavailableError
from engine.serving.protocol import (
    FILE_BYTES,
    REQUEST_BYTES,
    REQUEST_FILES,
    Address,
    ProtocolError,
    read_address,
    receive_header,
    send,
)
from engine.settings import Settings

File = tuple[str, bytes]
POLL_SECONDS = 0.1
WAKE_SECONDS = 1.0
LOST_ANSWERS = 2
"""So many processes may end while they work on one request; then the request is taken for the cause."""


def predict(
    settings: Settings,
    target: str | Path,
    files: Sequence[File],
    timeout: float,
    wake: Callable[[], None],
    *,
    previews: bool = False,
) -> tuple[FilePrediction, ...]:
    """Predict files (name, content) with a run (id) or a bundle (path of the ZIP or its folder).

    ``wake`` asks for a prediction process and may be called more than once; it is called only while
    none is there. Answers come in the order of ``files``; a file that cannot be read has its reason in
    ``error``; ``previews`` asks for a small JPEG of each. Raises ``UnavailableError`` after
    ``timeout`` s, ``NotFoundError`` for an unknown target.
    """
    header = {**_target_header(target), "previews": previews}
    deadline = time.monotonic() + timeout
    answers: list[FilePrediction] = []
    for batch in _batches(files):
        if len(batch[0][1]) > FILE_BYTES:
            answers.append(_too_large(batch[0][0]))
        else:
            answers += _ask(settings, header, batch, deadline, wake)
    return tuple(answers)


def _target_header(target: str | Path) -> dict[str, str]:
    if isinstance(target, str):
        return {"run": target}
    if not target.exists():
        raise NotFoundError(f"There is no bundle at “{target}”.", "Check the path.")
    return {"bundle": str(target.absolute())}


def _batches(files: Sequence[File]) -> Iterator[list[File]]:
    """Group files into requests within the limits; a file that is too large stands alone."""
    batch: list[File] = []
    size = 0
    for file in files:
        length = len(file[1])
        if batch and (len(batch) == REQUEST_FILES or size + length > REQUEST_BYTES or length > FILE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += length
        if length > FILE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _too_large(name: str) -> FilePrediction:
    return FilePrediction(file=name, error=f"The file is larger than {FILE_BYTES // 2**20} MB.")


def _ask(
    settings: Settings,
    header: dict[str, Any],
    files: Sequence[File],
    deadline: float,
    wake: Callable[[], None],
) -> list[FilePrediction]:
    lost = 0
    while lost < LOST_ANSWERS:
        address = _wait_for_process(settings, deadline, wake)
        connection = _connect(address)
        if connection is None:
            _check_deadline(deadline)
            time.sleep(POLL_SECONDS)
            continue
        answer = _exchange(connection, address, header, files, deadline)
        if answer is not None:
            return [FilePrediction.model_validate(item) for item in answer["answers"]]
        lost += 1
    raise UnavailableError(
        "The prediction process ended while it worked on this request.",
        "Try fewer or other images; its log says more.",
    )


def _wait_for_process(settings: Settings, deadline: float, wake: Callable[[], None]) -> Address:
    woken = float("-inf")
    while True:
        address = read_address(settings)
        if address is not None:
            return address
        _check_deadline(deadline)
        if time.monotonic() - woken > WAKE_SECONDS:
            wake()
            woken = time.monotonic()
        time.sleep(POLL_SECONDS)


def _check_deadline(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise UnavailableError(
            "The prediction process did not start in time.",
            "Check that a worker runs (“lensmith up”), then try again.",
        )


def _connect(address: Address) -> socket.socket | None:
    """Connect, or return None when the process is about to end and no longer listens."""
    try:
        return socket.create_connection(("127.0.0.1", address.port), timeout=5.0)
    except OSError:
        return None


def _exchange(
    connection: socket.socket,
    address: Address,
    header: dict[str, Any],
    files: Sequence[File],
    deadline: float,
) -> dict[str, Any] | None:
    """Send a request and return its answer; None when the process went away meanwhile."""
    with connection:
        connection.settimeout(max(0.1, deadline - time.monotonic()))
        # A buffered pair over a socket reads and writes whole messages.
        with cast("BinaryIO", connection.makefile("rwb")) as stream:
            try:
                names = [name for name, _ in files]
                request = {"token": address.token, "names": names, **header}
                send(stream, request, [content for _, content in files])
                answer = receive_header(stream)
            except TimeoutError as error:
                raise UnavailableError(
                    "The prediction took too long.", "Try again, or fewer images at once."
                ) from error
            except (ProtocolError, OSError):
                return None
    if "error" in answer:
        raise _as_error(answer["error"])
    return answer


def _as_error(sent: dict[str, str]) -> LensmithError:
    """Build the error that the process raised, by its name in ``engine.errors``."""
    kind = getattr(errors, sent["kind"], LensmithError)
    made: LensmithError = kind(sent["message"], sent["hint"])
    return made
