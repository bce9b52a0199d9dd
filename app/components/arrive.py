"""Brings what was opened elsewhere on the screen into sight, and says it to screen readers."""

from __future__ import annotations

from functools import cache
from typing import Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

_CSS: Final = """
.arrive { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); }
"""
# The focus stays where it is: a person who walks a table by keys opens one row after the other.
_JS: Final = """
const seen = new WeakMap();
const MOST_TURNS = 20;
export default function ({ parentElement, data }) {
  const note = parentElement.querySelector(".arrive");
  if (seen.get(note) === data.turn) return;
  seen.set(note, data.turn);
  note.textContent = data.text;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  // What was open elsewhere leaves the page meanwhile: wait until the card stands still. The page may also
  // have gone on before this is in it, or leave it again: then there is nothing to bring into sight.
  let before = null;
  let turns = 0;
  const wait = setInterval(() => {
    const card = (note.getRootNode().host ?? note).closest('[class*="st-key-card"]');
    if (!card) return (turns += 1) > MOST_TURNS && clearInterval(wait);
    const { top } = card.getBoundingClientRect();
    if (top !== before) return (before = top);
    clearInterval(wait);
    if (top < 0 || top > innerHeight * 0.5) {
      card.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
    }
  }, 150);
}
"""


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "lensmith_arrive", html='<p class="arrive" role="status"></p>', css=_CSS, js=_JS
    )


def arrive(text: str, *, turn: int, key: str) -> None:
    """Scroll the card around this to where it can be seen, once for each ``turn``; ``text`` is read aloud."""
    _component()(key=key, data={"text": text, "turn": turn})
