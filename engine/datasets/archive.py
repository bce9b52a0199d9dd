"""Sources of an import: a ZIP, a TAR, a folder, or loose files, all as one list of members.

Nothing is ever extracted by name. A member's path is data, shown and matched but never used to open a
file; bytes are streamed out of the archive by whoever reads them, and what is kept is stored under its
SHA-256. Members that try to leave the archive, links and devices are skipped with their reason; an
archive that is built to deceive or to fill the disk is refused whole.
"""

from __future__ import annotations

import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from engine.datasets.paths import LITTER, PATH_LENGTH, clean_path, shown, suffix_of
from engine.datasets.tar_files import Window, inflate, is_tar, list_tar, packing
from engine.datasets.zip_files import list_zip, open_entry, unreadable
from engine.errors import ArchiveError, InputError, LimitError
from engine.settings import Limits

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"}
    | {".heic", ".heif", ".hif"}
)
ARCHIVE_SUFFIXES = frozenset(
    {".zip", ".tar", ".tgz", ".gz", ".tbz", ".tbz2", ".bz2", ".txz", ".xz", ".7z", ".rar"}
)
TIFFS = (".tif", ".tiff")
PACKED_IDX = "-ubyte.gz"  # MNIST's files, packed one by one, as they are published
OTHER_PICTURES = frozenset(
    {".avif", ".svg", ".svgz", ".psd", ".jp2", ".ico", ".eps"} | {".dng", ".cr2", ".nef", ".arw"}
)
MEMBER_BYTES = 256 * 2**20
"""No single picture is larger; what is held in memory at once stays bounded."""
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError)
"""What reading a damaged member raises, whichever way it was packed."""


@dataclass(frozen=True)
class RawPixels:
    """A picture that lies without a head of its own inside a larger file, as in MNIST and CIFAR.

    ``offset`` of its first byte; size in px; ``channels`` is 1 (grey) or 3 (RGB), a byte each;
    ``planar`` when the channels follow each other instead of the pixels.
    """

    offset: int
    height: int
    width: int
    channels: int
    planar: bool = False

    def png(self, content: bytes) -> bytes:
        """Return the picture as PNG; raises ``ArchiveError`` when bytes are missing."""
        import numpy as np
        from PIL import Image

        if len(content) != self.height * self.width * self.channels:
            raise ArchiveError("the file ends inside this picture")
        values = np.frombuffer(content, np.uint8)
        if self.planar:
            pixels = values.reshape(self.channels, self.height, self.width).transpose(1, 2, 0)
        else:
            pixels = values.reshape(self.height, self.width, self.channels)
        picture = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if self.channels == 1 else pixels))
        packed = io.BytesIO()
        picture.save(packed, "PNG")
        return packed.getvalue()


@dataclass(frozen=True)
class Member:
    """One regular file of a source.

    ``path`` is NFC with forward slashes and for matching and showing only; ``file`` is what is opened,
    with ``entry`` the position in its directory when it is a ZIP, ``offset`` the place of its bytes when
    it is a TAR. ``size`` in bytes. With ``raw``, the member is one picture inside that; with ``page``, the
    page of a TIFF whose directory is there.
    """

    path: str
    size: int
    file: str
    entry: int | None = None
    raw: RawPixels | None = None
    offset: int | None = None
    page: int | None = None

    def __post_init__(self) -> None:
        raw: Any = self.raw
        if isinstance(raw, dict):  # as it comes out of JSON
            object.__setattr__(self, "raw", RawPixels(**raw))

    @property
    def is_image(self) -> bool:
        """Whether the name says that this is a picture."""
        return suffix_of(self.path) in IMAGE_SUFFIXES


@dataclass(frozen=True)
class Source:
    """What an import reads from.

    ``ignored`` counts the litter of operating systems; ``skipped`` holds path and reason of each file
    that is not taken in. ``groups`` names, for each page of a file with several, the path of the file.
    ``kept`` is for what is made of the list once, by whoever needs it; a source with other members begins
    without.
    """

    name: str
    members: tuple[Member, ...]
    ignored: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def images(self) -> tuple[Member, ...]:
        """The members that are pictures by name."""
        return tuple(member for member in self.members if member.is_image)

    @cached_property
    def images_in_order(self) -> tuple[Member, ...]:
        """The pictures, in path order."""
        return tuple(sorted(self.images, key=lambda member: member.path))

    @cached_property
    def image_paths(self) -> tuple[str, ...]:
        """The paths of the pictures, in order."""
        return tuple(member.path for member in self.images_in_order)

    @cached_property
    def by_lower_path(self) -> tuple[tuple[str, Member], ...]:
        """All files in path order, each with its path in lower case."""
        in_order = sorted(self.members, key=lambda member: member.path)
        return tuple((member.path.lower(), member) for member in in_order)

    @cached_property
    def by_path(self) -> dict[str, Member]:
        """All files by path."""
        return {member.path: member for member in self.members}


