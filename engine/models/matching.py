"""Matching the tensors of a weights file with those of a network, by name and shape (no torch)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]

DEEPEST_PREFIX = 4
"""How many parts a prefix may have: "model.backbone.body.0." has four."""

COMMON_SHARE = 0.1
"""Share of a file's names that must begin with a prefix for it to be tried."""

COUNTER = "num_batches_tracked"
"""Batch normalisation's count of steps: a file may have it or not, it carries no weights."""


@dataclass(frozen=True)
class Match:
    """How a file's tensors fill a network's.

    ``fitted`` are the network's names that the file fills under ``prefix``, ``filled`` the numbers in them
    and ``total`` the numbers that the network wants.
    """

    prefix: str
    fitted: tuple[str, ...]
    filled: int
    total: int

    @property
    def share(self) -> float:
        """Share of the network's numbers that is filled, 0 to 1."""
        return self.filled / max(self.total, 1)


def numbers(shape: tuple[int, ...]) -> int:
    """Count the numbers in a tensor of this shape."""
    return math.prod(shape)


def prefixes(names: Iterable[str]) -> tuple[str, ...]:
    """Return what may stand before a network's own names in a file, the shortest first.

    Nothing, and every dotted beginning ("module.", "model.backbone.", "backbone.body.") that a tenth of
    the names share, up to four parts.
    """
    counts: Counter[str] = Counter()
    whole = 0
    for name in names:
        whole += 1
        parts = name.split(".")[:-1][:DEEPEST_PREFIX]
        counts.update(".".join(parts[:depth]) + "." for depth in range(1, len(parts) + 1))
    common = [prefix for prefix, count in counts.items() if count >= COMMON_SHARE * whole]
    return ("", *sorted(common, key=lambda prefix: (len(prefix), prefix)))


def match(target: Shapes, file: Shapes) -> Match:
    """Find the prefix under which ``file`` fills most of ``target``; of equal ones the shortest."""
    total = sum(numbers(shape) for shape in target.values())
    best = Match("", (), 0, total)
    for prefix in prefixes(file):
        fitted = tuple(name for name, shape in target.items() if file.get(prefix + name) == shape)
        filled = sum(numbers(target[name]) for name in fitted)
        if filled > best.filled:
            best = Match(prefix, fitted, filled, total)
    return best
