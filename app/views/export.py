"""Export: one bundle that runs without Lensmith, proven before it can be downloaded."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st

from app.components.bundle import bundle_card, proof_card, usage_card
from app.components.page import live, project
from app.components.run_choice import model_or_empty
from app.engine_client import client
from engine.contracts.jobs import ENDED


def show() -> None:
    """Draw the screen."""
    opened = project()
    model = model_or_empty(opened.id, "Export", "one bundle that runs without Lensmith")
    if model is None:
        return
    run = model.id
    first = client().models.export(run)
    left, right = st.columns(2, gap="small")

    def part() -> None:
        info = client().models.export(run)
        if (info and info.state) is not (first and first.state):
            st.rerun()  # also right after "Make the bundle", so that this part begins to refresh itself
        bundle_card(run, info)

    with left:
        live(1.0 if first and first.state not in ENDED else None)(part)
        if first and first.parity:
            proof_card(first)
    with right:
        parts = urlsplit(st.context.url or "http://localhost:8501")
        usage_card(run, f"{parts.scheme}://{parts.netloc}")


show()
