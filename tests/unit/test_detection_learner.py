"""The torch side of detection: targets that move with their pictures, a step, located predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.contracts.datasets import LabelItem
from engine.datasets.framing import Frame
from engine.datasets.preprocessing import Preprocessing
from engine.evaluation.boxes import Detections, Objects
from engine.models.backbones import create
from engine.models.detectors.grid import GridDetector
from engine.models.pyramid import FeaturePyramid
from engine.tasks.base import Batch, Sample
from engine.tasks.detection.learner import DetectionLearner
from engine.tasks.detection.network import DetectionNetwork
from engine.tasks.detection.spec import DetectionConfig
from engine.tasks.detection.targets import BoxTargets

RECORD = Preprocessing(64, 96, resize="pad")
CLASSES = ("cat", "dog")


def sample(*boxes: tuple[float, float, float, float], ignored: int = 0) -> Sample:
    found = Objects(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.arange(len(boxes), dtype=np.int64) % 2,
        np.arange(len(boxes)) < ignored,
    )
    return Sample("i", "s", "a.png", found, width=192, height=96)


def learner() -> DetectionLearner:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = GridDetector(FeaturePyramid(create("test_resnet", 0, {}), size=(64, 96)), 2, 16)
    return DetectionLearner(model, DetectionConfig(), CLASSES, [], RECORD)


def test_labels_become_objects_and_void_is_ignored() -> None:
    labels = [
        LabelItem(id="1", class_id="d", box=(1, 2, 3, 4)),
        LabelItem(id="2", class_id="", box=(5, 6, 7, 8), ignored=True),
        LabelItem(id="3", class_id="c"),
    ]
    found = DetectionLearner.target(labels, {"c": 0, "d": 1})
    assert found.classes.tolist() == [1, -1] and found.ignored.tolist() == [False, True]
    assert len(DetectionLearner.target([], {})) == 0


def test_boxes_move_with_their_pictures_and_keep_their_classes() -> None:
    targets = BoxTargets.of([sample((0, 0, 40, 40), (150, 40, 190, 90))], RECORD, torch.device("cpu"))
    whole = targets.batch(np.array([0]), None)[0]
    expected = Frame.of(192, 96, RECORD).to_input(np.array([[0, 0, 40, 40], [150, 40, 190, 90]], np.float32))
    np.testing.assert_allclose(whole["boxes"], expected)
    shift = torch.eye(3)[None].clone()
    shift[0, 0, 2] = -40.0  # the first leaves the picture
    moved = targets.batch(np.array([0]), shift)[0]
    assert moved["classes"].tolist() == [1] and len(moved["boxes"]) == len(moved["ignored"]) == 1
    np.testing.assert_allclose(moved["boxes"][0], expected[1] - [40, 0, 40, 0], atol=1e-4)


@pytest.mark.parametrize("boxes", [(), ((10.0, 10.0, 60.0, 60.0), (80.0, 20.0, 160.0, 90.0))])
def test_a_step_has_a_finite_loss_and_named_parts(boxes: Any) -> None:
    made = learner()
    targets = made.targets([sample(*boxes), sample(*boxes, ignored=1)], torch.device("cpu"))
    index = np.array([0, 1])
    output = made.step(Batch(torch.randn(2, 3, 64, 96), targets.batch(index, None), torch.from_numpy(index)))
    output.loss.backward()  # type: ignore[no-untyped-call]
    assert output.loss.isfinite() and set(output.parts) == {"class", "box"}
    parts = sum(float(part) for part in output.parts.values())
    assert float(output.loss.detach()) == pytest.approx(parts, rel=1e-5)


def test_predictions_are_located_in_the_picture_and_measured() -> None:
    made, one = learner(), sample((40, 20, 120, 80))
    made.model.eval()
    raw = made.predict(torch.randn(2, 3, 64, 96))
    assert all(isinstance(found, Detections) and len(found) <= 100 for found in raw)
    frame = Frame.of(192, 96, RECORD)
    perfect = Detections(
        frame.to_input(one.target.boxes), np.array([0.9], np.float32), np.zeros(1, np.int64)
    )
    located = made.locate(perfect, one)
    np.testing.assert_allclose(located.boxes, one.target.boxes, atol=1e-3)
    assert made.evaluate([located], [one])["map50_95"] == pytest.approx(1.0)
    assert made.live(located, one).tone == "good"
    assert (made.main_class(one), made.main_class(sample())) == (0, -1)


def test_a_network_comes_back_from_its_facts() -> None:
    facts = {"family": "grid", "width": 16, "strides": [8, 16, 32], "size": [64, 96]}
    first = DetectionNetwork.restore("test_resnet", {}, facts, 2).eval()
    again = DetectionNetwork.restore("test_resnet", {}, facts, 2).eval()
    again.load_state_dict(first.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        for ours, theirs in zip(first(images), again(images), strict=True):
            torch.testing.assert_close(ours, theirs)
