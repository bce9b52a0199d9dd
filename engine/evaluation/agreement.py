"""Whether two ways to run the same model give the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
NEAR_TIE = 2e-3
"""Where the reference's two best classes are nearer than this, either may come first."""


@dataclass(frozen=True)
class Agreement:
    """Two sets of answers compared on the same images.

    ``same``: images whose answers are the same within what the task allows; ``excused``: those whose answers
    differ where the reference itself is undecided. ``largest`` and ``mean`` are differences of scores.
    """

    images: int
    same_class: int
    near_ties: int
    largest_difference: float
    mean_difference: float
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Same answers everywhere but at near ties, and no score off by more than the tolerance."""
        return self.same_class + self.near_ties == self.images and self.largest_difference <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with the bounds that were asked for."""
        return {**asdict(self), "near_tie": NEAR_TIE, "holds": self.holds}


def compare_scores(reference: NDArray[np.float32], other: NDArray[np.float32]) -> Agreement:
    """Compare probabilities (N, K); ``near_ties`` counts the other classes that a near tie excuses.

    Raises ``ValueError`` when the shapes differ or a number is not finite.
    """
    if reference.shape != other.shape or not (np.isfinite(reference).all() and np.isfinite(other).all()):
        raise ValueError(f"{other.shape} for {reference.shape}")
    difference = np.abs(reference.astype(np.float64) - other)
    same = reference.argmax(axis=1) == other.argmax(axis=1)
    top_two = np.sort(reference, axis=1)[:, -2:]
    near = top_two[:, 1] - top_two[:, 0] < NEAR_TIE
    return Agreement(
        images=len(reference),
        same_class=int(same.sum()),
        near_ties=int((~same & near).sum()),
        largest_difference=float(difference.max(initial=0.0)),
        mean_difference=float(difference.mean()) if difference.size else 0.0,
    )


def scores_of(answers: Sequence[Sequence[Mapping[str, Any]]], classes: Sequence[str]) -> NDArray[np.float32]:
    """Return answers that name each class once as scores (N, K); NaN where a class was not named."""
    column = {name: k for k, name in enumerate(classes)}
    scores = np.full((len(answers), len(classes)), np.nan, dtype=np.float32)
    for row, said in enumerate(answers):
        for answer in said:
            scores[row, column[answer["label"]]] = answer["score"]
    return scores
