"""Benchmarks that anyone can run: ``lensmith bench``. Nothing here is a test; no test asserts a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.bench.registry import BENCHMARKS
from engine.errors import InputError
from engine.settings import Settings


def run_benchmarks(
    settings: Settings, names: Sequence[str], say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Run the named benchmarks (when none is named, all that need no data) and return their rows.

    A row is ``{name, kind, ratio, goal, unit, load, note}`` and what a benchmark adds. Work happens in a
    workspace of its own that is removed afterwards. Raises ``InputError`` for an unknown name.
    """
    known = {entry.name: entry for entry in BENCHMARKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"There is no benchmark “{unknown[0]}”.", f"Known: {', '.join(known)}.")
    rows: list[dict[str, Any]] = []
    for name in names or [name for name, entry in known.items() if not entry.needs_data]:
        say(f"{name}: {known[name].sentence} ...")
        found = known[name].run(settings)
        rows += found if isinstance(found, list) else [found]
    return rows
