"""What client and prediction process say to each other: a JSON header, then the files' bytes.

A message is the header's length (4 bytes, big-endian), the header (UTF-8 JSON), and the blobs whose
sizes the header lists under ``sizes``. One request and one answer a connection.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from engine.settings import Settings
from engine.storage.processes import Account, read_account, this_process

HEADER_BYTES = 16 * 2**20
FILE_BYTES = 128 * 2**20
REQUEST_BYTES = 256 * 2**20
REQUEST_FILES = 32
_LENGTH = struct.Struct(">I")


class ProtocolError(ValueError):
    """The other side sent something that is no message, too much, or nothing."""


def send(stream: BinaryIO, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one message."""
    content = json.dumps({**header, "sizes": [len(blob) for blob in blobs]}).encode()
    stream.write(_LENGTH.pack(len(content)) + content)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive_header(stream: BinaryIO) -> dict[str, Any]:
    """Read a message's header; raises ``ProtocolError`` before anything large is read."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > HEADER_BYTES:
        raise ProtocolError(f"a header of {length} bytes")
    try:
        header = json.loads(_exactly(stream, length))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("the header is no JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("the header is no object")
    return header


def receive_blobs(stream: BinaryIO, header: dict[str, Any]) -> list[bytes]:
    """Read the blobs that ``header`` announces; raises ``ProtocolError`` when they are over a limit."""
    sizes = header.get("sizes")
    if not isinstance(sizes, list) or not all(type(s) is int and 0 <= s <= FILE_BYTES for s in sizes):
        raise ProtocolError("sizes that are not allowed")
    if len(sizes) > REQUEST_FILES or sum(sizes) > REQUEST_BYTES:
        raise ProtocolError("more than one request may hold")
    return [_exactly(stream, size) for size in sizes]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise ProtocolError("the connection ended early")
    return content


class Address(Account):
    """Where the prediction process listens, its secret, and which process it is."""

    port: int
    token: str


def address_path(settings: Settings) -> Path:
    """Return the file that names the prediction process of a workspace."""
    return settings.home / "serving.json"


def publish(settings: Settings, port: int, token: str) -> Address:
    """Write this process's address and secret, readable by this user only."""
    pid, started = this_process()
    address = Address(port=port, token=token, pid=pid, pid_started=started)
    path = address_path(settings)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(address.model_dump_json())
    beside.replace(path)
    return address


def withdraw(settings: Settings, address: Address) -> None:
    """Remove the address file if it is still this process's."""
    if read_address(settings) == address:
        address_path(settings).unlink(missing_ok=True)


def read_address(settings: Settings) -> Address | None:
    """Return the address of a prediction process that is alive, or None."""
    return read_account(address_path(settings), Address)