def open_source(paths: Sequence[tuple[str, Path]], limits: Limits, scratch: Path | None = None) -> Source:
    """List what a ZIP, a TAR, a folder, or several files hold.

    Args:
        paths: pairs of original name and place on disk; one folder, one archive, or any pictures and
            archives.
        limits: bounds on members and bytes.
        scratch: folder for what a packed TAR (.tar.gz, .tar.bz2, .tar.xz) unpacks to, which is read from
            there; whoever gives it removes it when the members are done with. Without it, packed TARs
            are refused.

    Raises:
        ArchiveError: an archive is damaged, encrypted or built to deceive.
        LimitError: something is over a limit.
        InputError: there is nothing to read.
    """
    if not paths:
        raise InputError("There is nothing to import.", "Choose a ZIP, a folder or some pictures.")
    gathered = _Gathered(limits)
    for name, path in paths:
        _gather(name, path, gathered, scratch)
    for member in [member for member in gathered.members.values() if member.path.lower().endswith(TIFFS)]:
        gathered.add_pages(member)
    title = shown(paths[0][0]) if len(paths) == 1 else f"{len(paths):,} files"
    return Source(
        title, tuple(gathered.members.values()), gathered.ignored, tuple(gathered.skipped), gathered.groups
    )


def open_member(member: Member) -> BinaryIO:
    """Open a member for streaming; raises ``ArchiveError`` when the archive is damaged."""
    if member.page is not None:
        from engine.datasets.pages import page_content

        changed = Path(member.file).stat().st_mtime_ns
        return io.BytesIO(page_content(_whole(replace(member, path="", page=None), changed), member.page))
    if member.offset is not None:
        return io.BufferedReader(Window(member.file, member.offset, member.size))
    if member.entry is None:
        return open(member.file, "rb")  # noqa: PTH123 - a Path of each file costs as much as opening it
    return open_entry(member.file, member.entry, member.path)


@lru_cache(maxsize=1)
def _whole(member: Member, _changed: int) -> bytes:
    """Read the file of pages once, however many there are."""
    return read_member(member)


@contextmanager
def reading(member: Member) -> Iterator[BinaryIO]:
    """Open a member for a ``with``; damage that shows while it is read raises ``ArchiveError``."""
    try:
        with open_member(member) as stream:
            yield stream
    except DAMAGE as error:
        raise ArchiveError(f"“{member.path}” is damaged ({error}).", "Pack or copy it again.") from error


def read_whole(stream: BinaryIO, size: int, most: int) -> bytes:
    """Read what should have ``size`` bytes, whole whatever it has; a byte more than ``most`` is the end.

    To ask for the most at once would make room for it each time.
    """
    content = stream.read(min(size, most) + 1)
    return content if len(content) <= size else content + stream.read(most + 1 - len(content))


def read_member(member: Member) -> bytes:
    """Read a member whole; raises ``ArchiveError`` when it is damaged or too large."""
    if member.size > MEMBER_BYTES:
        raise ArchiveError(f"larger than {MEMBER_BYTES >> 20} MiB")
    try:
        with open_member(member) as stream:
            if member.raw:
                stream.seek(member.raw.offset)
                return member.raw.png(stream.read(member.size))
            content = read_whole(stream, member.size, MEMBER_BYTES)
    except DAMAGE as error:
        raise ArchiveError(f"damaged in the archive ({error})") from error
    if len(content) > MEMBER_BYTES:
        raise ArchiveError(f"larger than {MEMBER_BYTES >> 20} MiB")
    return content


