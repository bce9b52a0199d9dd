"""The loop, top to bottom. It calls ``learner.step`` and never asks which task it trains."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from engine.augment.batch import augment
from engine.contracts.training import Plan, TrainingConfig
from engine.errors import RunError
from engine.models.backbones import training_mode
from engine.models.devices import autocast
from engine.tasks.base import Batch, Learner
from engine.training.data import Batches, Data, Normaliser, Part, chunks, derive_seed, to_unit
from engine.training.memory import memory_in_words
from engine.training.optimizers import set_rates
from engine.training.schedule import cosine_with_warmup
from engine.training.state import TrainingState


class Observer(Protocol):
    """What the loop tells about itself; implemented over the job's events in ``reporting.py``."""

    def stepped(self, state: TrainingState, loss: float, parts: dict[str, float], images: int) -> None:
        """Tell that one step was taken.

        ``loss`` is the same quantity as validation's; ``parts["objective"]`` is what was minimised.
        """

    def validated(self, state: TrainingState, entry: dict[str, Any], predictions: list[Any]) -> None:
        """Tell that an epoch was measured."""

    def should_end(self, state: TrainingState) -> str:
        """Return why the run is to end now, or ""; raises when it is to be left as it is."""

    def checkpoint(self, state: TrainingState, *, force: bool) -> None:
        """Write a checkpoint when one is due."""


@dataclass(frozen=True)
class Setup:
    """What stays the same during a run; ``monitor`` is a metric and whether more of it is better."""

    plan: Plan
    config: TrainingConfig
    data: Data
    learner: Learner
    monitor: tuple[str, bool]
    beyond: tuple[float, float, float] | None = None
    """Colour (0 to 1) of what comes into view beyond a picture's edge; None: its mirror image."""

    @property
    def device(self) -> torch.device:
        """The device that the plan names."""
        return torch.device(self.plan.device)

    def normaliser(self) -> Normaliser:
        """Build the last step of the data path."""
        return Normaliser(self.data.preprocessing, self.plan.memory_format, self.device)


def train(setup: Setup, state: TrainingState, observer: Observer) -> None:
    """Train from where ``state`` is to the end of the plan, or until the observer ends it."""
    plan, now = setup.plan, state.progress
    targets = setup.learner.targets(setup.data.train.samples, setup.device)
    normalise = setup.normaliser()
    training_mode(state.model)
    memory = memory_in_words(setup.device, plan.batch_size, plan.image_size)
    with memory, Batches(setup.data.train, plan, setup.config.seed) as batches:
        while now.step < plan.epochs * plan.steps_per_epoch and not now.stopped:
            started = time.perf_counter()
            pixels, index = batches.at(now.step)
            pictures, moved = _augmented(setup, pixels, now.step)
            chosen = torch.from_numpy(index).to(setup.device)
            batch = Batch(normalise(pictures), targets.batch(index, moved), chosen)
            loss, parts = _step(setup, state, batch)
            _count(state, loss, time.perf_counter() - started)
            observer.stepped(state, loss, parts, len(index))
            epoch_ends = now.step % plan.steps_per_epoch == 0
            if epoch_ends:
                _finish_epoch(setup, state, observer)
            now.stopped = now.stopped or observer.should_end(state)
            if now.stopped and not epoch_ends:
                _finish_epoch(setup, state, observer)
            observer.checkpoint(state, force=epoch_ends)


def _augmented(
    setup: Setup, pixels: NDArray[np.uint8], step: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Vary a batch (N, H, W, 3) as its step says -> (N, 3, H, W), 0 to 1, and how it was moved.

    Seeds what comes after, too.
    """
    seed = derive_seed(setup.config.seed, step)
    torch.manual_seed(seed)
    images, generator = to_unit(pixels, setup.device), torch.Generator().manual_seed(seed)
    return augment(images, setup.config, generator, setup.beyond)


def _step(setup: Setup, state: TrainingState, batch: Batch) -> tuple[float, dict[str, float]]:
    """Take one optimizer step; return the loss as validation measures it, and the parts of a step."""
    plan, now = setup.plan, state.progress
    total = plan.epochs * plan.steps_per_epoch
    set_rates(state.optimizer, cosine_with_warmup(now.step, total, setup.config.warmup))
    with autocast(setup.device, plan.precision):
        output = setup.learner.step(batch)
    objective = float(output.loss.detach())
    _check_finite(objective, now.step)
    output.loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    now.step += 1
    state.ema.update(state.model, now.step)
    plain = objective if output.plain is None else float(output.plain)
    parts = {name: float(value) for name, value in output.parts.items()}
    return plain, {"objective": objective, **parts}


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise RunError(
            f"The loss became {loss} at step {step + 1}, so training was stopped before it "
            "could spoil the model.",
            "Train again with a smaller learning rate, or with precision fp32.",
        )


def _count(state: TrainingState, loss: float, seconds: float) -> None:
    now = state.progress
    now.loss_sum += loss
    now.loss_steps += 1
    now.seconds += seconds
    now.epoch_seconds += seconds


def _finish_epoch(setup: Setup, state: TrainingState, observer: Observer) -> None:
    """Measure the averaged weights on validation and decide whether they are the best so far."""
    now, plan = state.progress, setup.plan
    started = time.perf_counter()
    val = setup.data.val
    predictions = predict(setup, state.ema.model, val)
    metrics = setup.learner.evaluate(predictions, val.samples)
    training_mode(state.model)
    name, higher = setup.monitor
    value = metrics[name]
    better = now.best is None or (value > now.best if higher else value < now.best)
    # Between equals the later epoch wins: its average has seen more.
    if better or value == now.best:
        state.keep_best()
        now.best_epoch = math.ceil(now.step / plan.steps_per_epoch)
    now.best = value if better else now.best
    now.epochs_since_best = 0 if better else now.epochs_since_best + 1
    now.seconds += time.perf_counter() - started
    entry = {
        "epoch": math.ceil(now.step / plan.steps_per_epoch),
        "train_loss": now.loss_sum / max(now.loss_steps, 1),
        "val_loss": metrics.get("loss"),
        "metrics": {key: number for key, number in metrics.items() if key != "loss"},
        "lr": state.optimizer.param_groups[-1]["lr"],
        "seconds": now.seconds,
        "images_per_second": now.loss_steps * plan.batch_size / max(now.epoch_seconds, 1e-9),
        "best": better,
    }
    now.history.append(entry)
    now.loss_sum, now.loss_steps, now.epoch_seconds = 0.0, 0, 0.0
    patience = setup.config.early_stopping
    if patience and now.epochs_since_best >= patience and not now.stopped:
        now.stopped = "early"
    observer.validated(state, entry, predictions)


@torch.inference_mode()
def predict(
    setup: Setup, model: torch.nn.Module, part: Part, progress: Callable[[float], None] | None = None
) -> list[Any]:
    """Predict all images of a split with ``model`` in evaluation mode; one located prediction each."""
    model.eval()
    learner, pixels = setup.learner, part.pixels
    normalise = setup.normaliser()
    found: list[Any] = []
    for span in chunks(len(pixels), max(setup.plan.batch_size, 16)):
        images = normalise(to_unit(pixels[span], setup.device))
        with autocast(setup.device, setup.plan.precision):
            answers = learner.predict(images, model)
        found.extend(map(learner.locate, answers, part.samples[span]))
        if progress is not None:
            progress(span.stop / len(pixels))
    return found
