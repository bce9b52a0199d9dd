"""The job ``train``: from a queued run to a model, its report and its probe. Child process only."""

from __future__ import annotations

from typing import Any

from engine.contracts.jobs import Work
from engine.models.devices import choose_device
from engine.models.networks import Network
from engine.tasks.registry import load_dotted
from engine.training.finish import finish
from engine.training.loop import Setup, train
from engine.training.order import Frozen, Order, read_order
from engine.training.prepare import build_learner, make_state, read_data, tell_plan
from engine.training.reporting import Reporter
from engine.training.start import start
from engine.training.state import TrainingState, read_checkpoint


def run(work: Work) -> dict[str, Any]:
    """Train a run from its start or from its last checkpoint; returns ``{"model": path}``."""
    order = read_order(work)
    resumed = _resume(order)
    frozen, state, setup = resumed or start(order)
    if frozen.plan.strategy != "probe":
        train(setup, state, Reporter(work, setup, frozen.to_plain(), frozen.budget))
    return finish(order, frozen, state, setup)


def _resume(order: Order) -> tuple[Frozen, TrainingState, Setup] | None:
    """Take up the newest whole checkpoint with its frozen plan; None when there is none."""
    found = order.work.checkpoints()
    if not found:
        return None
    order.work.progress(None, "Going on from the last checkpoint")
    content = read_checkpoint(found[0])
    frozen = Frozen.from_plain(content["frozen"])
    plan = frozen.plan
    device = choose_device(plan.device)
    network: Network = load_dotted(order.spec.network)
    model = network.restore(plan.backbone, plan.model_args, plan.network, len(order.classes)).to(device)
    data = read_data(order, frozen.record)
    learner = build_learner(order, model, data)
    state, setup = make_state(order, frozen, data, learner)
    state.load(content)
    order.work.log(f"Goes on from step {state.progress.step}.")
    tell_plan(order, frozen)
    return frozen, state, setup
