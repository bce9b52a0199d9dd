"""Text files of datasets: their lines, lists of class names, and which text belongs to which image."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from engine.contracts.datasets import SPLITS, Split
from engine.datasets.archive import Member
from engine.datasets.formats.base import HEAD_BYTES, Row, SourceView, clean_class, skipped, split_of
from engine.datasets.labels import ImageLabels, Label
from engine.datasets.paths import stem_of
from engine.errors import InputError, LimitError, QuestionError
from engine.settings import Limits

SHOWN = 5
"""Names in a sentence."""
BREAK = re.compile(r"\r\n|\n|\r")
WORDS = re.compile(r"[^a-z]+")
NAMES_BYTES = 2**20


def lines(view: SourceView, member: Member) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, stripped, with their numbers (from 1).

    What is no UTF-8 becomes replacement characters, so that only the lines that hold it are lost.
    """
    yield from enumerate_text(view.content(member))


def enumerate_text(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text that are not empty, as ``lines`` does."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    for number, line in enumerate(BREAK.split(content.decode(encoding, errors="replace")), start=1):
        if stripped := line.strip():
            yield number, stripped


def first_lines(view: SourceView, member: Member, most: int = 20) -> list[str]:
    """Return the first whole lines of a file, which count as looked at, not as read."""
    head = view.head(member)
    found = [line for _, line in enumerate_text(head)]
    if len(head) >= HEAD_BYTES:
        found = found[:-1]  # the last one may be cut
    return found[:most]


def class_names(view: SourceView, member: Member) -> tuple[list[str], int]:
    """Read a file with one class name a line; returns the names and how many empty lines end it.

    Raises ``InputError`` when a line between names is empty: all classes after it would be shifted.
    """
    if member.size > NAMES_BYTES:
        raise LimitError(f"“{member.path}” is larger than {NAMES_BYTES >> 10} KiB.")
    found = [clean_class(line) for line in BREAK.split(view.text(member))]
    return without_empty_end(found, member.path)


def without_empty_end(names: Sequence[str], file: str) -> tuple[list[str], int]:
    """Return class names without empty ones at the end, and how many those were beyond a last line break.

    Raises ``InputError`` when one between others is empty, or when there are too many.
    """
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    if "" in kept:
        number = kept.index("") + 1
        raise InputError(
            f"Class name {number:,} of {len(kept):,} in “{file}” is empty, and the classes after it "
            "would be shifted.",
            "Delete the empty line, or give the class its name.",
        )
    if len(kept) > Limits().classes:
        raise LimitError(f"“{file}” lists {len(kept):,} classes, more than {Limits().classes:,}.")
    return kept, max(len(names) - len(kept) - 1, 0)


def ask_for_doubles(names: Iterable[str], file: str, merge: bool) -> None:
    """Raise ``QuestionError`` when a class is listed twice and a person has not said that it is one."""
    doubles = [name for name, count in Counter(names).items() if count > 1]
    if doubles and not merge:
        raise QuestionError(
            f"“{file}” lists {some(doubles)} more than once.",
            "Rename one of them, or say that they are the same class.",
            flag="--merge-classes",
        )


def some(values: Iterable[object], most: int = SHOWN) -> str:
    """Name the first few values in a sentence."""
    found = [f"“{value}”" if isinstance(value, str) else f"{value}" for value in values]
    rest = f" and {len(found) - most:,} more" if len(found) > most else ""
    return ", ".join(found[:most]) + rest


def split_in_name(path: str) -> Split | None:
    """Return the split that a file's name says as one of its words, as ``list_train.txt`` does."""
    stem = stem_of(path).casefold()
    found = [split for word in WORDS.split(stem) if (split := split_of(word))]
    return found[-1] if found else None


def first_split(found: Iterable[Split]) -> Split | None:
    """Of several splits choose the first in order: what is listed for training must not count as test."""
    known = set(found)
    return next((split for split in SPLITS if split in known), None)


class FolderSplits:
    """Splits that folders name, such as ``train/images/a.jpg`` or ``images/val/a.jpg``.

    A folder beside one of ``beside`` (above or below it) always counts; elsewhere only when it is not
    what all paths share.
    """

    def __init__(self, paths: Sequence[str], beside: frozenset[str]) -> None:
        self._beside = beside
        self._shared = 0
        self._known: dict[str, Split | None] = {}
        folders = {path[: path.rfind("/") + 1] for path in paths}
        for level in zip(*(folder.split("/")[:-1] for folder in folders), strict=False):
            if len(set(level)) > 1:
                break
            self._shared += 1

    def __call__(self, path: str) -> Split | None:
        """Return the split of a path, or None."""
        folder = path[: path.rfind("/") + 1]
        if folder not in self._known:
            self._known[folder] = self._split_of(folder.split("/")[:-1])
        return self._known[folder]

    def _split_of(self, parts: Sequence[str]) -> Split | None:
        for place, part in enumerate(parts):
            split = split_of(part)
            around = [*parts[max(place - 1, 0) : place], *parts[place + 1 : place + 2]]
            if split and (place >= self._shared or any(name.casefold() in self._beside for name in around)):
                return split
        return None


class LabelTexts:
    """Pairs images with text files: ``images/a.jpg`` with ``labels/a.txt``, or both in one folder.

    Args:
        images: paths of images.
        texts: paths of text files that may hold labels.
        folders: pairs of folder names, that of the images and that of their labels, lower case.
    """

    def __init__(
        self, images: Iterable[str], texts: Iterable[str], folders: Sequence[tuple[str, str]]
    ) -> None:
        self._folders = folders
        self._texts = {path.casefold(): path for path in texts}
        self._with_texts = {text[: text.rfind("/") + 1] for text in self._texts}
        self._homes: dict[str, tuple[str, ...]] = {}
        self.of_image: dict[str, str] = {}
        sharing: dict[str, list[str]] = defaultdict(list)
        for image in images:
            found = self._find(image)
            if found:
                self.of_image[image] = found
                sharing[found].append(image)
        self.ambiguous = {text: found for text, found in sharing.items() if len(found) > 1}
        self.paired = frozenset(sharing)

    def _find(self, image: str) -> str | None:
        folder = image[: image.rfind("/") + 1].casefold()
        if folder not in self._homes:
            self._homes[folder] = tuple(home for home in self._homes_of(folder) if home in self._with_texts)
        for home in self._homes[folder]:
            if text := self._texts.get(f"{home}{stem_of(image).casefold()}.txt"):
                return text
        return None

    def _homes_of(self, folder: str) -> Iterator[str]:
        """Yield the folders in which the texts of a folder of images may lie, each with its slash."""
        parts = folder.split("/")
        for pictures, labels in self._folders:
            # The last folder of that name first, as the tools that use this layout do.
            for place in range(len(parts) - 2, -1, -1):
                if parts[place] == pictures:
                    yield "/".join([*parts[:place], labels, *parts[place + 1 :]])
        yield folder

    def refuse_ambiguous(self) -> None:
        """Raise ``InputError`` when two images share one file of labels."""
        if self.ambiguous:
            text, images = next(iter(sorted(self.ambiguous.items())))
            more = f", and {len(self.ambiguous) - 1:,} more such files" if len(self.ambiguous) > 1 else ""
            raise InputError(
                f"“{text}” could belong to {some(sorted(images))}{more}: names that differ only in "
                "their ending share one file of labels.",
                "Rename one of the images and its labels, or take one out.",
            )

    def strays(self) -> list[str]:
        """Return the text files without an image that lie where labels of others do."""
        homes = {text.rpartition("/")[0] for text in self.paired}
        words = {labels for _, labels in self._folders}
        return sorted(
            text
            for text in self._texts.values()
            if text not in self.paired
            and (text.rpartition("/")[0] in homes or words & set(text.casefold().split("/")[:-1]))
        )


def rows_of_text(
    view: SourceView, row: ImageLabels, text: str | None, label_of: Callable[[str, int], Label]
) -> Iterator[Row]:
    """Read the label file of an image, a label in each line; lines that are none are skipped.

    Without a file the image is not labelled; with an empty one there is nothing on it. ``label_of`` gets
    a line and its number, and raises ``ValueError`` with the reason why it is no label.
    """
    if text is None:
        yield row
        return
    read_lines = list(lines(view, view.by_path[text]))
    labels: list[Label] = []
    for number, line in read_lines:
        try:
            labels.append(label_of(line, number))
        except ValueError as error:
            yield skipped(text, number, str(error))
    yield replace(row, labels=tuple(labels), file=text, negative=not read_lines)
