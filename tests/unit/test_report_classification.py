"""The classification report: names, panels, and that each number opens the right images."""

from __future__ import annotations

import numpy as np
import pytest

from engine.contracts.results import (
    CurvePanel,
    HistogramPanel,
    ImageGridPanel,
    MatrixPanel,
    Panel,
    Report,
    ScalarsPanel,
    TablePanel,
)
from engine.tasks.base import Sample
from engine.tasks.classification.panels import POINT_IMAGES
from engine.tasks.classification.report import ClassificationExaminer, build_report
from engine.tasks.classification.spec import SPEC
from engine.tasks.registry import load_dotted

CLASSES = ("bus", "car", "tram", "absent")


def _report(images: int = 120, split: str = "test", classes: tuple[str, ...] = CLASSES) -> Report:
    generator = np.random.default_rng(2)
    truth = generator.integers(0, max(2, len(classes) - 1), images)
    logits = generator.normal(size=(images, len(classes)))
    logits[np.arange(images), truth] += 2
    scores = np.exp(logits)
    samples = [Sample(f"i{n}", "0" * 64, f"{n}.jpg", int(k)) for n, k in enumerate(truth)]
    return build_report(samples, scores / scores.sum(axis=1, keepdims=True), classes, split, ("first note",))


@pytest.fixture(scope="module")
def report() -> Report:
    return _report()


def _only(report: Report, kind: type[Panel]) -> Panel:
    (found,) = (panel for panel in report.panels if isinstance(panel, kind))
    return found


def test_the_registry_names_this_builder() -> None:
    assert load_dotted(SPEC.examiner) is ClassificationExaminer


def test_metrics_have_the_published_names_and_directions(report: Report) -> None:
    assert tuple(report.metrics) == tuple(spec.name for spec in SPEC.metrics)
    for spec in SPEC.metrics:
        value = report.metrics[spec.name]
        assert (value.name, value.higher_is_better, value.unit) == (
            spec.name,
            spec.higher_is_better,
            spec.unit,
        )
        assert value.n == 120
        if value.value is None:
            assert value.reason
        else:
            assert value.low is not None
            assert value.high is not None
            assert value.low <= value.value <= value.high


def test_it_survives_json(report: Report) -> None:
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_every_panel_of_the_design_is_there(report: Report) -> None:
    titles = " | ".join(panel.title + panel.help for panel in report.panels)
    for word in ("confusion matrix", "ROC", "precision and recall", "calibration", "Precision", "errors"):
        assert word in titles
    assert isinstance(report.panels[0], ScalarsPanel)
    assert [value.name for value in report.panels[0].values] == ["top1", "balanced_error"]


def test_cells_open_their_images(report: Report) -> None:
    panel = _only(report, MatrixPanel)
    assert isinstance(panel, MatrixPanel)
    for i, row in enumerate(panel.counts):
        for j, count in enumerate(row):
            expected = {r.image_id for r in report.results if (r.truth, r.predicted) == (i, j)}
            assert count == len(expected)
            assert set(panel.images[i][j]) == expected


def test_rows_and_bars_open_their_images(report: Report) -> None:
    table = _only(report, TablePanel)
    assert isinstance(table, TablePanel)
    for k, row in enumerate(table.rows):
        assert row[1] == len(table.images[k]) == sum(r.truth == k for r in report.results)
    assert table.rows[3][3] is None  # recall of the absent class

    histogram = _only(report, HistogramPanel)
    assert isinstance(histogram, HistogramPanel)
    shown = [image for series in histogram.images for images in series for image in images]
    assert sorted(shown) == sorted(r.image_id for r in report.results)
    assert sum(map(sum, histogram.counts)) == 120
    wrong = {r.image_id for r in report.results if r.truth != r.predicted}
    assert {image for images in histogram.images[1] for image in images} == wrong


def _curves(report: Report) -> list[CurvePanel]:
    return [panel for panel in report.panels if isinstance(panel, CurvePanel)]


