"""The report of classification: probabilities and truth become metrics and generic panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.contracts.results import ImageResult, MetricValue, Panel, Report
from engine.evaluation.agreement import Agreement, compare_scores, scores_of
from engine.evaluation.classification import Answers, measure
from engine.evaluation.intervals import paired_difference, share_interval
from engine.tasks.base import Said, Sample
from engine.tasks.classification import panels
from engine.tasks.classification.spec import SPEC
from engine.tasks.reports import SPLIT_WORDS, TRUST, metric_values, scalars

HEADLINE = ("top1", "balanced_error")
_SHOWN_CLASSES = 5


class ClassificationExaminer:
    """Digests are whether the likeliest class was right, of which top-1 is the mean."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def digests(self, samples: Sequence[Sample], predictions: Sequence[Any]) -> list[bool]:
        """Tell of each image whether it was answered right."""
        pairs = zip(samples, predictions, strict=True)
        return [int(np.argmax(scores)) == sample.target for sample, scores in pairs]

    def headline(self, digests: Sequence[bool], seed: int) -> tuple[float, float | None, float | None]:
        """Return top-1 and its 95 % interval."""
        right = np.array(digests, dtype=bool)
        return float(right.mean()), *share_interval(right, seed)

    def difference(
        self, before: Sequence[bool], after: Sequence[bool], seed: int
    ) -> tuple[float, float, float]:
        """Return by how much top-1 is better, and its 95 % interval."""
        return paired_difference(np.array(before), np.array(after), seed)

    def agree(self, reference: Sequence[Said], other: Sequence[Said]) -> Agreement:
        """Compare all probabilities."""
        return compare_scores(scores_of(reference, self.classes), scores_of(other, self.classes))

    def stored(self, results: Sequence[ImageResult]) -> list[Said]:
        """Name every class with the probability that the report holds."""
        named = [zip(self.classes, result.scores, strict=True) for result in results]
        return [[{"label": name, "score": score} for name, score in pairs] for pairs in named]

    def settle(self, samples: Sequence[Sample], predictions: Sequence[Any]) -> dict[str, Any]:
        """Choose nothing: the likeliest class is the answer."""
        return {}

    def report(
        self,
        samples: Sequence[Sample],
        predictions: Sequence[Any],
        split: str,
        notes: Sequence[str],
        settled: Mapping[str, Any],
    ) -> Report:
        """Measure on one split."""
        return build_report(samples, predictions, self.classes, split, notes)


def build_report(
    samples: Sequence[Sample],
    predictions: NDArray[np.float32] | Sequence[Any],
    classes: Sequence[str],
    split: str,
    notes: Sequence[str] = (),
) -> Report:
    """Measure a classifier on one split.

    ``predictions`` are probabilities (N, K), rows in the order of ``samples``; the ``target`` of a
    sample is its class index. Raises ``ValueError`` when the shapes do not fit together.
    """
    probabilities = np.asarray(predictions, dtype=np.float32).reshape(len(samples), len(classes))
    truth = np.array([sample.target for sample in samples], dtype=np.int64)
    case = panels.Case(
        ids=tuple(sample.image_id for sample in samples),
        classes=tuple(classes),
        answers=Answers(truth, probabilities),
        split=SPLIT_WORDS.get(split, split),
    )
    metrics = metric_values(SPEC, measure(case.answers), len(samples))
    return Report(
        task=SPEC.name,
        split=split,
        images=len(samples),
        classes=tuple(classes),
        metrics=metrics,
        panels=_panels(case, metrics, TRUST.get(split, "")),
        results=_results(case),
        notes=(*notes, *_absent_classes(case)),
    )


def _panels(case: panels.Case, metrics: dict[str, MetricValue], trust: str) -> tuple[Panel, ...]:
    others = tuple(spec.name for spec in SPEC.metrics if spec.name not in HEADLINE)
    headline = scalars(
        SPEC,
        "How often it is right",
        f"Measured on {case.answers.images} {case.split} images. {trust} The range below each number is "
        "its 95 % interval: with other images of the same kind it would most likely lie in there.",
        HEADLINE,
        metrics,
    )
    all_numbers = scalars(
        SPEC,
        "More measures",
        "Means over classes count every class the same, however many images it has.",
        others,
        metrics,
    )
    if case.answers.images == 0:
        return (headline, all_numbers)
    return (
        headline,
        panels.confusion_panel(case),
        panels.precision_recall_panel(case),
        panels.confident_errors_panel(case),
        panels.class_table(case),
        panels.roc_panel(case),
        panels.reliability_panel(case),
        panels.confidence_panel(case),
        all_numbers,
    )


def _results(case: panels.Case) -> tuple[ImageResult, ...]:
    answers = case.answers
    rows = np.round(answers.probabilities.astype(np.float64), 7).tolist()
    return tuple(
        ImageResult(image_id=image, truth=truth, predicted=predicted, scores=tuple(row))
        for image, truth, predicted, row in zip(
            case.ids, answers.truth.tolist(), answers.predicted.tolist(), rows, strict=True
        )
    )


def _absent_classes(case: panels.Case) -> tuple[str, ...]:
    """Say which classes have no images here, and what that does to the numbers."""
    absent = [case.classes[k] for k in np.flatnonzero(case.support == 0)]
    if not absent or not case.answers.images:
        return ()
    named = ", ".join(f"“{name}”" for name in absent[:_SHOWN_CLASSES])
    more = f" and {len(absent) - _SHOWN_CLASSES} more" if len(absent) > _SHOWN_CLASSES else ""
    return (
        f"There are no {case.split} images of {named}{more}: recall, F1, AUC and AP have no meaning "
        "there, and means over classes leave them out.",
    )
