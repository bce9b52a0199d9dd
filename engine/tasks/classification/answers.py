"""From the network's output to answers: probabilities of classes. Pasted verbatim into predict.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.datasets.framing import Frame


def answers(
    outputs: Sequence[NDArray[np.float32]],
    frames: Sequence[Frame],
    classes: Sequence[str],
    settings: Mapping[str, Any],
    top: int,
) -> list[list[dict[str, Any]]]:
    """List label and score of the ``top`` likeliest classes (0: all) of each image, best first."""
    return [best(row, classes, top) for row in softmax(outputs[0])]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn logits (N, K) into probabilities (N, K)."""
    shifted = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    share: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return share.astype(np.float32)


def best(scores: NDArray[np.float32], classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    """List label and score of the ``top`` likeliest classes (0: all), best first; equals in class order."""
    order = np.argsort(-scores, kind="stable")[: top or len(classes)]
    return [{"label": classes[k], "score": float(scores[k])} for k in order]
