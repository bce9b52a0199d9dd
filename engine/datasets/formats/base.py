"""What a dataset format is: how it is recognised, read and written.

A reader is a lazy iterable of rows, so that any reader can feed any writer.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from engine.contracts.datasets import ImportIssue, LabelKind, Split
from engine.datasets.archive import Member, Source

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}


@dataclass(frozen=True)
class ImageLabels:
    """One image of a set with the names of its classes; no names: it carries no label.

    ``file`` and ``line`` say where the labels stand, when that is not the image itself. ``repairs``
    are reasons, one for each label that was put right while reading.
    """

    path: str
    labels: tuple[str, ...] = ()
    split: Split | None = None
    file: str = ""
    line: int | None = None
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelIssue:
    """One label row that is no image's: skipped, or repaired by merging it into another row."""

    issue: ImportIssue


Row = ImageLabels | LabelIssue


@dataclass(frozen=True)
class Recognition:
    """Why a source looks like a format, in words, with what it seems to hold."""

    reason: str
    classes: tuple[str, ...] = ()
    images: int = 0


@dataclass(frozen=True)
class SourceView:
    """A source as formats see it, with an index of its images."""

    source: Source

    @cached_property
    def images(self) -> tuple[Member, ...]:
        """The pictures, in path order."""
        return tuple(sorted(self.source.images, key=lambda member: member.path))

    @cached_property
    def resolve(self) -> ImageIndex:
        """Look-up of images by the names that label files use."""
        return ImageIndex(member.path for member in self.images)


@dataclass(frozen=True)
class DatasetFormat:
    """One format: a name for the command line, a title for people, and its three functions.

    ``recognise`` returns None when the source is something else. ``read`` may raise ``InputError``
    when the source would teach wrong labels. ``write`` gets images with the files to copy. ``labels``
    is the kind of label that the format carries; which tasks learn that kind, it does not know.
    """

    name: str
    title: str
    labels: LabelKind
    recognise: Callable[[SourceView], Recognition | None]
    read: Callable[[SourceView], Iterator[Row]]
    write: Callable[[Iterable[tuple[ImageLabels, Path]], Path], None] | None = None
    label_suffixes: tuple[str, ...] = ()

    def is_label_file(self, path: str) -> bool:
        """Whether a file may hold labels of this format."""
        return path.lower().endswith(self.label_suffixes)


class ImageIndex:
    """Finds an image by the name that a label file gives; nothing outside the source is looked at."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[list[str]]] = defaultdict(list)
        self._paths: set[str] = set()
        for path in paths:
            parts = path.split("/")
            self._paths.add(path)
            self._by_name[parts[-1]].append(parts)

    def __call__(self, name: str) -> str:
        """Return the one path that ``name`` means; raises ``LookupError`` with the reason.

        The whole name, or one end of it that is a whole path in the source, must match: ``a/b.jpg``
        finds ``root/a/b.jpg``, and ``/home/me/a/b.jpg`` finds ``a/b.jpg`` but not ``c/b.jpg``.
        """
        if "://" in name:
            raise LookupError("it is an address, and nothing is fetched")
        parts = _parts(name)
        path = "/".join(parts)
        if path in self._paths:
            return path
        found = self._by_name.get(parts[-1], []) if parts else []
        overlap = [(_common(parts, candidate), candidate) for candidate in found]
        whole = [
            (length, candidate) for length, candidate in overlap if length in (len(parts), len(candidate))
        ]
        if not whole:
            raise LookupError("no image of this name is in the source")
        longest = max(length for length, _ in whole)
        best = [candidate for length, candidate in whole if length == longest]
        if len(best) > 1:
            raise LookupError(f"{len(best)} images of this name are in the source; give the whole path")
        return "/".join(best[0])


def split_of(name: str) -> Split | None:
    """Return the split that a folder or a cell names, or None."""
    return SPLIT_NAMES.get(name.strip().casefold())


def clean_class(name: str) -> str:
    """Return a class name in NFC with plain single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _parts(name: str) -> list[str]:
    plain = unicodedata.normalize("NFC", name.strip()).replace("\\", "/")
    return [part for part in plain.split("/") if part not in ("", ".", "..")]


def _common(one: list[str], other: list[str]) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return length
