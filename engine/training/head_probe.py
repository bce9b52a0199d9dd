"""The yardstick where no linear classifier can be one: one short pass of the head on the frozen backbone."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.contracts.jobs import Work
from engine.contracts.results import ProbeResult
from engine.models.backbones import freeze
from engine.tasks.base import Examiner
from engine.training.loop import Setup, predict, train
from engine.training.optimizers import build_optimizer
from engine.training.state import TrainingState

NOTHING = "Nothing on these images can be found, so nothing can be measured."


@dataclass(frozen=True)
class HeadProbe:
    """The digests of the frozen backbone's answers on the reported split, and what they come to."""

    digests: Sequence[Any]
    result: ProbeResult


class _Pass:
    """Watches the short pass: tells progress, ends it when its time is over or a person stops the run."""

    def __init__(self, work: Work, steps: int, seconds: float) -> None:
        self._work = work
        self._steps = steps
        self._end = time.perf_counter() + seconds

    def stepped(self, state: TrainingState, loss: float, parts: dict[str, float], images: int) -> None:
        self._work.check_stop()
        self._work.progress(None, f"Probe, {state.progress.step / self._steps:.0%}")

    def validated(self, state: TrainingState, entry: dict[str, Any], predictions: list[Any]) -> None:
        return

    def should_end(self, state: TrainingState) -> str:
        return "time" if time.perf_counter() > self._end else ""

    def checkpoint(self, state: TrainingState, *, force: bool) -> None:
        return


def measure_head(setup: Setup, work: Work, metric: str, examiner: Examiner, seconds: float) -> HeadProbe:
    """Train the head for at most one epoch and ``seconds``, measure it, and leave the model as it was."""
    started = time.perf_counter()
    model, config = setup.learner.model, setup.config
    before = {name: value.clone() for name, value in model.state_dict().items()}
    opened = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    freeze(model, "head", 0)
    plan = setup.plan.model_copy(update={"epochs": 1, "strategy": "head"})
    short = Setup(plan, config, setup.data, setup.learner, setup.monitor, setup.beyond)
    state = TrainingState(model, build_optimizer(model, config, plan.lr, 1.0), 0.0)
    train(short, state, _Pass(work, plan.steps_per_epoch, seconds))
    part = setup.data.reported[1]
    digests = examiner.digests(part.samples, predict(short, model, part))
    value, low, high = examiner.headline(digests, config.seed)
    model.load_state_dict(before)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(opened[name])
    result = ProbeResult(
        metric=metric,
        value=None if math.isnan(value) else value,
        reason=NOTHING if math.isnan(value) else "",
        low=low,
        high=high,
        seconds=time.perf_counter() - started,
        images_per_second=None,
        classifier="the head after one short pass, the backbone frozen",
    )
    return HeadProbe(digests, result)
