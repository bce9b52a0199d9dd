"""What classification is, without torch: parameters, metrics, presets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.contracts.training import TrainingConfig
from engine.tasks.base import MetricSpec, TaskSpec


class ClassificationConfig(TrainingConfig):
    """The settings of a classification run."""

    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        title="Label smoothing",
        description="Share of the target that is spread over the other classes.",
        json_schema_extra={"group": "Regularisation"},
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        title="Class weights",
        description="'balanced' weighs rare classes up, so that all classes count the same.",
        json_schema_extra={"group": "Regularisation"},
    )


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "time_budget": 40.0,
        "pretrained": {
            "backbone": "mobilenetv3_large_100",
            "image_size": 160,
            "strategy": "probe",
            "max_epochs": 50,
        },
        "bundled": {"image_size": 160, "strategy": "probe", "max_epochs": 50},
        "random": {"backbone": "resnet10t", "image_size": 64, "strategy": "full", "max_epochs": 60},
    },
    "balanced": {
        "time_budget": 600.0,
        "pretrained": {
            "backbone": "mobilenetv2_100",
            "image_size": 192,
            "strategy": "full",
            "max_epochs": 50,
        },
        "bundled": {"image_size": 160, "strategy": "full", "max_epochs": 100},
        "random": {"backbone": "resnet10t", "image_size": 128, "strategy": "full", "max_epochs": 200},
    },
    "best": {
        "time_budget": 3600.0,
        "pretrained": {
            "backbone": "convnext_tiny",
            "image_size": 224,
            "strategy": "full",
            "max_epochs": 60,
        },
        "bundled": {"image_size": 192, "strategy": "full", "max_epochs": 150},
        "random": {"backbone": "resnet18", "image_size": 160, "strategy": "full", "max_epochs": 300},
    },
}
"""What "auto" means: with pre-trained weights, with those that Lensmith ships, and from random numbers
(smaller nets that learn faster).

``time_budget`` in s, ``image_size`` in px. ``max_epochs`` bounds what a time budget may turn into.
"""


SPEC = TaskSpec(
    name="classification",
    title="Image classification",
    labels="one class per image",
    label_kind="class",
    config=ClassificationConfig,
    metrics=(
        MetricSpec("top1", "Right answers (top-1)"),
        MetricSpec("balanced_error", "Mean error per class (BER)", higher_is_better=False),
        MetricSpec("error_rate", "Error rate", higher_is_better=False),
        MetricSpec("top5", "Right among the first five (top-5)"),
        MetricSpec("f1_macro", "F1, mean over classes"),
        MetricSpec("auc", "ROC AUC, mean over classes"),
        MetricSpec("ap", "Average precision, mean over classes"),
        MetricSpec("log_loss", "Log loss", higher_is_better=False, unit="nats"),
        MetricSpec("ece", "Calibration error (ECE)", higher_is_better=False),
    ),
    monitor="top1",
    presets=PRESETS,
    network="engine.tasks.classification.network:ClassificationNetwork",
    learner="engine.tasks.classification.learner:ClassificationLearner",
    examiner="engine.tasks.classification.report:ClassificationExaminer",
    answers=("engine.tasks.classification.answers",),
    linear_probe=True,
)
