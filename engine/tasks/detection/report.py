"""The report of detection: boxes and truth become metrics and generic panels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.contracts.predictions import Prediction
from engine.contracts.results import ImageResult, MetricValue, Panel, Report
from engine.evaluation import average_precision
from engine.evaluation.agreement import Agreement
from engine.evaluation.average_precision import Digest, digest, headline_interval, paired_difference
from engine.evaluation.box_agreement import compare_boxes
from engine.evaluation.boxes import Detections
from engine.evaluation.working_point import NO_CHOICE, best_threshold, measure_at
from engine.tasks.base import Said, Sample
from engine.tasks.detection import mistakes, panels
from engine.tasks.detection.case import Case
from engine.tasks.detection.spec import SPEC
from engine.tasks.reports import SPLIT_WORDS, TRUST, metric_values, scalars

HEADLINE = ("map50_95", "map50")
TRUST_HERE = {
    **TRUST,
    "val": "They also chose the best checkpoint and the score from which a box counts, so the numbers are "
    "somewhat too good.",
}
_STEPS = 10_000  # of the stored score: 4 digits
_SHOWN_CLASSES = 5


class DetectionExaminer:
    """Digests are those of average precision, from which mAP follows; predictions are ``Detections``."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def digests(self, samples: Sequence[Sample], predictions: Sequence[Detections]) -> list[dict[str, Any]]:
        """Return which boxes of each image are right, at every threshold and size."""
        pairs = zip(samples, predictions, strict=True)
        return [digest(found, sample.target) for sample, found in pairs]

    def headline(self, digests: Sequence[Digest], seed: int) -> tuple[float, float | None, float | None]:
        """Return map50_95 and its 95 % interval; NaN, None, None where no image has an object."""
        value = average_precision.headline(digests)
        low, high = headline_interval(digests, seed) or (None, None)
        return value, low, high

    def difference(
        self, before: Sequence[Digest], after: Sequence[Digest], seed: int
    ) -> tuple[float, float, float]:
        """Return by how much map50_95 is better, and its 95 % interval; three NaN where nothing has objects.

        Raises ``ValueError`` when the lists differ in length.
        """
        if len(before) == len(after) and not any(entry["objects"] for entry in after):
            return math.nan, math.nan, math.nan
        return paired_difference(before, after, seed)

    def settle(self, samples: Sequence[Sample], predictions: Sequence[Detections]) -> dict[str, Any]:
        """Choose the score from which a box counts: where F1 is highest.

        It is rounded down, so that the box which set it still counts.
        """
        best = best_threshold(self.digests(samples, predictions))
        return {"score": math.floor(best * _STEPS) / _STEPS}

    def agree(self, reference: Sequence[Said], other: Sequence[Said]) -> Agreement:
        """Compare boxes by class, place and score."""
        return compare_boxes(self._detections(reference), self._detections(other))

    def _detections(self, answers: Sequence[Said]) -> list[Detections]:
        """Read answers; raises ``ValueError`` for a class that the model does not have, or without a box."""
        position = {name: k for k, name in enumerate(self.classes)}
        found = []
        for said in answers:
            unknown = [answer["label"] for answer in said if answer["label"] not in position]
            if unknown or any(answer.get("box") is None for answer in said):
                raise ValueError(f"the class {unknown[0]} is unknown" if unknown else "an answer has no box")
            found.append(
                Detections(
                    np.array([answer["box"] for answer in said], np.float32).reshape(-1, 4),
                    np.array([answer["score"] for answer in said], np.float32),
                    np.array([position[answer["label"]] for answer in said], np.int64),
                )
            )
        return found

    def stored(self, results: Sequence[ImageResult]) -> list[Said]:
        """Return label, score and box of all that was found in each image."""
        return [
            [{"label": one.label, "score": one.score, "box": list(one.box or ())} for one in result.answers]
            for result in results
        ]

    def report(
        self,
        samples: Sequence[Sample],
        predictions: Sequence[Detections],
        split: str,
        notes: Sequence[str],
        settled: Mapping[str, Any],
    ) -> Report:
        """Measure on one split, with the score that ``settle`` chose (0.5 where none was)."""
        digests = self.digests(samples, predictions)
        case = Case(
            ids=tuple(sample.image_id for sample in samples),
            classes=self.classes,
            pictures=[(found, sample.target) for sample, found in zip(samples, predictions, strict=True)],
            digests=digests,
            precision=average_precision.measure(digests, len(self.classes)),
            score=float(settled.get("score", NO_CHOICE)),
            split=SPLIT_WORDS.get(split, split),
        )
        estimates = {**case.precision.metrics, **measure_at(digests, case.score)}
        metrics = metric_values(SPEC, estimates, len(case.ids))
        return Report(
            task=SPEC.name,
            split=split,
            images=len(case.ids),
            classes=self.classes,
            metrics=metrics,
            panels=_panels(case, metrics, TRUST_HERE.get(split, ""), "score" in settled),
            results=_results(case),
            notes=(*notes, *_absent_classes(case)),
        )


