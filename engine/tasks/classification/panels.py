"""The panels of classification's report, one function each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.contracts.results import (
    CurvePanel,
    GridItem,
    HistogramPanel,
    ImageGridPanel,
    MatrixPanel,
    Series,
    TablePanel,
)
from engine.evaluation.calibration import bin_edges, bin_index, reliability
from engine.evaluation.classification import Answers, class_ranking
from engine.evaluation.confusion import ClassCounts, Floats, Ints, class_counts, confusion_matrix
from engine.evaluation.ranking import Curve, precision_recall_curve, roc_curve

MATRIX_CLASSES = 100
CURVE_CLASSES = 20
CURVE_POINTS = 200
POINT_IMAGES = 20
"""Images that a point of a curve opens: hundreds of points on many lines would make a report huge."""
ERRORS_SHOWN = 60
_OPENS = " A point opens the images that are called the class from its threshold on, but not before it."


@dataclass(frozen=True)
class Case:
    """What all panels are drawn from; ``ids[i]`` names the image of row i, ``split`` is a word."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    answers: Answers
    split: str

    @cached_property
    def ones(self) -> Floats:
        """Weights (1, N) that count each image once."""
        return np.ones((1, self.answers.images))

    @cached_property
    def counts(self) -> ClassCounts:
        """Images of, called, and right, per class (1, K)."""
        return class_counts(self.answers.truth, self.answers.predicted, len(self.classes), self.ones)

    @cached_property
    def support(self) -> Ints:
        """Images of each class (K,)."""
        return np.bincount(self.answers.truth, minlength=len(self.classes)).astype(np.int64)

    @cached_property
    def ranking(self) -> tuple[Floats, Floats]:
        """AUC and AP of each class (K,); NaN without meaning."""
        auc, ap = class_ranking(self.answers, self.ones)
        return auc[0], ap[0]

    def images(self, mask: NDArray[np.bool_]) -> tuple[str, ...]:
        """Ids of the images where ``mask`` (N,) holds, least sure of the truth first."""
        rows = np.flatnonzero(mask)
        order = rows[np.argsort(-self.answers.surprise[rows], kind="stable")]
        return tuple(self.ids[row] for row in order)


def confusion_panel(case: Case) -> MatrixPanel:
    """Truth against prediction in counts; of more than 100 classes those with most mistakes."""
    answers = case.answers
    matrix = confusion_matrix(answers.truth, answers.predicted, len(case.classes))
    chosen = _most_confused(matrix)
    labels = tuple(case.classes[k] for k in chosen)
    left_out = len(case.classes) - len(chosen)
    return MatrixPanel(
        title="What is taken for what (confusion matrix)",
        help="Each row is a class as labelled, each column what the model says. The diagonal is right. "
        "Open a cell to see its images."
        + (f" {left_out} classes with fewer mistakes are left out." * (left_out > 0)),
        row_labels=labels,
        column_labels=labels,
        counts=tuple(tuple(row) for row in matrix[np.ix_(chosen, chosen)].tolist()),
        images=_cells(case, chosen),
    )


def _most_confused(matrix: Ints) -> Ints:
    """Choose the classes to show, as indices in class order."""
    wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
    return np.sort(np.argsort(-wrong, kind="stable")[:MATRIX_CLASSES])


def _cells(case: Case, chosen: Ints) -> tuple[tuple[tuple[str, ...], ...], ...]:
    answers = case.answers
    held: dict[tuple[int, int], list[str]] = {}
    for row in np.argsort(-answers.confidence, kind="stable"):
        pair = (int(answers.truth[row]), int(answers.predicted[row]))
        held.setdefault(pair, []).append(case.ids[row])
    return tuple(tuple(tuple(held.get((int(i), int(j)), ())) for j in chosen) for i in chosen)


