"""The panels of detection's report that count boxes, one function each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from engine.contracts.results import CurvePanel, HistogramPanel, MatrixPanel, Series, TablePanel
from engine.evaluation.average_precision import ClassTally
from engine.evaluation.confusion import Floats, Ints
from engine.evaluation.working_point import BoxConfusion, ScoreCurve, box_confusion, precision_recall
from engine.tasks.detection.case import Case

BACKGROUND = "background"
NO_OBJECT = "(no object)"  # the background's name where a class is called background
MATRIX_CLASSES = 100
CURVE_CLASSES = 20
CURVE_POINTS = 200
POINT_IMAGES = 20
BARS = 41


def class_table(case: Case) -> TablePanel:
    """Average precision per class; a row opens the images that hold the class, most mistakes first."""
    rows, images = [], []
    for position, (name, one) in enumerate(zip(case.classes, case.precision.classes, strict=True)):
        rows.append((name, one.ap.value, one.ap50, one.ap75, one.objects))
        at = case.class_counts(position)
        images.append(case.images(np.where(at.objects > 0, 1 + at.objects + at.called - 2 * at.right, 0)))
    return TablePanel(
        title="Class by class",
        help="AP (average precision) sums up in one number how many objects of a class are found and how "
        "few false boxes come along; 100 % is perfect. AP50 asks that a box overlaps its object by half "
        "(IoU 0.5), AP75 by three quarters, AP is the mean from 0.50 to 0.95: the more it falls behind AP50, "
        "the looser the boxes are. Empty: there are no objects of the class here. A row opens the images "
        "with such objects, those with most mistakes first.",
        columns=("Class", "AP", "AP50", "AP75", "Objects"),
        rows=tuple(rows),
        units=("", "share", "share", "share", "count"),
        images=tuple(images),
    )


def precision_recall_panel(case: Case) -> CurvePanel | None:
    """Precision against recall of each class, with the score of each point; None without any line."""
    classes = case.precision.classes
    curves = {at: precision_recall(one) for at, one in case.by_class.items()}
    drawn = sorted((at for at, curve in curves.items() if curve), key=lambda at: classes[at].ap50 or 0.0)
    lines = []
    for position in sorted(drawn[:CURVE_CLASSES]):
        curve = curves[position]
        assert curve is not None
        lines.append(_line(case, position, curve.thinned(CURVE_POINTS)))
    if not lines:
        return None
    cut = f" The {CURVE_CLASSES} classes with the lowest value are shown." * (len(drawn) > CURVE_CLASSES)
    return CurvePanel(
        title="Right against found (precision and recall)",
        help="Each line is one class, from only the surest boxes on the left to all of them on the right: "
        "the more objects are to be found, the more false boxes come along. A box is right when it overlaps "
        "an object of its class by half (IoU 0.5). AP50 is the area below. A point opens images with boxes "
        f"from its score on that are not in the point before it, those with false ones first.{cut}",
        x_label="Found: share of the objects (recall)",
        y_label="Right: share of the boxes (precision)",
        series=tuple(lines),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )


def _line(case: Case, position: int, curve: ScoreCurve) -> Series:
    return Series(
        name=case.classes[position],
        x=_rounded(curve.recall),
        y=_rounded(curve.precision),
        color=position,
        note=f"AP50 {case.precision.classes[position].ap50 or 0.0:.3f}",
        images=_between(case, case.by_class[position], curve.score),
        scores=_rounded(curve.score),
    )


def _between(case: Case, one: ClassTally, points: Floats) -> tuple[tuple[str, ...], ...]:
    """Name, for each point, images with boxes below the score before it and not below its own."""
    hit, kept = one.flags()
    point = np.searchsorted(-points, -one.scores, side="left")
    held: list[dict[str, None]] = [{} for _ in points]
    for row in np.lexsort((-one.scores, hit)):
        if kept[row] and len(images := held[point[row]]) < POINT_IMAGES:
            images[case.ids[one.image[row]]] = None
    return tuple(tuple(images) for images in held)


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)


def confusion_panel(case: Case) -> MatrixPanel:
    """Set truth against prediction in boxes; of more than 100 classes those with most mistakes."""
    confusion = box_confusion(case.pictures, len(case.classes), case.score)
    chosen = _most_confused(confusion.counts)
    names = (*case.classes, NO_OBJECT if BACKGROUND in case.classes else BACKGROUND)
    labels = tuple(names[k] for k in chosen)
    left_out = len(names) - len(chosen)
    return MatrixPanel(
        title="What is taken for what (confusion matrix)",
        help="Each row is a class as labelled, each column what the model says; every number counts objects "
        f"or boxes of a score of {case.score:.2f} or more that overlap by half (IoU 0.5). The diagonal is "
        f"right. The row “{names[-1]}” are boxes where nothing is labelled, the column “{names[-1]}” are "
        "objects that were missed. Open a cell to see its images."
        + f" {left_out} classes with fewer mistakes are left out."
        * (left_out > 0),
        row_labels=labels,
        column_labels=labels,
        counts=tuple(tuple(row) for row in confusion.counts[np.ix_(chosen, chosen)].tolist()),
        images=_cells(case, confusion, chosen.tolist()),
    )


def _most_confused(counts: Ints) -> Ints:
    """Choose the classes to show, as positions in class order; background is always there, and last."""
    wrong = (counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts))[:-1]
    return np.append(np.sort(np.argsort(-wrong, kind="stable")[:MATRIX_CLASSES]), len(wrong))


def _cells(case: Case, confusion: BoxConfusion, chosen: list[int]) -> tuple[tuple[tuple[str, ...], ...], ...]:
    return tuple(
        tuple(tuple(case.ids[at] for at in confusion.images.get((row, column), ())) for column in chosen)
        for row in chosen
    )


def count_table(case: Case) -> TablePanel:
    """Objects and boxes per class; a row opens the images where the count is off, most off first."""
    rows, images = [], []
    for position, name in enumerate(case.classes):
        at = case.class_counts(position)
        rows.append(_count_row(name, at.objects, at.called))
        images.append(case.images(np.abs(at.called - at.objects)))
    if len(case.classes) > 1:
        rows.append(_count_row("all classes", case.counts.objects, case.counts.called))
        images.append(case.images(np.abs(case.counts.called - case.counts.objects)))
    return TablePanel(
        title="How many are counted",
        help=f"Boxes of a score of {case.score:.2f} or more, against the objects that are labelled. The "
        "error is how far the count of an image is off on average, too many or too few. A false box and a "
        "missed object in one image make up for each other here. A row opens the images where the count is "
        "off.",
        columns=("Class", "Objects", "Found", "Error per image"),
        rows=tuple(rows),
        units=("", "count", "count", "count"),
        images=tuple(images),
    )


def _count_row(name: str, objects: Ints, called: Ints) -> tuple[str, int, int, float]:
    error = float(np.abs(called - objects).mean())
    return name, int(objects.sum()), int(called.sum()), round(error, 3)


def count_panel(case: Case) -> HistogramPanel:
    """By how much the count of an image is off; a bar opens its images."""
    off = case.counts.called - case.counts.objects
    low, high = min(int(off.min()), 0), max(int(off.max()), 0)
    width = -(-(high - low + 1) // BARS)
    bars = -(-(high - low + 1) // width)
    member = (off - low) // width
    return HistogramPanel(
        title="How far the count is off",
        help="Images by how many boxes are found more than objects are labelled, over all classes. At 0 the "
        "count is right; on the left too few are found, on the right too many. A bar opens its images.",
        x_label="Found minus labelled",
        edges=tuple(low - 0.5 + width * n for n in range(bars + 1)),
        counts=(tuple(np.bincount(member, minlength=bars).tolist()),),
        names=("images",),
        images=(tuple(case.images((member == bar).astype(np.int64)) for bar in range(bars)),),
    )
