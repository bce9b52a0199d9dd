"""The results of a run: headline, where to look first, the panels, and the images behind a number."""

from __future__ import annotations

from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.components.arrive import arrive
from app.components.formats import count, duration, plain
from app.components.gallery import Tile, wrong_label
from app.components.page import card
from app.components.panels import Opened, behind, describe, draw, number, release
from app.components.selection import editable_gallery
from app.engine_client import client
from engine.contracts.datasets import ClassInfo, ImageFilter, ImageItem
from engine.contracts.results import (
    ImageGridPanel,
    ImageResult,
    MatrixPanel,
    Panel,
    RunReport,
    ScalarsPanel,
    Tone,
)
from engine.contracts.runs import RunSummary
from engine.contracts.training import STRATEGY_TITLES

HEADLINES: Final = 2
"""How many of the report's first numbers become cards, beside the gain and "look here first"."""
PROBE: Final = (
    "The probe is the simplest model on the same images: a linear classifier on the features of the "
    "backbone before any training. Points are percentage points of right answers."
)
WIDE: Final = (ScalarsPanel, ImageGridPanel)
"""Panels that take a whole row."""
ARRIVALS: Final = "arrivals"
"""How often images were opened by hand in this tab: each time they come into sight."""


def sentence(run: RunSummary, report: RunReport) -> str:
    """Say what was trained, on what it was measured, and how long it took."""
    measured = next((m.n for m in report.metrics.values() if m.n), 0)
    parts = [
        plain(run.preset.title()),
        f"{plain(report.backbone)}, {STRATEGY_TITLES[report.strategy]}",
        f"{measured:,} test images" if measured else "",
        duration(report.seconds) if report.seconds else "",
    ]
    return " · ".join(filter(None, parts))


def headline(report: RunReport) -> None:
    """Draw the four cards at the top."""
    first = next((p for p in report.panels if isinstance(p, ScalarsPanel)), None)
    with st.container(key="headline"):
        columns = st.columns(4)
    if first is not None:
        pairs = list(zip(first.labels, first.values, strict=True))[:HEADLINES]
        for n, (label, metric) in enumerate(pairs):
            with columns[n]:
                number(label, metric, key=str(n), note=first.help)
    with columns[2]:
        _gain(report)
    with columns[3], card("number-look", "Look here first", fill=True):
        _look_first(report.panels)
    for note in report.notes:
        st.caption(plain(note))


def _gain(report: RunReport) -> None:
    gain = report.gain
    if gain is None or gain.value is None:
        with card("number-gain", "Gained over the probe", PROBE, fill=True):
            reason = (gain.reason if gain else "") or (report.probe.reason if report.probe else "")
            nothing = "The probe is this model." if report.strategy == "probe" else "Not measured."
            st.caption(plain(reason or nothing))
        return
    tone: Tone = "good" if gain.surely_above(0) else "neutral"
    number("Gained over the probe", gain, key="gain", tone=tone, note=PROBE)


def _look_first(panels: tuple[Panel, ...]) -> None:
    """Name the largest confusion of the matrix, and open its images."""
    found = next((p for p in panels if isinstance(p, MatrixPanel)), None)
    cell = found.largest_confusion() if found else None
    if found is None or cell is None:
        st.markdown("No picture of the test was taken for another class.")
        return
    row, column = cell
    st.markdown(
        f"**{plain(found.row_labels[row])}** taken for **{plain(found.column_labels[column])}**: "
        f"{count(found.counts[row][column], 'image')}, {100 * found.share_of_row(row, column):.0f} % "
        "of that class."
    )
    if found.images:
        st.button("See these images", key="look-first", type="tertiary", on_click=_open_cell, args=cell)


def _open_cell(row: int, column: int) -> None:
    if part := state.here().part:
        release(part[0])
    state.move(cell=(row, column), part=None)
    _arrived()


