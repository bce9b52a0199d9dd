"""The yardstick of a run: what the probe's figures claim."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.evaluation.intervals import wilson_interval
from engine.tasks.classification.report import ClassificationExaminer
from engine.training.data import Data, Part
from engine.training.yardstick import Meter, measure_probe
from tests.unit.test_loop import CLASSES, part, setup


class Telling:
    """Features that name the class, so that the probe is right every time."""

    meter = Meter()

    def features(self, images: Part, record: Any, progress: Any) -> Any:
        targets = [sample.target for sample in images.samples]
        return np.eye(len(CLASSES), dtype=np.float32)[targets]


def test_a_probe_that_is_always_right_on_five_images_is_not_certain() -> None:
    data = Data(part(30), part(9), part(5), CLASSES, setup()[0].data.preprocessing)
    extractor: Any = Telling()
    examiner = ClassificationExaminer(CLASSES)
    found = measure_probe(extractor, data, "top1", examiner, lambda fraction: None).result
    assert found.value == 1.0
    assert (found.low, found.high) == wilson_interval(5, 5)
