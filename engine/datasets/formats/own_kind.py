"""What an export of ours was for, where its format has room to say so and its labels alone do not.

Boxes may be one for each image or any number, masks objects or regions: the labels look the same. The
kind is written once, near the start of a file, and only puts what was found into another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import get_args

from engine.contracts.datasets import LabelKind

MARK = re.compile(rb"""["']?labels["']?\s*:\s*["']?([a-z]+)\b""")
BEGIN = 1_000
"""Bytes at the start of a file in which the kind stands."""
ALSO: dict[LabelKind, LabelKind] = {"box": "boxes", "class": "tags"}
"""Kinds that are not told from another by looking."""


def stated_kind(head: bytes) -> LabelKind | None:
    """Return the kind of label that the start of a file states as ``labels: kind``, or None."""
    found = MARK.search(head[:BEGIN])
    word = found[1].decode() if found else ""
    return next((kind for kind in get_args(LabelKind) if kind == word), None)


def stated_first(kinds: Sequence[LabelKind], stated: Iterable[LabelKind | None]) -> tuple[LabelKind, ...]:
    """Put the kind that all files state first, when the labels found allow it; none found allow any."""
    said = set(stated)
    kind = said.pop() if len(said) == 1 else None
    if kind is None or not (not kinds or kind in kinds or ALSO.get(kind) in kinds):
        return tuple(kinds)
    return (kind, *(other for other in kinds if other != kind))
