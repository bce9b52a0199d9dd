"""Train: three presets with what they would do here, everything else behind "More", one button."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.formats import count
from app.components.page import empty, head, project, run_here, say
from app.components.presets import as_before, changes, preset_cards, recommended_title, settings
from app.components.weights_choice import chosen_above, options_here, weights_choice
from app.engine_client import client
from engine.errors import LensmithError


def _not_yet(project_id: str, sentence: str) -> None:
    with head("Train"):
        pass
    with empty("Not yet", sentence):
        if st.button("Back to Data", type="primary"):
            state.go("data", project=project_id)


def show() -> None:
    """Draw the screen."""
    opened = project()
    if not opened.images:
        with head("Train"):
            pass
        with empty("There is nothing to learn from yet", "Add pictures in at least two classes first."):
            if st.button("Add pictures", type="primary"):
                state.go("new", project=opened.id)
        return
    options = options_here(opened.id)
    if not options.presets:
        _not_yet(opened.id, " ".join(options.problems))
        return
    parts = f"{options.train_images:,} to learn from, {options.val_images:,} to choose by, "
    with head("Train", f"{count(opened.images, 'image')} · {parts}{options.test_images:,} kept for the test"):
        pass
    before = run_here()
    again = None
    if before is not None:
        try:
            again = as_before(before)
        except LensmithError as error:
            say(f"Run #{before.number} cannot be repeated: {error.message}", "look", key="again")
    preset = preset_cards(options, again)
    if options.reason:
        say(f"Why {recommended_title(options)}: {options.reason}", key="why")
    startable = weights_choice(opened, preset)
    for n, problem in enumerate(options.problems):
        say(problem, "look", key=f"problem-{n}")
    said = chosen_above(preset)
    filled = settings(options, preset, said)
    for n, text in enumerate(filled.problems):
        say(text, "wrong", key=f"field-{n}")
    with st.container(horizontal=True, vertical_alignment="center", key="go"):
        unready = bool(filled.problems) or not options.train_images or not startable
        if st.button("Train model", type="primary", disabled=unready):
            write = f"train-{opened.id}"
            run = client().runs.start(opened.id, filled.values, key=state.write_key(write))
            state.written(write)
            state.go("run", project=opened.id, run=run.id)
        queued = options.queued_before
        st.caption(f"{count(queued, 'job')} before it." if queued else "Nothing is queued before it.")
    changes(filled, said)  # below the button, which stays where it is


show()
