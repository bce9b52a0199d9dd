"""The confusion matrix: counts or shares, each cell opens its images."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from engine.contracts.results import MatrixPanel

_HERE: Final = Path(__file__).parent


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "lensmith_matrix",
        html='<div class="matrix"></div>',
        css=(_HERE / "matrix.css").read_text("utf-8"),
        js=(_HERE / "matrix.js").read_text("utf-8"),
    )


def matrix(panel: MatrixPanel, *, key: str, cell: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Draw the matrix with ``cell`` marked; return the cell that was chosen just now, if any."""
    data = {
        "rows": panel.row_labels,
        "columns": panel.column_labels,
        "row_title": panel.row_title,
        "column_title": panel.column_title,
        "counts": panel.counts,
        "cell": cell,
        "title": panel.title,
    }
    answer = _component()(key=key, data=data, on_cell_change=_nothing)
    chosen = answer.get("cell")
    if not chosen:
        return None
    row, column = int(chosen[0]), int(chosen[1])
    inside = 0 <= row < len(panel.row_labels) and 0 <= column < len(panel.column_labels)
    return (row, column) if inside else None


def _nothing() -> None:
    """Streamlit passes an event on only where a callback is given."""
