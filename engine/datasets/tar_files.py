"""Reading TAR archives: which files they hold and where, and inflating packed ones within bounds.

Only headers are read here, by the layout of POSIX.1-1988 and -2001 (pax) and GNU tar. The standard
library's reader takes whole extended headers into memory and follows what they say about sizes; here each
is bounded and checked, since an archive may be made to deceive. Nothing is ever extracted by name.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from engine.errors import ArchiveError, LimitError
from engine.settings import Limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 512
LONG_NAME_BYTES = 64 * 1024
PAX_BYTES = 2**20
EXTENSIONS = 8
"""Extended headers that may stand before one member; writers need two."""
CHUNK = 2**20
"""Bytes that come out of an unpacker at once, at most."""
PACKED_CHUNK = 2**16
LZMA_MEMORY = 256 * 2**20
"""Bytes that unpacking .xz may take; the strongest preset needs 65 MiB."""
EARLY = 100
"""From this many times ``ratio_applies_above`` on, the ratio is checked while unpacking."""
MAGICS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
DAMAGE = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
REFUSED = {
    b"1": "a link",
    b"2": "a link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a FIFO",
    b"S": "a sparse file, of which not all bytes are in the archive",
    b"M": "the rest of a file of another archive",
}
"""Kinds of member that are not taken in, and why."""
WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
DAMAGED = ("The archive is damaged.", "Pack it again.")
CUT = ("The archive is cut short.", "Upload or pack it again.")


@dataclass(frozen=True)
class Entry:
    """One member of a TAR: its name as it stands there, size and place of its data in bytes.

    ``refused`` is the reason why it is not taken in, or empty.
    """

    name: str
    size: int
    offset: int
    refused: str = ""


def packing(path: Path) -> str:
    """Return how a file is packed ("gzip", "bzip2", "xz"), or "" when it is not."""
    with path.open("rb") as stream:
        head = stream.read(6)
    return next((name for magic, name in MAGICS.items() if head.startswith(magic)), "")


def is_tar(path: Path) -> bool:
    """Whether a file begins with the header of a TAR member."""
    with path.open("rb") as stream:
        return _is_header(stream.read(BLOCK))


def _is_header(block: bytes) -> bool:
    return len(block) == BLOCK and any(block) and _checksum_holds(block)


def list_tar(path: Path, limits: Limits) -> Iterator[Entry]:
    """Yield what a TAR holds, folders apart, in its order.

    Raises:
        ArchiveError: a header is damaged, or the archive ends before its end mark.
        LimitError: it holds more members than ``limits`` allow.
    """
    end = path.stat().st_size
    count = 0
    with path.open("rb") as stream:
        while True:
            found = _next(stream, end)
            if found is None:
                return
            header, entry = found
            count += 1
            if count > limits.archive_members:
                raise LimitError(f"The archive holds more than {limits.archive_members:,} files.")
            data = 0 if header.kind in WITHOUT_DATA else entry.size
            stream.seek(_padded(entry.offset + data))
            if header.kind not in (b"5", b"V", b"D") and not (header.old and entry.name.endswith("/")):
                yield entry


@dataclass
class _Header:
    """What the plain 512 bytes say; ``old``: the kind of member is not given."""

    kind: bytes
    old: bool
    name: bytes
    size: int
    extended: bool


def _next(stream: BinaryIO, end: int) -> tuple[_Header, Entry] | None:
    """Read the headers of the next member; None at the end mark."""
    long_name, pax = None, {}
    for _ in range(EXTENSIONS):
        header = _read_header(stream)
        if header is None:
            return None
        if header.kind in (b"L", b"K"):
            content = _extension(stream, header.size, LONG_NAME_BYTES)
            long_name = content.split(b"\0", 1)[0] if header.kind == b"L" else long_name
        elif header.kind in (b"x", b"X"):
            pax = _pax(_extension(stream, header.size, PAX_BYTES))
        elif header.kind == b"g":
            _extension(stream, header.size, PAX_BYTES)  # speaks of no one member
        else:
            return header, _entry(stream, header, long_name, pax, end)
    raise ArchiveError(*DAMAGED)


def _entry(
    stream: BinaryIO, header: _Header, long_name: bytes | None, pax: dict[bytes, bytes], end: int
) -> Entry:
    raw = pax.get(b"path", long_name if long_name is not None else header.name)
    name = raw.decode("utf-8", "surrogateescape")
    size = _decimal(pax[b"size"]) if b"size" in pax else header.size
    refused = REFUSED.get(header.kind, "")
    if any(key.startswith(b"GNU.sparse.") for key in pax):
        refused = REFUSED[b"S"]
    elif not refused and header.kind not in (b"0", b"\0", b"7", b"5", b"V", b"D"):
        refused = "a kind of member that is not known"
    while header.extended:  # the map of a sparse file goes on in further blocks
        header.extended = _block(stream)[504] != 0
    offset = stream.tell()
    if header.kind not in WITHOUT_DATA and offset + size > end:
        raise ArchiveError(*CUT)
    return Entry(name, size, offset, refused)


def _read_header(stream: BinaryIO) -> _Header | None:
    block = _block(stream)
    if not any(block):
        return None
    if not _checksum_holds(block):
        raise ArchiveError(*DAMAGED)
    name, kind = block[:100].split(b"\0", 1)[0], block[156:157]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    return _Header(
        kind=kind,
        old=kind == b"\0",
        name=name,
        size=_number(block[124:136]),
        extended=kind == b"S" and block[482] != 0,
    )


def _block(stream: BinaryIO) -> bytes:
    block = stream.read(BLOCK)
    if len(block) < BLOCK:
        raise ArchiveError(*CUT)
    return block


def _extension(stream: BinaryIO, size: int, most: int) -> bytes:
    """Read the data of an extended header; raises ``ArchiveError`` when it is larger than any that is."""
    if size > most:
        raise ArchiveError("A name in the archive is longer than any.", "It is damaged or made to deceive.")
    content = stream.read(_padded(size))
    if len(content) < _padded(size):
        raise ArchiveError(*CUT)
    return content[:size]


def _pax(content: bytes) -> dict[bytes, bytes]:
    """Read records of length, key and value, as POSIX.1-2001 has them."""
    records: dict[bytes, bytes] = {}
    place = 0
    while place < len(content):
        digits = content[place : place + 20].split(b" ", 1)[0]
        length = _decimal(digits)
        record = content[place + len(digits) + 1 : place + length]
        key, equals, value = record.partition(b"=")
        if len(record) != length - len(digits) - 1 or not equals or not value.endswith(b"\n"):
            raise ArchiveError(*DAMAGED)
        records[key] = value[:-1]
        place += length
    return records


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 19:
        raise ArchiveError(*DAMAGED)
    return int(digits)


def _number(field: bytes) -> int:
    """Read a number: octal digits, or binary where the first bit is set (GNU)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if not set(digits) <= set(b"01234567"):
        raise ArchiveError(*DAMAGED)
    return int(digits or b"0", 8)


