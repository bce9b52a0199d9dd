"""Content-addressed files and atomic writes."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, reading 1 MiB at a time."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write ``content`` beside ``path``, sync it, and rename: ``path`` is whole or absent.

    Raises ``OSError``, ``ENOSPC`` on a full disk; then nothing is left beside ``path``.
    """
    with _whole_or_absent(path, sync=sync) as handle:
        handle.write(content)


def copy_atomic(source: Path, path: Path) -> None:
    """Copy a file of any size to ``path``, which is whole or absent, as with ``write_atomic``."""
    with source.open("rb") as reader, _whole_or_absent(path, sync=True) as handle:
        shutil.copyfileobj(reader, handle, CHUNK)


@contextmanager
def _whole_or_absent(path: Path, *, sync: bool) -> Iterator[BinaryIO]:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _create(beside) as handle:
            yield handle
            if sync:
                handle.flush()
                os.fsync(handle.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error says more than that it could not be cleared away
            beside.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def _create(path: Path) -> BinaryIO:
    """Open a new file; its folder is there nearly always, so that one is only made when it is missed."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BlobStore:
    """Files named by their SHA-256 under ``root/ab/``; never changed once written.

    Workspaces of before have files under ``root/ab/cd/``; they are found there and stay there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Return where the file with this digest is, or would be."""
        place = self.root / f"{sha256[:2]}/{sha256}"
        if place.exists():
            return place
        deeper = self.root / f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
        return deeper if deeper.exists() else place

    def put(self, content: bytes, *, sync: bool = True) -> str:
        """Store ``content`` and return its digest; storing it again costs one look."""
        digest = hashlib.sha256(content).hexdigest()
        if not self.holds(digest, len(content)):
            write_atomic(self.path(digest), content, sync=sync)
        return digest

    def put_stream(self, content: Iterable[bytes]) -> str:
        """Store what comes in parts and return its digest; never held in memory whole."""
        self.root.mkdir(parents=True, exist_ok=True)
        beside = self.root / f".{secrets.token_hex(8)}.part"
        digest = hashlib.sha256()
        try:
            with beside.open("wb") as handle:
                for part in content:
                    digest.update(part)
                    handle.write(part)
                handle.flush()
                os.fsync(handle.fileno())
            target = self.path(digest.hexdigest())
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.replace(target)
            sync_folder(target.parent)
        finally:
            beside.unlink(missing_ok=True)
        return digest.hexdigest()

    def holds(self, sha256: str, size: int) -> bool:
        """Whether the file with this digest is stored with its ``size`` bytes.

        A power loss can tear a file that was written without syncing; that one is to be written again.
        """
        try:
            return self.path(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    def read(self, sha256: str) -> bytes:
        """Return the content; raises ``FileNotFoundError`` when it is not stored."""
        return self.path(sha256).read_bytes()
