"""The networks of detection: a detector of one of the families around a timm backbone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from engine.models.backbones import Built, build, create
from engine.models.detectors.grid import GridDetector
from engine.models.networks import NetworkOrder
from engine.models.pyramid import FeaturePyramid

WIDTH = 96  # channels of the fused levels


class DetectionNetwork:
    """Implements ``engine.models.networks.Network``; ``facts`` hold family, width and strides."""

    @staticmethod
    def build(order: NetworkOrder) -> Built:
        """Build the detector on a backbone with its weights; what is behind it starts from random numbers."""
        built = build(
            order.settings,
            order.backbone,
            0,
            order.start,
            order.model_args,
            image_size=max(order.size),
            seed=order.config.seed,
        )
        detector = GridDetector(FeaturePyramid(built.model, size=order.size), order.classes, WIDTH)
        facts = {"family": "grid", "width": WIDTH, "strides": [*detector.strides], "size": [*order.size]}
        return replace(built, model=detector, facts=facts)

    @staticmethod
    def restore(
        backbone: str, model_args: Mapping[str, Any], facts: Mapping[str, Any], classes: int
    ) -> nn.Module:
        """Build the same detector with fresh numbers."""
        size = (int(facts["size"][0]), int(facts["size"][1]))
        pyramid = FeaturePyramid(create(backbone, 0, model_args), size=size)
        return GridDetector(pyramid, classes, int(facts["width"]))

    @staticmethod
    def reload(folder: Path) -> nn.Module:
        """Build the detector of a bundle from config.json and model.safetensors."""
        config = json.loads((folder / "config.json").read_text("utf-8"))
        model = DetectionNetwork.restore(
            config["architecture"], config["model_args"], config["network"], len(config["label_names"])
        )
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model
