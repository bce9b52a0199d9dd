"""Home: all projects as cards, and how to begin."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.formats import count
from app.components.page import head
from app.components.project_card import project_card, sample_cards
from app.engine_client import client


def show() -> None:
    """Draw the screen."""
    projects = client().projects.list()
    sentence = (
        count(len(projects), "project") if projects else "From labelled pictures to a model of your own"
    )
    with head("Projects" if projects else "Welcome to Lensmith", sentence):
        if st.button("New project", type="primary"):
            state.go("new")
    if not projects:
        st.markdown(
            "Drop a ZIP of pictures that are sorted into folders, one folder a class. Lensmith checks every "
            "file, trains a model on this machine, and shows where it is wrong and why."
        )
    columns = st.columns(3)
    for n, project in enumerate(projects):
        with columns[n % 3]:
            project_card(project)
    st.space("small")
    st.header("Try it with a sample", anchor=False)
    sample_cards()


show()
