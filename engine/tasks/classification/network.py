"""The networks of classification: a timm model as it is, its classifier with one output a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
from torch import nn

from engine.models.backbones import Built, build, create
from engine.models.networks import NetworkOrder


class ClassificationNetwork:
    """Implements ``engine.models.networks.Network``."""

    @staticmethod
    def build(order: NetworkOrder) -> Built:
        """Build a timm model with its weights; the classifier starts from random numbers."""
        dropout = order.config.dropout
        built = build(
            order.settings,
            order.backbone,
            order.classes,
            order.start,
            order.model_args,
            image_size=order.size[0],
            dropout=dropout,
            seed=order.config.seed,
        )
        return replace(built, facts={"dropout": dropout}) if dropout else built

    @staticmethod
    def restore(
        backbone: str, model_args: Mapping[str, Any], facts: Mapping[str, Any], classes: int
    ) -> nn.Module:
        """Build the same timm model; ``facts`` may hold ``dropout``."""
        return create(backbone, classes, model_args, float(facts.get("dropout", 0.0)))

    @staticmethod
    def reload(folder: Path) -> nn.Module:
        """Load the folder with timm alone, as who downloads the model can."""
        model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
        return model