def _panels(case: Case, metrics: Mapping[str, MetricValue], trust: str, chosen: bool) -> tuple[Panel, ...]:
    headline = scalars(SPEC, "How well it finds the objects", _about_headline(case, trust), HEADLINE, metrics)
    rest = tuple(spec.name for spec in SPEC.metrics if spec.name not in HEADLINE)
    others = scalars(SPEC, "More measures", _about_others(case.score, chosen), rest, metrics)
    if not case.ids:
        return (headline, others)
    curves = panels.precision_recall_panel(case)
    return (
        headline,
        panels.confusion_panel(case),
        *((curves,) if curves else ()),
        panels.class_table(case),
        mistakes.budget_table(case),
        panels.count_table(case),
        panels.count_panel(case),
        mistakes.mistakes_panel(case),
        mistakes.false_panel(case),
        mistakes.missed_panel(case),
        others,
    )


def _about_headline(case: Case, trust: str) -> str:
    objects = int(case.counts.objects.sum())
    return (
        f"Measured on {len(case.ids)} {case.split} images with {objects} objects. {trust} "
        "Mean average precision is the mean over classes: 100 % is every object found, no false box, and "
        "boxes that lie exactly. At IoU 0.5 it is enough that a box overlaps its object by half. The range "
        "below each number is its 95 % interval: with other images of the same kind it would most likely lie "
        "in there."
    )


def _about_others(score: float, chosen: bool) -> str:
    how = "where validation finds most with fewest false boxes (F1)" if chosen else "none was chosen"
    return (
        f"Precision, recall and the count are for boxes of a score of {score:.2f} or more ({how}). "
        "Precision: the share of these boxes that is right. Recall: the share of the objects that is found. "
        "Error of the count: by how many boxes an image is off on average. Small objects have at most "
        "32 x 32 px of the picture, large ones at least 96 x 96."
    )


def _results(case: Case) -> tuple[ImageResult, ...]:
    return tuple(
        ImageResult(image_id=image, answers=_answers(found, case.classes))
        for image, (found, _) in zip(case.ids, case.pictures, strict=True)
    )


def _answers(found: Detections, classes: Sequence[str]) -> tuple[Prediction, ...]:
    """Keep what was found, the surest first: boxes to 0.01 px, scores to 5 digits."""
    order = np.argsort(-found.scores, kind="stable")
    boxes = np.round(found.boxes[order].astype(np.float64), 2).tolist()
    scores = np.round(found.scores[order].astype(np.float64), 5).tolist()
    return tuple(
        Prediction(label=classes[k], score=score, box=tuple(box))
        for k, score, box in zip(found.classes[order].tolist(), scores, boxes, strict=True)
    )


def _absent_classes(case: Case) -> tuple[str, ...]:
    """Say which classes have no objects here, and what that does to the numbers."""
    absent = [
        name for name, one in zip(case.classes, case.precision.classes, strict=True) if one.objects == 0
    ]
    if not absent or not case.ids:
        return ()
    if len(absent) == len(case.classes):
        return (f"No object is labelled on the {case.split} images: average precision has no meaning there.",)
    named = ", ".join(f"“{name}”" for name in absent[:_SHOWN_CLASSES])
    more = f" and {len(absent) - _SHOWN_CLASSES} more" if len(absent) > _SHOWN_CLASSES else ""
    return (
        f"There are no objects of {named}{more} on the {case.split} images: average precision has no meaning "
        "there, and means over classes leave them out.",
    )
