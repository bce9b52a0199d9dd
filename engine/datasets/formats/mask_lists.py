"""Lists that say what the values or colours of masks mean: texts, tables of colours, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from engine.datasets.archive import Member
from engine.datasets.formats.base import SourceView, clean_class
from engine.datasets.formats.tables import named_records
from engine.datasets.formats.text_lists import BREAK, class_names, some
from engine.datasets.labels import ClassHead, MaskValues
from engine.datasets.mask_classes import BACKGROUNDS
from engine.datasets.mask_pictures import MaskPicture
from engine.errors import InputError, LimitError
from engine.settings import Limits

TEXTS = frozenset({"classes.txt", "labels.txt", "codes.txt", "class_names.txt", "label_names.txt"})
TABLES = frozenset({"class_dict.csv", "classes.csv", "labels.csv", "label_colors.csv", "colormap.csv"})
MAPS = frozenset({"labelmap.txt", "label_map.txt"})
JSONS = frozenset(
    {"classes.json", "labels.json", "label_map.json", "labelmap.json", "class_names.json", "id2label.json"}
)
LIST_BYTES = 2**20
IGNORED = "__ignore__"
"""What the lists of labelme call pixels that do not count."""
VOID = 255

Color = tuple[int, int, int]


@dataclass(frozen=True)
class ClassList:
    """``entries``: name, value (None: by its place) and colour of each class, in order."""

    path: str = ""
    entries: tuple[tuple[str, int | None, Color | None], ...] = ()

    @property
    def colors(self) -> bool:
        """Whether it is a table of colours."""
        return any(color is not None for _, _, color in self.entries)


def find_list(view: SourceView) -> ClassList:
    """Return the list of classes that lies nearest to the root; an empty one when there is none.

    Raises ``InputError`` when it is damaged.
    """
    named = [m for m in view.source.members if m.path.rpartition("/")[2].casefold() in _NAMES]
    for member in sorted(named, key=lambda m: (m.path.count("/"), m.path)):
        if member.size <= LIST_BYTES:
            entries = _entries(view, member)
            if entries:
                return ClassList(member.path, entries)
    return ClassList()


def mask_values(found: ClassList, pictures: Iterable[MaskPicture]) -> tuple[MaskValues, tuple[str, ...]]:
    """Give each entry its value; ``pictures`` are some of the masks, to tell where numbers begin.

    A list without a background names value 0 first, unless the masks show that it names value 1 first.
    Returns notes too. Raises ``InputError`` when two classes have one value or one colour.
    """
    entries = list(found.entries)
    if not entries:
        return MaskValues(), ()
    notes: list[str] = []
    if not found.colors and entries[0][0] == IGNORED and entries[0][1] is None:
        entries.pop(0)  # labelme: -1, which is 255 in 8 bits
    has_background = any(name.casefold() in BACKGROUNDS for name, _, _ in entries[:1])
    first = 0
    if all(value is None for _, value, _ in entries) and not has_background:
        first = 1 if found.colors or _begins_at_one(len(entries), pictures) else 0
        if not found.colors:
            notes.append(f"“{found.path}” names no background; its first class has the value {first}.")
    names: dict[int, str] = {}
    colors: dict[Color, int] = {}
    for place, (name, said, color) in enumerate(entries, first):
        value = place if said is None else said
        if value in names or (color is not None and color in colors):
            raise InputError(
                f"“{found.path}” gives one value or colour to “{name}” and to another class.",
                "Give each class its own.",
            )
        names[value] = name
        if color is not None:
            colors[color] = value
    void = frozenset({value for value, name in names.items() if name == IGNORED})
    background = _background(names, colors, notes)
    kept = {value: name for value, name in names.items() if value not in void and value != background}
    return MaskValues(kept, colors, void, background), tuple(notes)


def heads(values: MaskValues) -> tuple[ClassHead, ...]:
    """Return the classes of a list in order."""
    return tuple(ClassHead(name) for name in dict.fromkeys(values.names[key] for key in sorted(values.names)))


def _background(names: Mapping[int, str], colors: dict[Color, int], notes: list[str]) -> int | None:
    """Return the value of pixels without a class; None when value 0 has a name of its own."""
    called = [value for value, name in names.items() if name.casefold() in BACKGROUNDS]
    if called and (called[0] == 0 or colors):
        return called[0]
    if colors and (0, 0, 0) not in colors and 0 not in names:
        colors[0, 0, 0] = 0
        notes.append("Black is not in the table of colours and is taken as background.")
    return None if 0 in names else 0


def _begins_at_one(number: int, pictures: Iterable[MaskPicture]) -> bool:
    seen = {value for picture in pictures for value, _ in picture.regions}
    plain = seen - {0, VOID}
    return (number == 1 and 0 in seen and len(seen) > 1) or (bool(plain) and max(plain) == number)


def _entries(view: SourceView, member: Member) -> tuple[tuple[str, int | None, Color | None], ...]:
    name = PurePosixPath(member.path).name.casefold()
    if name in MAPS:
        found = _read_map(view.text(member))
    elif name in TEXTS:
        names, _ = class_names(view, member)
        found = (
            []
            if any(_is_list_of_images(view, line) for line in names[:3])
            else [(n, None, None) for n in names]
        )
    elif name in TABLES:
        found = _read_table(view.text(member), member.path)
    else:
        found = _read_json(view.text(member), member.path)
    if len(found) > Limits().classes:
        raise LimitError(f"“{member.path}” lists {len(found):,} classes, more than {Limits().classes:,}.")
    return tuple(found)


def _is_list_of_images(view: SourceView, line: str) -> bool:
    return any(part in view.by_path for part in (line, *line.split())) or "," in line


_Entries = list[tuple[str, int | None, Color | None]]


def _read_map(text: str) -> _Entries:
    """Read CVAT's ``name:r,g,b:parts:actions``; lines of another form are none of it."""
    found: _Entries = []
    for line in BREAK.split(text):
        parts = line.rsplit(":", 3)
        color = _color(parts[1].split(",")) if len(parts) == 4 and not line.startswith("#") else None
        if color is not None:
            found.append((clean_class(parts[0]), None, color))
    return found


