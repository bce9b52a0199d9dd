"""Charts by one template: lines named at their ends, no legend far away, in the colours of the theme."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import plotly.graph_objects as go
import streamlit as st

from app import theme
from app.components.formats import count
from engine.contracts.results import CurvePanel, HistogramPanel, Series

HEIGHT: Final = 300
CONFIG: Final = {"displayModeBar": False, "scrollZoom": False, "responsive": True}
LONGEST_NAME: Final = 18
MANY_POINTS: Final = 30
MARGIN_PER_LETTER: Final = 6.6
"""Width in px that a label's letter takes at the end of a line."""


def curves(panel: CurvePanel, *, key: str, height: int = HEIGHT) -> tuple[int, int] | None:
    """Draw lines over a common axis; return series and point that were chosen, if images are known."""
    opens = any(line.images for line in panel.series)
    tones = theme.tones()
    figure = _figure(height, panel.x_label, panel.y_label)
    if panel.diagonal:
        figure.add_shape(
            type="line", x0=0, y0=0, x1=1, y1=1, line={"color": tones.hairline, "dash": "dot", "width": 1.5}
        )
    colors = _colors(panel.series)
    for line, color in zip(panel.series, colors, strict=True):
        figure.add_scatter(
            x=line.x,
            y=line.y,
            name=_letters(line.name),
            # Plotly lets only markers be chosen.
            mode="lines+markers" if line.images or len(line.x) < 3 else "lines",
            marker={"size": 8 if len(line.x) < MANY_POINTS else 4},
            unselected={"marker": {"opacity": 1}},
            line={"color": color, "width": 2.2, "dash": "dash" if line.dashed else "solid"},
            hovertemplate="%{x:.4g}, %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    _name_ends(figure, panel, colors, height)
    figure.update_yaxes(range=panel.y_range)
    return _plot(figure, key=key, height=height, alt=_in_words(panel), opens=opens)


def histogram(panel: HistogramPanel, *, key: str, height: int = HEIGHT) -> tuple[int, int] | None:
    """Draw bars; return series and bin of the bar that was chosen, if its images are known."""
    tones = theme.tones()
    colors = (tones.accent, tones.wrong, tones.muted)
    figure = _figure(height, panel.x_label, "images")
    middles = [(a + b) / 2 for a, b in zip(panel.edges, panel.edges[1:], strict=False)]
    widths = [(b - a) * 0.94 for a, b in zip(panel.edges, panel.edges[1:], strict=False)]
    spans = [f"{a:.3g} to {b:.3g}" for a, b in zip(panel.edges, panel.edges[1:], strict=False)]
    for n, (name, counts) in enumerate(zip(panel.names, panel.counts, strict=True)):
        figure.add_bar(
            x=middles,
            y=counts,
            width=widths,
            name=_letters(name),
            customdata=spans,
            marker={"color": colors[n % 3], "line": {"width": 0}, "cornerradius": 3},
            hovertemplate="%{customdata}: %{y} images<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(
        barmode="stack",
        showlegend=len(panel.names) > 1,
        margin={"r": 12},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    alt = f"{panel.title}: {', '.join(panel.names)} over {panel.x_label}"
    return _plot(figure, key=key, height=height, alt=alt, opens=bool(panel.images))


def _plot(figure: go.Figure, *, key: str, height: int, alt: str, opens: bool) -> tuple[int, int] | None:
    """Put a figure on the page; where it ``opens`` images, return the trace and point that were chosen."""
    if not opens:
        st.plotly_chart(figure, key=key, config=CONFIG, theme="streamlit", height=height, alt=alt)
        return None
    event: Any = st.plotly_chart(
        figure,
        key=key,
        config=CONFIG,
        theme="streamlit",
        height=height,
        alt=alt,
        on_select="rerun",
        selection_mode="points",
    )
    points = event["selection"]["points"]
    return (int(points[0]["curve_number"]), int(points[0]["point_index"])) if points else None


def _figure(height: int, x_label: str, y_label: str) -> go.Figure:
    tones = theme.tones()
    axis = {
        "showgrid": False, "zeroline": False, "showline": True, "linecolor": tones.hairline, "linewidth": 1,
        "ticks": "", "tickfont": {"color": tones.muted, "size": 12}, "nticks": 6, "automargin": True,
        "title": {"font": {"color": tones.muted, "size": 12.5}, "standoff": 12},
    }  # fmt: skip
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 24, "t": 10, "b": 8},
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        dragmode=False,
        font={"color": tones.ink},
        xaxis=axis,
        yaxis=axis,
        xaxis_title_text=_letters(x_label),
        yaxis_title_text=_letters(y_label),
    )
    return figure


def _colors(lines: Sequence[Series]) -> list[str]:
    """Colour lines by their class; else what is measured in the accent and training in grey behind it."""
    tones = theme.tones()
    turn = itertools.cycle((tones.accent, tones.good, tones.look))
    return [
        theme.class_color(s.color)
        if s.color is not None
        else tones.muted
        if s.name == "training"
        else next(turn)
        for s in lines
    ]


def _name_ends(figure: go.Figure, panel: CurvePanel, colors: Sequence[str], height: int) -> None:
    """Write each line's name behind its last point, moved apart where they would overlap."""
    ink = theme.tones().ink
    lines = [(color, s) for color, s in zip(colors, panel.series, strict=True) if s.x]
    if not lines:
        return
    values = [y for _, s in lines for y in s.y]
    low, high = panel.y_range or (min(values), max(values))
    span = (high - low) or 1.0
    places = spread([(s.y[-1] - low) / span for _, s in lines], 16 / (height - 60))
    names = [_letters(f"{_short(s.name)} {s.note}".strip()) for _, s in lines]
    across = [x for _, s in lines for x in s.x]
    left, right = panel.x_range or (min(across), max(across))
    if left < right:  # else plotly would make room for the names inside the axes
        figure.update_xaxes(range=(left, right))
    for (color, _), place, name in zip(lines, places, names, strict=True):
        figure.add_annotation(
            x=right,
            y=low + place * span,
            # The name in ink: class colours are too light for text of this size.
            text=f'<span style="color:{color}">●</span> {name}',
            showarrow=False,
            xanchor="left",
            xshift=8,
            font={"color": ink, "size": 12.5},
        )
    longest = max(len(name) for name in names) + 2  # the dot
    figure.update_layout(margin={"r": min(190, 14 + round(MARGIN_PER_LETTER * longest))})


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move places (0 to 1) apart so that neighbours keep ``gap``, staying near where they were."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for before, now in itertools.pairwise(order):
        moved[now] = max(moved[now], moved[before] + gap)
    if order and (over := moved[order[-1]] - max(1.0, *places)) > 0:
        ceiling = moved[order[-1]] - over
        for now in reversed(order):
            moved[now] = min(moved[now], ceiling)
            ceiling = moved[now] - gap
    return moved


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _letters(text: str) -> str:
    """Keep plotly from reading tags in names: it knows a few, and turns entities back."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _in_words(panel: CurvePanel) -> str:
    ends = ", ".join(f"{s.name} ends at {s.y[-1]:.3g}" for s in panel.series if s.y)
    return f"{panel.title}: {count(len(panel.series), 'line')}; {ends}"
