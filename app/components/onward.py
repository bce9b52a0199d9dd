"""Goes on to the next run of the script once the browser has drawn this one."""

from __future__ import annotations

from functools import cache
from typing import Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

# The browser ends the timers of a screen when a full run begins; what this sends comes after all of them.
_JS: Final = """
const gone = new WeakSet();
export default function ({ parentElement, setTriggerValue }) {
  const note = parentElement.querySelector(".onward");
  if (gone.has(note)) return;
  gone.add(note);
  setTriggerValue("on", true);
}
"""


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component("lensmith_onward", html='<span class="onward" hidden></span>', js=_JS)


def onward(*, key: str) -> None:
    """Run the script again as soon as the browser shows this run."""
    _component()(key=key, on_on_change=_nothing)


def _nothing() -> None:
    """Streamlit wants a callback for each value that a component sends."""
