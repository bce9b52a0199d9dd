"""Pictures that lie one after another inside a larger file, as members of their own."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from engine.contracts.datasets import Split
from engine.datasets.archive import Member, RawPixels, reading
from engine.datasets.formats.base import SourceView
from engine.errors import ArchiveError, LimitError
from engine.settings import Limits

DIGITS = 5  # of a picture's number; 100,000 and more simply have more


@dataclass(frozen=True)
class PictureBlock:
    """A file with ``count`` pictures of ``height`` x ``width`` px, ``stride`` bytes from one to the next.

    ``start`` is where the first picture begins. Its members are called ``folder/00000.png`` and so on,
    from ``first``.
    """

    member: Member
    count: int
    height: int
    width: int
    channels: int
    start: int
    stride: int
    folder: str
    first: int = 0
    planar: bool = False
    split: Split | None = None

    @property
    def bytes(self) -> int:
        """How long the file must be."""
        return self.start + (self.count - 1) * self.stride + self.height * self.width * self.channels

    def path(self, number: int) -> str:
        """Return the path of one picture."""
        return f"{self.folder}/{self.first + number:0{DIGITS}d}.png"


def is_packed(member: Member) -> bool:
    """Whether a file is packed by itself (gzip)."""
    return member.path.lower().endswith(".gz")


@contextmanager
def unpacked(member: Member) -> Iterator[BinaryIO]:
    """Open a file, inflated when it is packed; raises ``ArchiveError`` when it is damaged."""
    with reading(member) as stream:
        yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if is_packed(member) else stream


def free_folder(view: SourceView, wanted: str) -> str:
    """Return a folder for pictures in which no file of the source lies."""
    taken = {member.path.rpartition("/")[0] for member in view.source.members if member.raw is None}
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def expand_blocks(view: SourceView, blocks: list[PictureBlock], folder: Path) -> tuple[Member, ...]:
    """Return a member for each picture; files that cannot be sought are unpacked below ``folder`` first.

    Raises ``LimitError`` when there are too many pictures or bytes, ``ArchiveError`` for a file that is
    made to fill the disk.
    """
    limits = Limits()
    if sum(block.count for block in blocks) + len(view.source.members) > limits.archive_members:
        raise LimitError(f"The source holds more than {limits.archive_members:,} pictures.")
    if sum(block.bytes for block in blocks) > limits.inflated_bytes:
        raise LimitError(f"The source holds more than {limits.inflated_bytes >> 30} GiB.")
    for block in blocks:
        packed = is_packed(block.member) and block.bytes > limits.ratio_applies_above
        if packed and block.bytes > limits.inflate_ratio * block.member.size:
            raise ArchiveError(
                f"“{block.member.path}” says that it unpacks to more than {limits.inflate_ratio:.0f} times "
                "its size.",
                "That is the mark of a file made to fill a disk.",
            )
    made: list[Member] = []
    for block in blocks:
        view.opened.add(block.member.path)
        file, base = _seekable(block, folder)
        size = block.height * block.width * block.channels
        for number in range(block.count):
            offset = base + block.start + number * block.stride
            raw = RawPixels(offset, block.height, block.width, block.channels, block.planar)
            made.append(Member(block.path(number), size, file, raw=raw))
    return tuple(made)


def _seekable(block: PictureBlock, folder: Path) -> tuple[str, int]:
    """Return a file that holds the block as it is, and where in it."""
    member = block.member
    if member.entry is None and not is_packed(member):
        return member.file, member.offset or 0
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{hashlib.sha256(member.path.encode()).hexdigest()}.raw"
    with unpacked(member) as stream, target.open("wb") as handle:
        left = block.bytes
        while left > 0 and (chunk := stream.read(min(left, 1 << 20))):
            handle.write(chunk)
            left -= len(chunk)
    return str(target), 0
