"""CIFAR-10 and CIFAR-100 in their binary version: label and picture by turns in one file.

Format: https://www.cs.toronto.edu/~kriz/cifar.html. A record of CIFAR-10 is the class and 3,072 bytes of
picture (32 x 32 red, then green, then blue); one of CIFAR-100 has a coarse class before the fine one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.contracts.datasets import Split
from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    DatasetFormat,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    number_of,
)
from engine.datasets.formats.packed import PictureBlock, expand_blocks, free_folder
from engine.datasets.formats.text_lists import class_names
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError

SIDE = 32
PICTURE = 3 * SIDE * SIDE
TEN = re.compile(r"(data_batch_([1-9])|test_batch)\.bin", re.IGNORECASE)
HUNDRED = re.compile(r"(train|test)\.bin", re.IGNORECASE)
PICKLED = re.compile(r"data_batch_[1-9]|test_batch|train|test|meta|batches\.meta")
PICKLE_MARKS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
NAMES = ("batches.meta.txt", "fine_label_names.txt")
COARSE = "coarse_label_names.txt"


@dataclass(frozen=True)
class _Batch:
    """One file; ``labels`` is the number of class bytes before each picture, the last the one that counts."""

    member: Member
    split: Split
    labels: int

    @property
    def record(self) -> int:
        """Bytes of one label and picture."""
        return self.labels + PICTURE

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return self.member.size // self.record


def recognise(view: SourceView) -> Recognition | None:
    """Recognise the batches by name and length.

    Raises ``InputError`` when the source is nothing but the pickled version.
    """
    batches = _batches(view)
    if not batches:
        _refuse_pickled(view)
        return None
    count = sum(batch.count for batch in batches)
    names = _names(view, batches[0])
    title = "CIFAR-10" if batches[0].labels == 1 else "CIFAR-100"
    reason = f"{number_of(len(batches), 'file')} with {number_of(count, 'picture')} of {title}"
    return Recognition(reason, ("class",), names, count)


def expand(view: SourceView, folder: Path) -> tuple[Member, ...]:
    """List the pictures; files inside a ZIP are unpacked below ``folder``."""
    return expand_blocks(view, [block for _, block in _blocks(view)], folder)


def read(view: SourceView, _options: ReadOptions) -> Reading:
    """Read each picture with its class; the coarse class of CIFAR-100 is an attribute.

    Raises ``InputError`` when a file is cut short, there is none, or a class has no name.
    """
    blocks = _blocks(view)
    if not blocks:
        raise InputError("There are no batches of CIFAR's binary version.", "They end in .bin.")
    names = _names(view, blocks[0][0])
    return Reading(_rows(view, blocks, names), tuple(map(ClassHead, names)))


def _rows(
    view: SourceView, blocks: list[tuple[_Batch, PictureBlock]], names: tuple[str, ...]
) -> Iterator[Row]:
    coarse = _listed(view, blocks[0][0], (COARSE,))
    done: set[str] = set()
    for batch, block in blocks:
        file = batch.member.path
        with view.open(batch.member) as stream:
            for number in range(batch.count):
                record = stream.read(batch.record)
                if len(record) < batch.labels:
                    raise InputError(f"“{file}” is cut short.", "Copy it again.")
                value = record[batch.labels - 1]
                if names and value >= len(names):
                    raise InputError(
                        f"“{file}” has class {value}, and there are {len(names)} names.",
                        "Put the list of names beside it that belongs to it.",
                    )
                own = (
                    (("coarse", coarse[record[0]]),) if batch.labels == 2 and record[0] < len(coarse) else ()
                )
                label = Label(names[value] if names else str(value), attributes=own)
                path = block.path(number)
                done.add(path)
                yield ImageLabels(path, (label,), batch.split, file)
    for member in view.images:
        if member.path not in done:
            yield ImageLabels(member.path)


def _batches(view: SourceView) -> list[_Batch]:
    """Return the files of one set, CIFAR-10's in the order of their numbers."""
    found = []
    for member in view.named(".bin"):
        path = PurePosixPath(member.path)
        if TEN.fullmatch(path.name):
            split: Split = "test" if path.name.lower().startswith("test") else "train"
            found.append(_Batch(member, split, 1))
        elif HUNDRED.fullmatch(path.name) and str(path.with_name(NAMES[1])) in view.by_path:
            found.append(_Batch(member, "test" if path.stem.lower() == "test" else "train", 2))
    for batch in found:
        if batch.member.size % batch.record or not batch.member.size:
            raise InputError(
                f"“{batch.member.path}” is no whole number of CIFAR's records of {batch.record:,} bytes.",
                "Copy it again.",
            )
    folders = {str(PurePosixPath(batch.member.path).parent) for batch in found}
    if len(folders) > 1 or len({batch.labels for batch in found}) > 1:
        raise InputError("The source holds several sets of CIFAR.", "Import one at a time.")
    return found


def _blocks(view: SourceView) -> list[tuple[_Batch, PictureBlock]]:
    blocks = []
    first: dict[Split, int] = {}
    for batch in _batches(view):
        folder = free_folder(view, str(PurePosixPath(batch.member.path).with_name(batch.split)))
        block = PictureBlock(
            batch.member,
            batch.count,
            SIDE,
            SIDE,
            3,
            batch.labels,
            batch.record,
            folder,
            first.get(batch.split, 0),
            planar=True,
        )
        first[batch.split] = block.first + batch.count
        blocks.append((batch, block))
    return blocks


def _names(view: SourceView, batch: _Batch) -> tuple[str, ...]:
    return _listed(view, batch, NAMES[batch.labels - 1 :])


def _listed(view: SourceView, batch: _Batch, files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in a list beside a batch; none when there is no list."""
    for file in files:
        member = view.by_path.get(str(PurePosixPath(batch.member.path).with_name(file)))
        if member is not None:
            names = tuple(class_names(view, member)[0])
            if len(set(names)) < len(names):
                raise InputError(f"“{member.path}” has a name twice.", "Mend it.")
            return names
    return ()


def _refuse_pickled(view: SourceView) -> None:
    """Say what to do with a source that is only the version for Python; it is never opened as such."""
    if view.images:
        return
    for member in view.source.members:
        if PICKLED.fullmatch(PurePosixPath(member.path).name) and view.head(member)[:2] in PICKLE_MARKS:
            raise InputError(
                f"“{member.path}” is a pickle, which can run code, and is not opened.",
                "Download the binary version of CIFAR.",
            )


FORMAT = DatasetFormat(
    name="cifar",
    title="CIFAR (binary version)",
    carries=frozenset({"class"}),
    recognise=recognise,
    read=read,
    expand=expand,
)
