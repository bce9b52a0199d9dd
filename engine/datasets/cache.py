"""The decoded cache: each image file decoded once per preprocessing record, memory-mapped.

A folder per ``Preprocessing.decode_hash()`` holds ``pixels`` (rows of H x W x 3 bytes) and ``index``
(one line per row, the SHA-256 of its file). A row counts only when its line stands in the index, and
the line is written after the pixels are on disk, so a process killed at any moment leaves nothing
that could be taken for an image. One writer at a time; readers need no lock.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from engine.datasets.preprocessing import Preprocessing, UnreadableImageError, prepare
from engine.errors import ImageReadError
from engine.settings import Settings
from engine.storage.blobs import BlobStore

LINE = 65  # 64 hexadecimal digits and a newline
BATCH = 256  # rows between two syncs
ZEROS = 1 << 20  # bytes written at once where the system cannot reserve room


class DecodedImages:
    """A read-only view of the cache's rows in the order asked; looks like uint8 (N, H, W, 3).

    ``images[i]``, ``images[a:b]``, ``images[index_array]`` and ``images[mask]`` copy just those rows
    into memory; ``numpy.asarray(images)`` copies all.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._pixels = pixels
        self._rows = rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3)."""
        height, width = self._pixels.shape[1:3]
        return (len(self._rows), height, width, 3)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Return the chosen rows as an ordinary array."""
        return np.array(self._pixels[self._rows[key]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Copy all rows into memory."""
        everything = self[:]
        return everything if dtype is None else everything.astype(dtype, copy=False)


def decoded(
    settings: Settings,
    sha256s: Sequence[str],
    record: Preprocessing,
    progress: Callable[[float], None] | None = None,
) -> DecodedImages:
    """Return the images with these digests, decoding what is missing.

    ``progress`` gets the share that is ready, 0 to 1, from the calling thread; what it raises (such
    as a request to stop) ends the work, and what is decoded by then stays. Raises ``ImageReadError``
    when a stored file cannot be read, ``OSError`` (``ENOSPC``) when the disk has no room for all.
    """
    folder = settings.cache / "decoded" / record.decode_hash()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = dict.fromkeys(sha256s)
    rows = _read_index(folder)
    if any(sha not in rows for sha in wanted):
        with FileLock(str(folder / "lock")):
            rows = _read_index(folder)
            missing = [sha for sha in wanted if sha not in rows]
            _append(settings, folder, missing, record, len(rows), progress)
            rows = _read_index(folder)
    if progress is not None:
        progress(1.0)
    order = np.array([rows[sha] for sha in sha256s], dtype=np.int64)
    if not rows:
        return DecodedImages(np.empty((0, record.height, record.width, 3), np.uint8), order)
    return DecodedImages(_map(folder, len(rows), record, "r"), order)


def _append(
    settings: Settings,
    folder: Path,
    missing: Sequence[str],
    record: Preprocessing,
    first: int,
    progress: Callable[[float], None] | None,
) -> None:
    """Decode ``missing`` into the rows from ``first`` on, naming them in the index batch by batch."""
    if not missing:
        return
    store = BlobStore(settings.files)
    with (folder / "index").open("ab") as index:
        index.truncate(first * LINE)  # a line cut short by a kill
    pixels = _map(folder, first + len(missing), record, "r+")

    def decode(item: tuple[int, str]) -> None:
        row, sha = item
        try:
            pixels[row] = prepare(store.path(sha), record)
        except (UnreadableImageError, OSError) as error:
            raise ImageReadError(
                f"The stored image {sha[:12]} cannot be read: {error}.",
                "Import the images again; the files folder of the workspace is damaged.",
            ) from error

    # Pillow decodes and resizes outside the interpreter's lock, so threads use all cores.
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            list(pool.map(decode, enumerate(batch, first + start)))
            pixels.flush()
            with (folder / "index").open("ab") as index:
                index.write(b"".join(sha.encode() + b"\n" for sha in batch))
                index.flush()
                os.fsync(index.fileno())
            if progress is not None:
                progress((start + len(batch)) / len(missing))


def _read_index(folder: Path) -> dict[str, int]:
    """Return the row of each digest; a last line that is not whole does not count."""
    path = folder / "index"
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: len(content) // LINE * LINE].decode("ascii")
    return {sha: row for row, sha in enumerate(whole.split())}


def _map(
    folder: Path, rows: int, record: Preprocessing, mode: Literal["r", "r+"]
) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Map the first ``rows`` rows (at least one); in mode "r+" the file grows to hold them."""
    path = folder / "pixels"
    shape = (rows, record.height, record.width, 3)
    if mode == "r+":
        _reserve(path, math.prod(shape))
    return np.memmap(path, np.uint8, mode, shape=shape)


def _reserve(path: Path, size: int) -> None:
    """Make the file at least ``size`` bytes long with room on the disk for each of them.

    Writing through a map into a file with holes would end the process on a full disk; here it is an
    ``OSError`` (``ENOSPC``), and the file is as long as before.
    """
    path.touch()
    with path.open("r+b", buffering=0) as handle:
        before = handle.seek(0, os.SEEK_END)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle.fileno(), 0, size)
            else:  # macOS
                for start in range(before, size, ZEROS):
                    handle.write(bytes(min(ZEROS, size - start)))
        except OSError:
            handle.truncate(before)
            raise