class _Gathered:
    """Members found so far, with what was ignored and why the rest was skipped."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.members: dict[str, Member] = {}
        self.folded: dict[str, str] = {}
        self.ignored = 0
        self.skipped: list[tuple[str, str]] = []
        self.groups: dict[str, str] = {}
        self.bytes = 0

    def add(
        self, name: str, size: int, file: str, entry: int | None = None, offset: int | None = None
    ) -> None:
        """Take a regular file in, or say why not."""
        try:
            path = clean_path(name)
        except ValueError as error:
            self.skip(name, str(error))
            return
        if is_litter(path):
            self.ignored += 1
            return
        suffix = suffix_of(path)
        if suffix in OTHER_PICTURES:
            self.skip(path, f"{suffix[1:].upper()} pictures cannot be read; save it as JPEG or PNG")
            return
        if suffix in ARCHIVE_SUFFIXES and _is_archive(path):
            self.skip(path, "an archive inside the source; it is not opened")
            return
        folded = path.casefold()
        clash = self.folded.get(folded)
        if clash is not None:
            same = "twice" if clash == path else f"beside “{clash}”, which differs only in case"
            self.skip(path, f"the name stands {same} in the source")
            return
        self.bytes += size
        if len(self.members) >= self.limits.archive_members:
            raise LimitError(f"The source holds more than {self.limits.archive_members:,} files.")
        if self.bytes > self.limits.inflated_bytes:
            raise LimitError(f"The source holds more than {self.limits.inflated_bytes >> 30} GiB.")
        self.folded[folded] = path
        self.members[path] = Member(path, size, file, entry, offset=offset)

    def add_pages(self, member: Member) -> None:
        """List the pages of a TIFF that has several; the first keeps the path of the file."""
        from engine.datasets.pages import list_pages

        try:
            places = list_pages(read_member(member))
        except (ArchiveError, ValueError):
            return  # taking it in says what is wrong with it
        if len(places) < 2:
            return
        stem, dot, suffix = member.path.rpartition(".")
        for number, place in enumerate(places, 1):
            path = (
                member.path if number == 1 else f"{stem}.page{number:0{len(str(len(places)))}}{dot}{suffix}"
            )
            if number > 1 and path.casefold() in self.folded:
                self.skip(path, "a page of a TIFF, and a file of this name stands in the source")
                continue
            if len(self.members) >= self.limits.archive_members:
                raise LimitError(
                    f"The source holds more than {self.limits.archive_members:,} files and pages."
                )
            self.folded[path.casefold()] = path
            self.members[path] = replace(member, path=path, page=place)
            self.groups[path] = member.path

    def skip(self, name: str, reason: str) -> None:
        """Record that a file is not taken in, by a name that can be kept and printed."""
        self.skipped.append((shown(name)[:PATH_LENGTH], reason))


def is_litter(path: str) -> bool:
    """Whether a path is what operating systems leave behind, and no part of a dataset."""
    parts = path.lower().split("/")
    return not LITTER.isdisjoint(parts) or parts[-1].startswith("._")


def _gather(name: str, path: Path, gathered: _Gathered, scratch: Path | None) -> None:
    """Take in what one of the given paths is."""
    if path.is_dir():
        _gather_folder(path, gathered)
    elif not path.is_file():
        raise InputError(f"“{shown(str(path))}” does not exist.", "Check the path.")
    elif _is_tar(name, path):
        _gather_tar(name, path, gathered, scratch)
    elif zipfile.is_zipfile(path) and not _named_as_image(name):
        _gather_zip(path, gathered)
    elif _is_archive(name):
        kind = {".zip": "ZIP", ".tar": "TAR"}.get(suffix_of(name), "ZIP or TAR")
        raise unreadable(path, shown(name), kind)
    else:
        gathered.add(name, path.stat().st_size, str(path))


def _gather_folder(folder: Path, gathered: _Gathered) -> None:
    for name, found in _walk(folder):
        if found.is_symlink():
            gathered.skip(name, "a link")
        elif not found.is_file(follow_symlinks=False):
            gathered.skip(name, "no regular file")
        else:
            gathered.add(name, found.stat(follow_symlinks=False).st_size, found.path)


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what is no folder by its path below ``folder``, in name order, following no link."""
    pending = [("", str(folder))]
    while pending:
        above, place = pending.pop()
        with os.scandir(place) as entries:
            here = sorted(entries, key=lambda entry: entry.name)
        for entry in here:
            if entry.is_dir(follow_symlinks=False):
                pending.append((f"{above}{entry.name}/", entry.path))
            else:
                yield f"{above}{entry.name}", entry


def _gather_zip(path: Path, gathered: _Gathered) -> None:
    _check_size(path, gathered.limits)
    for found in list_zip(path, gathered.limits):
        if found.refused:
            gathered.skip(found.name, found.refused)
        else:
            gathered.add(found.name, found.size, str(path), entry=found.position)


def _is_tar(name: str, path: Path) -> bool:
    # Looked at before the search for a ZIP, which may find one that is the last member of a TAR.
    return (not _named_as_image(name) and is_tar(path)) or (_is_archive(name) and packing(path) != "")


def _gather_tar(name: str, path: Path, gathered: _Gathered, scratch: Path | None) -> None:
    _check_size(path, gathered.limits)
    if kind := packing(path):
        if scratch is None:
            raise ArchiveError(f"“{name}” is a packed TAR.", "Unpack it, or pack the files into a ZIP.")
        path = inflate(path, kind, name, gathered.limits, scratch)
    for found in list_tar(path, gathered.limits):
        if found.refused:
            gathered.skip(found.name, found.refused)
        else:
            gathered.add(found.name, found.size, str(path), offset=found.offset)


def _check_size(path: Path, limits: Limits) -> None:
    if path.stat().st_size > limits.archive_bytes:
        raise LimitError(f"The archive is larger than {limits.archive_bytes >> 30} GiB.")


def _is_archive(name: str) -> bool:
    return suffix_of(name) in ARCHIVE_SUFFIXES and not name.lower().endswith(PACKED_IDX)


def _named_as_image(name: str) -> bool:
    return suffix_of(name) in IMAGE_SUFFIXES
