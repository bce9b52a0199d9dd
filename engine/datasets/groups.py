"""Groups of images that belong together (a patient, a film, a scene): keys from paths, and what they make.

A pattern comes from a person and is run over every path, so it must not be able to hang the program:
only patterns are taken whose work is bounded by their form (see ``_compile``), on paths of at most
``PATH_LENGTH`` characters, within ``SECONDS`` in all.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from engine.contracts.datasets import GroupPreview
from engine.errors import InputError

PATTERN_LENGTH = 200
PATH_LENGTH = 255
"""A pattern finds no group in a longer path."""
WORK = PATH_LENGTH**3
"""Bound of the ways in which a pattern can be tried on one path."""
SECONDS = 10.0
EXAMPLES = 5
KEY_LENGTH = 500
BEFORE = {"before:_": "_", "before:-": "-", "before:digit": "0123456789"}
"""Rules on the name of a file, by the characters of which the first one ends the group."""
_HINT = "An example: ^([^_]+)_ takes what stands before the first “_”."
_TOKEN = re.compile(
    r"""(?P<set>\[\^?\]?(?:\\.|[^\]\\\[])*\])
    |(?P<escape>\\[dDwWsSbB]|\\[^a-zA-Z0-9])
    |(?P<open>\(\?:|\((?!\?))
    |(?P<close>\))
    |(?P<repeat>(?:[*+?]|\{\d{1,4}(?:,\d{0,4})?\})\??)
    |(?P<bar>\|)
    |(?P<edge>[\^$])
    |(?P<char>[^\\\[\](){}*+?|^$])""",
    re.VERBOSE | re.DOTALL,
)

KeyOf = Callable[[str], str | None]


def group_of(path: str, rule: str) -> str | None:
    """Return the group of the image at ``path``, or None where the rule finds none.

    Args:
        path: path of the image within the project, with "/".
        rule: "folder" (the folder it lies in), "folder:N" (the name of its Nth folder, from 1), a key of
            ``BEFORE`` (what stands in its file name before the first such character) or a regular
            expression with one group, which is searched in the path.

    Raises:
        InputError: the rule is none of these, or its pattern could take too long.
    """
    return _key_function(rule)(path)


def keys_of(paths: Sequence[str], rule: str) -> list[str | None]:
    """Return the groups of many images; raises ``InputError`` when a pattern takes too long over them."""
    key_of = _key_function(rule)
    end = time.monotonic() + SECONDS
    found = []
    for number, path in enumerate(paths):
        if number % 100 == 0 and time.monotonic() > end:
            raise InputError("This pattern takes too long on these names.", "Write a simpler one. " + _HINT)
        found.append(key_of(path))
    return found


def preview(keys: Sequence[str | None]) -> GroupPreview:
    """Count groups: how many, the largest ones, and the images that have none."""
    counts = Counter(key for key in keys if key is not None)
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]
    return GroupPreview(
        groups=len(counts),
        largest=largest[0][1] if largest else 0,
        largest_key=largest[0][0] if largest else "",
        without=sum(key is None for key in keys),
        examples=tuple(largest),
    )


@lru_cache(maxsize=32)
def _key_function(rule: str) -> KeyOf:
    if rule == "folder":
        return _folder
    name, colon, number = rule.partition(":")
    if name == "folder" and colon:
        if not (number.isascii() and number.isdecimal()) or not 1 <= int(number[:6]) <= 100:
            raise InputError(f"“{rule}” names no level of folders.", "Levels count from 1. " + _HINT)
        return _level(int(number))
    if rule in BEFORE:
        return _before(BEFORE[rule])
    pattern = _compile(rule)

    def search(path: str) -> str | None:
        match = pattern.search(path) if len(path) <= PATH_LENGTH else None
        return (match.group(1) or None) if match is not None else None

    return search


def _folder(path: str) -> str | None:
    parent = str(PurePosixPath(path).parent)
    return parent[:KEY_LENGTH] if parent not in (".", "/") else None


def _level(number: int) -> KeyOf:
    def folder(path: str) -> str | None:
        folders = [part for part in PurePosixPath(path).parts[:-1] if part != "/"]
        return folders[number - 1][:KEY_LENGTH] if number <= len(folders) else None

    return folder


def _before(ends: str) -> KeyOf:
    first = re.compile(f"[{ends}]")

    def before(path: str) -> str | None:
        name = path.rpartition("/")[2]
        end = first.search(name)
        return name[: end.start()][:KEY_LENGTH] or None if end is not None else None

    return before


def _compile(rule: str) -> re.Pattern[str]:
    """Compile a pattern of a form that cannot take long.

    Taken are characters, sets, ``.``, ``^``, ``$``, ``|``, groups, and repeats of single characters or
    sets. A repeat of a group, which is what makes the ways to match explode, look-arounds and references
    back are refused. What remains can be tried in at most the product of the choices of its repeats; that
    product is held under ``WORK``.
    """
    if not rule or len(rule) > PATTERN_LENGTH:
        raise InputError(f"A pattern for groups has 1 to {PATTERN_LENGTH} characters.", _HINT)
    work = _work(rule)
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise InputError(f"“{rule}” is no pattern: {error}.", _HINT) from error
    if pattern.groups != 1:
        raise InputError(
            f"“{rule}” has {pattern.groups} groups in round brackets; it takes one.",
            "The brackets go around the part that images of a group share. " + _HINT,
        )
    if work > WORK:
        raise InputError(
            f"“{rule}” can be matched in too many ways.",
            "Begin it with ^, or use fewer of * and +. " + _HINT,
        )
    return pattern


def _work(rule: str) -> int:
    """Bound the ways to try a pattern on one path; raises ``InputError`` for a form that is not taken."""
    position, before, ways = 0, "", 1
    while position < len(rule):
        token = _TOKEN.match(rule, position)
        kind = token.lastgroup if token is not None else None
        if token is None or kind is None or (kind == "repeat" and before not in ("set", "escape", "char")):
            raise InputError(
                f"“{rule[position : position + 12]}” cannot be used in a pattern for groups.",
                "Repeat single characters or sets such as [0-9] only. " + _HINT,
            )
        if kind == "repeat":
            ways *= _choices(token.group())
        ways += kind == "bar"
        before, position = kind, token.end()
    return ways if rule.startswith("^") and "|" not in rule else ways * PATH_LENGTH


def _choices(repeat: str) -> int:
    """Return how many lengths a repeat can have."""
    repeat = repeat.rstrip("?") or "?"
    if repeat[0] != "{":
        return 2 if repeat == "?" else PATH_LENGTH
    low, comma, high = repeat[1:-1].partition(",")
    if not comma:
        return 1
    return max(1, min(PATH_LENGTH, int(high or PATH_LENGTH) - int(low) + 1))
