"""JSON label files that are read whole: size bound, no NaN, no depth that ends the interpreter.

Values are then taken out with the small readers below, which say what is wrong as ``ValueError``.
"""

from __future__ import annotations

import json
import math
from typing import Any

from engine.datasets.archive import Member
from engine.datasets.formats.base import SourceView
from engine.errors import InputError


class DamagedJsonError(InputError):
    """One JSON file cannot be read; a reader with one file per image may pass over it."""


def load_json(view: SourceView, member: Member) -> Any:
    """Return the content of a small JSON file.

    Raises ``DamagedJsonError`` for what is no JSON, holds NaN or infinite numbers, or is nested too
    deeply; ``LimitError`` above 64 MiB; ``InputError`` in another encoding than UTF-8 or UTF-16.
    """
    text = view.text(member)
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise DamagedJsonError(
            f"“{member.path}” is nested too deeply.", "No tool writes such files."
        ) from error
    except ValueError as error:
        raise DamagedJsonError(
            f"“{member.path}” is no JSON that can be read ({error}).", "Export or copy it again."
        ) from error


def _refuse(word: str) -> float:
    raise ValueError(f"“{word}” is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"“{text[:40]}” is too large a number")
    return value


def number(value: object) -> float:
    """Read a number; raises ``ValueError`` for all else (booleans and numbers in quotes too)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"“{str(value)[:40]}” is no number")
    try:
        found = float(value)
    except OverflowError as error:
        raise ValueError("a number is too large") from error
    if not math.isfinite(found):
        raise ValueError(f"“{found}” is no number")
    return found


def record(value: object) -> dict[str, Any]:
    """Return an object, or an empty one for all else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Return a list, or an empty one for all else."""
    return value if isinstance(value, list) else []


def words(value: object) -> str:
    """Return a text, or "" for all else."""
    return value if isinstance(value, str) else ""


def pair(value: object) -> tuple[float, float]:
    """Read x and y; raises ``ValueError``."""
    both = items(value)
    if len(both) < 2:
        raise ValueError(f"“{str(value)[:40]}” is no pair of coordinates")
    return number(both[0]), number(both[1])


def size_in(width: object, height: object) -> tuple[int, int] | None:
    """Return a declared size in px, or None unless both are whole numbers above 0."""
    try:
        found = number(width), number(height)
    except ValueError:
        return None
    if not all(side.is_integer() and side > 0 for side in found):
        return None
    return int(found[0]), int(found[1])
