"""A run while it learns: progress, curves, what they say, the same six pictures."""

from __future__ import annotations

from typing import Final

import streamlit as st

from app.components.charts import curves
from app.components.formats import count, duration, plain, value
from app.components.gallery import gallery, verdict_tiles
from app.components.page import card, choices, say
from app.components.run_words import STATES, is_moving
from engine.contracts.jobs import JobState
from engine.contracts.results import CurvePanel, Series
from engine.contracts.runs import LiveRun

SECONDS: Final = 1.5
PROBE: Final = "probe"
"""The strategy that has no curves."""


def progress_card(live: LiveRun) -> None:
    """Draw how far the run is, how fast, and how long it will take."""
    run = live.run
    share = 1.0 if run.state is JobState.SUCCEEDED else run.progress or 0.0
    epoch = (plain(run.message) if is_moving(run) else "") or STATES[run.state]
    if live.epochs and is_moving(run):
        epoch = f"Epoch {live.epoch} of {live.epochs}"
    elif live.epochs and live.epoch:
        epoch = f"{STATES[run.state]} after {live.epoch} of {count(live.epochs, 'epoch')}"
    if run.state is JobState.QUEUED:
        epoch = f"Waiting for {run.ahead} before it" if run.ahead else "Starts in a moment"
    facts = [
        f"{live.images_per_second:,.0f} images/s" if live.images_per_second else "",
        f"{duration(live.seconds_done)} done" if live.seconds_done else "",
        f"about {duration(live.seconds_left)} left"
        if live.seconds_left is not None and is_moving(run)
        else "",
    ]
    with card("progress"):
        with st.container(horizontal=True, horizontal_alignment="distribute", key="progress-text"):
            percent = f" · {100 * share:.0f} %" if is_moving(run) else ""
            st.markdown(f"**{epoch}{percent}**", width="content")
            st.caption(" · ".join(filter(None, facts)) or "\u2007", width="content")
        st.progress(share)


def probe_card(live: LiveRun) -> None:
    """Say why a probe has no curves, and what it reached."""
    with card("words", "A linear classifier"):
        st.markdown(
            "It learns in one go from features that the network computes once, so there are no epochs and no "
            "curves. It is the yardstick for every training after it."
        )
        if live.probe:
            st.markdown(_against_probe(live))


def curves_card(live: LiveRun) -> None:
    """Draw one of the curves, chosen by chips."""
    with card("curves", fill=True):
        names = {"loss": "loss", "metric": plain(live.metric_title), "rate": "learning rate"}
        shown = choices("Curve", names, key="curve", default="loss") or "loss"
        lines: dict[str, tuple[tuple[Series, ...], str]] = {
            "loss": (live.loss, "step"),
            "metric": (live.metric, "epoch"),
            "rate": (live.rate, "step"),
        }
        series, across = lines[shown]
        with st.container(height=300, border=False, key="curve-frame"):
            if any(s.x for s in series):
                panel = CurvePanel(title=names[shown], x_label=across, y_label=names[shown], series=series)
                curves(panel, key=f"live-{shown}", height=298)
            else:
                soon = "The first values come after the first steps."
                st.caption(soon if is_moving(live.run) else "This run has no values here.")


def words_card(live: LiveRun) -> None:
    """Draw what the curves say, and how the run stands against the probe."""
    with card("words", "What the curves say", fill=True):
        if not live.observations:
            soon = "After two epochs, what the curves show stands here in words."
            st.caption(soon if is_moving(live.run) else "There are too few epochs to say.")
        for n, observation in enumerate(live.observations):
            say(observation.text, observation.tone, key=str(n))
        st.header("Against the probe", anchor=False, help="A linear classifier on the frozen features.")
        st.markdown(_against_probe(live))


def _against_probe(live: LiveRun) -> str:
    now = next((s.y[-1] for s in live.metric if s.y), None)
    probe = live.probe.value if live.probe else None
    if live.probe and probe is None:
        return plain(live.probe.reason) or "The probe has no result."
    if probe is None:
        return ":gray[The probe runs first; it is the yardstick.]"
    text = f"**{value(probe, 'share')}** probe"
    if now is None:
        return text
    return f"**{value(now, 'share')}** now, {text} :gray[({100 * (now - probe):+.1f} points)]"


def samples_card(live: LiveRun) -> None:
    """Draw the same few validation pictures with what the model says of them now."""
    with card("samples", "The same validation pictures, after each epoch"):
        if live.samples:
            gallery(
                live.run.project,
                verdict_tiles(live.samples),
                key="samples",
                choose="none",
                label="Validation pictures",
            )
        else:
            with st.container(height=150, border=False):
                soon = "They come with the first epoch."
                st.caption(soon if is_moving(live.run) else "This run has none.")
