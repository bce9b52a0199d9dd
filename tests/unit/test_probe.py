"""The linear probe against scikit-learn, and as a plain linear layer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch.nn import functional

from engine.features.embeddings import cached_features, features_key
from engine.features.probe import LOGISTIC, SVM, Family, fit_layer, fit_probe, fit_scale, squared_hinge


def blobs(count: int, seed: int, spread: float = 2.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (4, 20))
    targets = generator.integers(0, 4, count)
    features = centres[targets] + generator.normal(0, spread, (count, 20))
    return (features * np.linspace(0.01, 50, 20) + 7).astype(np.float32), targets


@pytest.mark.parametrize("strength", [0.001, 0.1, 1.0])
def test_it_finds_the_minimum_that_scikit_learn_finds(strength: float) -> None:
    features, targets = blobs(200, 1)
    inputs = (features - features.mean(0)) / features.std(0)
    oracle = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(inputs, targets)
    start = torch.zeros(4, 21)
    found = fit_layer(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        strength,
        start,
        functional.cross_entropy,
        tolerance=1e-6,
        iterations=500,
    )
    # The weights are unique; the biases only up to a common shift.
    np.testing.assert_allclose(found[:, :-1].numpy(), oracle.coef_, atol=2e-3)
    bias = found[:, -1].numpy()
    np.testing.assert_allclose(bias - bias.mean(), oracle.intercept_ - oracle.intercept_.mean(), atol=2e-3)


@pytest.mark.parametrize("strength", [0.0001, 0.01])
def test_the_svm_decides_as_scikit_learns(strength: float) -> None:
    features, targets = blobs(300, 1)
    inputs = (features - features.mean(0)) / features.std(0)
    # LIBLINEAR also regularises the bias, less so with a larger intercept_scaling.
    oracle = LinearSVC(C=strength, intercept_scaling=100, tol=1e-8, max_iter=200_000).fit(inputs, targets)
    found = fit_layer(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        strength,
        torch.zeros(4, 21),
        squared_hinge,
        tolerance=1e-6,
        iterations=500,
    ).numpy()
    np.testing.assert_allclose(found[:, :-1], oracle.coef_, atol=2e-3)
    np.testing.assert_allclose(found[:, -1], oracle.intercept_, atol=5e-3)
    test, truth = blobs(1000, 2)
    inputs = (test - features.mean(0)) / features.std(0)
    answers = (inputs @ found[:, :-1].T + found[:, -1]).argmax(1)
    assert (answers == oracle.predict(inputs)).mean() > 0.99
    assert (answers == truth).mean() == pytest.approx(oracle.score(inputs, truth), abs=0.01)


def only(family: Family, strength: float) -> tuple[Family]:
    return (replace(family, strengths=(strength,)),)


def test_standardisation_and_temperature_are_folded_into_the_layer() -> None:
    train, val, test = blobs(300, 1), blobs(100, 2), blobs(300, 3)
    probe = fit_probe(*train, *val, 4, only(LOGISTIC, 0.01))
    mean, std = train[0].mean(0), train[0].std(0)
    oracle = LogisticRegression(C=0.01, tol=1e-8, max_iter=5000).fit((train[0] - mean) / std, train[1])
    logits = oracle.decision_function((val[0] - mean) / std)
    factor = fit_scale(torch.from_numpy(logits), torch.from_numpy(val[1]))
    expected = softmax(factor * oracle.decision_function((test[0] - mean) / std), axis=1)
    np.testing.assert_allclose(probe.probabilities(test[0]), expected, atol=3e-3)
    layer = torch.nn.Linear(20, 4)
    layer.load_state_dict({"weight": probe.weight, "bias": probe.bias})
    np.testing.assert_allclose(
        layer(torch.from_numpy(test[0])).softmax(1).detach().numpy(),
        probe.probabilities(test[0]),
        atol=1e-6,
    )


def test_validation_chooses_the_strength() -> None:
    train, val = blobs(40, 1, spread=4.0), blobs(400, 2, spread=4.0)
    probe = fit_probe(*train, *val, 4)
    for strength in (0.0001, 0.001, 0.01, 0.1, 1.0):
        single = fit_probe(*train, *val, 4, only(LOGISTIC, strength))
        assert single.val_accuracy <= probe.val_accuracy + 0.005
    assert f"C={probe.strength:g}" in probe.classifier


def test_between_equals_it_is_logistic_regression_and_the_svm_where_it_is_better() -> None:
    train, val = blobs(60, 1, spread=0.01), blobs(30, 2, spread=0.01)
    assert fit_probe(*train, *val, 4, (SVM,)).val_accuracy == 1
    assert fit_probe(*train, *val, 4).classifier.startswith("logistic regression")
    train, val = blobs(60, 16, spread=3.0), blobs(400, 2, spread=3.0)
    logistic, svm = fit_probe(*train, *val, 4, (LOGISTIC,)), fit_probe(*train, *val, 4, (SVM,))
    assert svm.val_accuracy > logistic.val_accuracy + 0.005
    assert fit_probe(*train, *val, 4).classifier.startswith("linear SVM")


def test_an_svm_gives_usable_probabilities() -> None:
    train, val, (features, truth) = blobs(300, 1), blobs(300, 2), blobs(2000, 3)
    found = {family.title: fit_probe(*train, *val, 4, (family,)) for family in (LOGISTIC, SVM)}
    losses = {
        title: float(functional.cross_entropy(probe.logits(features), torch.from_numpy(truth)))
        for title, probe in found.items()
    }
    assert losses["linear SVM"] == pytest.approx(losses["logistic regression"], rel=0.1)
    raw = found["linear SVM"].scaled(4.0)
    assert float(functional.cross_entropy(raw.logits(features), torch.from_numpy(truth))) > 1.2 * max(
        losses.values()
    )


def test_the_temperature_finds_itself_again_and_stays_finite_on_few_images() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (20_000, 3))
    drawn = (logits + generator.gumbel(size=logits.shape)).argmax(1)
    found = fit_scale(torch.from_numpy(logits / 5), torch.from_numpy(drawn))
    assert found == pytest.approx(5, rel=0.05)
    right = torch.tensor([[3.0, 0.0], [0.0, 3.0], [3.0, 0.0]])
    certain = torch.softmax(right * fit_scale(right, torch.tensor([0, 1, 0])), dim=1)
    # Platt: three of three right count as four of five.
    assert float(certain.max()) == pytest.approx(4 / 5, abs=1e-3)


def test_without_validation_images_nothing_is_chosen_or_scaled() -> None:
    features, targets = blobs(100, 1)
    probe = fit_probe(features, targets, features[:0], targets[:0], 4)
    assert probe.classifier == "logistic regression, C=0.01"


def test_features_that_never_vary_do_no_harm() -> None:
    features, targets = blobs(100, 1)
    features[:, 3] = 5.0
    features[:, 4] = 0.0
    probe = fit_probe(features, targets, features, targets, 4)
    assert np.isfinite(probe.probabilities(features)).all()
    assert (probe.weight[:, 3:5] == 0).all()


def test_features_are_computed_once(tmp_path: Path) -> None:
    calls: list[list[int]] = []

    def compute(positions: NDArray[np.intp]) -> NDArray[np.float32]:
        calls.append(positions.tolist())
        return np.array([[position, position + 0.5] for position in positions], np.float32)

    first = cached_features(tmp_path, ["a", "b", "c"], compute)
    again = cached_features(tmp_path, ["c", "a"], compute)
    assert calls == [[0, 1, 2]]
    np.testing.assert_array_equal(again, first[[2, 0]])
    cached_features(tmp_path, ["b", "d"], compute)
    assert calls[1:] == [[1]]


def test_a_shard_without_its_list_does_not_count(tmp_path: Path) -> None:
    cached_features(tmp_path, ["a"], lambda positions: np.ones((len(positions), 2), np.float32))
    index = next(tmp_path.glob("*.json"))
    assert json.loads(index.read_text()) == ["a"]
    index.unlink()
    again = cached_features(tmp_path, ["a"], lambda positions: np.zeros((len(positions), 2), np.float32))
    assert (again == 0).all()


def test_everything_that_changes_a_feature_changes_the_key() -> None:
    base = ["a", "b", "c"]
    changed = [[*base[:place], "x", *base[place + 1 :]] for place in range(3)]
    assert len({features_key(*parts) for parts in [base, *changed]}) == 4
