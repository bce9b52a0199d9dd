"""A run in words: what learns, from where, for how long; and its exact settings for those who ask."""

from __future__ import annotations

from typing import Final

import streamlit as st

from app.components.formats import count, duration, plain
from app.components.moments import moment_here
from engine.contracts.jobs import ENDED, JobState
from engine.contracts.results import WeightsUsed
from engine.contracts.runs import RunDetail, RunSummary

STATES: Final = {
    JobState.QUEUED: "Waiting",
    JobState.RUNNING: "Training",
    JobState.SUCCEEDED: "Finished",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
    JobState.INTERRUPTED: "Interrupted, goes on by itself",
    JobState.PAUSED: "Paused",
}
"""What a person reads for each state."""
LEARNS: Final = {
    "probe": "a linear classifier on frozen features",
    "head": "a new last layer",
    "last_stages": "the last stages of the network",
    "full": "the whole network",
    "auto": "what fits the weights",
}
"""What each strategy trains, within a sentence."""


def is_moving(run: RunSummary) -> bool:
    """Say whether something will still happen to this run by itself."""
    return run.state not in ENDED and run.state is not JobState.PAUSED


def what_learns(run: RunSummary) -> str:
    """Say what a run trains and from where, as Markdown; for one that has ended, also how long it took."""
    verb = "trained" if run.state in ENDED else "trains"
    text = f"{verb} {LEARNS.get(run.strategy, run.strategy)}"
    if run.weights is not None:
        text += " from random numbers" if run.weights.source == "random" else " from trained weights"
    if run.state in ENDED and run.seconds:
        text += f" in {duration(run.seconds)}"
    return plain(text)


def began(run: RunSummary) -> str:
    """Say when a run was started, in the time zone of the browser."""
    return moment_here(run.created_at)


def details(run: RunDetail, setup: str) -> None:
    """Draw the exact settings that were measured or chosen before the first step."""
    plan = run.plan
    facts = {
        "Network": plain(run.backbone),
        "Starting weights": _weights(run.weights),
        "Pictures": f"{plan.image_size} px, {plan.batch_size} at a time" if plan else "",
        "Planned": f"{count(plan.epochs, 'epoch')} of {count(plan.steps_per_epoch, 'step')}" if plan else "",
        "Learning rate": f"{plan.lr:.3g} at its highest" if plan else "",
        "Computes": plain(setup),
        "Data": f"version {run.version}",
        "Seed": str(run.config.get("seed", "")),
        "Attempts": str(run.attempt) if run.attempt > 1 else "",
    }
    st.markdown("  \n".join(f":gray[{name}]  {text}" for name, text in facts.items() if text))


def _weights(weights: WeightsUsed | None) -> str:
    if weights is None:
        return ""
    if weights.source == "random":
        return "random numbers"
    return plain(f"{weights.name} ({weights.source})" + (f", {weights.licence}" if weights.licence else ""))
