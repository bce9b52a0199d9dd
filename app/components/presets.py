"""What can be trained: presets as cards, and everything else in one form."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import streamlit as st

from app import state
from app.components.formats import duration, plain
from app.components.params_form import Filled, params_form, put_back
from app.engine_client import client
from engine.contracts.runs import PresetInfo, RunDetail, TrainOptions
from engine.contracts.training import STRATEGY_TITLES

AGAIN: Final = "again"
"""The name of the card that starts the same settings again."""
PICKED: Final = "preset"
WEIGHTS: Final = {
    "file": "weights from your file",
    "cache": "weights on this machine",
    "hub": "weights to fetch",
    "bundled": "weights in the box",
    "random": "random weights",
}
"""Where a preset's starting weights come from, in a word; the whole sentence stands below the cards."""


def as_before(run: RunDetail) -> PresetInfo:
    """Return the settings of a run as a card of its own, for the data as they are now.

    Raises ``InputError`` when they cannot be used any more, such as a weights file that is gone.
    """
    return PresetInfo(
        name=AGAIN,
        title=f"As run #{run.number}",
        sentence="the same settings, on the data as they are now",
        backbone=run.backbone,
        strategy=run.strategy,
        seconds=run.seconds,
        seconds_measured=run.seconds is not None,
        weights=client().models.weights_plan(run.config),
        config=run.config,
    )


def preset_cards(options: TrainOptions, again: PresetInfo | None = None) -> PresetInfo:
    """Draw the presets and return the chosen one; at first ``again`` if given, else the recommended.

    They are one group of radio buttons that looks like cards: arrow keys walk it, and a screen reader says
    which one is chosen.
    """
    offered = options.presets if again is None else (again, *options.presets)
    presets = {preset.name: preset for preset in offered}
    chosen = state.here().preset or (AGAIN if again else options.recommended)
    chosen = chosen if chosen in presets else next(iter(presets))
    st.session_state[PICKED] = chosen  # the address decides, also after a refresh and after going back
    with st.container(key="presets"):
        st.radio(
            "What to train",
            list(presets),
            format_func=lambda name: _title(presets[name]) if name in presets else "",
            captions=[_facts(preset) for preset in presets.values()],
            key=PICKED,
            horizontal=True,
            label_visibility="collapsed",
            width="stretch",
            on_change=_choose,
        )
    return presets[chosen]


def _title(preset: PresetInfo) -> str:
    return plain(preset.title) + (" :primary-badge[recommended]" if preset.recommended else "")


def _facts(preset: PresetInfo) -> str:
    """Say how long a preset takes, what it is for, and what it trains."""
    if preset.seconds is None:
        time = "How long is measured at the start"
    else:
        how = "measured here" if preset.seconds_measured else "estimated"
        how = "last time" if preset.name == AGAIN else how
        time = f"About **{duration(preset.seconds)}** :gray[{how}]"
    weights = WEIGHTS[preset.weights.source]
    model = f"{STRATEGY_TITLES[preset.strategy]} of {plain(preset.backbone)}, {weights}"
    return f"{time}  \n{plain(_begin(preset.sentence))}  \n:gray[{_begin(model)}]"


def _begin(sentence: str) -> str:
    """Write the first letter of a sentence large and leave names in it as they are."""
    return sentence[:1].upper() + sentence[1:]


def recommended_title(options: TrainOptions) -> str:
    """Return the title of the recommended preset."""
    return next((p.title for p in options.presets if p.name == options.recommended), "this")


def _choose() -> None:
    state.move(preset=st.session_state[PICKED])


def settings(options: TrainOptions, preset: PresetInfo, said: Collection[str] = ()) -> Filled:
    """Draw "More" and return the whole configuration, with what cannot be understood in it.

    The settings ``said`` are shown above it already and do not count as changed under it.
    """
    with st.expander("More: model, training, augmentation, machine", key="more"):
        filled = params_form(options.parameter_schema, preset.config, key=f"set-{preset.name}", said=said)
    return filled._replace(values={**preset.config, **filled.values})


def changes(filled: Filled, said: Collection[str] = ()) -> None:
    """Say what was changed, also where "More" is closed, with a way back that keeps the settings ``said``."""
    if filled.changes:
        with st.container(horizontal=True, vertical_alignment="center", key="changes"):
            st.caption(f"Changed under More: {plain(', '.join(filled.changes))}", width="content")
            st.button("Put back", type="tertiary", key="put-back", on_click=put_back, args=(said,))
