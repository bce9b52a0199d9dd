"""What detection is, without torch: parameters, metrics, presets.

Its network, learner, examiner and answers are there and not named yet: the screens do not show boxes of a
model, so training says that it is not there yet.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.contracts.training import TrainingConfig
from engine.tasks.base import MetricSpec, TaskSpec


class DetectionConfig(TrainingConfig):
    """The settings of a detection run."""

    family: Literal["grid"] = Field(
        "grid",
        title="Detector",
        description="grid: a light one-stage detector, the quickest on a CPU.",
        json_schema_extra={"group": "Model", "basic": True},
    )


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "time_budget": 120.0,
        "pretrained": {
            "backbone": "mobilenetv3_large_100",
            "image_size": 256,
            "strategy": "full",
            "max_epochs": 60,
        },
        "bundled": {"image_size": 256, "strategy": "full", "max_epochs": 60},
        "random": {
            "backbone": "mobilenetv3_small_100",
            "image_size": 192,
            "strategy": "full",
            "max_epochs": 80,
        },
    },
    "balanced": {
        "time_budget": 600.0,
        "pretrained": {
            "backbone": "mobilenetv3_large_100",
            "image_size": 320,
            "strategy": "full",
            "max_epochs": 150,
        },
        "bundled": {"image_size": 320, "strategy": "full", "max_epochs": 150},
        "random": {
            "backbone": "mobilenetv3_large_100",
            "image_size": 320,
            "strategy": "full",
            "max_epochs": 200,
        },
    },
    "best": {
        "time_budget": 3600.0,
        "pretrained": {
            "backbone": "convnext_tiny",
            "image_size": 512,
            "strategy": "full",
            "max_epochs": 150,
        },
        "bundled": {"image_size": 512, "strategy": "full", "max_epochs": 300},
        "random": {"backbone": "resnet18", "image_size": 512, "strategy": "full", "max_epochs": 300},
    },
}

SPEC = TaskSpec(
    name="detection",
    title="Object detection",
    labels="a class and a box for each object",
    label_kind="boxes",
    config=DetectionConfig,
    metrics=(
        MetricSpec("map50_95", "Mean average precision (IoU 0.50 to 0.95)"),
        MetricSpec("map50", "Mean average precision at IoU 0.5"),
        MetricSpec("map75", "Mean average precision at IoU 0.75"),
        MetricSpec("ap_small", "Average precision, small objects"),
        MetricSpec("ap_medium", "Average precision, medium objects"),
        MetricSpec("ap_large", "Average precision, large objects"),
        MetricSpec("precision", "Precision (IoU 0.5)"),
        MetricSpec("recall", "Recall (IoU 0.5)"),
        MetricSpec("count_mae", "Mean error of the count", higher_is_better=False, unit="count"),
    ),
    monitor="map50_95",
    presets=PRESETS,
    minimum_classes=1,
    border="fill",
    resize="pad",
)