def _checksum_holds(block: bytes) -> bool:
    """Whether the sum of the header's bytes, its own field as spaces, is what it says."""
    digits = block[148:156].replace(b"\0", b" ").strip()
    if not digits or not set(digits) <= set(b"01234567"):
        return False
    said, plain = int(digits, 8), block[:148] + b" " * 8 + block[156:]
    unsigned = sum(plain)
    # Some old writers add signed bytes.
    return said == unsigned or said == unsigned - 256 * sum(byte > 127 for byte in plain)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def inflate(path: Path, kind: str, name: str, limits: Limits, scratch: Path) -> Path:
    """Unpack a packed TAR into a new file below ``scratch``, counting what comes out.

    Raises:
        ArchiveError: it is damaged, cut short, no TAR, or built to fill a disk; nothing is left then.
        LimitError: it would hold more than ``limits`` allow.
        OSError: the disk is full.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(suffix=".tar", prefix="unpacked-", dir=scratch)
    try:
        with os.fdopen(handle, "wb") as out:
            for number, piece in enumerate(_bounded(path, kind, limits)):
                if number == 0 and not _is_header(piece[:BLOCK]):
                    raise ArchiveError(f"“{name}” holds no TAR.", "Pack the pictures into a ZIP or a TAR.")
                out.write(piece)
            if out.tell() == 0:
                raise ArchiveError(f"“{name}” is empty.", "Pack it again.")
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
    return Path(made)


def _bounded(path: Path, kind: str, limits: Limits) -> Iterator[bytes]:
    """Yield what is in a packed file until it is over a limit."""
    packed = path.stat().st_size
    inflated = 0
    for piece, consumed in _pieces(path, kind):
        inflated += len(piece)
        if inflated > limits.inflated_bytes:
            raise LimitError(f"Unpacked, the archive would hold more than {limits.inflated_bytes >> 30} GiB.")
        early = inflated > EARLY * limits.ratio_applies_above
        against = max(consumed if early else packed, 1)
        if inflated > limits.ratio_applies_above and inflated > limits.inflate_ratio * against:
            raise ArchiveError(
                f"The archive unpacks to more than {limits.inflate_ratio:.0f} times its size.",
                "That is the mark of an archive made to fill a disk; pack the pictures again.",
            )
        yield piece


def _pieces(path: Path, kind: str) -> Iterator[tuple[bytes, int]]:
    """Yield pieces of at most ``CHUNK`` bytes, each with the packed bytes that were read for it."""
    with path.open("rb") as stream:
        unpacker, waiting, fresh = _unpacker(kind), b"", True
        while True:
            if not waiting and not (waiting := stream.read(PACKED_CHUNK)):
                if fresh:
                    return
                raise ArchiveError(*CUT)
            if fresh and not waiting.strip(b"\0"):
                waiting = b""  # the padding of a tape
                continue
            try:
                piece, waiting = unpacker.step(waiting)
            except DAMAGE as error:
                raise ArchiveError(f"The archive is damaged ({error}).", "Pack it again.") from error
            fresh = unpacker.ended
            if piece:
                yield piece, stream.tell()
            if fresh:
                unpacker = _unpacker(kind)  # several packed files one after the other are one


class _Unpacker:
    """The three packers behind one face: ``step`` gives at most ``CHUNK`` bytes and what is left over."""

    ended = False

    def step(self, packed: bytes) -> tuple[bytes, bytes]:
        raise NotImplementedError


class _Gzip(_Unpacker):
    def __init__(self) -> None:
        self.inner = zlib.decompressobj(wbits=31)

    def step(self, packed: bytes) -> tuple[bytes, bytes]:
        piece = self.inner.decompress(packed, CHUNK)
        self.ended = self.inner.eof
        return piece, self.inner.unused_data if self.ended else self.inner.unconsumed_tail


class _BlockPacked(_Unpacker):
    def __init__(self, inner: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self.inner = inner
        self.held = b""

    def step(self, packed: bytes) -> tuple[bytes, bytes]:
        # The decompressor keeps its input until it needs more: it must see each byte once.
        piece = self.inner.decompress(packed if not self.held else b"", CHUNK)
        self.ended = self.inner.eof
        if self.ended:
            return piece, self.inner.unused_data
        self.held = b"" if self.inner.needs_input else packed
        return piece, self.held


def _unpacker(kind: str) -> _Unpacker:
    if kind == "gzip":
        return _Gzip()
    if kind == "bzip2":
        return _BlockPacked(bz2.BZ2Decompressor())
    return _BlockPacked(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY))


class Window(io.RawIOBase):
    """Part of a file as a file of its own: ``size`` bytes from ``offset``; for reading and seeking."""

    def __init__(self, file: str, offset: int, size: int) -> None:
        self._inner = Path(file).open("rb")  # noqa: SIM115 - closed with the window
        self._offset, self._size, self._place = offset, size, 0

    def readable(self) -> bool:
        """Say that it is."""
        return True

    def seekable(self) -> bool:
        """Say that it is."""
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, counted from the start of the window."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if base + place < 0:
            raise ValueError("a place before the start")
        self._place = base + place
        return self._place

    def readinto(self, target: WriteableBuffer) -> int:
        """Fill ``target``; raises ``EOFError`` when the file has become shorter."""
        view = memoryview(target).cast("B")
        wanted = max(0, min(len(view), self._size - self._place))
        if not wanted:
            return 0
        self._inner.seek(self._offset + self._place)
        got = self._inner.readinto(view[:wanted])
        if not got:
            raise EOFError("cut short")
        self._place += got
        return got

    def close(self) -> None:
        """Close the file."""
        self._inner.close()
        super().close()