def _read_table(text: str, path: str) -> _Entries:
    """Read columns called name (or class), and r, g, b or value; another table is no class list."""
    records = named_records(text, path)
    _, names = next(records)
    title = next((key for key in ("name", "class", "label", "class_name") if key in names), None)
    number = next((key for key in ("value", "index", "id", "label_id") if key in names), None)
    shades = next((s for s in (("r", "g", "b"), ("red", "green", "blue")) if set(s) <= names.keys()), None)
    if title is None or (number is None and shades is None):
        return []
    found: _Entries = []
    for _, row in records:
        color = _color([row[shade] for shade in shades]) if shades else None
        value = row[number].strip() if number else ""
        name = clean_class(row[title])
        if not name or (shades and color is None) or (number and not value.isdecimal()):
            return []
        found.append((name, int(value[:9]) if number else None, color))
    return found


def _read_json(text: str, path: str) -> _Entries:
    """Read {"0": "background"}, {"cat": 1}, {"cat": [r, g, b]} or a list of names."""
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"“{path}” is no JSON that can be read.", "Export it again.") from error
    if isinstance(content, list):
        return (
            [(clean_class(n), None, None) for n in content]
            if all(isinstance(n, str) for n in content)
            else []
        )
    found: _Entries = []
    for key, entry in content.items() if isinstance(content, dict) else ():
        if isinstance(entry, str) and key.isdecimal():
            found.append((clean_class(entry), int(key[:9]), None))
        elif isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0:
            found.append((clean_class(key), entry, None))
        elif isinstance(entry, list) and (color := _color([str(shade) for shade in entry])):
            found.append((clean_class(key), None, color))
        else:
            return []
    return found


def _color(shades: list[str]) -> Color | None:
    numbers = [int(shade) for shade in shades if shade.strip().isdecimal() and len(shade.strip()) <= 3]
    return (
        (numbers[0], numbers[1], numbers[2])
        if len(shades) == len(numbers) == 3 and max(numbers) < 256
        else None
    )


_NAMES = TEXTS | TABLES | MAPS | JSONS


def described(values: MaskValues) -> str:
    """Name a few classes in a sentence; empty without any."""
    return some(list(dict.fromkeys(values.names.values()))) if values.names else ""
