"""What the reports of all tasks share: numbers as records, headline rows, the words for a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.contracts.results import MetricValue, ScalarsPanel
from engine.evaluation.classification import Estimate
from engine.tasks.base import MetricSpec, TaskSpec

SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}
TRUST = {
    "test": "It never saw them before.",
    "val": "They also chose the best checkpoint, so the numbers are somewhat too good.",
    "train": "It learned from these very images, so the numbers say little about new ones.",
}
"""How far the numbers of a split can be trusted."""


def metric_values(spec: TaskSpec, estimates: Mapping[str, Estimate], images: int) -> dict[str, MetricValue]:
    """Return the published metrics of a task, measured on ``images``."""
    return {metric.name: _metric_value(metric, estimates[metric.name], images) for metric in spec.metrics}


def _metric_value(spec: MetricSpec, estimate: Estimate, images: int) -> MetricValue:
    return MetricValue.model_validate(
        {
            "name": spec.name,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "n": images,
            "unit": spec.unit,
            "higher_is_better": spec.higher_is_better,
            "reason": estimate.reason,
        }
    )


def scalars(
    spec: TaskSpec, title: str, text: str, names: Sequence[str], metrics: Mapping[str, MetricValue]
) -> ScalarsPanel:
    """Make a row of numbers with their titles; ``text`` is its help."""
    titles = {metric.name: metric.title for metric in spec.metrics}
    return ScalarsPanel(
        title=title,
        help=text,
        values=tuple(metrics[name] for name in names),
        labels=tuple(titles[name] for name in names),
    )
