"""What the labels in lists of images mean: names as they are, or numbers settled over the whole set."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.contracts.datasets import Split
from engine.datasets.formats.base import SourceView, clean_class, split_of
from engine.datasets.formats.text_lists import class_names, some
from engine.datasets.labels import ClassHead
from engine.errors import InputError

NAMES_FILES = frozenset(
    {"classes.txt", "class_names.txt", "classnames.txt", "names.txt", "labels.txt", "categories.txt"}
)
NUMBER = re.compile(r"[0-9]{1,9}")
NUMBERED = re.compile(r"([0-9]{1,9})[\s,:]+(.+)")
MARKS = frozenset({"0", "1", "-1"})
NO_CLASSES = frozenset({"images", "image", "imgs", "img", "pictures", "data"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: the image it means, its labels as written, and whether only spaces parted them.

    ``group`` are the lists that belong together: their names differ in the split only.
    """

    path: str
    labels: tuple[str, ...]
    spaced: bool
    file: str
    line: int
    split: Split | None
    group: str


@dataclass(frozen=True)
class Named:
    """A file of class names; ``numbers`` when each line says the number of its class."""

    file: str
    names: tuple[str, ...]
    numbers: dict[int, str] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Classes:
    """The classes of a set, and what each line says.

    ``meanings``: class by number, for the groups whose labels are numbers. ``folders``: class by image,
    when no list names one. ``listed`` are the names in ``file``, also those that stand there twice.
    """

    heads: tuple[ClassHead, ...]
    listed: tuple[str, ...] = ()
    file: str = ""
    notes: tuple[str, ...] = ()
    meanings: dict[str, dict[int, str]] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    def of(self, entry: Entry) -> tuple[str, ...]:
        """Give the classes that a line names, each once."""
        if self.folders:
            name = self.folders.get(entry.path)
            return (name,) if name else ()
        meaning = self.meanings.get(entry.group)
        if meaning is not None:
            return tuple(dict.fromkeys(meaning[int(label)] for label in entry.labels))
        whole = clean_class(" ".join(entry.labels))
        parts = tuple(dict.fromkeys(clean_class(label) for label in entry.labels))
        # Words parted by spaces are several classes only where each is known to be one.
        one = entry.spaced and len(parts) > 1 and (whole in self.known or not self.known.issuperset(parts))
        return (whole,) if one else parts


def find_names(view: SourceView, lists: Sequence[str]) -> Named | None:
    """Read the file of class names, if the source has one; raises ``InputError`` when two disagree."""
    members = [m for m in view.named(".txt") if m.path.rpartition("/")[2].casefold() in NAMES_FILES]
    found: list[Named] = []
    for member in members:
        if member.path not in lists:
            names, empty = class_names(view, member)
            note = f"{empty:,} empty lines at the end of “{member.path}” were left out."
            found.append(_named(member.path, names, (note,) if empty else ()))
    for other in found[1:]:
        if other.names != found[0].names:
            raise InputError(
                f"“{found[0].file}” and “{other.file}” name different classes.", "Keep the right one."
            )
    return found[0] if found and found[0].names else None


def _named(file: str, names: Sequence[str], notes: tuple[str, ...]) -> Named:
    parts = [match for name in names if (match := NUMBERED.fullmatch(name))]
    numbers = [int(match[1]) for match in parts]
    if len(parts) == len(names) and numbers[:1] in ([0], [1]):
        plain = [clean_class(match[2]) for match in parts]
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(set(plain)) == len(plain):
            return Named(file, tuple(plain), dict(zip(numbers, plain, strict=True)), notes)
    return Named(file, tuple(names), None, notes)


def settle(groups: Mapping[str, Sequence[Entry]], named: Named | None, paths: Sequence[str]) -> Classes:
    """Find out what all labels mean.

    Args:
        groups: lines by group of lists.
        named: the set's class names, if it lists them.
        paths: all images, whose folders may be classes.

    Raises:
        InputError: numbers fit the class names in more than one way, or in none.
    """
    entries = [entry for group in groups.values() for entry in group]
    labelled = [entry for entry in entries if entry.labels]
    if not labelled:
        return _from_folders([entry.path for entry in entries], paths)
    named = named or Named("", ())
    notes = list(named.notes)
    meanings: dict[str, dict[int, str]] = {}
    for group, found in groups.items():
        _refuse_marks(found)
        used = {label for entry in found for label in entry.labels}
        if used and all(map(NUMBER.fullmatch, used)) and not used <= set(named.names):
            meanings[group], note = _numbers(found, named, paths)
            notes += [note] if note else []
    known = frozenset(named.names) or frozenset(_all_folders(paths))
    classes = Classes((), named.names, named.file, tuple(dict.fromkeys(notes)), meanings, {}, known)
    words = sorted({name for entry in labelled for name in classes.of(entry)})
    order = dict.fromkeys([*(named.names or _in_order(meanings)), *words])
    return replace(classes, heads=tuple(map(ClassHead, order)))


