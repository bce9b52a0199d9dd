"""Reading ZIP archives: which files they hold, and each as a stream; nothing is ever extracted by name."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from engine.errors import ArchiveError, LimitError
from engine.settings import Limits

START = b"PK\x03\x04"
"""What a ZIP with at least one file begins with; where it ends stands a list of all files."""
LOCAL_HEADER = 30  # bytes of a ZIP's local file header before the name
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})


@dataclass(frozen=True)
class ZipEntry:
    """One member of a ZIP: its position in the directory, its name as it stands there, its size in bytes.

    ``refused`` is the reason why it is not taken in, or empty.
    """

    position: int
    name: str
    size: int
    refused: str = ""


def list_zip(path: Path, limits: Limits) -> Iterator[ZipEntry]:
    """Yield what a ZIP holds, folders apart, in the order of its directory.

    Raises ``ArchiveError`` when it is damaged, encrypted or built to deceive, ``LimitError`` when it holds
    more than ``limits`` allow.
    """
    _, entries = _archive(str(path), path.stat().st_mtime_ns)
    _check_archive(entries, path, limits)
    for position, entry in enumerate(entries):
        if not entry.is_dir():
            # orig_filename keeps what zipfile cuts off at a zero byte.
            yield ZipEntry(position, entry.orig_filename, entry.file_size, _refusal(entry))


def unreadable(path: Path, name: str, kind: str) -> ArchiveError:
    """Say that a file which is called an archive is none, or only the beginning of one."""
    with path.open("rb") as stream:
        start = stream.read(len(START))
    if start in (b"", START):
        return ArchiveError(
            f"“{name}” is no {kind} that can be read: its end is missing.",
            "It may have arrived incompletely; download, copy or upload it once more.",
        )
    return ArchiveError(f"“{name}” is no {kind} that can be read.", "Pack the pictures into an ordinary ZIP.")


def open_entry(file: str, position: int, name: str) -> BinaryIO:
    """Open a member for streaming; raises ``ArchiveError`` when the archive is damaged."""
    archive, entries = _archive(file, Path(file).stat().st_mtime_ns)
    try:
        return cast(BinaryIO, archive.open(entries[position]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise ArchiveError(f"“{name}” cannot be read from the archive ({error}).") from error


@lru_cache(maxsize=4)
def _archive(file: str, _changed: int) -> tuple[zipfile.ZipFile, tuple[zipfile.ZipInfo, ...]]:
    """Open an archive once per process; reading its directory costs a second for 200,000 members."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise ArchiveError(f"The archive is damaged ({error}).", "Pack it again.") from error
    return archive, tuple(archive.infolist())


def _check_archive(entries: Sequence[zipfile.ZipInfo], path: Path, limits: Limits) -> None:
    """Refuse an encrypted archive, a bomb, and one whose members overlap."""
    if len(entries) > limits.archive_members:
        raise LimitError(f"The archive holds more than {limits.archive_members:,} files.")
    if any(entry.flag_bits & 0x1 for entry in entries):
        raise ArchiveError("The archive is encrypted.", "Pack it again without a password.")
    inflated = sum(entry.file_size for entry in entries)
    if inflated > limits.inflated_bytes:
        raise LimitError(f"Unpacked, the archive would hold more than {limits.inflated_bytes >> 30} GiB.")
    packed = sum(entry.compress_size for entry in entries)
    sizes = [(entry.file_size, entry.compress_size) for entry in entries]
    for big, small in [(inflated, packed), *sizes]:
        if big > limits.ratio_applies_above and big > limits.inflate_ratio * max(small, 1):
            raise ArchiveError(
                f"The archive unpacks to more than {limits.inflate_ratio:.0f} times its size.",
                "That is the mark of an archive made to fill a disk; pack the pictures again.",
            )
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise ArchiveError("Files overlap inside the archive.", "It is damaged or made to deceive.")
        name = len(entry.orig_filename.encode("utf-8", "surrogateescape"))
        end = entry.header_offset + LOCAL_HEADER + min(name, len(entry.orig_filename)) + entry.compress_size
    if end > path.stat().st_size:
        raise ArchiveError("The archive is cut short.", "Upload or pack it again.")


def _refusal(entry: zipfile.ZipInfo) -> str:
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a link or a device"
    return "" if entry.compress_type in METHODS else "packed in a way that is not supported"
