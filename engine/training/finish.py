"""The end of a run: the best weights measured on images they never saw, the model and the report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.contracts.base import utc_now
from engine.contracts.results import MetricValue, Report
from engine.models.devices import exact_fp32
from engine.storage.tables import ReportRow, RunRow
from engine.training.loop import Setup, predict
from engine.training.memory import memory_in_words
from engine.training.order import Frozen, Order
from engine.training.prepare import examiner_of, remember_speed
from engine.training.state import TrainingState
from engine.training.trained import Architecture, save_model
from engine.training.yardstick import Meter, gain_over_probe

ENDINGS = {
    "time": "Stopped at its time limit; the best weights so far were kept.",
    "kept": "Stopped by a person; the best weights so far were kept.",
    "early": "Stopped early: validation had not become better for a while.",
}


def finish(order: Order, frozen: Frozen, state: TrainingState, setup: Setup) -> dict[str, Any]:
    """Measure the best weights on images they never saw, and write model and report."""
    work = order.work
    remember_speed(order, frozen.plan, frozen.plan.strategy, frozen.plan.device, _pace(setup, state))
    model = state.restore_best()
    work.progress(None, "Measuring on the test images")
    split, part = setup.data.reported
    # In fp32, as the exported model computes, whatever precision it learned in.
    exact = replace(setup, plan=setup.plan.model_copy(update={"precision": "fp32"}))
    memory = memory_in_words(setup.device, setup.plan.batch_size, setup.plan.image_size)
    with memory, exact_fp32():
        predictions = predict(exact, model, part)
        chosen_on = predict(exact, model, setup.data.val) if order.spec.settles else []
    notes = [*frozen.notes, *([ENDINGS[state.progress.stopped]] if state.progress.stopped else [])]
    notes += _split_notes(split, state)
    examiner = examiner_of(order)
    settled = examiner.settle(setup.data.val.samples, chosen_on) if order.spec.settles else {}
    report = examiner.report(part.samples, predictions, split, notes, settled)
    folder = work.folder / "model"
    plan = frozen.plan
    built = Architecture(plan.backbone, plan.model_args, {**plan.network, **settled})
    save_model(folder, model, built, frozen.record, order.classes)
    gain = None
    if plan.strategy != "probe" and frozen.probe_digests:
        digests = examiner.digests(part.samples, predictions)
        gain = gain_over_probe(examiner, frozen.probe_digests, digests, order.config.seed)
    _write_report(order, frozen, report, gain)
    return {"model": folder.relative_to(work.settings.home).as_posix()}


def _pace(setup: Setup, state: TrainingState) -> Meter:
    """Return the images of all whole epochs and the seconds that their steps took."""
    images = setup.plan.steps_per_epoch * setup.plan.batch_size
    rates = [entry["images_per_second"] for entry in state.progress.history]
    return Meter(images * len(rates), sum(images / rate for rate in rates))


def _split_notes(split: str, state: TrainingState) -> list[str]:
    if split == "test":
        return []
    epoch = f" (epoch {state.progress.best_epoch})" if state.progress.best_epoch else ""
    return [f"There are no test images: these are the images that also chose the best weights{epoch}."]


def _write_report(order: Order, frozen: Frozen, report: Report, gain: MetricValue | None) -> None:
    headline = report.metrics[order.spec.metrics[0].name]
    with order.work.write() as session:
        session.merge(
            ReportRow(
                run_id=order.run.id,
                report=report.model_dump(mode="json"),
                probe=None if frozen.probe is None else frozen.probe.model_dump(mode="json"),
                gain=None if gain is None else gain.model_dump(mode="json"),
                created_at=utc_now(),
            )
        )
        session.get_one(RunRow, order.run.id).best = headline.model_dump(mode="json")