def class_table(case: Case) -> TablePanel:
    """Precision, recall, F1, AUC and AP per class; a row opens the images of its class."""
    counts, (auc, ap) = case.counts, case.ranking
    columns = (counts.precision[0], counts.recall[0], counts.f1[0], auc, ap)
    rows = tuple(
        (name, int(case.support[k]), *(_number(column[k]) for column in columns))
        for k, name in enumerate(case.classes)
    )
    return TablePanel(
        title="Class by class",
        help="Precision: of the images that the model calls this class, the share that is. Recall: of "
        "the images of this class, the share that the model finds. F1 is the balance of both. AUC and "
        "AP (average precision) say how well the class is ranked above the rest. Empty: the class has "
        "no images here, or was never predicted.",
        columns=("Class", "Images", "Precision", "Recall", "F1", "AUC", "AP"),
        rows=rows,
        units=("", "count", "share", "share", "share", "share", "share"),
        images=tuple(case.images(case.answers.truth == k) for k in range(len(case.classes))),
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def roc_panel(case: Case) -> CurvePanel:
    """ROC of each class against the rest, with its area."""
    auc, _ = case.ranking
    return CurvePanel(
        title="Found against false alarms (ROC)",
        help="Each line is one class against all others, at every possible threshold. The nearer to the "
        "upper left corner, the better; the dashed diagonal is guessing. AUC is the area below."
        + _OPENS
        + _cut(case),
        x_label="False alarms: share of the other images (false positive rate)",
        y_label="Found: share of the class (true positive rate)",
        series=_class_curves(case, roc_curve, auc, "AUC"),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        diagonal=True,
    )


def precision_recall_panel(case: Case) -> CurvePanel:
    """Precision against recall of each class against the rest, with average precision."""
    _, ap = case.ranking
    return CurvePanel(
        title="Right against found (precision and recall)",
        help="Each line is one class against all others, at every possible threshold: the more of a class "
        "is to be found, the more false ones come along. AP (average precision) sums the line up."
        + _OPENS
        + _cut(case),
        x_label="Found: share of the class (recall)",
        y_label="Right: share of those called the class (precision)",
        series=_class_curves(case, precision_recall_curve, ap, "AP"),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )


def _cut(case: Case) -> str:
    if len(case.classes) <= CURVE_CLASSES:
        return ""
    return f" The {CURVE_CLASSES} classes with the lowest value are shown."


def _class_curves(
    case: Case,
    curve: Callable[[NDArray[np.floating], NDArray[np.bool_]], Curve],
    area: Floats,
    name: str,
) -> tuple[Series, ...]:
    """One thinned line for each class where ``area`` (K,) has a meaning, the lowest when many."""
    known = np.flatnonzero(~np.isnan(area))
    lowest = np.sort(known[np.argsort(area[known], kind="stable")[:CURVE_CLASSES]])
    lines = []
    for k in lowest.tolist():
        scores = case.answers.probabilities[:, k]
        points = curve(scores, case.answers.truth == k).thinned(CURVE_POINTS)
        lines.append(
            Series(
                name=case.classes[k],
                x=_rounded(points.x),
                y=_rounded(points.y),
                color=k,
                note=f"{name} {area[k]:.3f}",
                images=_between(case, scores, points),
            )
        )
    return tuple(lines)


def _between(case: Case, scores: NDArray[np.floating], curve: Curve) -> tuple[tuple[str, ...], ...]:
    """Name, for each point, images between the threshold before it and its own, the most telling first."""
    place = np.empty(len(scores), dtype=np.int64)
    place[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    point = np.searchsorted(curve.called, place, side="right")
    held: list[list[str]] = [[] for _ in curve.called]
    for row in np.argsort(-case.answers.surprise, kind="stable"):
        images = held[point[row]]
        if len(images) < POINT_IMAGES:
            images.append(case.ids[row])
    return tuple(tuple(images) for images in held)


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)


def reliability_panel(case: Case) -> CurvePanel:
    """How often the model was right, by how sure it was."""
    answers = case.answers
    bins = reliability(answers.confidence, answers.correct, case.ones)
    member = bin_index(answers.confidence)
    filled = bins.images[0] > 0
    return CurvePanel(
        title="Does it know when it is sure? (calibration)",
        help="Images in 15 groups by how sure the model was. On the dashed diagonal it is right exactly "
        "as often as it says; below it, it is too sure of itself. ECE is the mean distance. "
        "A point opens its images.",
        x_label="How sure (mean confidence)",
        y_label="How often right (accuracy)",
        series=(
            Series(
                name="model",
                x=_rounded(bins.confidence[0][filled]),
                y=_rounded(bins.accuracy[0][filled]),
                note=f"ECE {bins.error[0]:.3f}",
                images=tuple(case.images(member == b) for b in np.flatnonzero(filled)),
            ),
        ),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        diagonal=True,
    )


def confidence_panel(case: Case) -> HistogramPanel:
    """How sure the model was, right and wrong answers apart; a bar opens its images."""
    answers = case.answers
    member = bin_index(answers.confidence)
    edges = bin_edges()
    masks = [
        [(member == b) & (answers.correct == right) for b in range(len(edges) - 1)] for right in (True, False)
    ]
    return HistogramPanel(
        title="How sure it was, right and wrong",
        help="Wrong answers at the right end are those where the model was sure and mistaken: look there "
        "for wrong labels first.",
        x_label="How sure (confidence)",
        edges=_rounded(edges),
        counts=tuple(tuple(int(mask.sum()) for mask in row) for row in masks),
        names=("right", "wrong"),
        images=tuple(tuple(case.images(mask) for mask in row) for row in masks),
    )


def confident_errors_panel(case: Case) -> ImageGridPanel:
    """Wrong answers, the surest first."""
    answers = case.answers
    wrong = np.flatnonzero(~answers.correct)
    order = wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:ERRORS_SHOWN]
    items = []
    for row in order.tolist():
        truth, predicted = case.classes[answers.truth[row]], case.classes[answers.predicted[row]]
        score = float(answers.confidence[row])
        items.append(
            GridItem(
                image_id=case.ids[row],
                caption=f"{predicted} {score:.2f}",
                truth=truth,
                predicted=predicted,
                score=round(score, 6),
                tone="wrong",
            )
        )
    return ImageGridPanel(
        title="Most confident errors",
        help=f"The model was wrong on {wrong.size} of {answers.images} images; here first those it was "
        "surest of. Often the label is what is wrong.",
        items=tuple(items),
    )
