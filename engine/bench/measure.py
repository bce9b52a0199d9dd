"""How Lensmith measures: interleaved, with the machine's load written down."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from typing import Any


def interleaved(
    ours: Callable[[], float], other: Callable[[], float], rounds: int = 3
) -> tuple[float, float, float]:
    """Measure A B A B ... A and return (ratio, ours, other).

    ``ratio`` is the median over the rounds of ours / mean of the two neighbours of each ``other``, so that a
    machine that slows down in the middle does not favour either side. Both return a rate, or both a duration.
    """
    first = ours()
    a, b, ratios = [first], [], []
    for _ in range(rounds):
        b.append(other())
        a.append(ours())
        ratios.append((a[-2] + a[-1]) / 2 / b[-1])
    return statistics.median(ratios), statistics.median(a), statistics.median(b)


def row(name: str, kind: str, ratio: float, goal: float | None, unit: str, note: str) -> dict[str, Any]:
    """Return one line of the table, with the one-minute load average as it stands."""
    return {
        "name": name,
        "kind": kind,
        "ratio": round(ratio, 3),
        "goal": goal,
        "unit": unit,
        "load": round(os.getloadavg()[0], 2),
        "note": note,
    }