def workbench(project: str, report: RunReport) -> None:
    """Draw the panels, and under the row that was touched the images of the number that was chosen."""
    view = state.here()
    fresh: Opened | None = None
    places: dict[int, DeltaGenerator] = {}
    for row in _rows(report.panels):
        wide = isinstance(row[0][1], WIDE)
        for column, (n, panel) in zip(st.columns(1 if wide else 2, gap="small"), row, strict=False):
            with column:
                fresh = draw(panel, n, project, view) or fresh
        place = st.container(key=f"under-{row[0][0]}")
        places |= dict.fromkeys((n for n, _ in row), place)
    if fresh is not None:
        _take(behind(report.panels, view), fresh)
    opened = fresh or behind(report.panels, view)
    if places:
        with places[opened.panel if opened else next(iter(places))]:
            _images(project, report.run, opened)


def _take(before: Opened | None, opened: Opened) -> None:
    """Note what was opened just now in the address; what was open elsewhere lets its selection go."""
    state.move(cell=opened.cell, part=opened.part)
    _arrived()
    if before is not None and before.panel != opened.panel:
        release(before.panel)
        st.rerun()


def _arrived() -> None:
    st.session_state[ARRIVALS] = st.session_state.get(ARRIVALS, 0) + 1


def _rows(panels: tuple[Panel, ...]) -> list[list[tuple[int, Panel]]]:
    """Lay panels out: the matrix with what follows it first, pairs after it, wide ones in rows of their own.

    Numbers that are headline cards already do not come again.
    """
    pairs = [
        (n, p) for n, p in enumerate(panels) if not isinstance(p, ScalarsPanel) or len(p.values) > HEADLINES
    ]
    narrow = [pair for pair in pairs if not isinstance(pair[1], WIDE)]
    at = next((i for i, (_, p) in enumerate(narrow) if isinstance(p, MatrixPanel)), 0)
    narrow = [*narrow[at:], *narrow[:at]]
    wide = [[pair] for pair in pairs if isinstance(pair[1], WIDE)]
    return [narrow[i : i + 2] for i in range(0, len(narrow), 2)] + wide


def _images(project: str, run: str, opened: Opened | None) -> None:
    with card("behind"):
        if opened is None:
            st.caption(
                "Choose a cell of the matrix, a row or a bar: its images open below it, and can be corrected."
            )
            return
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="behind-top"
        ):
            st.header(describe(opened), anchor=False, width="content")
            if st.button("Close", type="tertiary", key="close-images"):
                release(opened.panel)
                state.move(cell=None, part=None)
                st.rerun()
        if turn := st.session_state.get(ARRIVALS):
            arrive(f"{opened.title}, {count(opened.total, 'image')}", turn=turn, key="arrive")
        if opened.about:
            st.caption(plain(opened.about))
        if not opened.image_ids:
            st.caption("This number has no images.")
            return
        summary = client().datasets.summary(project)
        page = client().datasets.images(
            project, ImageFilter(image_ids=opened.image_ids, left_out=None), 0, len(opened.image_ids)
        )
        scores = client().results.scores(run, opened.image_ids)
        names = client().results.classes(run)
        tiles = [_tile(item, scores.get(item.id), names, summary.classes) for item in page.items]
        editable_gallery(
            project,
            summary,
            tiles,
            key="behind",
            rows=2 if len(tiles) > 12 else None,
            token=f"{opened.cell}{opened.part}",
        )
        if summary.changed_since_version:
            st.caption("Labels changed since this run: train again to see what it brings.")


def _tile(
    item: ImageItem, result: ImageResult | None, names: tuple[str, ...], classes: tuple[ClassInfo, ...]
) -> Tile:
    label = next((c.name for c in classes if item.labels and c.id == item.labels[0].class_id), "no label")
    if result is None or not result.scores:
        return Tile(item.id, label, about=item.path)
    answer = names[result.predicted] if result.predicted < len(names) else "?"
    scored = f"{answer} {result.scores[result.predicted]:.2f}"
    left_out = " · left out" if item.left_out else ""
    right = result.truth == result.predicted
    return Tile(
        item.id,
        scored if right else wrong_label(scored, label),
        "",
        "neutral" if right else "wrong",
        f"{item.path} · now labelled {label}, the model says {answer}{left_out}",
    )
