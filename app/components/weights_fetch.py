"""Fetching published weights ahead of time: looking one up, its size and licence, the download."""

from __future__ import annotations

from typing import Final

import streamlit as st

from app import state
from app.components.formats import plain, size
from app.components.page import card, guarded, say
from app.components.weights_jobs import FETCH, fetched, jobs_part, watch
from app.engine_client import client
from engine.contracts.models import ModelInfo

SHOWN: Final = 6


def fetch_card() -> None:
    """Draw the search, what it finds, and what is being fetched."""
    with card("fetch", "Fetch ahead of time"):
        st.caption("For work without a network: what is fetched once stays on this machine.")
        told = jobs_part(FETCH, fetched)
        hub = client().weights.hub()
        if hub.offline:
            say("This Lensmith was told never to ask a hub (LENSMITH_OFFLINE). Import a file instead.",
                "look", key="offline")  # fmt: skip
        elif hub.problem and not told:
            say(f"{hub.problem} Import a file instead, or try again later.", "look", key="hub")
        query = st.text_input("Backbone", placeholder="resnet50, convnext, vit …", key="weights-query")
        found = client().models.catalog(query.strip(), recommended=not query.strip(), limit=SHOWN + 1)
        if not found:
            st.caption("No backbone is called that. Try a part of its name, such as “resnet”.")
        for model in found[:SHOWN]:
            _row(model, offline=hub.offline)
        if len(found) > SHOWN:
            st.caption("There are more: type more of the name.")
        if not client().models.catalog_written:
            st.caption("This is the short list; the whole catalog is being written.")


def _row(model: ModelInfo, *, offline: bool) -> None:
    weights = model.weights
    known = [
        _download(model),
        weights.licence or "licence not known",
    ]
    key = f"{model.library}-{model.name}"
    with st.container(horizontal=True, vertical_alignment="center", key=f"model-{key}"):
        with st.container(gap=None, width="stretch", key=f"model-text-{key}"):
            st.markdown(f"**{plain(model.name)}**")
            st.caption(plain(" · ".join(known)) if weights.source != "none" else "no weights are published")
        if weights.cached:
            st.caption("here already", width="content")
        else:
            st.button(
                "Fetch",
                key=f"fetch-{key}",
                disabled=offline or weights.source == "none",
                on_click=guarded(_fetch),
                args=(model.name,),
            )


def _download(model: ModelInfo) -> str:
    """Say how large the download is; where nobody told yet, from the parameters, of 4 bytes each."""
    if model.weights.bytes:
        return size(model.weights.bytes)
    return f"about {size(4 * model.parameters)}" if model.parameters else "size not known before"


def _fetch(backbone: str) -> None:
    write = f"fetch-{backbone}"
    job = client().weights.start_fetch(backbone, key=state.write_key(write))
    state.written(write)
    watch(job, f"Fetching {backbone}")
