"""The entry of the screens: page settings, side bar, and the screen that the address names."""

from __future__ import annotations

from typing import Final

import streamlit as st

from app import theme
from app.components.page import SCREEN, plain_head, show_problem
from app.components.sidebar import sidebar
from engine.errors import LensmithError

PAGES: Final = (
    ("home", "Home"),
    ("new", "New project"),
    ("data", "Data"),
    ("train", "Train"),
    ("runs", "Runs"),
    ("run", "Run"),
    ("results", "Results"),
    ("try_it", "Try it"),
    ("export", "Export"),
    ("settings", "Settings"),
)


def main() -> None:
    """Draw one screen; expected errors become sentences."""
    st.set_page_config(
        page_title="Lensmith", page_icon=theme.icon(), layout="wide", initial_sidebar_state=248
    )
    theme.apply()
    pages = [
        st.Page(f"views/{name}.py", title=f"{title} · Lensmith", url_path=name, default=name == "home")
        for name, title in PAGES
    ]
    page = st.navigation(pages, position="hidden")
    st.session_state[SCREEN] = dict(PAGES)[page.url_path or "home"]
    try:
        sidebar(page.url_path or "home")
        page.run()
    except LensmithError as problem:
        plain_head()
        show_problem(problem)


main()
