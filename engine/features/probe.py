"""The linear probe: logistic regression or a linear SVM on standardised features, chosen on validation.

Kornblith et al., "Do Better ImageNet Models Transfer Better?" (2019), use the same yardstick. The
standardisation and a temperature are folded into weight and bias, so the result is an ordinary linear
layer whose softmax gives usable probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def squared_hinge(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean over images of the squared hinge losses, one class against the rest.

    ``logits`` (N, K), ``targets`` (N,) int64. It is the loss of LIBLINEAR (Fan et al., 2008).
    """
    signs = 2 * functional.one_hot(targets, logits.shape[1]) - 1
    return (1 - signs * logits).relu().square().sum(dim=1).mean()


@dataclass(frozen=True)
class Family:
    """A kind of linear classifier, and the values of C that are tried.

    As in scikit-learn, C multiplies the sum of the losses.
    """

    title: str
    loss: Loss
    strengths: tuple[float, ...]


LOGISTIC = Family("logistic regression", functional.cross_entropy, (0.0001, 0.001, 0.01, 0.1, 1.0))
SVM = Family("linear SVM", squared_hinge, (0.0001, 0.001, 0.01))
FAMILIES = (LOGISTIC, SVM)


@dataclass(frozen=True)
class Probe:
    """A linear layer on raw features: weight (K, D), bias (K,), both float32."""

    weight: torch.Tensor
    bias: torch.Tensor
    family: Family
    strength: float
    val_accuracy: float = 0.0

    @property
    def classifier(self) -> str:
        """What it is, in words."""
        return f"{self.family.title}, C={self.strength:g}"

    def logits(self, features: NDArray[np.float32]) -> torch.Tensor:
        """Return (N, K) logits of (N, D) features."""
        return torch.from_numpy(features) @ self.weight.T + self.bias

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (N, K) float32 probabilities of (N, D) features."""
        return self.logits(features).softmax(dim=1).numpy()

    def scaled(self, factor: float) -> Probe:
        """Return the probe with its logits multiplied by ``factor``; its answers stay the same."""
        return replace(self, weight=self.weight * factor, bias=self.bias * factor)


def fit_probe(
    train: NDArray[np.float32],
    train_targets: NDArray[np.int64],
    val: NDArray[np.float32],
    val_targets: NDArray[np.int64],
    classes: int,
    families: Sequence[Family] = FAMILIES,
) -> Probe:
    """Fit one probe per family and C on ``train`` (N, D) and keep the one that is best on ``val``.

    The first of equals wins: logistic regression before the SVM, and the more strongly regularised one.
    Without validation images it is logistic regression with the middle C, as it came out.
    """
    mean, std = train.mean(axis=0), train.std(axis=0)
    # Features that do not vary carry nothing; dividing by their rounding noise would blow it up.
    scale = np.where(std > 1e-6 * max(float(std.max(initial=0.0)), 1e-12), std, np.inf)
    inputs, targets = torch.from_numpy((train - mean) / scale), torch.from_numpy(train_targets)
    if not len(val):
        strengths = families[0].strengths
        families = (replace(families[0], strengths=(strengths[len(strengths) // 2],)),)
    found: list[Probe] = []
    for family in families:
        layer = torch.zeros(classes, train.shape[1] + 1)
        for strength in family.strengths:
            layer = fit_layer(inputs, targets, strength, layer, family.loss)
            weight = layer[:, :-1] / torch.from_numpy(scale)
            bias = layer[:, -1] - weight @ torch.from_numpy(mean)
            probe = Probe(weight, bias, family, strength)
            found.append(replace(probe, val_accuracy=_accuracy(probe, val, val_targets)))
    best = max(found, key=lambda probe: probe.val_accuracy)
    return best.scaled(fit_scale(best.logits(val), torch.from_numpy(val_targets))) if len(val) else best


def fit_layer(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    strength: float,
    start: torch.Tensor,
    loss: Loss,
    *,
    tolerance: float = 1e-4,
    iterations: int = 100,
) -> torch.Tensor:
    """Minimise ``loss`` + ||W||^2 / (2 C N) by L-BFGS from ``start`` (K, D + 1); the bias is free.

    ``inputs`` (N, D), ``targets`` (N,) int64; returns (K, D + 1), the last column is the bias.
    ``tolerance`` bounds the largest entry of the gradient, as in scikit-learn.
    """
    parameters = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=iterations,
        tolerance_grad=tolerance,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )
    penalty = 1.0 / (2 * strength * max(len(inputs), 1))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = inputs @ parameters[:, :-1].T + parameters[:, -1]
        value = loss(logits, targets) + penalty * parameters[:, :-1].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return parameters.detach()


def fit_scale(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the factor on (N, K) ``logits`` that gives the least log loss: one over the temperature.

    Guo et al., "On Calibration of Modern Neural Networks" (2017). The targets are smoothed as by Platt
    (1999), so that a few images that are all right do not call for boundless confidence.
    """
    count, classes = logits.shape
    smoothing = classes / (count + classes)

    def loss(exponent: float) -> float:
        scaled = logits * math.exp(exponent)
        return float(functional.cross_entropy(scaled, targets, label_smoothing=smoothing))

    return math.exp(float(minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded").x))


def _accuracy(probe: Probe, features: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    if not len(features):
        return 0.0
    return float((probe.probabilities(features).argmax(axis=1) == targets).mean())
