"""IDX, the files of MNIST and its kin: pictures in one file, their classes in another.

Format: http://yann.lecun.com/exdb/mnist/ (two zero bytes, the type of the values, the number of
dimensions, each dimension as a big-endian 32-bit number, then the values). ``train-images-idx3-ubyte`` and
``train-labels-idx1-ubyte`` belong together; ``t10k`` is the test set; each may be packed with gzip.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.contracts.datasets import Split
from engine.datasets.archive import MEMBER_BYTES, Member
from engine.datasets.formats.base import (
    DatasetFormat,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    skipped,
    split_of,
)
from engine.datasets.formats.packed import PictureBlock, expand_blocks, free_folder, is_packed, unpacked
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError

NAME = re.compile(r"(.*?)[-_.]?(images|labels)[-_.]idx[0-9][-_]ubyte(?:\.gz)?", re.IGNORECASE)
UNSIGNED_BYTE = 0x08
MOST_DIMENSIONS = 4
MOST_LABELS = 1_000_000


@dataclass(frozen=True)
class _Pair:
    """The files of one part of a set; ``name`` is what stands before images and labels."""

    name: str
    images: Member | None = None
    labels: Member | None = None

    @property
    def split(self) -> Split | None:
        """The split that the name says; MNIST's test set is called t10k."""
        words = {"test" if word == "t10k" else word for word in re.split(r"[^a-z0-9]+", self.name.lower())}
        found = {split_of(word) for word in words} - {None}
        return found.pop() if len(found) == 1 else None


def recognise(view: SourceView) -> Recognition | None:
    """Recognise files called ...-images-idx3-ubyte that start as IDX does."""
    pairs = [pair for pair in _pairs(view) if pair.images]
    if not any(pair.labels for pair in pairs):
        return None
    blocks = [_block(view, pair) for pair in pairs]
    names = _class_names(value for pair in pairs for value in _values(view, pair))
    files = ", ".join(block.member.path for block in blocks)
    return Recognition(
        f"{files} with labels in IDX, as MNIST", ("class",), names, sum(block.count for block in blocks)
    )


def expand(view: SourceView, folder: Path) -> tuple[Member, ...]:
    """List the pictures; packed files are inflated below ``folder``."""
    return expand_blocks(view, [_block(view, pair) for pair in _pairs(view) if pair.images], folder)


def read(view: SourceView, _options: ReadOptions) -> Reading:
    """Read each picture with its class, which is a number.

    Raises ``InputError`` when a file is cut short, of another type, or there are not as many labels as
    pictures.
    """
    pairs = _pairs(view)
    if not any(pair.images and pair.labels for pair in pairs):
        raise InputError("There are no IDX files with pictures and labels.", "They end in -ubyte.")
    known = {pair.name: _values(view, pair) for pair in pairs}
    notes = [
        f"“{pair.images.path}” has no labels beside it." for pair in pairs if pair.images and not pair.labels
    ]
    if any("emnist" in pair.name.lower() for pair in pairs):
        notes.append("EMNIST holds its pictures mirrored along the diagonal; they are taken as they are.")
    heads = tuple(map(ClassHead, _class_names(value for values in known.values() for value in values)))
    return Reading(_rows(view, pairs, known), heads, notes=tuple(notes))


def _rows(view: SourceView, pairs: Sequence[_Pair], known: dict[str, bytes]) -> Iterator[Row]:
    done: set[str] = set()
    for pair in pairs:
        values, file = known[pair.name], pair.labels.path if pair.labels else ""
        if pair.images is None:
            for value in values:
                yield skipped(file, None, f"class {value}: the file of its pictures is missing")
            continue
        block = _block(view, pair)
        view.opened.add(block.member.path)
        for number in range(block.count):
            path = block.path(number)
            done.add(path)
            labels = (Label(str(values[number])),) if values else ()
            yield ImageLabels(path, labels, pair.split, file)
    for member in view.images:
        if member.path not in done:
            yield ImageLabels(member.path)


def _pairs(view: SourceView) -> tuple[_Pair, ...]:
    """Find what belongs together; a file that stands there packed and unpacked is taken unpacked."""
    found: dict[str, dict[str, Member]] = {}
    # Names first: there may be a hundred thousand other files.
    for member in sorted(view.named("ubyte", "ubyte.gz"), key=is_packed):
        path = PurePosixPath(member.path)
        matched = NAME.fullmatch(path.name)
        if matched and _dimensions(member) is not None:
            name = str(path.with_name(matched[1] or "images"))
            found.setdefault(name, {}).setdefault(matched[2].lower(), member)
    return tuple(_Pair(name, **files) for name, files in sorted(found.items()))


def _dimensions(member: Member) -> tuple[int, ...] | None:
    """Return the dimensions of an IDX file of bytes; None when it is something else."""
    with unpacked(member) as stream:
        head = stream.read(4 + 4 * MOST_DIMENSIONS)
    if len(head) < 8 or head[:3] != bytes((0, 0, UNSIGNED_BYTE)) or not 1 <= head[3] <= MOST_DIMENSIONS:
        return None
    count = head[3]
    return struct.unpack(f">{count}I", head[4 : 4 + 4 * count]) if len(head) >= 4 + 4 * count else None


def _block(view: SourceView, pair: _Pair) -> PictureBlock:
    """Understand the file of pictures: number, height, width[, channels], or channels before height."""
    assert pair.images is not None
    count, *sides = _dimensions(pair.images) or (0,)
    planar = len(sides) == 3 and sides[2] not in (1, 3)
    if planar:
        sides = [*sides[1:], sides[0]]
    height, width, channels = (*sides, 1)[:3] if len(sides) in (2, 3) else (0, 0, 0)
    if not (height and width and channels in (1, 3)) or math.prod((height, width, channels)) > MEMBER_BYTES:
        shape = " x ".join(map(str, (count, *sides)))
        raise InputError(
            f"“{pair.images.path}” holds no pictures that can be read: {shape}.",
            "They are grey (number x height x width) or coloured (and 3 channels), of 8 bits.",
        )
    start, name = 4 + 4 * (1 + len(sides)), PurePosixPath(pair.name)
    folder = str(name.with_name(name.name.replace("t10k", "test")))
    size = height * width * channels
    return PictureBlock(
        pair.images, count, height, width, channels, start, size, free_folder(view, folder), planar=planar
    )


def _values(view: SourceView, pair: _Pair) -> bytes:
    """Return the class of each picture, a byte each; empty when there are none."""
    if pair.labels is None:
        return b""
    dimensions = _dimensions(pair.labels) or ()
    count = dimensions[0] if len(dimensions) == 1 else 0
    if len(dimensions) != 1 or count > MOST_LABELS:
        raise InputError(
            f"“{pair.labels.path}” holds no list of classes.", "It needs one byte for each picture."
        )
    pictures = (_dimensions(pair.images) or (0,))[0] if pair.images else count
    if pictures != count:
        raise InputError(
            f"“{pair.labels.path}” has {count:,} labels, and there are {pictures:,} pictures.",
            "Which label is whose cannot be told; copy both files again.",
        )
    view.opened.add(pair.labels.path)
    with unpacked(pair.labels) as stream:
        values = stream.read(8 + count)[8:]
    if len(values) != count:
        raise InputError(f"“{pair.labels.path}” is cut short.", "Copy it again.")
    return values


def _class_names(values: Iterator[int]) -> tuple[str, ...]:
    return tuple(str(value) for value in sorted(set(values)))


FORMAT = DatasetFormat(
    name="idx",
    title="IDX (MNIST)",
    carries=frozenset({"class"}),
    recognise=recognise,
    read=read,
    expand=expand,
)
