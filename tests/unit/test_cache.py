"""The decoded cache: each file once, rows in the order asked, safe against kills."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets import cache
from engine.datasets.cache import DecodedImages, decoded
from engine.datasets.preprocessing import Preprocessing, prepare
from engine.errors import ImageReadError
from engine.settings import Settings
from engine.storage.blobs import BlobStore

RECORD = Preprocessing(height=6, width=8)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url="")


def stored(settings: Settings, count: int) -> list[str]:
    digests = []
    for number in range(count):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(number).integers(0, 256, (10, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        digests.append(BlobStore(settings.files).put(buffer.getvalue(), sync=False))
    return digests


def expected(settings: Settings, digests: list[str]) -> np.ndarray:
    return np.stack([prepare(BlobStore(settings.files).path(digest), RECORD) for digest in digests])


def test_rows_come_in_the_order_asked(settings: Settings) -> None:
    digests = stored(settings, 7)
    for order in (digests[:3], digests[::-1], [digests[4], digests[4], digests[0]]):
        made = decoded(settings, order, RECORD)
        assert made.shape == (len(order), 6, 8, 3)
        assert np.array_equal(np.asarray(made), expected(settings, order))


def test_indexing_is_numpy_s(settings: Settings) -> None:
    digests = stored(settings, 5)
    made, array = decoded(settings, digests, RECORD), expected(settings, digests)
    for key in (2, -1, slice(1, 4), np.array([3, 0, 3]), np.array([True, False, True, False, False]), [1, 2]):
        assert np.array_equal(made[key], array[key])
    assert made[2].flags.writeable and len(made) == 5 and made.ndim == 4


def test_nothing_is_decoded_twice(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    digests, seen = stored(settings, 6), []

    def counting(path: Path, record: Preprocessing) -> np.ndarray:
        seen.append(path.name)
        return prepare(path, record)

    monkeypatch.setattr(cache, "prepare", counting)
    decoded(settings, digests[:4], RECORD)
    decoded(settings, digests, RECORD)
    decoded(settings, digests, Preprocessing(6, 8, mean=(0, 0, 0)))
    assert sorted(seen) == sorted(digests)
    decoded(settings, digests[:1], Preprocessing(6, 8, resize="pad"))
    assert len(seen) == 7


def test_an_index_line_cut_short_does_not_count(settings: Settings) -> None:
    digests = stored(settings, 4)
    decoded(settings, digests[:3], RECORD)
    index = settings.cache / "decoded" / RECORD.decode_hash() / "index"
    index.write_bytes(index.read_bytes()[:-10])
    assert np.array_equal(np.asarray(decoded(settings, digests, RECORD)), expected(settings, digests))


def test_a_stop_keeps_what_is_done(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BATCH", 2)
    digests = stored(settings, 6)

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded(settings, digests, RECORD, stop)
    index = settings.cache / "decoded" / RECORD.decode_hash() / "index"
    assert len(index.read_bytes()) == 4 * cache.LINE
    shares: list[float] = []
    made = decoded(settings, digests, RECORD, shares.append)
    assert shares[-1] == 1.0 and np.array_equal(np.asarray(made), expected(settings, digests))


def test_a_missing_file_is_an_error(settings: Settings) -> None:
    digests = stored(settings, 2)
    BlobStore(settings.files).path(digests[1]).unlink()
    with pytest.raises(ImageReadError, match=digests[1][:12]):
        decoded(settings, digests, RECORD)


def test_nothing_asked_is_nothing(settings: Settings) -> None:
    made = decoded(settings, [], RECORD)
    assert isinstance(made, DecodedImages) and made.shape == (0, 6, 8, 3)


def test_a_killed_writer_leaves_no_wrong_row(settings: Settings) -> None:
    digests = stored(settings, 300)
    code = (
        "import sys; from pathlib import Path; from engine.datasets import cache; "
        "from engine.settings import Settings; from engine.datasets.preprocessing import Preprocessing; "
        "cache.BATCH = 4; s = Settings(home=Path(sys.argv[1]), database_url=''); "
        "print('go', flush=True); cache.decoded(s, sys.argv[2:], Preprocessing(6, 8))"
    )
    for wait in (0.0, 0.02, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(settings.home), *digests], stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert np.array_equal(np.asarray(decoded(settings, digests, RECORD)), expected(settings, digests))


def test_a_full_disk_is_an_error_and_gives_its_room_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = stored(settings, 5)
    decoded(settings, digests[:2], RECORD)
    pixels = settings.cache / "decoded" / RECORD.decode_hash() / "pixels"
    before = pixels.read_bytes()

    def full(descriptor: int, _offset: int, size: int) -> None:
        os.ftruncate(descriptor, size - 1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left") as caught:
            decoded(settings, digests, RECORD)
    assert caught.value.errno == errno.ENOSPC and pixels.read_bytes() == before
    assert np.array_equal(np.asarray(decoded(settings, digests, RECORD)), expected(settings, digests))


@pytest.mark.parametrize("reserving", [True, False])
def test_there_is_room_for_each_row_before_it_is_decoded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, reserving: bool
) -> None:
    digests, rooms = stored(settings, 3), []
    record = Preprocessing(height=64, width=64)

    def looking(path: Path, record: Preprocessing) -> np.ndarray:
        file = settings.cache / "decoded" / record.decode_hash() / "pixels"
        rooms.append(file.stat().st_blocks * 512)
        return prepare(path, record)

    monkeypatch.setattr(cache, "prepare", looking)
    if not reserving:
        monkeypatch.delattr(os, "posix_fallocate")
        monkeypatch.setattr(cache, "ZEROS", 1000)
    assert len(decoded(settings, digests, record)) == 3
    assert min(rooms) >= 3 * 64 * 64 * 3