def _in_order(meanings: Mapping[str, Mapping[int, str]]) -> list[str]:
    return list(dict.fromkeys(names[number] for names in meanings.values() for number in sorted(names)))


def _refuse_marks(entries: Sequence[Entry]) -> None:
    """Refuse a table of yes and no: read as numbers of classes it would teach nonsense."""
    widths = {len(entry.labels) for entry in entries}
    used = {label for entry in entries for label in entry.labels}
    if len(widths) == 1 and widths.pop() > 1 and used <= MARKS:
        raise InputError(
            f"“{entries[0].file}” has the same number of 0 and 1 on each line: yes and no for each class.",
            "Save it as CSV with the names of the classes in its first line.",
        )


def _numbers(entries: Sequence[Entry], named: Named, paths: Sequence[str]) -> tuple[dict[int, str], str]:
    used = sorted({int(label) for entry in entries for label in entry.labels})
    folders = _by_folder(entries, paths)
    if not named.names:
        if folders:
            return folders, "The numbers in the lists are named after the folders of their images."
        unnamed = "Nothing names the numbers in the lists; they are the names of the classes."
        return {number: str(number) for number in used}, unnamed
    if named.numbers is not None:
        ways = [named.numbers]
    else:
        ways = [dict(enumerate(named.names, start=start)) for start in (0, 1)]
    fitting = [way for way in ways if all(number in way for number in used)]
    if not fitting:
        unknown = [number for number in used if not any(number in way for way in ways)] or used[-1:]
        raise InputError(
            f"The lists use the classes {some(unknown, 20)}, but “{named.file}” has {len(named.names):,}.",
            "Complete the list of classes, or correct the lists.",
        )
    if len(fitting) > 1 and folders:
        fitting = [way for way in fitting if all(way[number] == folders[number] for number in used)]
    if len(fitting) != 1:
        raise InputError(
            f"The classes {some(used, 20)} could be counted from 0 or from 1 in “{named.file}”.",
            "Write the numbers before the names there, as in “0 cat”, or names into the lists.",
        )
    return fitting[0], ""


def _by_folder(entries: Sequence[Entry], paths: Sequence[str]) -> dict[int, str]:
    """Name numbers after folders, if each number stands for one folder and each folder for one number."""
    for folders in _folder_classes(paths):
        names: dict[int, set[str | None]] = defaultdict(set)
        numbers: dict[str | None, set[int]] = defaultdict(set)
        for entry in entries:
            for label in entry.labels:
                names[int(label)].add(folders.get(entry.path))
                numbers[folders.get(entry.path)].add(int(label))
        single = all(len(found) == 1 for found in names.values())
        if (
            single
            and all(len(found) == 1 for found in numbers.values())
            and None not in numbers
            and len(names) > 1
        ):
            return {number: next(iter(found)) or "" for number, found in sorted(names.items())}
    return {}


def _from_folders(listed: Iterable[str], paths: Sequence[str]) -> Classes:
    """Take the folders as classes of lists that give only paths; none when they are no classes."""
    needed = set(listed)
    for folders in _folder_classes(paths):
        names = sorted({folders[path] for path in needed if path in folders})
        if len(names) > 1 and needed <= folders.keys():
            note = "The lists give only paths; the classes are the folders of the images."
            own = {path: folders[path] for path in needed}
            return Classes(tuple(map(ClassHead, names)), notes=(note,), folders=own)
    return Classes(())


def _folder_classes(paths: Sequence[str]) -> Iterable[dict[str, str]]:
    """Give the class of each image by its first folder below what all share, then by its last."""
    parts = {path: path.split("/")[:-1] for path in paths}
    shared = 0
    for level in zip(*parts.values(), strict=False):
        if len(set(level)) > 1:
            break
        shared += 1
    below = {path: [name for name in own[shared:] if _may_be_class(name)] for path, own in parts.items()}
    for place in (0, -1):
        yield {path: clean_class(own[place]) for path, own in below.items() if own}


def _may_be_class(name: str) -> bool:
    # “train2017” is a split as well.
    return split_of(name.rstrip("0123456789_- ")) is None and name.casefold() not in NO_CLASSES


def _all_folders(paths: Sequence[str]) -> set[str]:
    return {name for found in _folder_classes(paths) for name in found.values()}
