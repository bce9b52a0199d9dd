"""Records about predictions; the JSON of ``lensmith predict``."""

from __future__ import annotations

from engine.contracts.base import Record


class Prediction(Record):
    """One answer for one image: box in px of the upright image, mask as COCO RLE."""

    label: str
    score: float
    box: tuple[float, float, float, float] | None = None
    mask: dict[str, object] | None = None
    keypoints: tuple[tuple[float, float, float], ...] | None = None


class FilePrediction(Record):
    """All answers for one file, best first; ``error`` says why there are none.

    ``preview`` is the picture as the model was given it, as a data address of a small JPEG; only there when
    it was asked for.
    """

    file: str
    predictions: tuple[Prediction, ...] = ()
    milliseconds: float | None = None
    error: str = ""
    preview: str | None = None
