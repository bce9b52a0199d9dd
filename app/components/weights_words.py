"""Weights in words: where they come from, what a file turned out to be, who started from them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import streamlit as st

from app.components.formats import count, plain, size
from app.engine_client import client
from engine.contracts.runs import RunSummary
from engine.contracts.weights import WeightsFit, WeightsItem
from engine.errors import NotFoundError

SOURCES: Final = {"bundled": "comes with Lensmith", "imported": "yours", "cache": "fetched"}
RUNS_SHOWN: Final = 3


def facts(item: WeightsItem) -> str:
    """Say what architecture weights are for, where they come from, and their licence, as Markdown."""
    if not item.start:
        return SOURCES[item.source]
    known = [
        item.backbone or "not in the catalog by this name",
        SOURCES[item.source],
        item.licence or "licence not known",
    ]
    return plain(" · ".join(known))


def size_in_all(items: Iterable[WeightsItem]) -> str:
    """Add up what weights take on the disk."""
    return size(sum(item.bytes for item in items))


def runs_of(item: WeightsItem) -> list[RunSummary]:
    """Return the newest runs that started from these weights; those that are gone meanwhile are left out."""
    found: list[RunSummary] = []
    for run in item.used_by[:RUNS_SHOWN]:
        with suppress(NotFoundError):
            found.append(client().runs.get(run))
    return found


def used_by(item: WeightsItem, project: str | None) -> None:
    """Link the runs that started from these weights; one of another project than ``project`` says which."""
    if not item.used_by:
        st.caption("No run started from them yet.")
        return
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key=f"used-{item.source}-{item.id}"
    ):
        st.caption("Used by", width="content")
        for run in runs_of(item):
            ids = {"project": run.project, "run": run.id}
            label = f"Run {run.number}"
            if run.project != project:
                label = f"{plain(client().projects.get(run.project).name)}, run {run.number}"
            st.page_link("views/run.py", label=label, query_params=ids)
        more = len(item.used_by) - RUNS_SHOWN
        if more > 0:
            st.caption(f"and {more} more", width="content")


def fit_report(fit: WeightsFit) -> None:
    """Say what a file is, what else it could be, and every tensor that does not go with it."""
    st.markdown(plain(fit.sentence))
    tensors(fit)


def tensors(fit: WeightsFit) -> None:
    """Say what else a file could be, and list the tensors that do not go with it."""
    if fit.alternatives:
        st.caption(
            f"The same tensors would also fit {plain(', '.join(fit.alternatives))}; import it again with the "
            "architecture named if it is one of those."
        )
    for note in fit.notes:
        st.caption(plain(note))
    for title, names, total in (
        ("missing in the file", fit.missing, fit.missing_total),
        ("of another shape", fit.wrong_shape, fit.wrong_shape_total),
        ("left over in the file", fit.left_over, fit.left_over_total),
    ):
        if total:
            with st.expander(f"{count(total, 'tensor')} {title}"):
                more = f"\n… and {total - len(names):,} more" if total > len(names) else ""
                st.code("\n".join(names) + more, language=None)


def exact(item: WeightsItem) -> None:
    """Draw how the weights want to be used: arguments, normalisation, size, checksum."""
    known = {
        "Arguments": plain(json.dumps(item.model_args)) if item.model_args else "",
        "Mean": _numbers(item.mean),
        "Standard deviation": _numbers(item.std),
        "Image size": f"{item.input_size} px" if item.input_size else "",
        "From": plain(item.origin),
        "SHA-256": item.sha256[:16],
    }
    st.markdown("  \n".join(f":gray[{name}]  {text}" for name, text in known.items() if text))


def _numbers(numbers: tuple[float, ...] | None) -> str:
    return ", ".join(f"{n:g}" for n in numbers or ())
