"""Draws a report: each panel by its type, whatever task made it.

Every function returns the images that were asked for, so that each number can open its pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from app.components import charts
from app.components.formats import count, interval, plain, value
from app.components.gallery import gallery, verdict_tiles
from app.components.matrix import matrix
from app.components.page import card
from app.state import ViewState
from engine.contracts.results import (
    CurvePanel,
    HistogramPanel,
    ImageGridPanel,
    MatrixPanel,
    MetricValue,
    Panel,
    ScalarsPanel,
    TablePanel,
    Tone,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Opened:
    """The images behind a number: what they are, of which panel, and where that stands in the address."""

    title: str
    image_ids: tuple[str, ...]
    total: int
    panel: int
    cell: tuple[int, int] | None = None
    part: tuple[int, ...] | None = None
    about: str = ""


def number(label: str, metric: MetricValue, *, key: str, tone: Tone = "neutral", note: str = "") -> None:
    """Draw one headline number with its interval and what it was measured on; ``note`` explains it."""
    color = {"good": ":green[{}]", "wrong": ":red[{}]", "look": ":orange[{}]"}.get(tone, "{}")
    with card(f"number-{key}", plain(label), note, fill=True):
        with st.container(key=f"figure-{key}"):  # a number is no heading
            st.markdown(color.format(value(metric.value, metric.unit)))
        st.caption(plain(interval(metric)))


def draw(panel: Panel, index: int, project: str, view: ViewState) -> Opened | None:
    """Draw one panel; return the images that were chosen on it just now."""
    key = f"panel-{index}"
    touch = f"{key}-{st.session_state.get(f'{key}-turn', 0)}"
    with card(key, plain(panel.title), panel.help, fill=True):
        match panel:
            case ScalarsPanel():
                _scalars(panel, index)
            case CurvePanel():
                return _curves(panel, index, touch)
            case TablePanel():
                return _table(panel, index, touch)
            case MatrixPanel():
                return _matrix(panel, index, key, view)
            case HistogramPanel():
                return _histogram(panel, index, touch)
            case ImageGridPanel():
                gallery(project, verdict_tiles(panel.items), key=key, choose="none", label=panel.title)
    return None


def release(index: int) -> None:
    """Let go of what is selected on a panel, so that one click selects the same again."""
    turn = f"panel-{index}-turn"
    st.session_state[turn] = st.session_state.get(turn, 0) + 1


def behind(panels: tuple[Panel, ...], view: ViewState) -> Opened | None:
    """Return the images that the address names, whatever was touched last."""
    if view.part is None:
        found = next(((n, p) for n, p in enumerate(panels) if isinstance(p, MatrixPanel)), None)
        return _cell(found[1], found[0], view.cell) if found and view.cell else None
    index, *rest = view.part
    panel = panels[index] if index < len(panels) else None
    if isinstance(panel, TablePanel) and len(rest) == 1:
        return _row(panel, index, rest[0])
    if isinstance(panel, HistogramPanel) and len(rest) == 2:
        return _bin(panel, index, rest[0], rest[1])
    if isinstance(panel, CurvePanel) and len(rest) == 2:
        return _point(panel, index, rest[0], rest[1])
    return None


def _scalars(panel: ScalarsPanel, index: int) -> None:
    with st.container(horizontal=True, key=f"scalars-{index}", gap="medium"):
        for label, metric in zip(panel.labels, panel.values, strict=True):
            with st.container(width=176, gap="xxsmall"):
                st.caption(plain(label))
                st.markdown(f"**{value(metric.value, metric.unit)}**")
                st.caption(plain(interval(metric)))


def _table(panel: TablePanel, index: int, key: str) -> Opened | None:
    frame = pd.DataFrame(panel.rows, columns=[str(c) for c in panel.columns])
    shares = [name for name, unit in zip(panel.columns, panel.units, strict=False) if unit == "share"]
    frame[shares] *= 100
    event: Any = st.dataframe(
        frame,
        key=key,
        hide_index=True,
        column_config={name: st.column_config.NumberColumn(format="%.1f %%") for name in shares},
        height="content" if len(frame) < 14 else 460,
        on_select="rerun" if panel.images else "ignore",
        selection_mode="single-cell",  # a row by its text, not only by a box before it
        alt=panel.title,
    )
    if not panel.images:
        return None
    st.caption("Choose a row to see its images.")
    cells = event["selection"]["cells"]
    row = _fresh(key, cells[0][0] if cells else None)
    return None if row is None else _row(panel, index, row)


def _fresh(key: str, chosen: T | None) -> T | None:
    """Return ``chosen`` only in the run in which it changed: tables and charts keep their selection."""
    before = st.session_state.get(f"{key}-seen")
    st.session_state[f"{key}-seen"] = chosen
    return chosen if chosen != before else None


def _row(panel: TablePanel, index: int, row: int) -> Opened | None:
    if row >= len(panel.images):
        return None
    images = panel.images[row]
    return Opened(f"{panel.title}: {panel.rows[row][0]}", images, len(images), index, part=(index, row))


def _matrix(panel: MatrixPanel, index: int, key: str, view: ViewState) -> Opened | None:
    cell = matrix(panel, key=key, cell=view.cell)
    return _cell(panel, index, cell) if cell else None


def _cell(panel: MatrixPanel, index: int, cell: tuple[int, int]) -> Opened | None:
    row, column = cell
    if row >= len(panel.row_labels) or column >= len(panel.column_labels):
        return None
    images = panel.images[row][column] if panel.images else ()
    truth, answer = panel.row_labels[row], panel.column_labels[column]
    about = f"Labelled {truth}, the model says {answer}" + (" too." if truth == answer else ".")
    return Opened(f"{truth} → {answer}", images, panel.counts[row][column], index, cell=cell, about=about)


def _curves(panel: CurvePanel, index: int, key: str) -> Opened | None:
    chosen = _fresh(key, charts.curves(panel, key=key))
    return _point(panel, index, *chosen) if chosen else None


def _point(panel: CurvePanel, index: int, series: int, point: int) -> Opened | None:
    if series >= len(panel.series) or point >= len(panel.series[series].images):
        return None
    line = panel.series[series]
    title = f"{panel.title}: {line.name}, {panel.x_label} {line.x[point]:.3g}"
    return Opened(title, line.images[point], len(line.images[point]), index, part=(index, series, point))


def _histogram(panel: HistogramPanel, index: int, key: str) -> Opened | None:
    chosen = _fresh(key, charts.histogram(panel, key=key))
    return _bin(panel, index, *chosen) if chosen else None


def _bin(panel: HistogramPanel, index: int, series: int, bin_: int) -> Opened | None:
    if series >= len(panel.images) or bin_ >= len(panel.images[series]):
        return None
    images = panel.images[series][bin_]
    span = f"{panel.edges[bin_]:.3g} to {panel.edges[bin_ + 1]:.3g}"
    title = f"{panel.names[series]}, {panel.x_label} {span}"
    return Opened(title, images, len(images), index, part=(index, series, bin_))


def describe(opened: Opened) -> str:
    """Say in Markdown which images are open, and how many of them are shown."""
    shown = len(opened.image_ids)
    some = f", {shown:,} shown" if shown < opened.total else ""
    return f"{plain(opened.title)} · {count(opened.total, 'image')}{some}"
