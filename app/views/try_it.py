"""Try it: give the model a picture and see what it says, and how fast."""

from __future__ import annotations

import streamlit as st

from app.components.page import card, choices, live, project
from app.components.predictions import WAYS, answered, answers, pictures
from app.components.run_choice import model_or_empty
from app.engine_client import client


def show() -> None:
    """Draw the screen."""
    opened = project()
    model = model_or_empty(opened.id, "Try it", "Drop a picture, take one, or pick one of the set.")
    if model is None:
        return
    run = model.id

    def part() -> None:
        left, right = st.columns(2, gap="medium")
        with left, card("source"):
            way = choices("Picture from", WAYS, key="way", default="upload") or "upload"
            chosen = pictures(opened.id, way)
        with right:
            if found := answered(run, way, chosen):
                answers(found, client().results.classes(run))
            else:
                with card("waiting", "What the model says"):
                    st.caption("The answer stands here, with how sure the model is and the time it took.")

    live(None)(part)


show()
