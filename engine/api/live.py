"""A run while it learns: events become curves, sentences and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import harmonic_mean
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.contracts.jobs import JobState
from engine.contracts.results import GridItem, MetricValue, Series
from engine.contracts.runs import LiveRun, RunSummary
from engine.evaluation.curves_in_words import read_curves
from engine.storage.tables import EventRow, RunRow
from engine.tasks.base import MetricSpec
from engine.tasks.registry import get_task

MOST_POINTS = 300


def live_run(session: Session, row: RunRow, summary: RunSummary) -> LiveRun:
    """Build the live view of a run from its events."""
    spec = get_task(row.task)
    monitor = next((m for m in spec.metrics if m.name == spec.monitor), spec.metrics[0])
    events = session.execute(
        select(EventRow.kind, EventRow.data).where(EventRow.job_id == row.id).order_by(EventRow.seq)
    ).all()
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for kind, data in events:
        by_kind.setdefault(kind, []).append(data)
    epochs = sorted(by_kind.get("epoch", []), key=lambda entry: int(entry["epoch"]))
    steps = sorted(by_kind.get("step", []), key=lambda entry: int(entry["step"]))
    samples = by_kind.get("samples", [])
    plan = row.plan or {}
    return LiveRun(
        run=summary,
        epoch=int(steps[-1]["epoch"]) if steps else len(epochs),
        epochs=int(plan.get("epochs") or 0),
        images_per_second=_speed_now(summary, steps) or training_speed(session, row.id),
        seconds_done=summary.seconds or 0.0,
        seconds_left=_time_left(plan, _speed_now(summary, steps), steps, epochs),
        loss=_loss(steps, epochs, int(plan.get("steps_per_epoch") or 0)),
        metric=_metric(epochs, monitor),
        metric_title=monitor.title,
        rate=(_series("learning rate", [(s["step"], s["lr"]) for s in steps]),) if steps else (),
        observations=read_curves(
            epochs, monitor.name, monitor.title, higher_is_better=monitor.higher_is_better
        ),
        samples=tuple(GridItem.model_validate(item) for item in samples[-1]["items"]) if samples else (),
        probe=_probe(by_kind.get("probe", [])),
        setup=str(by_kind["plan"][-1].get("sentence", "")) if "plan" in by_kind else "",
    )


def _probe(events: list[dict[str, Any]]) -> MetricValue | None:
    if not events:
        return None
    data = events[-1]
    return MetricValue(
        name=str(data["metric"]),
        value=data["value"],
        low=data.get("low"),
        high=data.get("high"),
        reason=str(data.get("reason", "")),
    )


def training_speed(session: Session, run_id: str, *, warm_up_epochs: int = 0) -> float | None:
    """Return the images/s that a run's epochs reached; of a probe, those of computing the features.

    ``warm_up_epochs`` leaves out that many epochs at the start.

    Epochs have the same number of images, so their harmonic mean is all images over all the time.
    None when there is no epoch yet, and for a probe whose features were all cached.
    """
    plan = session.scalar(select(RunRow.plan).where(RunRow.id == run_id)) or {}
    kind = "probe" if plan.get("strategy") == "probe" else "epoch"
    told = session.scalars(
        select(EventRow.data).where(EventRow.job_id == run_id, EventRow.kind == kind).order_by(EventRow.seq)
    )
    rates = [float(data["images_per_second"]) for data in told if data.get("images_per_second")]
    rates = rates[warm_up_epochs:]
    return harmonic_mean(rates) if rates else None


def _speed_now(summary: RunSummary, steps: list[dict[str, Any]]) -> float | None:
    """Return the images/s of the latest step while the run learns."""
    if summary.state is not JobState.RUNNING or not steps:
        return None
    return float(steps[-1]["images_per_second"])


def _time_left(
    plan: dict[str, Any], speed: float | None, steps: list[dict[str, Any]], epochs: list[dict[str, Any]]
) -> float | None:
    """Return the seconds that the steps to come take at ``speed`` (images/s), and the measuring between.

    The start does not count: it is over. Measuring costs what it did after the last epoch, once for each
    epoch to come and once more for the report; nothing is known of it before the first epoch ended.
    """
    if speed is None or not steps:
        return None
    per_epoch, batch = int(plan["steps_per_epoch"]), int(plan["batch_size"])
    left = max(0, per_epoch * int(plan["epochs"]) - int(steps[-1]["step"]))
    measuring = 0.0
    if epochs:
        before = epochs[-2]["seconds"] if len(epochs) > 1 else 0.0
        learning = per_epoch * batch / epochs[-1]["images_per_second"]
        measuring = max(0.0, epochs[-1]["seconds"] - before - learning)
    return left * batch / speed + (-(-left // per_epoch) + 1) * measuring


def _loss(steps: list[dict[str, Any]], epochs: list[dict[str, Any]], per_epoch: int) -> tuple[Series, ...]:
    """Training loss by step and validation loss at the ends of epochs, on one axis of steps."""
    found = []
    if steps:
        found.append(_series("training", [(s["step"], s["loss"]) for s in steps]))
    validation = [
        (int(e["epoch"]) * per_epoch, e["val_loss"]) for e in epochs if e.get("val_loss") is not None
    ]
    if validation:
        found.append(_series("validation", validation))
    return tuple(found)


def _metric(epochs: list[dict[str, Any]], monitor: MetricSpec) -> tuple[Series, ...]:
    points = [
        (int(e["epoch"]), e["metrics"][monitor.name])
        for e in epochs
        if e.get("metrics", {}).get(monitor.name) is not None
    ]
    return (_series("validation", points),) if points else ()


def _series(name: str, points: Sequence[tuple[float, float]]) -> Series:
    """Thin a long line evenly; the last point always stays."""
    stride = max(1, -(-len(points) // MOST_POINTS))
    kept = list(points[::stride])
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return Series(name=name, x=tuple(float(x) for x, _ in kept), y=tuple(float(y) for _, y in kept))
