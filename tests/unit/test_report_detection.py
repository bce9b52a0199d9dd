"""The detection report: names, panels, what each number opens, and when two runs of a model agree."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, TypeVar

import numpy as np
import pytest

from engine.contracts.results import (
    CurvePanel,
    HistogramPanel,
    ImageGridPanel,
    ImageResult,
    MatrixPanel,
    Report,
    ScalarsPanel,
    TablePanel,
)
from engine.evaluation.boxes import Detections, Objects
from engine.tasks.base import Sample
from engine.tasks.detection.mistakes import KIND_WORDS, PER_KIND
from engine.tasks.detection.panels import BACKGROUND, NO_OBJECT, POINT_IMAGES
from engine.tasks.detection.report import DetectionExaminer
from engine.tasks.detection.spec import SPEC

CLASSES = ("mite", "bee", "absent")
SCORE = 0.4
P = TypeVar("P")


def _boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def _found(*rows: tuple[int, float, tuple[float, ...]]) -> Detections:
    """Make detections of (class, score, box)."""
    return Detections(
        _boxes(*(box for _, _, box in rows)),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([k for k, _, _ in rows], np.int64),
    )


def _there(*rows: tuple[int, tuple[float, ...]]) -> Objects:
    """Make objects of (class, box)."""
    return Objects(
        _boxes(*(box for _, box in rows)),
        np.array([k for k, _ in rows], np.int64),
        np.zeros(len(rows), np.bool_),
    )


A, B, C = (10.0, 10.0, 30.0, 30.0), (50.0, 50.0, 110.0, 110.0), (150.0, 20.0, 280.0, 180.0)
A_LOOSE = (18.0, 10.0, 38.0, 30.0)  # overlaps A by 12 / 28
PICTURES = {
    "right": (_found((0, 0.9, A), (1, 0.8, B)), _there((0, A), (1, B))),
    "wrong-class": (_found((1, 0.85, A)), _there((0, A))),
    "loose": (_found((0, 0.7, A_LOOSE)), _there((0, A))),
    "twice": (_found((1, 0.9, B), (1, 0.6, (51.0, 50.0, 110.0, 110.0))), _there((1, B))),
    "nothing-there": (_found((0, 0.95, C)), Objects.none()),
    "missed": (Detections.none(), _there((0, A), (1, C))),
    "weak": (_found((1, 0.2, B)), _there((1, B))),
    "empty": (Detections.none(), Objects.none()),
}


def _samples(names: list[str], targets: list[Objects]) -> list[Sample]:
    return [
        Sample(name, "0" * 64, f"{name}.jpg", objects, 300, 200)
        for name, objects in zip(names, targets, strict=True)
    ]


def _report(names: list[str], classes: tuple[str, ...] = CLASSES, **settled: float) -> Report:
    pairs = [PICTURES[name] for name in names]
    samples = _samples(names, [objects for _, objects in pairs])
    found = [detections for detections, _ in pairs]
    return DetectionExaminer(classes).report(samples, found, "test", ("first note",), settled)


@pytest.fixture(scope="module")
def report() -> Report:
    return _report(list(PICTURES), score=SCORE)


def _panel(report: Report, kind: type[P], words: str) -> P:
    (found,) = (panel for panel in report.panels if isinstance(panel, kind) and words in panel.title)
    return found


def test_metrics_have_the_published_names_and_directions(report: Report) -> None:
    assert tuple(report.metrics) == tuple(spec.name for spec in SPEC.metrics)
    for spec in SPEC.metrics:
        value = report.metrics[spec.name]
        found = (value.name, value.higher_is_better, value.unit, value.n)
        assert found == (spec.name, spec.higher_is_better, spec.unit, len(PICTURES))
        assert value.value is not None
        if value.value not in {0.0, 1.0}:  # there all resamples say the same
            assert value.low is not None
            assert value.high is not None
            assert value.low <= value.value <= value.high


def test_the_numbers_are_those_counted_by_hand(report: Report) -> None:
    # From 0.4 on there are 7 boxes, 3 of them right, on 9 objects less one image without: 8.
    assert report.metrics["precision"].value == pytest.approx(3 / 7)
    assert report.metrics["recall"].value == pytest.approx(3 / 8)
    assert report.metrics["count_mae"].value == pytest.approx((1 + 1 + 2 + 1) / len(PICTURES))


def test_it_survives_json_and_keeps_what_was_found(report: Report) -> None:
    assert Report.model_validate_json(report.model_dump_json()) == report
    by_id = {result.image_id: result for result in report.results}
    assert set(by_id) == set(PICTURES)
    first = by_id["right"].answers[0]
    assert (first.label, first.score, first.box) == ("mite", 0.9, A)
    assert (by_id["right"].truth, by_id["right"].predicted, by_id["right"].scores) == (-1, -1, ())
    assert by_id["weak"].answers[0].score == 0.2


def test_the_headline_stands_first_and_says_the_same_as_the_digests(report: Report) -> None:
    first = report.panels[0]
    assert isinstance(first, ScalarsPanel)
    assert first.values[0].name == SPEC.metrics[0].name
    examiner = DetectionExaminer(CLASSES)
    samples = _samples(list(PICTURES), [objects for _, objects in PICTURES.values()])
    digests = examiner.digests(samples, [found for found, _ in PICTURES.values()])
    value, low, high = examiner.headline(digests, 0)
    assert value == pytest.approx(first.values[0].value)
    assert low is not None
    assert high is not None
    assert low <= value <= high
    assert examiner.difference(digests, digests, 0)[0] == 0


def test_the_class_table_counts_objects_and_opens_their_images(report: Report) -> None:
    table = _panel(report, TablePanel, "Class by class")
    objects = Counter(int(k) for _, there in PICTURES.values() for k in there.classes)
    for position, row in enumerate(table.rows):
        assert row[0] == CLASSES[position]
        assert row[4] == objects[position]
        held = {name for name, (_, there) in PICTURES.items() if position in there.classes}
        assert set(table.images[position]) == held
    assert table.rows[2][1] is None
    assert table.images[0][-1] == "right"
    assert any("“absent”" in note for note in report.notes)


def test_the_confusion_has_background_and_opens_its_images(report: Report) -> None:
    matrix = _panel(report, MatrixPanel, "confusion")
    assert matrix.row_labels == matrix.column_labels == (*CLASSES, BACKGROUND)
    expected = [[1, 1, 0, 2], [0, 2, 0, 2], [0, 0, 0, 0], [2, 1, 0, 0]]
    assert [list(row) for row in matrix.counts] == expected
    assert matrix.images[0][1] == ("wrong-class",)
    assert matrix.images[0][3] == ("loose", "missed")
    assert matrix.images[1][3] == ("missed", "weak")
    assert matrix.images[3][0] == ("loose", "nothing-there")
    assert _panel(_report(["right"], ("mite", BACKGROUND)), MatrixPanel, "").row_labels[-1] == NO_OBJECT


def test_a_point_of_the_curve_has_its_score_and_opens_the_images_of_its_boxes(report: Report) -> None:
    curve = _panel(report, CurvePanel, "precision and recall")
    assert [line.name for line in curve.series] == ["mite", "bee"]
    mite = curve.series[0]
    assert mite.scores == (0.95, 0.9, 0.7)
    assert mite.x == (0.0, 0.25, 0.25)
    assert mite.y == (0.0, 0.5, round(1 / 3, 5))
    assert mite.images == (("nothing-there",), ("right",), ("loose",))


def test_a_long_curve_is_thinned_and_every_box_stays_behind_a_point() -> None:
    generator = np.random.default_rng(0)
    found = [_found((0, score, A)) for score in generator.uniform(0.1, 0.9, 500)]
    targets = [_there((0, A if n % 3 else C)) for n in range(500)]
    samples = _samples([f"i{n}" for n in range(500)], targets)
    made = DetectionExaminer(("mite",)).report(samples, found, "val", (), {})
    (line,) = _panel(made, CurvePanel, "precision and recall").series
    assert len(line.x) == len(line.scores) == len(line.images) <= 200
    assert list(line.scores) == sorted(line.scores, reverse=True)
    scores = {sample.image_id: float(one.scores[0]) for sample, one in zip(samples, found, strict=True)}
    limits = [1.0, *line.scores]
    for at, images in enumerate(line.images):
        assert len(images) <= POINT_IMAGES
        assert all(limits[at + 1] - 1e-4 <= scores[image] <= limits[at] + 1e-4 for image in images)
    assert sum(len(images) for images in line.images) == 500


def test_the_counts_add_up_and_open_the_images_where_they_are_off(report: Report) -> None:
    table = _panel(report, TablePanel, "counted")
    assert [row[:3] for row in table.rows] == [
        ("mite", 4, 3),
        ("bee", 4, 4),
        ("absent", 0, 0),
        ("all classes", 8, 7),
    ]
    assert table.rows[3][3] == report.metrics["count_mae"].value
    assert set(table.images[3]) == {"twice", "nothing-there", "missed", "weak"}
    assert table.images[3][0] == "missed"
    bars = _panel(report, HistogramPanel, "count")
    assert bars.edges == (-2.5, -1.5, -0.5, 0.5, 1.5)
    assert bars.counts == ((1, 1, 4, 2),)
    assert bars.images[0][0] == ("missed",)
    assert set(bars.images[0][3]) == {"twice", "nothing-there"}


def test_far_counts_share_bars() -> None:
    many = _found(*((0, 0.9, (float(n), 0.0, n + 1.0, 1.0)) for n in range(100)))
    samples = _samples(["many", "none"], [Objects.none(), _there((0, A))])
    made = DetectionExaminer(CLASSES).report(samples, [many, Detections.none()], "test", (), {})
    bars = _panel(made, HistogramPanel, "count")
    assert len(bars.edges) == len(bars.counts[0]) + 1 <= 42
    assert bars.images[0][0][0] == "none"
    assert bars.images[0][-1] == ("many",)


def test_every_kind_of_mistake_costs_and_opens_its_images(report: Report) -> None:
    table = _panel(report, TablePanel, "cost")
    rows = {
        str(row[0]).split(":")[0]: (row, images) for row, images in zip(table.rows, table.images, strict=True)
    }
    expected = {
        "class": ("wrong-class",),
        "localization": ("loose",),
        "both": (),
        "duplicate": ("twice",),
        "background": ("nothing-there",),
        "missed": ("missed",),
    }
    for kind, images in expected.items():
        row, found = rows[kind]
        assert found == images
        assert row[2] == len(images) if kind != "missed" else 2
        assert row[3] == (len(images) if kind != "missed" else None)
    assert rows["both"][0][1] == 0
    cost = rows["background"][0][1]
    assert isinstance(cost, float)
    assert cost > 0


def test_the_mistakes_are_shown_with_kind_class_and_score(report: Report) -> None:
    grid = _panel(report, ImageGridPanel, "each kind")
    captions = {item.image_id: item.caption for item in grid.items}
    assert captions["wrong-class"] == f"{KIND_WORDS['class']}: bee 0.85"
    assert captions["loose"] == f"{KIND_WORDS['localization']}: mite 0.70"
    assert captions["missed"] == f"{KIND_WORDS['missed']}: bee"  # the larger one
    false = _panel(report, ImageGridPanel, "false")
    assert [item.image_id for item in false.items] == ["nothing-there", "wrong-class", "loose", "twice"]
    missed = _panel(report, ImageGridPanel, "missed")
    assert [item.image_id for item in missed.items] == ["missed", "wrong-class", "loose", "weak"]
    assert missed.items[0].caption == "2 of 2 missed: 1 mite, 1 bee"


def test_at_most_twelve_of_a_kind_and_each_image_once() -> None:
    false = [_found((0, 0.5 + n / 100, C), (0, 0.3, A_LOOSE)) for n in range(40)]
    samples = _samples([f"i{n}" for n in range(40)], [_there((0, A), (1, B)) for _ in false])
    made = DetectionExaminer(CLASSES).report(samples, false, "test", (), {"score": 0.1})
    for grid in (panel for panel in made.panels if isinstance(panel, ImageGridPanel)):
        assert len({item.image_id for item in grid.items}) == len(grid.items) > 0
    grid = _panel(made, ImageGridPanel, "each kind")
    kinds = Counter(item.caption.split(":")[0] for item in grid.items)
    assert set(kinds.values()) == {PER_KIND}
    assert len(kinds) == 3


def test_every_opened_image_exists(report: Report) -> None:
    shown = report.model_dump_json()
    for panel in report.panels:
        if isinstance(panel, TablePanel):
            assert len(panel.images) == len(panel.rows)
            assert all(len(row) == len(panel.columns) for row in panel.rows)
            assert {name for row in panel.images for name in row} <= set(PICTURES)
    assert "NaN" not in shown


@pytest.mark.parametrize("names", [[], ["empty"], ["nothing-there", "empty"]])
def test_without_objects_there_are_reasons(names: list[str]) -> None:
    made = _report(names)
    assert made.metrics["map50_95"].value is None
    assert made.metrics["map50_95"].reason
    assert made.metrics["recall"].reason
    assert "NaN" not in made.model_dump_json()
    examiner = DetectionExaminer(CLASSES)
    pairs = [PICTURES[name] for name in names]
    digests = examiner.digests(_samples(names, [there for _, there in pairs]), [found for found, _ in pairs])
    value, low, high = examiner.headline(digests, 0)
    assert math.isnan(value)
    assert low is high is None
    assert all(math.isnan(part) for part in examiner.difference(digests, digests, 0))


def test_the_score_is_chosen_where_f1_is_highest_and_still_holds_its_box() -> None:
    examiner = DetectionExaminer(CLASSES)
    sure, wrong = _found((0, 0.61239, A)), _found((0, 0.3, C))
    samples = _samples(["a", "b"], [_there((0, A)), _there((0, A))])
    settled = examiner.settle(samples, [sure, wrong])
    assert settled == {"score": 0.6123}
    made = examiner.report(samples, [sure, wrong], "val", (), settled)
    assert made.metrics["precision"].value == 1
    assert examiner.settle([], []) == {"score": 0.5}
    assert "0.61" in _panel(made, ScalarsPanel, "More").help


# --- agreement ------------------------------------------------------------------------------------


Said = list[list[dict[str, Any]]]
EXAMINER = DetectionExaminer(CLASSES)


def _said(seed: int = 0, images: int = 12) -> Said:
    """Make answers whose boxes of one class do not overlap."""
    generator = np.random.default_rng(seed)
    made: Said = []
    for _ in range(images):
        rows = []
        for n in range(9):
            x, y = 100.0 * (n % 3), 100.0 * (n // 3)
            left, top, right, bottom = generator.uniform([0, 0, 40, 40], [20, 20, 90, 90])
            rows.append(
                {
                    "label": CLASSES[n % 2],
                    "score": float(generator.uniform(0.01, 0.99)),
                    "box": [x + left, y + top, x + right, y + bottom],
                }
            )
        made.append(rows)
    return made


def _changed(said: Said, image: int, place: int, **parts: Any) -> Said:
    rows = [[*one] for one in said]
    rows[image][place] = {**rows[image][place], **parts}
    return rows


def test_rounded_and_shuffled_answers_agree() -> None:
    said = _said()
    generator = np.random.default_rng(1)
    other = [
        [
            {
                **rows[at],
                "score": round(rows[at]["score"] + 1e-4, 5),
                "box": [round(side, 2) for side in rows[at]["box"]],
            }
            for at in generator.permutation(len(rows))
        ]
        for rows in said
    ]
    found = EXAMINER.agree(said, other)
    assert (found.images, found.same_class, found.near_ties) == (12, 12, 0)
    assert found.largest_difference == pytest.approx(1e-4, abs=2e-5)
    assert found.tolerance == 1e-2
    assert found.holds


def test_what_a_report_holds_agrees_with_what_was_found() -> None:
    samples = _samples(list(PICTURES), [there for _, there in PICTURES.values()])
    made = EXAMINER.report(samples, [found for found, _ in PICTURES.values()], "test", (), {})
    stored = EXAMINER.stored(made.results)
    assert stored[0][0] == {"label": "mite", "score": 0.9, "box": list(A)}
    assert EXAMINER.agree(stored, stored).holds
    assert EXAMINER.stored([ImageResult(image_id="a")]) == [[]]


STRONG: dict[str, Any] = {"label": "mite", "score": 0.8, "box": [0.0, 0.0, 50.0, 50.0]}


@pytest.mark.parametrize(
    "change",
    [
        {"box": [3.0, 0.0, 53.0, 50.0], "score": 0.85},
        {"box": [200.0, 0.0, 250.0, 50.0]},
        {"label": "bee"},
        {"score": 0.82},
        {"score": 0.01},
    ],
)
def test_another_box_class_or_score_does_not_agree(change: dict[str, Any]) -> None:
    said = _changed(_said(), 3, 0, **STRONG)
    assert EXAMINER.agree(said, said).holds
    other = _changed(said, 3, 0, **change)
    for found in (EXAMINER.agree(said, other), EXAMINER.agree(other, said)):
        assert not found.holds


def test_a_box_too_many_does_not_agree() -> None:
    said = _said()
    more = [[*said[0], {"label": "absent", "score": 0.3, "box": [0.0, 0.0, 9.0, 9.0]}], *said[1:]]
    assert not EXAMINER.agree(said, more).holds
    assert not EXAMINER.agree(more, said).holds


def test_boxes_below_the_floor_do_not_count_and_those_at_it_are_excused() -> None:
    said = _said()
    extra = {"label": "absent", "box": [0.0, 0.0, 9.0, 9.0]}
    below = EXAMINER.agree(said, [[*rows, {**extra, "score": 0.049}] for rows in said])
    assert (below.same_class, below.near_ties, below.holds) == (12, 0, True)
    at = EXAMINER.agree(said, [[*rows, {**extra, "score": 0.055}] for rows in said])
    assert (at.same_class, at.near_ties, at.holds) == (0, 12, True)


def test_a_tie_of_two_boxes_is_excused_but_not_boxes_that_are_off_everywhere() -> None:
    said = _changed(_said(), 3, 0, **STRONG)
    swapped = _changed(said, 3, 0, box=[4.0, 0.0, 54.0, 50.0], score=0.8001)
    found = EXAMINER.agree(said, swapped)
    assert (found.same_class, found.near_ties, found.holds) == (11, 1, True)
    moved = [[{**one, "box": [side + 2 for side in one["box"]]} for one in rows] for rows in said]
    assert not EXAMINER.agree(said, moved).holds


def test_what_a_tie_makes_room_for_is_excused() -> None:
    said = _changed(_said(), 3, 0, **STRONG)
    swapped = _changed(said, 3, 0, box=[10.0, 0.0, 60.0, 50.0], score=0.8001)
    freed = {"label": "mite", "score": 0.5, "box": [-9.0, 0.0, 36.0, 50.0]}
    swapped[3].append(freed)
    assert EXAMINER.agree(said, swapped).near_ties == 1
    assert not EXAMINER.agree(said, [*said[:3], [*said[3], freed], *said[4:]]).holds


def test_a_full_list_may_end_elsewhere() -> None:
    rows = [
        {"label": "mite", "score": 0.9 - n / 1000, "box": [20.0 * n, 0.0, 20.0 * n + 9, 9.0]}
        for n in range(101)
    ]
    assert EXAMINER.agree([rows[:100]], [[*rows[:99], rows[100]]]).holds
    assert not EXAMINER.agree([rows[:50]], [[*rows[:49], rows[100]]]).holds


def test_answers_to_other_questions_are_refused() -> None:
    said = _said()
    with pytest.raises(ValueError, match="images"):
        EXAMINER.agree(said, said[1:])
    with pytest.raises(ValueError, match="unknown"):
        EXAMINER.agree(said, _changed(said, 0, 0, label="wasp"))
    with pytest.raises(ValueError, match="no box"):
        EXAMINER.agree(said, _changed(said, 0, 0, box=None))
    with pytest.raises(ValueError, match="finite"):
        EXAMINER.agree(said, _changed(said, 0, 0, score=math.nan))
    assert EXAMINER.agree([], []).holds


def test_samples_and_predictions_must_fit() -> None:
    with pytest.raises(ValueError, match="zip"):
        EXAMINER.digests(_samples(["a"], [Objects.none()]), [])
