"""Masks against truth: scikit-learn's numbers, void, boundaries, intervals, and the images behind cells."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from sklearn import metrics as reference

from engine.evaluation.edges import TOLERANCE, VOID, edge_counts, edge_pixels, near, tolerance
from engine.evaluation.segmentation import (
    confusion,
    digest,
    error_map,
    headline,
    headline_interval,
    images_behind,
    measure,
    metrics,
    paired_difference,
    tally,
)

Maps = list[NDArray[np.uint8]]


def maps(
    seed: int, count: int = 5, classes: int = 4, wrong: float = 0.3, void: float = 0.1
) -> tuple[Maps, Maps]:
    """Draw truths of blocks with void spots, and predictions that are wrong in places."""
    generator = np.random.default_rng(seed)
    truths, predictions = [], []
    for _ in range(count):
        blocks = generator.integers(0, classes, (3, 4)).astype(np.uint8)
        truth = blocks.repeat(6, axis=0).repeat(5, axis=1)
        noise = generator.integers(0, classes, truth.shape).astype(np.uint8)
        predictions.append(np.where(generator.random(truth.shape) < wrong, noise, truth).astype(np.uint8))
        truths.append(np.where(generator.random(truth.shape) < void, np.uint8(VOID), truth).astype(np.uint8))
    return truths, predictions


def digests_of(truths: Maps, predictions: Maps) -> list[dict[str, object]]:
    return [digest(truth, predicted) for truth, predicted in zip(truths, predictions, strict=True)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0, 1))
def test_scikit_learn_says_the_same(seed: int, classes: int, wrong: float) -> None:
    truths, predictions = maps(seed, 3, classes, wrong)
    truth = np.concatenate([one.ravel() for one in truths])
    predicted = np.concatenate([one.ravel() for one in predictions])[truth != VOID]
    truth = truth[truth != VOID]
    digests = json.loads(json.dumps(digests_of(truths, predictions)))
    # The last class is the background: in pixel accuracy and in its own row, not in the means.
    own = classes - 1
    present = [k for k in range(own) if (truth == k).any()]
    found = metrics(digests, own)
    labels = list(range(classes))
    options = {"labels": labels, "average": None, "zero_division": np.nan}
    jaccard = reference.jaccard_score(truth, predicted, labels=labels, average=None, zero_division=0)
    dice = reference.f1_score(truth, predicted, **options)
    assert found["pixel_accuracy"] == pytest.approx(reference.accuracy_score(truth, predicted), abs=1e-9)
    if present:
        assert found["mean_iou"] == pytest.approx(jaccard[present].mean(), abs=1e-9)
        assert found["mean_dice"] == pytest.approx(dice[present].mean(), abs=1e-9)
        assert headline(digests, own) == found["mean_iou"]
    expected = reference.confusion_matrix(truth, predicted, labels=labels)
    np.testing.assert_array_equal(confusion(digests, classes), expected)
    rows = measure(digests, own, resamples=2).classes
    recall = reference.recall_score(truth, predicted, **options)
    precision = reference.precision_score(truth, predicted, **options)
    for row in rows:
        k = row.position
        assert row.pixels == (truth == k).sum()
        pairs = (
            (row.iou, jaccard[k]),
            (row.dice, dice[k]),
            (row.recall, recall[k]),
            (row.precision, precision[k]),
        )
        for ours, theirs in pairs:
            if ours.value is not None:
                assert ours.value == pytest.approx(theirs, abs=1e-9)
            else:
                assert ours.reason
                assert theirs == 0 or math.isnan(theirs)


def test_void_counts_nowhere() -> None:
    truth = np.array([[0, 0, VOID], [1, 1, VOID]], np.uint8)
    predicted = np.array([[0, 0, 1], [1, 0, 0]], np.uint8)
    found = digest(truth, predicted)
    assert found["pixels"] == [[0, 0, 2], [1, 0, 1], [1, 1, 1]]
    np.testing.assert_array_equal(error_map(truth, predicted), [[0, 0, 0], [0, 1, 0]])
    # Only the truth's void: a predicted boundary against it is none.
    assert edge_counts(truth, truth.copy()) == edge_counts(truth, np.where(truth == VOID, 1, truth))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        digest(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="never void"):
        digest(np.zeros((2, 2), np.uint8), np.full((2, 2), VOID, np.uint8))
    with pytest.raises(ValueError, match="same images"):
        paired_difference([digest(*([np.zeros((2, 2), np.uint8)] * 2))], [], 1)
    with pytest.raises(ValueError, match="pixels of a class"):
        paired_difference([], [], 1)


def test_a_class_that_the_truth_lacks_is_not_in_the_mean() -> None:
    truth = np.zeros((4, 4), np.uint8)
    predicted = truth.copy()
    predicted[0] = 1
    found = metrics([digest(truth, predicted)], 2)
    assert found["mean_iou"] == pytest.approx(0.75)
    scores = measure([digest(truth, predicted)], 3)
    assert scores.classes[1].iou.value == 0
    assert scores.classes[2].iou.value is None
    assert scores.classes[1].recall.value is None
    empty = measure([], 2).metrics["mean_iou"]
    assert empty.value is None
    assert empty.reason


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 6))
def test_nearness_is_scipys_distance(seed: int, reach: float) -> None:
    generator = np.random.default_rng(seed)
    points, targets = generator.random((17, 23)) < 0.3, generator.random((17, 23)) < 0.02
    distance = ndimage.distance_transform_edt(~targets) if targets.any() else np.full(points.shape, np.inf)
    assert near(np.argwhere(points), np.argwhere(targets), reach) == (distance[points] <= reach).sum()


def test_edges_are_pixels_beside_another_class() -> None:
    labels = np.zeros((5, 5), np.uint8)
    labels[1:4, 1:4] = 1
    labels[2, 4] = VOID
    found = edge_pixels(labels)
    ring = labels == 1
    ring[2, 2] = False
    ring[2, 3] = False  # beside void alone
    np.testing.assert_array_equal(found & (labels == 1), ring)
    assert not found[2, 4]
    assert not found[0, 0]
    assert found[0, 1]


def test_the_boundary_score_falls_with_the_distance() -> None:
    truth = np.zeros((100, 100), np.uint8)
    truth[30:70, 30:70] = 1
    assert tolerance(100, 100) == pytest.approx(TOLERANCE * 100 * math.sqrt(2))
    scores = []
    for shift in (0, 1, 2, 5):
        predicted = np.roll(truth, shift, axis=1)
        scores.append(metrics([digest(truth, predicted)], 2)["boundary_f"])
    assert scores[0] == scores[1] == 1
    assert scores[1] > scores[2] > scores[3] > 0
    nothing = measure([digest(truth * 0, truth * 0)], 2).metrics["boundary_f"]
    assert nothing.value is None
    assert "boundary" in nothing.reason
    assert metrics([digest(truth, truth * 0)], 2)["boundary_f"] == 0
    plain, full = digest(truth, predicted, edges=False), digest(truth, predicted)
    assert headline([plain], 2) == headline([full], 2)
    assert plain == {**full, "edges": []}


def test_intervals_hold_the_value_and_grow_with_the_spread() -> None:
    truths, predictions = maps(3, 40, 3, 0.3)
    even = measure(digests_of(truths, predictions), 3, resamples=300)
    mixed = [
        truth if k % 2 else p for k, (truth, p) in enumerate(zip(*maps(3, 40, 3, 0.9, 0.0), strict=True))
    ]
    uneven = measure(digests_of(maps(3, 40, 3, 0.9, 0.0)[0], mixed), 3, resamples=300)
    whole = even.metrics["mean_iou"]
    assert headline_interval(digests_of(truths, predictions), 3, resamples=300) == (whole.low, whole.high)
    assert headline_interval([], 3) is None
    widths = []
    for scores in (even, uneven):
        for name in ("pixel_accuracy", "mean_iou", "mean_dice", "boundary_f"):
            one = scores.metrics[name]
            assert one.low is not None
            assert one.low <= one.value <= one.high
        widths.append(scores.metrics["mean_iou"].high - scores.metrics["mean_iou"].low)
    assert widths[1] > 3 * widths[0]


def test_the_better_of_two_is_found_on_the_same_images() -> None:
    truths, good = maps(5, 30, 3, 0.1)
    _, bad = maps(5, 30, 3, 0.4)
    before, after = digests_of(truths, bad), digests_of(truths, good)
    value, low, high = paired_difference(before, after, 3)
    assert value == pytest.approx(headline(after, 3) - headline(before, 3))
    assert 0 < low < value < high < 1
    back = paired_difference(after, before, 3)
    assert back == pytest.approx((-value, -high, -low))
    same = paired_difference(after, after, 3)
    assert same[0] == 0
    assert same[1] < 0 < same[2]


def test_the_images_behind_a_cell_come_largest_first() -> None:
    truths, predictions = maps(9, 6, 3, 0.5)
    digests = digests_of(truths, predictions)
    for cell in ((0, 1), (2, 2)):
        found = images_behind(digests, *cell)
        assert sum(count for _, count in found) == confusion(digests, 3)[cell]
        assert [count for _, count in found] == sorted((count for _, count in found), reverse=True)
        for position, count in found:
            hit = (truths[position] == cell[0]) & (predictions[position] == cell[1])
            assert hit.sum() == count
    assert images_behind(digests, 7, 7) == []
    assert len(tally(digests, 3)) == 6
