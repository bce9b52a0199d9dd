"""Classes by lists: text files whose lines name an image and its class, as ``train.txt`` and ``val.txt`` do.

Between path and class stand tabs, commas or spaces; the class is a name or a number. What a number means
is settled over all lists that belong together, by a file of class names or by the folders of the images.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from engine.contracts.datasets import LabelKind, Split
from engine.datasets.archive import IMAGE_SUFFIXES, Member
from engine.datasets.formats.base import (
    AmbiguousNameError,
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    number_of,
    repaired,
    skipped,
    split_of,
)
from engine.datasets.formats.split_list_classes import Classes, Entry, find_names, settle
from engine.datasets.formats.text_lists import (
    FolderSplits,
    ask_for_doubles,
    first_lines,
    first_split,
    lines,
    some,
    split_in_name,
)
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ImageLabels, Label
from engine.datasets.paths import stem_of
from engine.errors import InputError

SUFFIXES = (".txt", ".lst", ".list")
ENDING = re.compile(
    r"(?:" + "|".join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES)) + r")(?=$|[\s,;\"'])", re.I
)
REST = "others.txt"


@dataclass
class _Lists:
    """All lists of a source: entries by group (lists that differ in their split only), and what failed."""

    groups: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    issues: list[Row] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    refusal: InputError | None = None

    def ordered(self) -> list[list[Entry]]:
        """Give the groups, those with splits first."""
        return sorted(self.groups.values(), key=lambda group: all(entry.split is None for entry in group))


def recognise(view: SourceView) -> Recognition | None:
    """Recognise text files whose lines begin with images and go on with a class."""
    found = _gather(view)
    if not found.groups:
        return None
    try:
        classes = _classes(view, found)
    except InputError:
        # Why the classes cannot be told is said, with its hint, when the set is read.
        classes = None
    if classes is not None and not classes.heads:
        return None
    heads = tuple(head.name for head in classes.heads) if classes else ()
    several = classes is not None and any(len(classes.of(e)) > 1 for g in found.groups.values() for e in g)
    kinds: tuple[LabelKind, ...] = ("tags",) if several else ("class",)
    reason = f"{some(found.files, 3)} list images with a class"
    return Recognition(reason, kinds, heads, len(view.images))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read each image of the source once, with the class that the lists give it.

    An image with different classes in two lines keeps none of them; images that no line names carry no
    label. Raises ``InputError`` when it cannot be told what the numbers mean, or when several lists of
    splits disagree; ``QuestionError`` for a class that is listed twice.
    """
    found = _gather(view)
    if found.refusal is not None:
        raise found.refusal
    _refuse_several_splits(found)
    classes = _classes(view, found)
    ask_for_doubles(classes.listed, classes.file, options.merge_classes)
    entries, again = _by_image(found, classes)
    note = f"Not counted, since further lists say the same again: {number_of(again, 'line')}."
    notes = (*classes.notes, note) if again else classes.notes
    rows = _rows(view, found, classes, entries)
    return Reading(rows, classes.heads, notes=notes, ahead=view.image_paths)


def write(out: ExportSet, folder: Path) -> None:
    """Write images, ``train.txt``, ``val.txt`` and ``test.txt`` (path, tab, classes) and ``classes.txt``.

    Images without a split stand in ``others.txt``; those without a label have a path only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = ImageNames(folder, flat=True)
    opened: dict[str, TextIO] = {}
    try:
        for labels, source in out.rows:
            name = f"{labels.split}.txt" if labels.split else REST
            if name not in opened:
                opened[name] = (folder / name).open("w", encoding="utf-8", newline="\n")
            path = files.place(labels.path, source, "images")
            opened[name].write("\t".join([path, *labels.names]) + "\n")
    finally:
        for handle in opened.values():
            handle.close()
    names = "".join(f"{head.name}\n" for head in out.classes)
    (folder / "classes.txt").write_text(names, encoding="utf-8", newline="\n")


def _gather(view: SourceView) -> _Lists:
    """Read all lists once; recognising and reading need the same."""
    if "split_lists" not in view.kept:
        found = _Lists()
        for member in view.named(*SUFFIXES):
            if _is_list(view, member):
                found.files.append(member.path)
                _read_list(view, member, found)
        view.kept["split_lists"] = found
    kept: _Lists = view.kept["split_lists"]
    return kept


def _is_list(view: SourceView, member: Member) -> bool:
    # A text that is named like an image holds the labels of that one; sets have many of them.
    if view.resolve.of_stem(stem_of(member.path)) and not split_in_name(member.path):
        return False
    start = first_lines(view, member)
    named = [line for line in start if ENDING.search(line)]
    return len(named) * 2 > len(start)


def _read_list(view: SourceView, member: Member, found: _Lists) -> None:
    split, group = _split_and_group(member.path)
    entries: list[Entry] = []
    issues: list[Row] = []
    refusal: InputError | None = None
    for number, line in lines(view, member):
        try:
            path, rest, spaced = split_line(view, line)
        except AmbiguousNameError as error:
            refusal = refusal or error.refusal(member.path)
            continue
        except LookupError as error:
            issues.append(skipped(member.path, number, str(error)))
            continue
        entries.append(Entry(path, rest, spaced, member.path, number, split, group))
    # A text in which no image of this source is named is not about this source.
    if entries:
        found.groups[group] += entries
        found.issues += issues
        # Said when the set is read: another format may know what is meant.
        found.refusal = found.refusal or refusal
    else:
        found.files.remove(member.path)
        view.opened.discard(member.path)


def _split_and_group(path: str) -> tuple[Split | None, str]:
    """Give the split that a list's name or folder says, and what else its path says."""
    folder, _, name = path.rpartition("/")
    split = split_in_name(name)
    if split:
        words = re.split(r"([A-Za-z]+)", name)
        return split, f"{folder}/" + "".join("*" if split_of(word) else word for word in words)
    above, _, last = folder.rpartition("/")
    own = split_of(last)
    return own, f"{above}/*/{name}" if own else path


