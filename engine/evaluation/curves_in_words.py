"""What learning curves say, in sentences with their evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from engine.contracts.runs import Observation

ENOUGH_EPOCHS = 4
CLEAR_RISE = 0.05
WIDE_GAP = 0.35
POOR_SHARE = 0.6


def read_curves(
    epochs: Sequence[Mapping[str, Any]], metric: str, title: str, *, higher_is_better: bool = True
) -> tuple[Observation, ...]:
    """Turn "epoch" events, oldest first, into at most four observations.

    Each epoch holds ``epoch`` (from 1), ``train_loss``, ``val_loss`` and ``metrics``. Both losses are the
    same quantity (``val_loss`` is None where a task measures none), but the images of training are
    augmented and its weights still change within the epoch: so it counts which way the two go, and only a
    wide gap between them. Nothing is said that the numbers do not show; with fewer than two epochs the
    answer is empty.
    """
    if len(epochs) < 2:
        return ()
    values = [entry["metrics"].get(metric) for entry in epochs]
    found = [
        _trend(epochs, values, title, higher_is_better),
        _overfitting(epochs),
        _linear_loss(epochs),
        _jumps(epochs),
    ]
    return tuple(observation for observation in found if observation is not None)


def _trend(
    epochs: Sequence[Mapping[str, Any]], values: Sequence[float | None], title: str, higher: bool
) -> Observation | None:
    known = [
        (entry["epoch"], value) for entry, value in zip(epochs, values, strict=True) if value is not None
    ]
    if len(known) < 2:
        return None
    best_epoch, best = (max if higher else min)(known, key=lambda pair: pair[1])
    last_epoch, last = known[-1]
    if best_epoch == last_epoch:
        before = (max if higher else min)(value for _, value in known[:-1])
        return Observation(text=f"Validation still improves: {title} {before:.3f} → {last:.3f}.", tone="good")
    if last == best:
        return Observation(text=f"Validation holds its best: {title} {best:.3f} since epoch {best_epoch}.")
    since = last_epoch - best_epoch
    tone = "neutral" if since < ENOUGH_EPOCHS else "look"
    return Observation(
        text=f"Validation was best in epoch {best_epoch} ({title} {best:.3f}); now {last:.3f}. "
        "The best weights are kept.",
        tone=tone,
    )


def _overfitting(epochs: Sequence[Mapping[str, Any]]) -> Observation | None:
    """Look where the validation loss turned: it rises from there on while the training loss still falls."""
    if len(epochs) < ENOUGH_EPOCHS or any(entry["val_loss"] is None for entry in epochs):
        return None
    turn = min(epochs, key=lambda entry: float(entry["val_loss"]))
    first, last = epochs[0], epochs[-1]
    rise = last["val_loss"] - turn["val_loss"]
    if rise > CLEAR_RISE * turn["val_loss"] and last["train_loss"] < turn["train_loss"]:
        return Observation(
            text=f"Validation turned at epoch {turn['epoch']}: its loss rose from {turn['val_loss']:.2f} to "
            f"{last['val_loss']:.2f}, while the training loss fell from {turn['train_loss']:.2f} to "
            f"{last['train_loss']:.2f}. It learns the pictures by heart; more images or stronger "
            "augmentation help.",
            tone="look",
        )
    both = f"loss {last['train_loss']:.2f} in training, {last['val_loss']:.2f} in validation"
    apart = last["val_loss"] - last["train_loss"] > WIDE_GAP * last["val_loss"]
    if not apart and last["train_loss"] > POOR_SHARE * first["train_loss"]:
        return Observation(
            text=f"Both losses are still high ({both}): a larger model or more epochs may help.",
            tone="neutral",
        )
    if apart:
        return Observation(
            text=f"Training is ahead of validation ({both}), but validation has not turned.", tone="neutral"
        )
    return Observation(text=f"No sign of overfitting: both losses came down ({both}).", tone="good")


def _linear_loss(epochs: Sequence[Mapping[str, Any]]) -> Observation | None:
    """Say that the rate may be too low when the training loss falls slowly and almost straight."""
    losses = [entry["train_loss"] for entry in epochs]
    if len(losses) < 2 * ENOUGH_EPOCHS or losses[-1] >= losses[0] or losses[-1] < POOR_SHARE * losses[0]:
        return None
    steps = [a - b for a, b in pairwise(losses)]
    mean = sum(steps) / len(steps)
    spread = (sum((step - mean) ** 2 for step in steps) / len(steps)) ** 0.5
    if spread < 0.35 * mean:
        return Observation(
            text=f"The training loss falls in an almost straight line ({losses[0]:.2f} → {losses[-1]:.2f}): "
            "the learning rate may be too low.",
            tone="look",
        )
    return None


def _jumps(epochs: Sequence[Mapping[str, Any]]) -> Observation | None:
    losses = [entry["train_loss"] for entry in epochs]
    if len(losses) < ENOUGH_EPOCHS:
        return None
    rises = [b - a for a, b in pairwise(losses) if b > a]
    if len(rises) >= len(losses) // 2 and max(rises) > 0.15 * losses[0]:
        return Observation(
            text=f"The training loss jumps (by up to {max(rises):.2f}): the learning rate may be too high or "
            "the batch too small.",
            tone="look",
        )
    return None
