"""Importing weights of one's own: the file, what a person may say about it, and what it turned out to be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import streamlit as st

from app import state
from app.components.formats import plain, size
from app.components.page import card, say, show_problem
from app.components.params_form import Field
from app.components.upload import upload_zone
from app.components.weights_jobs import IMPORT, forget_ended, jobs_part, watch
from app.components.weights_list import start_button
from app.components.weights_words import facts, fit_report
from app.engine_client import client
from engine.api.places import places_offered
from engine.contracts.jobs import ENDED, JobInfo, JobState
from engine.errors import InputError, LensmithError, NotFoundError

CHOSEN: Final = "weights-file"
"""What is to be imported: ``name``, and ``upload`` (with ``bytes``) or ``path``; ``job`` once it began."""
SAID: Final = "weights-said"
"""What was filled in for the import before, for the next try."""
KINDS: Final = ".safetensors,.pt,.pth,.zip"
LARGEST: Final = 4 * 2**30
TEXTS: Final = {
    "title": ("Name", "empty: the file's name"),
    "licence": ("Licence", "such as Apache-2.0"),
    "architecture": ("Architecture", "empty: recognised by its tensors"),
}
NUMBERS: Final = {
    "model_args": Field("model_args", {
        "type": "object", "title": "Model arguments",
        "description": 'Arguments that shape the architecture, such as {"pad_type": "same"}.',
    }),
    "mean": Field("mean", {
        "type": "array", "title": "Mean",
        "description": "Of each channel, on the 0 to 1 scale; empty: as the architecture is usually trained.",
    }),
    "std": Field("std", {
        "type": "array", "title": "Standard deviation", "description": "Of each channel, 0 to 1 scale.",
    }),
}  # fmt: skip


def import_card(project: str | None) -> None:
    """Draw the drop zone, then the form, then what became of it."""
    with card("import", "Import a file of your own"):
        jobs_part(IMPORT, lambda job: _report(job, project))
        chosen = st.session_state.get(CHOSEN)
        if chosen is None:
            _sources()
        else:
            _form(chosen)


def _sources() -> None:
    arrived = upload_zone(
        key="weights-drop",
        label="Drop a weights file here, or click to choose",
        hint="safetensors, .pt or .pth, or a ZIP with one and its config.json. Up to 4 GB.",
        accept=KINDS,
        max_bytes=LARGEST,
        one=True,
    )
    if arrived is not None:
        if len(arrived.ids) > 1:
            say("Drop one file. With its config.json beside it, pack both into a ZIP.", "look", key="one")
        else:
            _choose({"name": arrived.name, "upload": arrived.ids[0], "bytes": arrived.total})
    if not places_offered(client().settings):
        return
    with st.expander("A file or folder on this machine"), st.form("weights-path", border=False):
        path = st.text_input("Path", placeholder="/home/me/model.safetensors", key="weights-source")
        if st.form_submit_button("Take this") and path.strip():
            _choose({"name": Path(path.strip()).name, "path": path.strip()})


def _choose(chosen: Mapping[str, Any]) -> None:
    st.session_state[CHOSEN] = dict(chosen)
    st.rerun()


def _form(chosen: dict[str, Any]) -> None:
    """Draw what may be said about the chosen file; it stays after a refusal, to be changed."""
    job = _job(chosen)
    if job is not None and job.state in ENDED and (job.state is JobState.SUCCEEDED or "upload" in chosen):
        # An upload goes away with its import; after a refusal the file is dropped again, the words stay.
        del st.session_state[CHOSEN]
        if job.state is JobState.SUCCEEDED:
            st.session_state.pop(SAID, None)
        st.rerun()
    moving = job is not None and job.state not in ENDED
    with st.container(horizontal=True, vertical_alignment="center", key="weights-chosen"):
        weight = f" · {size(chosen['bytes'])}" if "bytes" in chosen else ""
        st.markdown(f"**{plain(chosen['name'])}**{weight}", width="stretch")
        if not moving:
            st.button("Choose another", type="tertiary", key="weights-other", on_click=_put_away)
    said: dict[str, Any] = st.session_state.get(SAID, {})
    with st.form("weights-import", border=False):
        given: dict[str, Any] = {
            name: st.text_input(title, said.get(name, ""), placeholder=hint, key=f"weights-{name}")
            for name, (title, hint) in TEXTS.items()
        }
        with st.expander("Arguments and normalisation"):
            st.caption("Empty fields come from the config.json in the ZIP, or from the architecture.")
            for name, field in NUMBERS.items():
                given[name] = st.text_input(
                    field.title, said.get(name, ""), help=field.note, key=f"weights-{name}"
                )
            given["input_size"] = st.number_input(
                "Image size (px)", min_value=16, max_value=2048, value=said.get("input_size"), step=1,
                key="weights-size", placeholder="automatic",
            )  # fmt: skip
        if st.form_submit_button("Import weights", type="primary", disabled=moving):
            try:
                _start(chosen, _choices(given))
            except LensmithError as problem:
                show_problem(problem)
            else:
                st.session_state[SAID] = given
                st.rerun()


def _choices(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was filled in, as the facade takes it; raises ``InputError``."""
    found: dict[str, Any] = {name: given[name].strip() for name in TEXTS if given[name].strip()}
    for name, field in NUMBERS.items():
        try:
            read = field.read(given[name], None)
        except InputError as problem:
            raise InputError(f"{field.title}: {problem.message}", problem.hint) from problem
        if read:
            found[name] = tuple(read) if isinstance(read, list) else read
    return found | ({"input_size": int(given["input_size"])} if given["input_size"] else {})


def _start(chosen: dict[str, Any], choices: dict[str, Any]) -> None:
    write = f"weights-import-{chosen['name']}"
    path = chosen.get("path")
    job = client().weights.start_import(
        Path(path) if path else None,
        upload=chosen.get("upload"),
        key=state.write_key(write),
        **choices,
    )
    state.written(write)
    forget_ended(IMPORT)  # the try before is answered by this one
    st.session_state[CHOSEN] = {**chosen, "job": job.id}
    watch(job, f"Importing {chosen['name']}")


def _put_away() -> None:
    st.session_state.pop(CHOSEN, None)
    st.session_state.pop(SAID, None)  # it was about the file that is put away


def _job(chosen: Mapping[str, Any]) -> JobInfo | None:
    if "job" not in chosen:
        return None
    try:
        return client().jobs.get(chosen["job"])
    except NotFoundError:
        return None


def _report(job: JobInfo, project: str | None) -> None:
    """Say what a file turned out to be, with the next step."""
    try:
        item = client().weights.get(str((job.result or {}).get("id", "")))
    except NotFoundError:
        st.caption("The weights of this import were removed.")
        return
    with st.container(key=f"say-good-{job.id}", gap="small"):
        st.markdown(f"**{plain(item.title)} is here: {plain(item.backbone)}, {size(item.bytes)}**")
        st.caption(facts(item))
        if item.fit is not None:
            fit_report(item.fit)
        start_button(item, project, key=f"start-report-{item.id}")
