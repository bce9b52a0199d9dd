"""A detector at one threshold: by hand, against scikit-learn, and the parts against each other."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from engine.evaluation import average_precision as ap
from engine.evaluation.boxes import Detections, Objects
from engine.evaluation.working_point import (
    best_threshold,
    box_confusion,
    counts,
    measure_at,
    pair_up,
    precision_recall,
)

PLACES = [[100.0 * k, 0.0, 100.0 * k + 50, 50.0] for k in range(6)]


def _picture(
    found: list[tuple[int, float, int]], there: list[tuple[int, int, bool]]
) -> tuple[Detections, Objects]:
    """Make an image from places: found (place, score, class), there (place, class, ignored)."""
    return (
        Detections(
            np.array([PLACES[at] for at, _, _ in found], np.float32).reshape(-1, 4),
            np.array([score for _, score, _ in found], np.float32),
            np.array([called for _, _, called in found], np.int64),
        ),
        Objects(
            np.array([PLACES[at] for at, _, _ in there], np.float32).reshape(-1, 4),
            np.array([owned for _, owned, _ in there], np.int64),
            np.array([ignored for _, _, ignored in there], np.bool_),
        ),
    )


PICTURES = [
    _picture(
        [(0, 0.9, 0), (1, 0.8, 1), (2, 0.7, 0), (3, 0.6, 0), (0, 0.3, 0)],
        [(0, 0, False), (1, 0, False), (3, 0, True), (4, 1, False)],
    ),
    _picture([], []),
    _picture([(0, 0.5, 1)], [(0, 1, False)]),
]


def _random(seed: int, images: int = 40, classes: int = 3) -> list[tuple[Detections, Objects]]:
    generator = np.random.default_rng(seed)
    pictures = []
    for _ in range(images):
        there = [(at, int(generator.integers(classes)), False) for at in range(6) if generator.random() < 0.6]
        found = []
        for at, owned, _ in there:
            called = owned if generator.random() < 0.7 else int(generator.integers(classes))
            found += [(at, float(generator.integers(5, 10)) / 10, called)] * int(generator.integers(0, 3))
        found += [(int(generator.integers(6)), float(generator.integers(1, 8)) / 10, 0) for _ in range(2)]
        pictures.append(_picture(found, there))
    return pictures


def test_counts_and_shares_by_hand() -> None:
    digests = [ap.digest(*picture) for picture in PICTURES]
    at = counts(digests, 0.5)
    # The detection at 0.6 lies on an ignored region and counts nowhere.
    assert at.objects.tolist() == [3, 0, 1]
    assert at.called.tolist() == [3, 0, 1]
    assert at.right.tolist() == [1, 0, 1]
    found = measure_at(digests, 0.5, resamples=50)
    assert found["precision"].value == pytest.approx(2 / 4)
    assert found["recall"].value == pytest.approx(2 / 4)
    assert found["count_mae"].value == 0
    assert measure_at(digests, 0.85, resamples=50)["count_mae"].value == pytest.approx((2 + 0 + 1) / 3)
    assert measure_at(digests, 0.95)["precision"].value is None
    assert measure_at([], 0.5)["recall"].reason


def test_all_right_has_an_interval_all_the_same() -> None:
    digests = [ap.digest(*_picture([(0, 0.9, 0)], [(0, 0, False)]))] * 10
    found = measure_at(digests, 0.5)["precision"]
    assert (found.value, found.high) == (1, pytest.approx(1))
    assert 0.6 < found.low < 0.8


def test_intervals_hold_the_values() -> None:
    digests = [ap.digest(*picture) for picture in _random(1)]
    for found in measure_at(digests, 0.5, seed=3).values():
        assert found.low < found.value < found.high


@pytest.mark.parametrize("seed", range(4))
def test_threshold_is_the_best_of_all(seed: int) -> None:
    digests = [ap.digest(*picture) for picture in _random(seed)]
    chosen = best_threshold(digests)
    tried = {}
    for score in sorted({score for entry in digests for score in entry["scores"]}):
        at = counts(digests, score)
        tried[score] = 2 * at.right.sum() / (at.called.sum() + at.objects.sum())
    assert tried[chosen] == max(tried.values())
    assert chosen == max(score for score, value in tried.items() if value == max(tried.values()))


def test_threshold_without_anything_right() -> None:
    assert best_threshold([]) == 0.5
    assert best_threshold([ap.digest(*_picture([(0, 0.9, 0)], [(1, 0, False)]))]) == 0.5


def test_curves_agree_with_scikit_learn() -> None:
    digests = [ap.digest(*picture) for picture in _random(5)]
    for one in ap.tally(digests):
        curve = precision_recall(one)
        assert curve is not None
        hit, kept = one.flags()
        # scikit-learn knows no objects that nothing found: they stand last, below every score.
        lost = int(one.objects[:, 0].sum()) - int(hit.sum())
        truth = np.concatenate([hit[kept], np.ones(lost, bool)])
        scores = np.concatenate([one.scores[kept], np.full(lost, -1.0)])
        precision, recall, thresholds = sk.precision_recall_curve(truth, scores)
        real = thresholds >= 0
        assert curve.score == pytest.approx(thresholds[real][::-1])
        assert curve.recall == pytest.approx(recall[:-1][real][::-1])
        assert curve.precision == pytest.approx(precision[:-1][real][::-1])
        thin = curve.thinned(3)
        assert len(thin.score) <= 3
        assert (thin.score[0], thin.score[-1]) == (curve.score[0], curve.score[-1])


def test_no_curve_without_objects_or_detections() -> None:
    only_found, only_there = _picture([(0, 0.9, 0)], []), _picture([], [(0, 1, False)])
    none, other = ap.tally([ap.digest(*only_found), ap.digest(*only_there)])
    assert precision_recall(none) is None
    assert precision_recall(other) is None


def test_pairs_and_confusion_by_hand() -> None:
    pairing = pair_up(*PICTURES[0], score=0.5)
    assert pairing.shown.tolist() == [True, True, True, False, False]
    assert pairing.found.tolist() == [0, 1, -1, -1, -1]
    assert pairing.right.tolist() == [True, False, False, False, False]
    assert pairing.missed.tolist() == [3]
    confusion = box_confusion(PICTURES, 2, 0.5)
    assert confusion.counts.tolist() == [[1, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert confusion.images == {(0, 0): [0], (0, 1): [0], (1, 1): [2], (1, 2): [0], (2, 0): [0]}


def test_pairs_at_another_overlap() -> None:
    boxes = Detections(np.array([[0, 0, 50, 40]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    there = _picture([], [(0, 0, False)])[1]
    assert pair_up(boxes, there, 0.5, iou=0.8).right.tolist() == [True]
    assert pair_up(boxes, there, 0.5, iou=0.85).missed.tolist() == [0]


@pytest.mark.parametrize("seed", range(4))
def test_confusion_agrees_with_the_counts(seed: int) -> None:
    pictures = _random(seed)
    digests = [ap.digest(*picture) for picture in pictures]
    for score in (0.2, 0.6):
        at = counts(digests, score)
        table = box_confusion(pictures, 3, score).counts
        assert np.trace(table[:3, :3]) == at.right.sum()
        assert table[:3].sum() == at.objects.sum()
        assert table[:, :3].sum() == at.called.sum()
        assert table[3, 3] == 0
