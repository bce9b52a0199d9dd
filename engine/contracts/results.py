"""Metrics and generic panels: all that a report can hold, for every task.

``app/`` draws a panel by its type and never asks which task made it. Image ids inside a panel name
the images behind a number, so each number can open its pictures.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.contracts.base import Record
from engine.contracts.models import WeightsSource
from engine.contracts.predictions import Prediction

Unit = Literal["share", "count", "nats", "px", "points", "s", "images/s", ""]
Tone = Literal["neutral", "good", "look", "wrong"]


class MetricValue(Record):
    """One number with what is needed to trust it.

    ``value`` is None when the metric has no meaning here, and ``reason`` says why. ``low`` and
    ``high`` bound the 95 % bootstrap interval over images; ``n`` counts what it was measured on.
    ``unit`` "share" means 0 to 1.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: Unit = "share"
    higher_is_better: bool = True
    reason: str = ""

    def surely_above(self, bound: float) -> bool:
        """Say whether the whole 95 % interval lies above ``bound``; False where there is none."""
        return self.low is not None and self.low > bound


class ScalarsPanel(Record):
    """A row of headline numbers."""

    type: Literal["scalars"] = "scalars"
    title: str
    help: str = ""
    values: tuple[MetricValue, ...]
    labels: tuple[str, ...] = Field(description="what a person reads above each value")


class TablePanel(Record):
    """A table; ``images[row]`` names the images behind that row (or is empty)."""

    type: Literal["table"] = "table"
    title: str
    help: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    units: tuple[Unit, ...] = ()
    images: tuple[tuple[str, ...], ...] = ()


class Series(Record):
    """One line: ``x`` and ``y`` of equal length; ``color`` is an index into the class palette.

    ``images[point]`` names the images behind that point; empty where points open nothing. ``scores[point]``
    is the least score that counts at that point, where the line is drawn over falling scores.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    color: int | None = None
    dashed: bool = False
    note: str = Field("", description="for example 'AUC 0.93', shown at the line's end")
    images: tuple[tuple[str, ...], ...] = ()
    scores: tuple[float, ...] = ()


class CurvePanel(Record):
    """Lines over a common x axis (ROC, precision-recall, calibration, learning)."""

    type: Literal["curve"] = "curve"
    title: str
    help: str = ""
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    diagonal: bool = False


class MatrixPanel(Record):
    """A square table of counts, rows are truth, columns are prediction; cells open their images."""

    type: Literal["matrix"] = "matrix"
    title: str
    help: str = ""
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    row_title: str = "truth"
    column_title: str = "prediction"
    counts: tuple[tuple[int, ...], ...]
    images: tuple[tuple[tuple[str, ...], ...], ...] = ()

    def largest_confusion(self) -> tuple[int, int] | None:
        """Return row and column of the largest count beside the diagonal; None where all is right.

        Rows and columns are matched by their labels. Among equal counts the first stands.
        """
        wrong = [
            (row, column)
            for row, truth in enumerate(self.row_labels)
            for column, answer in enumerate(self.column_labels)
            if truth != answer and self.counts[row][column]
        ]
        return max(wrong, key=lambda cell: self.counts[cell[0]][cell[1]], default=None)

    def share_of_row(self, row: int, column: int) -> float:
        """Return which share (0 to 1) of a row's images lies in a cell; 0 for an empty row."""
        return self.counts[row][column] / (sum(self.counts[row]) or 1)


class HistogramPanel(Record):
    """Counts over bins; ``edges`` has one value more than each series in ``counts``."""

    type: Literal["histogram"] = "histogram"
    title: str
    help: str = ""
    x_label: str
    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    images: tuple[tuple[tuple[str, ...], ...], ...] = ()


class GridItem(Record):
    """One picture with its verdict."""

    image_id: str
    caption: str
    truth: str = ""
    predicted: str = ""
    score: float | None = None
    tone: Tone = "neutral"


class ImageGridPanel(Record):
    """Pictures with captions, most telling first."""

    type: Literal["image_grid"] = "image_grid"
    title: str
    help: str = ""
    items: tuple[GridItem, ...]


Panel = Annotated[
    ScalarsPanel | TablePanel | CurvePanel | MatrixPanel | HistogramPanel | ImageGridPanel,
    Field(discriminator="type"),
]


class ImageResult(Record):
    """What the model said of one image of the evaluated split.

    Where an image has one class, ``truth`` and ``predicted`` are positions in the run's class list and
    ``scores`` has one probability per class, in its order. Elsewhere they are -1 and empty, and ``answers``
    holds what was found, the surest first.
    """

    image_id: str
    truth: int = -1
    predicted: int = -1
    scores: tuple[float, ...] = ()
    answers: tuple[Prediction, ...] = ()


class Report(Record):
    """Everything measured on one split with one trained model.

    ``split`` is normally "test"; it is "val" when the dataset has no test images, and the panels say
    so. ``metrics`` is keyed by the metric's published name.
    """

    task: str
    split: str
    images: int
    classes: tuple[str, ...]
    metrics: dict[str, MetricValue]
    panels: tuple[Panel, ...]
    results: tuple[ImageResult, ...] = ()
    notes: tuple[str, ...] = ()


class ProbeResult(Record):
    """The yardstick: a linear classifier on frozen features, same split as the report.

    ``images_per_second`` is the speed of computing the features, None when all of them were cached.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    seconds: float = 0.0
    images_per_second: float | None = None
    classifier: str = ""
    reason: str = ""


class WeightsUsed(Record):
    """Where a run's starting weights came from."""

    source: WeightsSource
    name: str
    licence: str = ""
    sha256: str = ""


class RunReport(Record):
    """The JSON of ``lensmith report`` and ``train --wait``; names once published stay."""

    run: str
    project: str
    task: str
    state: str
    seconds: float | None
    images_per_second: float | None
    strategy: str
    backbone: str
    weights: WeightsUsed | None
    metrics: dict[str, MetricValue]
    probe: ProbeResult | None
    gain: MetricValue | None = None
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()
