"""A transfer that is watched: bounded silence, progress, a person's cancel, room, checksum, errors in words.

For the fetching of published weights. A name look-up has no time limit, and the hub's client tries again for
minutes; so the transfer runs in a thread, and the thread that waits decides when it has waited enough.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

from engine.errors import HubSilentError, LensmithError, WeightsError
from engine.settings import Settings

T = TypeVar("T")
Bytes = Callable[[int, int | None], None]
"""Told of the bytes done and in all, None when unknown."""
Stop = Callable[[], None]

CHUNK = 1 << 16
POLL = 0.1
"""Seconds between two looks at a transfer: for a person's cancel, and for its silence."""

HINT = "Start from a weights file or from random numbers, or try again when the network is back."
GIT_SHA1, SHA256 = 40, 64
"""Lengths of checksums in hexadecimal digits."""


def never() -> None:
    """Check nothing: a question of some seconds is not cancelled."""


def nobody(_done: int, _total: int | None) -> None:
    """Tell nobody of progress."""


class HaltedError(Exception):
    """Ends the thread of a transfer that nobody waits for any more."""


class Line:
    """What the thread of a transfer and the one that waits share; counts in bytes."""

    def __init__(self) -> None:
        self.done = 0
        self.total: int | None = None
        self.answered = False
        self._heard = time.monotonic()
        self._halt = Event()

    def begin(self, done: int, total: int | None) -> None:
        """Note that the other side answered: ``done`` bytes are here already, ``total`` is None if unsaid."""
        self.done, self.total, self.answered = done, total, True
        self._heard = time.monotonic()
        self.add(0)

    def add(self, count: int) -> None:
        """Count bytes; the hub's client takes some back when a server starts again from the first."""
        if self._halt.is_set():
            raise HaltedError
        self.done += count
        if count > 0:
            self._heard = time.monotonic()

    def halt(self) -> None:
        """Let the thread end with the next byte that it counts."""
        self._halt.set()

    def silence(self) -> float:
        """Return the seconds since the last byte, or since the beginning."""
        return time.monotonic() - self._heard

    def bar(self) -> type:
        """Return a progress bar, as the hub's client wants one, that counts here."""
        line = self

        class Bar:
            def __init__(self, *_: Any, total: int | None = None, initial: int = 0, **__: Any) -> None:
                line.begin(initial, total)

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def update(self, count: int = 1) -> None:
                line.add(count)

        return Bar


@dataclass(frozen=True)
class Watch:
    """Who waits for ``name``; ``progress(done, total)`` counts bytes, ``check_stop`` may raise."""

    settings: Settings
    name: str
    progress: Bytes = nobody
    check_stop: Stop = never

    def run(self, work: Callable[[Line], T]) -> T:
        """Return what ``work`` returns; both callbacks are called in the calling thread.

        Raises ``WeightsError`` when nothing comes for ``hub_timeout`` seconds and for what goes wrong in
        ``work``; a ``HubSilentError`` when nobody answered at all. The thread does not keep the process
        alive.
        """
        line, outcome = Line(), Future[T]()

        def run() -> None:
            try:
                outcome.set_result(work(line))
            except Exception as error:  # noqa: BLE001 (handed to the thread that waits)
                outcome.set_exception(error)

        Thread(target=run, name=f"fetch {self.name}", daemon=True).start()
        told = 0
        try:
            while not wait([outcome], timeout=POLL).done:
                self.check_stop()
                if line.done != told:
                    told = line.done
                    self.progress(told, line.total)
                self._check_silence(line)
        except BaseException:
            line.halt()
            wait([outcome], timeout=2 * POLL)  # its files go with it when it can end at once
            raise
        if line.done != told:
            self.progress(line.done, line.total)
        return _result(outcome, self.name, line.answered)

    def _check_silence(self, line: Line) -> None:
        if line.silence() > self.settings.hub_timeout:
            silent = f"nothing came for {self.settings.hub_timeout:g} s"
            kind = WeightsError if line.answered else HubSilentError
            raise kind(f"The {_place(self.name)} of {self.name} does not answer ({silent}).", HINT)

    def room(self, size: int | None, folder: Path, have: int = 0) -> None:
        """Raise ``WeightsError`` when a file of ``size`` bytes, ``have`` of them here, is over a limit."""
        if size is None:
            return
        limit = self.settings.limits.weights_bytes
        if size > limit:
            raise WeightsError(
                f"{self.name} has {size / 2**30:.1f} GiB; the limit is {limit / 2**30:.0f} GiB."
            )
        free = shutil.disk_usage(folder).free
        if free < size - have:
            raise WeightsError(
                f"The disk is too small for {self.name}: it needs {(size - have) / 1e6:,.1f} MB, and "
                f"{free / 1e6:,.1f} MB are free at {folder}.",
                "Make room, or remove other weights.",
            )

    def take_in(self, part: Path, target: Path, checksum: str) -> None:
        """Move a whole download to the name that counts.

        Raises ``WeightsError`` when its bytes are wrong; then it is removed.
        """
        if not agrees(part, checksum):
            part.unlink()
            raise WeightsError(
                f"The bytes of {self.name} that came are not the published ones (the checksum differs); "
                "they were removed.",
                "Try again; if it stays, something on the way changes downloads.",
            )
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)


def agrees(path: Path, checksum: str) -> bool:
    """Compare a file with the SHA-256, its first digits, or (small files of the hub) git's SHA-1.

    ``checksum`` is in hexadecimal digits; with "" every file agrees.
    """
    digest = hashlib.sha256()
    if len(checksum) == GIT_SHA1:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as handle:
        while checksum and (chunk := handle.read(CHUNK)):
            digest.update(chunk)
    return digest.hexdigest().startswith(checksum)


def _result(outcome: Future[T], name: str, answered: bool) -> T:
    """Return what a thread found; raises its error as a ``WeightsError`` in words."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the library it uses

    try:
        return outcome.result()
    except LensmithError:
        raise
    except HaltedError as error:
        raise WeightsError(f"{name} has changed on the hub meanwhile.", "Try again.") from error
    except (OSError, HTTPError, http.client.HTTPException) as error:
        kind = HubSilentError if not answered and _is_silence(error) else WeightsError
        raise kind(_in_words(error, name), HINT) from error
    except ValueError as error:  # a name or an answer that the hub's client refuses
        raise WeightsError(_in_words(error, name), HINT) from error


def _is_silence(error: Exception) -> bool:
    """Say whether nobody answered, or only with a failure of its own: it says nothing of one file."""
    code = _code(error)
    return code >= 500 if code else not _of_disk(error)


def _code(error: Exception) -> int:
    """Return the status of an answer over HTTP, 0 when there was none."""
    code = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return int(code or 0)


def _of_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and (error.errno == errno.ENOSPC or bool(error.filename))


def _place(name: str) -> str:
    return "hub" if "/" in name else "server"


def _in_words(error: Exception, name: str) -> str:
    code, place = _code(error), _place(name)
    if code in (401, 403):
        return f"The {place} does not give out {name} (answer {code}): it is not there, or wants a login."
    if code and code < 500:
        return f"The {place} does not have {name} (answer {code})."
    if code:
        return f"The {place} cannot give out {name} just now (answer {code})."
    if isinstance(error, OSError) and _of_disk(error):
        return f"The weights {name} cannot be stored: {error.strerror}."
    reason = error.__cause__ or error
    return f"The {place} of {name} does not answer, or the line was cut ({reason or type(reason).__name__})."