def split_line(view: SourceView, line: str) -> tuple[str, tuple[str, ...], bool]:
    """Part a line into the image, its labels, and whether only spaces stood between them.

    Raises ``LookupError`` with the reason when it names no image of the source.
    """
    cells = line.split("\t")
    if len(cells) > 1 and ENDING.search(cells[0]):
        path = _resolve(view, cells[0])
        return path, tuple(cell.strip() for cell in cells[1:] if cell.strip()), False
    ends = [match.end() for match in ENDING.finditer(line)]
    if not ends:
        raise LookupError("it names no image")
    for end in reversed(ends):
        # A path may hold spaces and commas, so the longest that is an image counts.
        try:
            path = _resolve(view, line[:end])
        except AmbiguousNameError:
            raise
        except LookupError:
            continue
        return path, *_labels(line[end:].lstrip("\"'"))
    _resolve(view, line[: ends[0]])
    raise LookupError("it names no image")


def _resolve(view: SourceView, name: str) -> str:
    plain = name.strip().strip("\"'")
    try:
        return view.resolve(plain)
    except AmbiguousNameError:
        raise
    except LookupError as error:
        raise LookupError(f"missing image “{plain[:200]}”: {error}") from error


def _labels(rest: str) -> tuple[tuple[str, ...], bool]:
    for separator in (",", ";"):
        if separator in rest:
            return tuple(cell for part in rest.split(separator) if (cell := part.strip())), False
    return tuple(rest.split()), True


def _classes(view: SourceView, found: _Lists) -> Classes:
    named = find_names(view, found.files)
    paths = [member.path for member in view.images]
    return settle(found.groups, named, paths)


def _refuse_several_splits(found: _Lists) -> None:
    said: dict[str, set[tuple[str, Split]]] = defaultdict(set)
    for group, entries in found.groups.items():
        for entry in entries:
            if entry.split:
                said[entry.path].add((group, entry.split))
    for pairs in said.values():
        groups = sorted({group for group, _ in pairs})
        sets = [{split for own, split in pairs if own == group} for group in groups]
        if any(other != sets[0] for other in sets[1:]):
            raise InputError(
                f"The lists {some(found.files)} divide the images in several ways.",
                "Keep the lists of one division.",
            )


def _by_image(found: _Lists, classes: Classes) -> tuple[dict[str, list[Entry]], int]:
    """Give the lines of each image, and how many of further groups only say the same again."""
    entries: dict[str, list[Entry]] = {}
    again = 0
    for group in found.ordered():
        for entry in group:
            known = entries.setdefault(entry.path, [])
            if known and known[0].group != entry.group and classes.of(known[0]) == classes.of(entry):
                again += 1
            else:
                known.append(entry)
    return entries, again


def _rows(
    view: SourceView, found: _Lists, classes: Classes, by_image: dict[str, list[Entry]]
) -> Iterator[Row]:
    yield from found.issues
    folders = FolderSplits(view.image_paths, frozenset({"images"}))
    listed = any(entry.split for entries in by_image.values() for entry in entries)
    for member in view.images:
        entries = by_image.get(member.path, [])
        split = None if listed else folders(member.path)
        if split and any(split_of(name) for entry in entries for name in classes.of(entry)):
            split = None  # the folder is a class that is called like a split
        yield from _image_rows(member.path, entries, classes, split)


def _image_rows(path: str, entries: Sequence[Entry], classes: Classes, split: Split | None) -> Iterator[Row]:
    if not entries:
        yield ImageLabels(path, split=split)
        return
    said = {classes.of(entry) for entry in entries if classes.of(entry)}
    splits = {entry.split for entry in entries if entry.split}
    several = f"it is listed in several splits ({', '.join(sorted(splits))})"
    first = next((entry for entry in entries if classes.of(entry)), entries[0])
    row = ImageLabels(
        path,
        split=first_split(splits) or split,
        file=first.file,
        line=first.line,
        repairs=(several,) if len(splits) > 1 else (),
    )
    if len(said) > 1:
        named = some(sorted(", ".join(names) for names in said))
        for entry in entries:
            yield skipped(entry.file, entry.line, f"“{path}” stands under {named}; which is right?")
        yield row
        return
    for entry in entries:
        if entry is not first:
            yield repaired(entry.file, entry.line, f"“{path}” is listed twice; counted once")
    labels = tuple(Label(name, file=first.file, line=first.line) for name in next(iter(said), ()))
    yield ImageLabels(path, labels, row.split, row.file, row.line, repairs=row.repairs)


FORMAT = DatasetFormat(
    name="split_lists",
    title="Lists of images",
    carries=frozenset({"class", "tags"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "classes"}),
)
