"""What the values of a set's class masks mean, decided once all of them have been seen.

The rules are those for bad masks: 255 alone is the one class; beside other classes it does not count;
where nothing says which, a person is asked; values that are not in the class list are refused with
their histogram, since they would teach wrong labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from engine.datasets.formats.base import number_of
from engine.datasets.labels import MaskValues
from engine.datasets.mask_pictures import MOST_CLASSES, UNKNOWN_COLOR, MaskPicture
from engine.errors import InputError, QuestionError

VOID = 255
FOREGROUND = "foreground"
BACKGROUNDS = frozenset({"background", "_background_", "__background__", "bg", "back ground"})
"""What sets call the pixels without a class, in lower case."""
SHOWN = 12  # values in a histogram
MANY = 20  # values; a set without a class list that has more may have soft edges
HALF = 128
NEAR = 16  # how far from 0 or 255 a value may be that JPEG made of it
SOFT_SHARE = 0.95  # of the pixels are near 0 or 255 in masks of one class that were saved with loss

Answer = Literal["", "class", "ignore"]


@dataclass
class Census:
    """How many pixels and pictures have each value, over the class masks of a set."""

    pixels: Counter[int] = field(default_factory=Counter)
    pictures: Counter[int] = field(default_factory=Counter)
    colored: bool = False
    lossy: int = 0

    def add(self, picture: MaskPicture) -> None:
        """Count a class mask; one with more values than classes there can be is left out."""
        if is_crowded(picture):
            return
        self.colored |= picture.colored
        self.lossy += picture.lossy
        for (value, _), pixels in zip(picture.regions, picture.pixels, strict=True):
            self.pixels[value] += pixels
            self.pictures[value] += 1


@dataclass(frozen=True)
class Decision:
    """What values mean: ``names`` is the class by value.

    ``void``: values that do not count (``said``: by the source itself, and so in masks of objects too).
    All others are background. ``soft``: values from 128 on are the one class, whatever they are.
    """

    names: Mapping[int, str]
    void: frozenset[int] = frozenset()
    said: frozenset[int] = frozenset()
    soft: str = ""
    notes: tuple[str, ...] = ()

    def name_of(self, value: int) -> str | None:
        """Return the class of a value, "" when it does not count, None for background."""
        if self.soft:
            return self.soft if value >= HALF else None
        return "" if value in self.void else self.names.get(value)


def is_crowded(picture: MaskPicture) -> bool:
    """Whether a picture has more values than a class mask can have."""
    return len(picture.regions) > MOST_CLASSES


def decide(census: Census, values: MaskValues, void: Answer = "") -> Decision:
    """Say what each value means.

    Raises:
        QuestionError: 255 stands beside other values and no list says what it is; ``void`` answers.
        InputError: values outside the class list; coloured masks without a table of colours; masks
            that were saved with loss.
    """
    return replace(_decided(census, values, void), said=values.void)


def _decided(census: Census, values: MaskValues, void: Answer) -> Decision:
    if census.colored and not values.colors:
        return _one_color(census, values)
    listed, notes = _listed(values)
    seen = {value for value in census.pixels if value != values.background}
    soft = _soft(census, listed)
    if soft is not None:
        return soft
    if listed or values.names:
        return _with_list(census, values, listed, notes, seen - values.void, void)
    return _without_list(census, values, seen - values.void, void)


def histogram(census: Census, values: set[int]) -> str:
    """Return values with their pixels and pictures, in order, for a sentence.

    Of many the most frequent are told, and 255 in any case.
    """
    told = sorted(values, key=lambda value: (value != VOID, -census.pixels[value], value))[:SHOWN]
    parts = [f"{shown(value)}: {_extent(census, value)}" for value in sorted(told)]
    rest = f"; and {len(values) - SHOWN:,} more" if len(values) > SHOWN else ""
    return "; ".join(parts) + rest


def _extent(census: Census, value: int) -> str:
    return f"{census.pixels[value]:,} px in {number_of(census.pictures[value], 'mask')}"


def _as_chosen(census: Census, answer: Answer) -> str:
    said = "is a class" if answer == "class" else "does not count"
    return f"{VOID} ({_extent(census, VOID)}) {said}, as you chose."


def shown(value: int) -> str:
    """Return a value as a person knows it: a colour that no table lists as #rrggbb."""
    return f"#{value - UNKNOWN_COLOR:06x}" if UNKNOWN_COLOR <= value < 2 * UNKNOWN_COLOR else str(value)


def _listed(values: MaskValues) -> tuple[dict[int, str], list[str]]:
    """Return the classes of a list: without void and background, which are no classes."""
    names, notes = {}, []
    for value, name in sorted(values.names.items()):
        if value in values.void or (value == 0 and name.casefold() in BACKGROUNDS):
            continue
        if value == values.background:
            notes.append(f"Value {value} is background, so “{name}”, which is listed for it, is no class.")
            continue
        names[value] = name
    return names, notes


