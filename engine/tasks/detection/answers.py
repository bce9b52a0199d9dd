"""From a detector's outputs to boxes in px of the picture. Pasted verbatim into predict.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.datasets.framing import Frame
from engine.models.detectors.decode import decode


def answers(
    outputs: Sequence[NDArray[np.float32]],
    frames: Sequence[Frame],
    classes: Sequence[str],
    settings: Mapping[str, Any],
    top: int,
) -> list[list[dict[str, Any]]]:
    """List label, score and box (x1, y1, x2, y2) of the ``top`` surest objects (0: all), the surest first."""
    size = (int(settings["size"][0]), int(settings["size"][1]))
    asked = {name: settings[name] for name in ("strides", "floor", "iou", "most") if name in settings}
    found = decode(outputs[0], outputs[1], size, asked)
    return [
        [
            {"label": classes[k], "score": float(score), "box": [float(side) for side in box]}
            for box, score, k in zip(frame.to_picture(boxes), scores, numbers, strict=True)
        ][: top or None]
        for frame, (boxes, scores, numbers) in zip(frames, found, strict=True)
    ]
