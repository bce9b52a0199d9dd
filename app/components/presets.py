"""What can be trained: presets as cards, and everything else in one form."""

from __future__ import annotations

from typing import Final

import streamlit as st

from app import state
from app.components.formats import duration, plain
from app.components.page import guarded
from app.components.params_form import Filled, keep, params_form
from app.engine_client import client
from engine.contracts.runs import PresetInfo, RunDetail, TrainOptions
from engine.contracts.training import STRATEGY_TITLES

AGAIN: Final = "again"
"""The name of the card that starts the same settings again."""
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
    """Draw the presets and return the chosen one; at first ``again`` if given, else the recommended."""
    presets: tuple[PresetInfo, ...] = (*((again,) if again else ()), *options.presets)
    names = [preset.name for preset in presets]
    chosen = state.here().preset or (AGAIN if again else options.recommended)
    chosen = chosen if chosen in names else names[0]
    for column, preset in zip(st.columns(len(names)), presets, strict=True):
        with (
            column,
            st.container(
                key=f"cardpick-{'on' if preset.name == chosen else 'off'}-{preset.name}",
                gap="xsmall",
                height="stretch",
            ),
        ):
            _card(preset, preset.name == chosen)
    return next(preset for preset in presets if preset.name == chosen)


def _card(preset: PresetInfo, on: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"preset-top-{preset.name}"):
        with st.container(key=f"stretch-{preset.name}", width="stretch"):
            st.button(
                f"{plain(preset.title)}{' ✓' if on else ''}",
                key=f"pick-{preset.name}",
                type="tertiary",
                on_click=guarded(_choose),
                args=(preset.name,),
            )
        if preset.recommended:
            st.badge("recommended", color="primary")
    st.caption(f"{STRATEGY_TITLES[preset.strategy].capitalize()} · {plain(preset.backbone)}")
    if preset.seconds is None:
        st.markdown("How long is measured at the start")
    else:
        how = "measured here" if preset.seconds_measured else "estimated"
        how = "last time" if preset.name == AGAIN else how
        st.markdown(f"About **{duration(preset.seconds)}** :gray[{how}]")
    st.caption(f"{plain(preset.sentence)}  \n{WEIGHTS[preset.weights.source]}")


def recommended_title(options: TrainOptions) -> str:
    """Return the title of the recommended preset."""
    return next((p.title for p in options.presets if p.name == options.recommended), "this")


def _choose(name: str) -> None:
    state.move(preset=name)


def settings(options: TrainOptions, preset: PresetInfo) -> Filled:
    """Draw "More" and return the whole configuration, with what cannot be understood in it."""
    for name in (AGAIN, *(p.name for p in options.presets)):
        if name != preset.name:  # Streamlit forgets fields that are not drawn; a person's input stays
            keep(f"set-{name}-")
    with st.expander("More: model, training, augmentation, machine"):
        changed, problems = params_form(options.parameter_schema, preset.config, key=f"set-{preset.name}")
        if changed:
            st.caption("Changed: " + ", ".join(plain(name) for name in changed))
    return Filled({**preset.config, **changed}, problems)
