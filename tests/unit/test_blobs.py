"""Files that are whole or absent, whatever goes wrong while they are written."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from engine.storage import blobs
from engine.storage.blobs import BlobStore, write_atomic


def test_a_failed_write_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    write_atomic(target, b"before")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(blobs.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomic(target, b"after")
    assert caught.value.errno == errno.ENOSPC
    assert target.read_bytes() == b"before" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("torn", [b"", b"pix", b"pixels and more"])
def test_a_file_of_the_wrong_size_is_written_again(tmp_path: Path, torn: bytes) -> None:
    store = BlobStore(tmp_path)
    digest = store.put(b"pixels")
    assert digest == hashlib.sha256(b"pixels").hexdigest() and store.holds(digest, 6)
    store.path(digest).write_bytes(torn)
    assert not store.holds(digest, 6)
    assert store.put(b"pixels") == digest and store.read(digest) == b"pixels"


def test_files_of_older_workspaces_are_found_where_they_lie(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put(b"old")
    deeper = tmp_path / digest[:2] / digest[2:4] / digest
    deeper.parent.mkdir()
    store.path(digest).rename(deeper)
    assert store.path(digest) == deeper and store.read(digest) == b"old"
    assert store.put(b"old") == digest
    assert store.put_stream([b"ol", b"d"]) == digest
    assert store.read(digest) == b"old"
