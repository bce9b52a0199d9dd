"""What a running training tells: events for the live screen, progress, checkpoints when due."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from engine.contracts.jobs import Work
from engine.training.loop import Setup
from engine.training.state import TrainingState

STEP_SECONDS = 1.0
SAVING_SHARE = 20.0
"""Between two checkpoints lies at least this many times the time that saving one takes."""
OVERTIME = 1.25
"""A run ends at this many times its time budget, with the best it has."""
LIVE_PICTURES = 6


class Reporter:
    """Implements ``loop.Observer`` over a job."""

    def __init__(self, work: Work, setup: Setup, frozen: dict[str, Any], budget: float | None) -> None:
        self._work = work
        self._setup = setup
        self._frozen = frozen
        self._budget = budget
        self._interval = float(work.payload.get("checkpoint_seconds", work.settings.timing.checkpoint))
        self._patience = SAVING_SHARE if self._interval >= 1.0 else 0.0
        self._saved = time.monotonic()
        self._saving = 0.0
        self._told = 0.0
        self._live = live_samples([setup.learner.main_class(sample) for sample in setup.data.val.samples])

    def stepped(self, state: TrainingState, loss: float, parts: dict[str, float], images: int) -> None:
        """Tell about one step, at most once a second."""
        plan, now = self._setup.plan, state.progress
        total = plan.epochs * plan.steps_per_epoch
        epoch = (now.step - 1) // plan.steps_per_epoch + 1
        self._work.progress(now.step / total, f"Epoch {epoch} of {plan.epochs}")
        if time.monotonic() - self._told < STEP_SECONDS and now.step != total:
            return
        self._told = time.monotonic()
        rate = now.loss_steps * images / max(now.epoch_seconds, 1e-9)
        data = {
            "step": now.step,
            "epoch": epoch,
            "loss": loss,
            "lr": state.optimizer.param_groups[-1]["lr"],
            "images_per_second": rate,
            "parts": parts,
        }
        self._work.event("step", data)

    def validated(self, state: TrainingState, entry: dict[str, Any], predictions: list[Any]) -> None:
        """Tell about an epoch, and how the same few pictures look now."""
        self._work.event("epoch", entry, key=f"epoch:{entry['epoch']}")
        learner, samples = self._setup.learner, self._setup.data.val.samples
        items = [learner.live(predictions[at], samples[at]).model_dump() for at in self._live]
        self._work.event("samples", {"epoch": entry["epoch"], "items": items}, key="samples")

    def should_end(self, state: TrainingState) -> str:
        """Return "kept" or "time" when the run is to end with what it has; raise when stopped."""
        wish = self._work.stop_requested()
        if wish == "keep_best":
            return "kept"
        if wish is not None:
            # Saved first, so that a pause (or a change of mind) loses no step.
            self._save(state)
            self._work.check_stop()
        if self._budget is not None and state.progress.seconds > OVERTIME * self._budget:
            return "time"
        return ""

    def checkpoint(self, state: TrainingState, *, force: bool) -> None:
        """Write a checkpoint when the interval is over or an epoch ended.

        A large model is saved less often, so that saving takes only a small share of the time.
        """
        waited = time.monotonic() - self._saved
        due = 0.0 if force else self._interval
        if waited >= max(due, self._patience * self._saving):
            self._save(state)

    def _save(self, state: TrainingState) -> None:
        started = time.monotonic()
        self._work.save_checkpoint(state.to_bytes(self._frozen), state.progress.step)
        self._saved = time.monotonic()
        self._saving = self._saved - started


def live_samples(classes: Sequence[int], count: int = LIVE_PICTURES) -> list[int]:
    """Return positions of a few samples, one class after the other, always the same ones.

    ``classes``: the class that stands for each sample.
    """
    by_class: dict[int, list[int]] = {}
    for position, name in enumerate(classes):
        by_class.setdefault(name, []).append(position)
    queues = [by_class[name] for name in sorted(by_class)]
    rounds = max((len(queue) for queue in queues), default=0)
    turns = [queue[turn] for turn in range(rounds) for queue in queues if turn < len(queue)]
    return turns[:count]
