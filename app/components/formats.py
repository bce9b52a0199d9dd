"""Numbers and names as a person reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from engine.contracts.results import MetricValue

SPLIT_NAMES: Final[Mapping[str, str]] = {"train": "train", "val": "validation", "test": "test"}
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
_SHORTCODE: Final = re.compile(r":(?=[\w+/-]+:)")
_WORD_JOINER: Final = "\u2060"
MOST_PATHS: Final = 2
PATH_LENGTH, PATH_HEAD, PATH_TAIL = 42, 12, 22
"""Characters of a path that fit into a line of a card, and what is kept of a longer one."""
_PATH: Final = r"(?:“[^”]*(?:/[^”]*|\.\w{1,5})”|[^\s,;“”]*/[^\s,;“”]*\.\w+)"
_BETWEEN: Final = re.compile(r", | and (?=\S*[/.“])")
_LISTED: Final = re.compile(rf"{_PATH}(?:(?:, | and ){_PATH}){{2,}}")
_WORD: Final = re.compile(r"[^\s“”]*/[^\s“”]*(?<![.,;:])")
_SCALES: Final = {"share": (100, "{:.1f}", "%"), "points": (1, "{:+.1f}", "points")}
"""Unit of a metric: by what it is multiplied, how it is written, and what stands behind it."""


def plain(text: str) -> str:
    """Return ``text`` so that Markdown shows it letter by letter.

    CommonMark lets a backslash stand before any ASCII punctuation. Emoji and icon shortcodes are replaced
    by Streamlit after that step, hence the invisible joiner behind their first colon.
    """
    line = " ".join(text.split())
    return _PUNCTUATION.sub(r"\\\1", _SHORTCODE.sub(":" + _WORD_JOINER, line))


def brief(text: str) -> str:
    """Shorten what names files: long paths in their middle, and of several in a row all but the first two."""

    def listed(found: re.Match[str]) -> str:
        names = _BETWEEN.split(found.group())
        return f"{', '.join(names[:MOST_PATHS])} and {len(names) - MOST_PATHS} more"

    def shortened(found: re.Match[str]) -> str:
        path = found.group()
        return path if len(path) <= PATH_LENGTH else f"{path[:PATH_HEAD]}…{path[-PATH_TAIL:]}"

    return _WORD.sub(shortened, _LISTED.sub(listed, text))


def count(number: int, one: str = "", many: str = "") -> str:
    """Write a whole number with its noun: ``count(1204, "image")`` is "1,204 images"."""
    if not one:
        return f"{number:,}"
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Write a time in s as "42 s", "6 min 12 s" or "3 h 10 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def when(moment: datetime, now: datetime) -> str:
    """Write a time as "today, 12:56", "yesterday, 09:05" or "3 Nov 2026, 12:56"; both in one time zone."""
    days = (now.date() - moment.date()).days
    day = {0: "today", 1: "yesterday"}.get(days, f"{moment.day} {moment:%b %Y}")
    return f"{day}, {moment:%H:%M}"


def size(number: int) -> str:
    """Write a number of bytes with a decimal unit."""
    value = float(number)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def value(number: float | None, unit: str) -> str:
    """Write a metric's number: shares as per cent."""
    if number is None:
        return "–"
    if unit == "share":
        return f"{100 * number:.1f} %"
    if unit == "points":
        return f"{number:+.1f}"
    if unit == "count":
        return f"{number:,.0f}"
    return f"{number:.3f} {unit}".strip()


def interval(metric: MetricValue) -> str:
    """Write what is needed to trust a number: its 95 % interval and what it was measured on."""
    if metric.value is None:
        return metric.reason or "has no meaning here"
    parts = []
    if metric.low is not None and metric.high is not None:
        scale, pattern, unit = _SCALES.get(metric.unit, (1, "{:.3f}", metric.unit))
        low, high = (pattern.format(scale * bound) for bound in (metric.low, metric.high))
        parts.append(f"likely {low} to {high} {unit}".strip())
    if metric.n:
        parts.append(f"on {count(metric.n, 'image')}")
    return " · ".join(parts)
