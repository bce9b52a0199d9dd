"""Our metrics against scikit-learn's, on arbitrary answers with ties and absent classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from engine.evaluation.calibration import reliability
from engine.evaluation.classification import Answers, class_ranking, measure, top_k_correct
from engine.evaluation.confusion import class_counts, confusion_matrix
from engine.evaluation.ranking import auc_and_ap, precision_recall_curve, roc_curve


def _answers(seed: int, images: int, classes: int, coarse: bool = False) -> Answers:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, images)
    logits = generator.normal(size=(images, classes)) * 2
    logits[np.arange(images), truth] += 1.5
    scores = np.exp(np.round(logits) if coarse else logits)
    return Answers(truth, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32))


cases = st.builds(
    _answers,
    seed=st.integers(0, 10_000),
    images=st.integers(2, 80),
    classes=st.integers(2, 9),
    coarse=st.booleans(),
)


def _ones(answers: Answers) -> NDArray[np.float64]:
    return np.ones((1, answers.images))


@settings(deadline=None, max_examples=60)
@given(cases)
def test_counts_agree_with_scikit_learn(answers: Answers) -> None:
    truth, predicted = answers.truth, answers.predicted
    labels = np.arange(answers.classes)
    matrix = confusion_matrix(truth, predicted, answers.classes)
    assert np.array_equal(matrix, sk.confusion_matrix(truth, predicted, labels=labels))

    counts = class_counts(truth, predicted, answers.classes, _ones(answers))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=np.nan
    )
    np.testing.assert_allclose(counts.precision[0], precision)
    np.testing.assert_allclose(counts.recall[0], recall)
    assert np.array_equal(counts.support[0], support)
    present = support > 0
    np.testing.assert_allclose(counts.f1[0][present], f1[present])


@settings(deadline=None, max_examples=60)
@given(cases)
def test_headlines_agree_with_scikit_learn(answers: Answers) -> None:
    truth, predicted = answers.truth, answers.predicted
    present = np.unique(truth)
    found = measure(answers, resamples=2)
    assert found["top1"].value == pytest.approx(sk.accuracy_score(truth, predicted))
    assert found["error_rate"].value == pytest.approx(sk.zero_one_loss(truth, predicted))
    recalls = sk.recall_score(truth, predicted, labels=present, average="macro", zero_division=0)
    assert found["balanced_error"].value == pytest.approx(1 - recalls)
    f1 = sk.f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
    assert found["f1_macro"].value == pytest.approx(f1)
    loss = sk.log_loss(truth, answers.probabilities, labels=np.arange(answers.classes))
    assert found["log_loss"].value == pytest.approx(loss, rel=1e-4, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(cases)
def test_ranking_agrees_with_scikit_learn(answers: Answers) -> None:
    auc, ap = class_ranking(answers, _ones(answers))
    for k in range(answers.classes):
        positive, scores = answers.truth == k, answers.probabilities[:, k]
        if not positive.any():
            assert np.isnan(auc[0, k])
            assert np.isnan(ap[0, k])
            continue
        assert ap[0, k] == pytest.approx(sk.average_precision_score(positive, scores))
        if positive.all():
            assert np.isnan(auc[0, k])
        else:
            assert auc[0, k] == pytest.approx(sk.roc_auc_score(positive, scores))


@settings(deadline=None, max_examples=30)
@given(cases, st.integers(0, 100))
def test_weights_mean_repeated_images(answers: Answers, seed: int) -> None:
    repeats = np.random.default_rng(seed).integers(0, 4, answers.images)
    rows = np.repeat(np.arange(answers.images), repeats)
    weights = repeats[None, :].astype(np.float64)
    for k in range(answers.classes):
        positive, scores = answers.truth == k, answers.probabilities[:, k]
        if not positive[rows].any() or positive[rows].all():
            continue
        auc, ap = auc_and_ap(scores, positive, weights)
        assert auc[0] == pytest.approx(sk.roc_auc_score(positive[rows], scores[rows]))
        assert ap[0] == pytest.approx(sk.average_precision_score(positive[rows], scores[rows]))


def test_top5_agrees_with_scikit_learn_and_needs_six_classes() -> None:
    answers = _answers(1, 300, 12)
    expected = sk.top_k_accuracy_score(
        answers.truth, answers.probabilities, k=5, labels=np.arange(answers.classes)
    )
    assert measure(answers, resamples=2)["top5"].value == pytest.approx(expected)
    assert measure(_answers(1, 40, 6), resamples=2)["top5"].value is not None
    five = measure(_answers(1, 40, 5), resamples=2)["top5"]
    assert five.value is None
    assert five.reason
    assert five.low is None


def test_top1_is_the_first_of_the_top_k_even_with_ties() -> None:
    answers = _answers(3, 500, 8, coarse=True)
    assert np.array_equal(top_k_correct(answers, 1), answers.correct)


def test_curves_agree_with_scikit_learn() -> None:
    answers = _answers(5, 400, 3, coarse=True)
    positive, scores = answers.truth == 1, answers.probabilities[:, 1]
    curve = roc_curve(scores, positive)
    false, true, _ = sk.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.x, false)
    np.testing.assert_allclose(curve.y, true)

    curve = precision_recall_curve(scores, positive)
    precision, recall, _ = sk.precision_recall_curve(positive, scores)
    np.testing.assert_allclose(curve.x, recall[::-1])
    np.testing.assert_allclose(curve.y, precision[::-1])


def test_a_thinned_curve_keeps_its_ends_and_its_area() -> None:
    answers = _answers(7, 5_000, 2)
    whole = roc_curve(answers.probabilities[:, 1], answers.truth == 1)
    thin = whole.thinned(200)
    assert len(thin.x) <= 200
    assert (thin.x[0], thin.y[0]) == (0.0, 0.0)
    assert (thin.x[-1], thin.y[-1]) == (1.0, 1.0)
    assert sk.auc(thin.x, thin.y) == pytest.approx(sk.auc(whole.x, whole.y), abs=2e-3)


def test_reliability_agrees_with_scikit_learn() -> None:
    answers = _answers(11, 900, 4)
    bins = reliability(answers.confidence, answers.correct, _ones(answers))
    right, confidence = calibration_curve(answers.correct, answers.confidence, n_bins=15)
    filled = bins.images[0] > 0
    np.testing.assert_allclose(bins.accuracy[0][filled], right)
    np.testing.assert_allclose(bins.confidence[0][filled], confidence, rtol=1e-6)
    expected = np.sum(np.abs(right - confidence) * bins.images[0][filled]) / answers.images
    assert bins.error[0] == pytest.approx(expected)


def test_metrics_without_meaning_are_none_with_a_reason() -> None:
    one_class = Answers(np.zeros(4, dtype=np.int64), np.full((4, 7), 1 / 7, dtype=np.float32))
    found = measure(one_class, resamples=2)
    assert found["auc"].value is None
    assert found["auc"].reason
    nothing = measure(Answers(np.zeros(0, dtype=np.int64), np.zeros((0, 7), dtype=np.float32)))
    assert all(estimate.value is None and estimate.reason for estimate in nothing.values())
    assert set(nothing) == set(found)


def test_certain_and_wrong_costs_a_finite_loss() -> None:
    answers = Answers(np.array([0]), np.array([[0.0, 1.0]], dtype=np.float32))
    value = measure(answers, resamples=2)["log_loss"].value
    assert value == pytest.approx(-np.log(np.finfo(np.float32).eps))