def test_points_of_calibration_open_the_images_of_their_confidence(report: Report) -> None:
    (series,) = _curves(report)[-1].series
    by_id = {result.image_id: result for result in report.results}
    assert sum(map(len, series.images)) == len(by_id)
    for x, y, images in zip(series.x, series.y, series.images, strict=True):
        results = [by_id[image] for image in images]
        assert np.mean([max(result.scores) for result in results]) == pytest.approx(x, abs=1e-5)
        assert np.mean([result.truth == result.predicted for result in results]) == pytest.approx(y, abs=1e-5)


def test_points_of_a_ranking_open_the_images_that_come_in_there() -> None:
    report = _report(60)
    by_id = {result.image_id: result for result in report.results}
    ranking = [panel for panel in _curves(report) if "found" in panel.title.lower()]
    assert len(ranking) == 2
    for panel in ranking:
        for series in panel.series:
            assert series.color is not None
            called = [by_id[image] for images in series.images for image in images]
            assert len(called) == len(set(called)) == 60
            positives = sum(result.truth == series.color for result in called)
            so_far: list[bool] = []
            low = 1.0
            for x, y, images in zip(series.x, series.y, series.images, strict=True):
                scores = [by_id[image].scores[series.color] for image in images]
                assert max(scores, default=0.0) <= low
                low = min(scores, default=low)
                so_far += [by_id[image].truth == series.color for image in images]
                found = sum(so_far) / positives
                assert pytest.approx(x if "recall" in panel.x_label else y, abs=1e-5) == found


def test_a_point_opens_no_more_than_a_screenful() -> None:
    report = _report(3_000)
    for panel in _curves(report)[:2]:
        assert max(len(images) for series in panel.series for images in series.images) == POINT_IMAGES


def test_curves_are_thin_and_leave_absent_classes_out() -> None:
    report = _report(3_000)
    curves = [panel for panel in report.panels if isinstance(panel, CurvePanel)]
    assert len(curves) == 3
    for panel in curves:
        for series in panel.series:
            assert len(series.x) == len(series.y) <= 200
            assert "absent" not in series.name
    assert any("absent" in note for note in report.notes)


def test_errors_come_most_confident_first(report: Report) -> None:
    panel = _only(report, ImageGridPanel)
    assert isinstance(panel, ImageGridPanel)
    scores = [item.score for item in panel.items]
    assert scores == sorted(scores, reverse=True)
    verdicts = {r.image_id: (r.truth, r.predicted) for r in report.results}
    for item in panel.items:
        truth, predicted = verdicts[item.image_id]
        assert truth != predicted
        assert (item.truth, item.predicted) == (CLASSES[truth], CLASSES[predicted])


def test_it_says_how_far_the_images_can_be_trusted() -> None:
    helps = {split: _report(30, split=split).panels[0].help for split in ("test", "val", "train")}
    assert "never saw" in helps["test"]
    assert "30 validation images" in helps["val"]
    assert "too good" in helps["val"]
    assert "learned from these" in helps["train"]
    assert _report(30).notes[0] == "first note"


def test_no_images_at_all_is_a_report_of_reasons() -> None:
    report = build_report([], np.zeros((0, 4), dtype=np.float32), CLASSES, "test")
    assert all(value.value is None and value.reason for value in report.metrics.values())


def test_many_classes_stay_readable() -> None:
    names = tuple(f"class {k}" for k in range(130))
    report = _report(600, classes=names)
    panel = _only(report, MatrixPanel)
    assert isinstance(panel, MatrixPanel)
    assert len(panel.counts) == len(panel.row_labels) == 100
    assert "30 classes" in panel.help
    assert all(len(p.series) <= 20 for p in report.panels if isinstance(p, CurvePanel))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="reshape"):
        build_report([Sample("a", "", "", 0)], np.zeros((2, 4), dtype=np.float32), CLASSES, "test")
