"""Intervals against other ways to get them: scipy's bootstrap, the normal, scipy's Wilson."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from engine.evaluation.classification import Answers, measure
from engine.evaluation.intervals import (
    bootstrap_weights,
    paired_difference,
    percentile_interval,
    share_interval,
    wilson_interval,
)


@pytest.fixture(scope="module")
def answers() -> Answers:
    generator = np.random.default_rng(4)
    truth = generator.integers(0, 6, 400)
    logits = generator.normal(size=(400, 6))
    logits[np.arange(400), truth] += 2
    scores = np.exp(logits)
    return Answers(truth, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32))


def test_weights_draw_each_resample_whole_in_blocks() -> None:
    blocks = list(bootstrap_weights(50_000, resamples=100, seed=1))
    assert len(blocks) > 1
    weights = np.concatenate(blocks)
    assert weights.shape == (100, 50_000)
    assert (weights.sum(axis=1) == 50_000).all()
    assert weights.var() == pytest.approx(1.0, abs=0.01)


def test_top1_interval_agrees_with_the_normal(answers: Answers) -> None:
    found = measure(answers)["top1"]
    share = answers.correct.mean()
    spread = 1.96 * np.sqrt(share * (1 - share) / answers.images)
    assert found.low == pytest.approx(share - spread, abs=0.006)
    assert found.high == pytest.approx(share + spread, abs=0.006)


@pytest.mark.parametrize(
    ("name", "statistic"),
    [
        ("log_loss", lambda truth, scores: sk.log_loss(truth, scores, labels=np.arange(6))),
        ("auc", lambda truth, scores: sk.roc_auc_score(truth, scores, multi_class="ovr")),
        (
            "f1_macro",
            lambda truth, scores: sk.f1_score(truth, scores.argmax(axis=1), average="macro"),
        ),
    ],
)
def test_interval_agrees_with_an_independent_bootstrap(answers: Answers, name: str, statistic) -> None:
    generator = np.random.default_rng(99)
    drawn = []
    for _ in range(400):
        rows = generator.integers(0, answers.images, answers.images)
        scores = answers.probabilities[rows].astype(np.float64)
        scores /= scores.sum(axis=1, keepdims=True)
        drawn.append(statistic(answers.truth[rows], scores))
    low, high = np.quantile(drawn, [0.025, 0.975])
    found = measure(answers)[name]
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.low == pytest.approx(low, abs=0.12 * (high - low))
    assert found.high == pytest.approx(high, abs=0.12 * (high - low))


def test_the_same_seed_gives_the_same_interval(answers: Answers) -> None:
    assert measure(answers, seed=3, resamples=50) == measure(answers, seed=3, resamples=50)
    assert measure(answers, seed=3, resamples=50) != measure(answers, seed=4, resamples=50)


@pytest.mark.parametrize(("hits", "total"), [(0, 12), (12, 12), (7, 12), (380, 400)])
def test_wilson_agrees_with_scipy(hits: int, total: int) -> None:
    expected = stats.binomtest(hits, total).proportion_ci(method="wilson")
    assert wilson_interval(hits, total) == pytest.approx((expected.low, expected.high))


def test_a_flawless_model_is_not_certain() -> None:
    perfect = Answers(np.arange(40) % 4, np.eye(4, dtype=np.float32)[np.arange(40) % 4])
    found = measure(perfect)
    assert found["top1"].value == 1.0
    assert found["top1"].low == pytest.approx(wilson_interval(40, 40)[0])
    assert found["error_rate"].high == pytest.approx(1 - found["top1"].low)
    assert found["balanced_error"].low is None  # nothing varies, so nothing is claimed


def test_percentiles_leave_unknown_resamples_out() -> None:
    assert percentile_interval(np.array([np.nan, np.nan])) is None
    low, high = percentile_interval(np.append(np.linspace(0, 1, 1001), np.nan))
    assert (low, high) == pytest.approx((0.025, 0.975))


def test_paired_difference_agrees_with_scipy() -> None:
    generator = np.random.default_rng(8)
    a = generator.random(500) < 0.7
    b = np.where(generator.random(500) < 0.8, a, generator.random(500) < 0.9)
    value, low, high = paired_difference(a, b, seed=1)
    gain = b.astype(float) - a.astype(float)
    assert value == pytest.approx(gain.mean())
    expected = stats.bootstrap(
        (gain,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert low == pytest.approx(expected.low, abs=0.006)
    assert high == pytest.approx(expected.high, abs=0.006)


def test_paired_difference_is_narrower_than_two_intervals_and_signed() -> None:
    a = np.arange(200) % 5 != 0
    b = a.copy()
    b[:10:5] = True
    value, low, high = paired_difference(a, b)
    assert value == pytest.approx(2 / 200)
    assert high - low < 0.05
    assert paired_difference(b, a)[0] == pytest.approx(-value)


@pytest.mark.parametrize("images", [5, 200])
def test_no_difference_among_few_images_proves_little(images: int) -> None:
    right = np.arange(images) % 5 != 0
    value, low, high = paired_difference(right, right)
    others = wilson_interval(0, images)[1]
    assert (value, low, high) == (0.0, pytest.approx(-others), pytest.approx(others))
    all_won = paired_difference(np.zeros(images, dtype=bool), np.ones(images, dtype=bool))
    assert all_won == (1.0, pytest.approx(1 - 2 * others), 1.0)


@pytest.mark.parametrize(("hits", "total"), [(0, 5), (5, 5)])
def test_a_share_of_all_or_none_has_wilsons_interval(hits: int, total: int) -> None:
    assert share_interval(np.arange(total) < hits) == wilson_interval(hits, total)


def test_a_share_agrees_with_the_reports_bootstrap(answers: Answers) -> None:
    expected = measure(answers)["top1"]
    assert share_interval(answers.correct) == pytest.approx((expected.low, expected.high), abs=0.006)


def test_paired_difference_refuses_other_images() -> None:
    with pytest.raises(ValueError, match="one length"):
        paired_difference(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
