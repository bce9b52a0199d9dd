"""The export bundle: making it, its proof, its download, and how to use it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from app import state
from app.components.formats import count, plain, size
from app.components.page import card, guarded
from app.engine_client import client
from app.routes.urls import bundle_url, predict_url
from engine.contracts.jobs import ENDED, JobState
from engine.contracts.runs import ExportInfo

PROOFS: Final = {
    "onnx": "predict.py with the ONNX file against the trained model",
    "safetensors": "the safetensors file, loaded by timm, against the trained model",
    "report": "predict.py against the answers in the report",
}


def make(run: str) -> None:
    """Start the export of a run; the same click twice makes one."""
    write = f"export-{run}"
    client().models.start_export(run, key=state.write_key(write))
    state.written(write)


def bundle_card(run: str, info: ExportInfo | None) -> None:
    """Draw the state of the bundle of a run, with the next thing to do."""
    with card("bundle", "The bundle"):
        if info is None:
            st.markdown(
                "One ZIP with the model as ONNX and as safetensors, the class list, a model card, checksums, "
                "and a `predict.py` that runs without Lensmith."
            )
            st.button("Make the bundle", type="primary", key="make", on_click=guarded(make), args=(run,))
        elif info.state not in ENDED:
            share = info.progress or 0.0
            st.progress(
                share, text=f"{plain(info.message) or 'Waiting for a free slot'} · {100 * share:.0f} %"
            )
            st.caption("Before it can be downloaded, its answers are compared with the trained model's.")
        elif info.state is JobState.SUCCEEDED:
            st.link_button(f"Download {size(info.bytes or 0)}", bundle_url(run), type="primary")
            with st.expander(f"{count(len(info.files), 'file')} in it"):
                st.caption("  \n".join(f"{plain(name)} · {size(number)}" for name, number in info.files))
                st.caption(f"SHA-256 of the ZIP: {info.sha256}")
        else:
            problem = info.problem
            st.markdown(
                f"**{plain(problem.message)}**  \n{plain(problem.hint)}"
                if problem
                else "The export was stopped."
            )
            st.button("Try again", type="primary", key="again", on_click=guarded(make), args=(run,))


def proof_card(info: ExportInfo) -> None:
    """Say how closely the files in the bundle agree with the trained model."""
    with card("proof", "Proven before the download"):
        for name, found in (info.parity or {}).items():
            if isinstance(found, Mapping):
                st.markdown(f"{_agreement(found)}  \n:gray[{PROOFS.get(name, plain(name))}]")


def _agreement(found: Mapping[str, Any]) -> str:
    images, same, ties = (int(found[k]) for k in ("images", "same_class", "near_ties"))
    close = f", {ties} a tie" if ties else ""
    return f"Same class on **{same:,} of {count(images, 'image')}**{close}; {_closeness(found)}."


def _closeness(found: Mapping[str, Any]) -> str:
    """Say how far probabilities lie apart, as the next larger power of ten, which is easier to read."""
    apart = float(found["largest_difference"])
    if apart <= 0:
        return "**equal** probabilities"
    digits = max(0, math.ceil(-math.log10(apart)) - 1)
    return f"probabilities less than **{10.0**-digits:.{digits}f}** apart"


def usage_card(run: str, address: str) -> None:
    """Show how the bundle and the prediction API are used."""
    with card("usage", "Use it"):
        st.caption("Anywhere with Python: unpack, then")
        st.code(
            "pip install onnxruntime numpy pillow\npython predict.py photo.jpg",
            language="bash",
            wrap_lines=True,
        )
        st.caption("Or ask this machine; the token stands in the file `token` of the workspace folder.")
        st.code(
            f'curl -H "Authorization: Bearer $LENSMITH_TOKEN" \\\n'
            f"  --data-binary @photo.jpg {address.rstrip('/')}{predict_url(run)}",
            language="bash",
            wrap_lines=True,
        )
