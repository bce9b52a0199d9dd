"""All headline numbers of a classifier with one class per image, each with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.calibration import reliability
from engine.evaluation.confusion import Floats, Ints, class_counts, mean_where
from engine.evaluation.intervals import (
    RESAMPLES,
    bootstrap_weights,
    percentile_interval,
    wilson_interval,
)
from engine.evaluation.ranking import auc_and_ap

TOP_K = 5
_RANKING_BUDGET = 2_000_000_000
_FEWEST_RESAMPLES = 100


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval, and the reason when it has no meaning (value None)."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Answers:
    """Truth and probabilities of N images over K classes, and what each image alone says.

    ``truth`` (N,) holds class indices, ``probabilities`` (N, K) rows that add up to 1.
    """

    truth: Ints
    probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 2 or len(self.truth) != len(self.probabilities):
            raise ValueError(f"{self.truth.shape} answers for {self.probabilities.shape} probabilities")

    @property
    def images(self) -> int:
        """N."""
        return len(self.truth)

    @property
    def classes(self) -> int:
        """K."""
        return int(self.probabilities.shape[1])

    @cached_property
    def predicted(self) -> Ints:
        """The likeliest class (N,); the first of equals."""
        likeliest: Ints = self.probabilities.argmax(axis=1).astype(np.int64)
        return likeliest

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the likeliest class is the true one (N,)."""
        return np.equal(self.predicted, self.truth)

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the likeliest class (N,)."""
        highest: NDArray[np.float32] = self.probabilities.max(axis=1)
        return highest

    @cached_property
    def truth_rank(self) -> Ints:
        """Place of the true class by probability (N,), 0 is first; equals go by class order."""
        of_truth = self.probabilities[np.arange(self.images), self.truth][:, None]
        ahead = self.probabilities > of_truth
        level = self.probabilities == of_truth
        before = np.arange(self.classes)[None, :] < self.truth[:, None]
        rank: Ints = (ahead | (level & before)).sum(axis=1).astype(np.int64)
        return rank

    @cached_property
    def surprise(self) -> Floats:
        """Negative log of the true class's probability (N,), in nats; clipped at float32's epsilon."""
        epsilon = float(np.finfo(np.float32).eps)
        of_truth = self.probabilities[np.arange(self.images), self.truth].astype(np.float64)
        return -np.log(np.clip(of_truth, epsilon, 1 - epsilon))


def top_k_correct(answers: Answers, k: int) -> NDArray[np.bool_]:
    """Whether the true class is among the ``k`` likeliest (N,)."""
    return answers.truth_rank < k


def class_ranking(answers: Answers, weights: Floats) -> tuple[Floats, Floats]:
    """AUC and AP of each class against the rest, weights (B, N) -> two (B, K); NaN without meaning."""
    pairs = [
        auc_and_ap(answers.probabilities[:, k], answers.truth == k, weights) for k in range(answers.classes)
    ]
    return np.stack([auc for auc, _ in pairs], axis=1), np.stack([ap for _, ap in pairs], axis=1)


def _image_metrics(answers: Answers, weights: Floats) -> dict[str, Floats]:
    """Everything but the ranking metrics: name -> (B,)."""
    total = weights.sum(axis=1)
    counts = class_counts(answers.truth, answers.predicted, answers.classes, weights)
    top1 = weights @ answers.correct / total
    return {
        "top1": top1,
        "error_rate": 1 - top1,
        "top5": weights @ top_k_correct(answers, TOP_K) / total,
        "log_loss": weights @ answers.surprise / total,
        "balanced_error": counts.balanced_error,
        "f1_macro": counts.f1_macro,
        "ece": reliability(answers.confidence, answers.correct, weights).error,
    }


def _ranking_metrics(answers: Answers, weights: Floats) -> dict[str, Floats]:
    """AUC and AP, mean over the classes present: name -> (B,)."""
    auc, ap = class_ranking(answers, weights)
    return {"auc": mean_where(auc, ~np.isnan(auc)), "ap": mean_where(ap, ~np.isnan(ap))}


def measure(answers: Answers, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Estimate]:
    """Measure every headline metric of classification, by its published name.

    Macro means are over the classes present. Metrics without meaning are None with their reason.
    Ranking metrics of very large sets are resampled less often, to stay within about a minute.
    """
    if answers.images == 0:
        names = ("top1", "error_rate", "top5", "log_loss", "balanced_error", "f1_macro", "ece", "auc", "ap")
        return dict.fromkeys(names, Estimate(None, reason="There are no images to measure on."))
    affordable = _RANKING_BUDGET // (answers.images * answers.classes)
    fewer = max(_FEWEST_RESAMPLES, min(resamples, affordable))
    estimates = _estimate(answers, _image_metrics, resamples, seed)
    estimates |= _estimate(answers, _ranking_metrics, fewer, seed)
    estimates |= _shares_at_the_end(answers, estimates)
    if answers.classes <= TOP_K:
        reason = f"With {answers.classes} classes the true one is always among the first five."
        estimates["top5"] = Estimate(None, reason=reason)
    return estimates


def _estimate(
    answers: Answers,
    metrics: Callable[[Answers, Floats], dict[str, Floats]],
    resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """Values with all weights one, intervals with bootstrap weights, by the same function."""
    values = metrics(answers, np.ones((1, answers.images)))
    blocks = [metrics(answers, weights) for weights in bootstrap_weights(answers.images, resamples, seed)]
    estimates = {}
    for name, value in values.items():
        if np.isnan(value[0]):
            estimates[name] = Estimate(None, reason="All images are of one class; there is no rest to rank.")
            continue
        interval = percentile_interval(np.concatenate([block[name] for block in blocks]))
        low, high = interval if interval is not None else (None, None)
        estimates[name] = Estimate(float(value[0]), low, high)
    return estimates


def _shares_at_the_end(answers: Answers, estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    """Give plain shares that are exactly 0 or 1 an interval, which the bootstrap cannot."""
    hits = {
        "top1": answers.correct,
        "error_rate": ~answers.correct,
        "top5": top_k_correct(answers, TOP_K),
    }
    return {
        name: Estimate(estimates[name].value, *wilson_interval(int(hit.sum()), answers.images))
        for name, hit in hits.items()
        if int(hit.sum()) in (0, answers.images)
    }