def _with_list(
    census: Census,
    values: MaskValues,
    listed: dict[int, str],
    notes: list[str],
    seen: set[int],
    answer: Answer,
) -> Decision:
    """Decide where the source names classes by value."""
    void = set(values.void)
    # A value 0 that is not listed is background even where every value is said to be a class.
    outside = {value for value in seen if value not in values.names and value != 0}
    ones = [value for value in listed if value != 0]
    if outside == {VOID} and seen <= {0, VOID} and len(ones) == 1 and answer != "ignore":
        name = listed[ones[0]]
        notes.append(f"The masks hold 0 and 255 only: 255 is taken as “{name}” (value {ones[0]}).")
        return Decision({VOID: name}, frozenset(void), notes=tuple(notes))
    if VOID in outside and answer == "class":
        listed = {**listed, VOID: f"class {VOID}"}
        outside.discard(VOID)
        notes.append(_as_chosen(census, answer))
    elif VOID in outside and answer:
        notes.append(_as_chosen(census, answer))
        outside.discard(VOID)
        void.add(VOID)
    elif VOID in outside:
        notes.append(
            f"255 is not in the class list: its {_extent(census, VOID)} count "
            "neither as a class nor as background."
        )
        outside.discard(VOID)
        void.add(VOID)
    if outside:
        what = "colours" if max(outside) >= UNKNOWN_COLOR else "values"
        loss = " Some masks were saved with loss (JPEG); save them as PNG." if census.lossy else ""
        raise InputError(
            f"The masks hold {what} that are not in the class list: {histogram(census, outside)}.",
            f"Complete the class list, or put the masks right.{loss}",
        )
    return Decision(listed, frozenset(void), notes=tuple(notes))


def _without_list(census: Census, values: MaskValues, seen: set[int], answer: Answer) -> Decision:
    """Decide where nothing but the masks speaks."""
    seen = seen - {0}
    if seen == {VOID} and answer != "ignore":
        note = f"The masks hold 0 and 255 only: 255 is taken as the one class, “{FOREGROUND}”."
        return Decision({VOID: FOREGROUND}, values.void, notes=(note,))
    if len(seen) == 1 and VOID not in seen:
        return Decision({seen.pop(): FOREGROUND}, values.void)
    void = values.void
    if VOID in seen and not answer:
        raise QuestionError(
            "The masks hold 255 beside other values, and no class list says what it is: "
            f"{histogram(census, set(census.pixels))}.",
            "Give --void ignore when pixels of 255 do not count, --void class when 255 is a class.",
            flag="--void",
            choices=("ignore", "class"),
        )
    notes = [_as_chosen(census, answer)] if VOID in seen else []
    if answer == "ignore":
        void, seen = void | {VOID}, seen - {VOID}
    if len(seen) > MOST_CLASSES - 1:
        raise InputError(
            f"The masks hold {len(seen):,} different values: {histogram(census, seen)}.",
            "If the values number objects, import the set as instance masks; else add a classes.txt.",
        )
    if len(seen) == 1:
        return Decision({seen.pop(): FOREGROUND}, void, notes=tuple(notes))
    if seen:
        notes.append("No class list was found, so the classes are called after their values in the masks.")
    return Decision({value: f"class {value}" for value in sorted(seen)}, void, notes=tuple(notes))


def _soft(census: Census, listed: dict[int, str]) -> Decision | None:
    """Split masks of one class that were saved with loss, or drawn with soft edges, in the middle.

    Returns None when the values are exact; raises ``InputError`` when loss cannot be put right.
    """
    ones = [value for value in listed if value != 0]
    exact = len(set(census.pixels) - {0}) <= (MANY if not census.lossy else 1)
    if exact or len(ones) > 1 or census.colored:
        return None
    total = census.pixels.total()
    near = sum(n for value, n in census.pixels.items() if value < NEAR or VOID - NEAR < value <= VOID)
    top = sum(n for value, n in census.pixels.items() if VOID - NEAR < value <= VOID)
    above = total - sum(n for value, n in census.pixels.items() if value < NEAR)
    in_range = all(0 <= value <= VOID for value in census.pixels)
    if in_range and near >= SOFT_SHARE * total and 2 * top >= above > 0:
        name = listed[ones[0]] if ones else FOREGROUND
        cause = "were saved with loss" if census.lossy else "have soft edges"
        note = f"The masks {cause}: values from {HALF} on are taken as “{name}”, lower ones as background."
        return Decision({HALF: name}, soft=name, notes=(note,))
    if census.lossy and not listed:
        raise InputError(
            f"{number_of(census.lossy, 'mask')} saved with loss (JPEG), which changed the values: "
            f"{histogram(census, set(census.pixels))}.",
            "Save the masks as PNG.",
        )
    return None


def _one_color(census: Census, values: MaskValues) -> Decision:
    """Take coloured masks without a table: one colour beside black is the one class."""
    colors = sorted(set(census.pixels) - {0})
    if len(colors) == 1 and not census.lossy:
        listed, notes = _listed(values)
        name = next(iter(listed.values())) if len(listed) == 1 else FOREGROUND
        return Decision({colors[0]: name}, notes=tuple(notes))
    unknown = Census()
    for value, pixels in census.pixels.items():
        unknown.pixels[value + UNKNOWN_COLOR] = pixels
        unknown.pictures[value + UNKNOWN_COLOR] = census.pictures[value]
    raise InputError(
        f"The masks are coloured, and no table says what the colours mean: "
        f"{histogram(unknown, set(unknown.pixels))}.",
        "Put a class_dict.csv beside the masks, with the columns name, r, g and b.",
    )
