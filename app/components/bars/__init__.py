"""Labelled bars: how many images a class has, how sure a model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

_CSS: Final = """
.bars { display: grid; grid-template-columns: minmax(0, max-content) minmax(40px, 1fr) max-content;
  gap: 7px 9px; align-items: center; font-size: 14.5px; color: var(--ls-ink); margin: 0; }
.bars dt { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 46vw; }
.bars .track { height: 8px; border-radius: 4px; background: var(--ls-track); overflow: hidden; }
.bars .fill { height: 100%; border-radius: 4px; }
.bars dd { margin: 0; color: var(--ls-muted); font-size: 13px; text-align: right;
  font-variant-numeric: tabular-nums; }
"""
_JS: Final = """
export default function ({ parentElement, data }) {
  const list = parentElement.querySelector(".bars");
  list.replaceChildren(...data.flatMap(([name, share, text, color]) => {
    const label = document.createElement("dt");
    label.textContent = label.title = name;
    const track = document.createElement("div");
    track.className = "track";
    const fill = document.createElement("div");
    fill.className = "fill";
    fill.style.width = `${100 * share}%`;
    fill.style.background = color;
    track.append(fill);
    const number = document.createElement("dd");
    number.textContent = text;
    return [label, track, number];
  }));
}
"""


@dataclass(frozen=True)
class Bar:
    """One bar: ``share`` of the full width (0 to 1), ``text`` behind it, CSS colour."""

    name: str
    share: float
    text: str
    color: str


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component("lensmith_bars", html='<dl class="bars"></dl>', css=_CSS, js=_JS)


def bars(rows: Sequence[Bar], *, key: str) -> None:
    """Draw bars below each other."""
    _component()(key=key, data=[[b.name, min(1.0, max(0.0, b.share)), b.text, b.color] for b in rows])
