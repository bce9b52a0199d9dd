"""Taking images in: two processes of their own that read, check, decode and store each file.

A decoder that crashes takes only its process down: the image it was at is reported, and a new process
goes on behind it. The processes are started as ``python -m engine.datasets.intake``, speak JSON lines
over their pipes and end when these close, so that none outlives the import. They load Pillow and numpy
and nothing heavier.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, NamedTuple, Self

from PIL import Image

from engine.datasets.archive import Member, read_member
from engine.datasets.mask_pictures import Colors, MaskPicture, read_mask
from engine.datasets.pictures import ChannelsError, see
from engine.datasets.preprocessing import Preprocessing, UnreadableImageError
from engine.datasets.thumbnails import SHORT_SIDE, make_thumbnail, reading, thumbnail_path
from engine.errors import ArchiveError
from engine.settings import Settings
from engine.storage.blobs import BlobStore, write_atomic

PROCESSES = 2
CHUNK = 24  # files per order: small enough to stop soon, large enough to hide the pipe
AHEAD = 2
"""Orders that a process holds, so that it never waits for the next."""
MEMORY = 2**30  # bytes of data that a process may hold
END_SECONDS = 2.0
ERROR_LENGTH = 300
SMALL_FILE = 64 * 1024  # bytes up to which a small JPEG is its own thumbnail


@dataclass(frozen=True)
class Taken:
    """What became of one file; ``error`` is the reason when it cannot be used.

    ``width``, ``height``: px, upright. ``low``, ``high``: extremes of data of more than 8 bits.
    ``repairs``: what had to be done to see it as RGB. ``orientation``: of its EXIF, 1 to 8.
    ``channels``: how many it has, when a person must say which become red, green and blue.
    """

    path: str
    error: str = ""
    sha256: str = ""
    bytes: int = 0
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    low: float | None = None
    high: float | None = None
    repairs: tuple[str, ...] = ()
    orientation: int = 1
    channels: int = 0


@dataclass(frozen=True)
class TakenMask:
    """A mask picture with its regions, or the reason why it cannot be used."""

    path: str
    picture: MaskPicture | str


def take_in(member: Member, settings: Settings, record: Preprocessing) -> Taken:
    """Read, decode and store one file and its thumbnail (not synced; see ``Taking``).

    Raises ``OSError`` when it cannot be stored: that says nothing about the picture.
    """
    try:
        return _take_in(member, settings, record)
    except (ArchiveError, UnreadableImageError) as error:
        return Taken(member.path, error=str(error)[:ERROR_LENGTH])
    except ChannelsError as error:
        return Taken(member.path, error=str(error), channels=error.count)
    except MemoryError:
        return Taken(member.path, error=f"decoding it needs more than {MEMORY >> 20} MiB of memory")


def take_mask(member: Member, colors: Colors) -> dict[str, Any]:
    """Read a mask picture into its regions, as plain values; ``error`` says why it cannot be used."""
    try:
        return {"mask": read_mask(read_member(member), colors or None).to_dict()}
    except (ArchiveError, UnreadableImageError) as error:
        return {"error": str(error)[:ERROR_LENGTH]}
    except MemoryError:
        return {"error": f"decoding it needs more than {MEMORY >> 20} MiB of memory"}


def _take_in(member: Member, settings: Settings, record: Preprocessing) -> Taken:
    content = read_member(member)
    seen = see(content, record)
    digest = hashlib.sha256(content).hexdigest()
    store, thumbnail = BlobStore(settings.files), thumbnail_path(settings, digest, record.channels)
    if store.holds(digest, len(content)):
        os.utime(store.path(digest))  # wanted anew: what stopped imports have left is cleared away by its age
    else:
        thumbnail.unlink(missing_ok=True)  # as old as the torn file, and maybe the same
        write_atomic(store.path(digest), content, sync=False)
    if seen.rgb is not None:
        as_it_is = seen.as_stored and len(content) <= SMALL_FILE
        _store_thumbnail(thumbnail, seen.rgb, store.path(digest) if as_it_is else None)
    return Taken(
        path=member.path,
        sha256=digest,
        bytes=len(content),
        format=seen.format,
        mode=seen.mode,
        width=seen.size[0],
        height=seen.size[1],
        low=seen.low,
        high=seen.high,
        repairs=seen.repairs,
        orientation=seen.orientation,
    )


class Intake:
    """``PROCESSES`` processes that take images in, from ``with`` to its end.

    They start at once, so that they are ready when the source has been listed.
    """

    def __init__(self, settings: Settings, preprocessing: dict[str, Any]) -> None:
        self._settings = settings
        self._order = json.dumps({"preprocessing": preprocessing})
        self.selector = selectors.DefaultSelector()
        self.workers: list[_Process] = []

    def __enter__(self) -> Self:
        """Start the processes."""
        for _ in range(PROCESSES):
            self.workers.append(_Process(self._settings, self._order, self.selector))
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes, whatever they are at; all are asked before the first is waited for."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.close()
        self.selector.close()

    def tell(self, colors: Colors) -> None:
        """Give the value of each colour, for masks that are coloured pictures; before the first of them."""
        for worker in self.workers:
            worker.colors = colors


class Wanted(NamedTuple):
    """A file, and whether it is a mask."""

    member: Member
    is_mask: bool


class _Process:
    """One process with the members that it was given and has not answered yet, in order."""

    def __init__(self, settings: Settings, order: str, selector: selectors.BaseSelector) -> None:
        self.settings = settings
        self.order = order
        self.selector = selector
        self.pending: deque[Wanted] = deque()
        self.colors: Colors = {}
        self.buffer = b""
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.datasets.intake"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **self.settings.environment()},
        )
        os.set_blocking(self._pipe(self.process.stdin).fileno(), False)
        self._told_colors: Colors | None = None
        self._unsent = bytearray()
        self._waits_to_write = False
        self.selector.register(self._pipe(self.process.stdout), selectors.EVENT_READ, self)
        self._send([self.order])

    def feed(self, orders: deque[Sequence[Wanted]]) -> None:
        """Give the process more to do while it holds less than ``AHEAD`` orders."""
        while orders and len(self.pending) <= CHUNK * (AHEAD - 1):
            some = orders.popleft()
            self.pending.extend(some)
            lines = []
            if self.colors and self._told_colors is not self.colors:
                self._told_colors = self.colors
                table = [[*color, value] for color, value in self.colors.items()]
                lines.append(json.dumps({"colors": table}))
            # Without its path, which only this side needs.
            lines += [json.dumps({**asdict(member), "path": "", "is_mask": mask}) for member, mask in some]
            self._send(lines)

    def collect(self, orders: deque[Sequence[Wanted]]) -> Iterator[Taken | TakenMask]:
        """Yield what the process has answered; when it died, report the image it was at."""
        content = os.read(self._pipe(self.process.stdout).fileno(), 1 << 16)
        *lines, self.buffer = (self.buffer + content).split(b"\n")
        for line in lines:
            values = json.loads(line)
            if "errno" in values:
                raise OSError(values["errno"], values["reason"])
            member, is_mask = self.pending.popleft()
            if is_mask:
                found = MaskPicture.from_dict(values["mask"]) if "mask" in values else values["error"]
                yield TakenMask(member.path, found)
            else:
                yield Taken(**{**values, "path": member.path, "repairs": tuple(values["repairs"])})
        if content:
            return
        status = self.process.wait()
        if status >= 0:
            raise RuntimeError(f"the intake process ended with exit code {status}; its trace is in the log")
        self.selector.unregister(self._pipe(self.process.stdout))
        self._stop_writing()
        self.close()
        rest, self.buffer = list(self.pending), b""
        self.pending.clear()
        if rest:
            (member, is_mask), reason = rest[0], f"its decoder crashed (signal {-status})"
            yield TakenMask(member.path, reason) if is_mask else Taken(member.path, error=reason)
            if rest[1:]:
                orders.appendleft(rest[1:])
        self._start()

    def close(self) -> None:
        """End the process: asked first, so that it clears away a file that it is writing."""
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # deaf inside a decoder
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                self._pipe(pipe).close()
            except BrokenPipeError:
                continue  # what was still to be sent went down with the process

    def _send(self, lines: Sequence[str]) -> None:
        self._unsent += "".join(f"{line}\n" for line in lines).encode()
        self.write()

    def write(self) -> None:
        """Write as much of the orders as the pipe takes now; the selector tells when it takes more.

        Waiting for it would never end while the process itself waits for its long answer to be read.
        """
        pipe = self._pipe(self.process.stdin)
        try:
            while self._unsent:
                del self._unsent[: os.write(pipe.fileno(), self._unsent)]
        except BlockingIOError:
            if not self._waits_to_write:
                self.selector.register(pipe, selectors.EVENT_WRITE, self)
                self._waits_to_write = True
            return
        except BrokenPipeError:
            self._unsent.clear()  # it died; ``collect`` sees the end of its answers and starts another
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._waits_to_write:
            self.selector.unregister(self._pipe(self.process.stdin))
            self._waits_to_write = False

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None  # both were asked for
        return pipe


def _store_thumbnail(target: Path, picture: Image.Image, stored: Path | None) -> None:
    """Write the thumbnail; ``stored`` is the file itself when a browser can show it as it is."""
    if target.exists():
        return
    if stored is None or max(picture.size) > 2 * SHORT_SIDE:
        write_atomic(target, make_thumbnail(picture), sync=False)
        return
    try:
        _link(stored, target)  # neither is ever written again
    except OSError:  # there already, or a file system without links
        write_atomic(target, stored.read_bytes(), sync=False)


def _link(stored: Path, target: Path) -> None:
    try:
        os.link(stored, target)
    except FileNotFoundError:  # the first of its folder
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(stored, target)


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))


def main() -> None:
    """Answer each line on standard input, a member, with a line, what became of it."""
    signal.signal(signal.SIGTERM, _leave)
    _limit_memory()
    settings = Settings.from_environment()
    # Whatever a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    first = sys.stdin.buffer.readline()
    if not first:
        return
    record = reading(json.loads(first)["preprocessing"])
    colors: dict[tuple[int, int, int], int] = {}
    for line in sys.stdin.buffer:
        order = json.loads(line)
        if "colors" in order:
            colors = {(red, green, blue): value for red, green, blue, value in order["colors"]}
            continue
        is_mask, member = order.pop("is_mask"), Member(**order)
        answer = take_mask(member, colors) if is_mask else _answer(member, settings, record)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit


def _answer(member: Member, settings: Settings, record: Preprocessing) -> dict[str, Any]:
    """Say what became of a member, or which error of the system ends the import."""
    try:
        return asdict(take_in(member, settings, record))
    except OSError as error:
        return {"errno": error.errno or errno.EIO, "reason": (error.strerror or str(error))[:ERROR_LENGTH]}


if __name__ == "__main__":
    main()
