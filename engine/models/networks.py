"""What a task says of its network: how it is built around a backbone, and how it comes back from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from engine.contracts.models import WeightsPlan
from engine.contracts.training import TrainingConfig
from engine.models.backbones import Built
from engine.models.weights import Brought
from engine.settings import Settings


@dataclass(frozen=True)
class NetworkOrder:
    """A network to build: on which backbone, from which starting weights, for how many classes.

    ``size``: height and width of the input in px. ``config`` holds the task's own settings.
    """

    settings: Settings
    backbone: str
    start: WeightsPlan | Brought
    model_args: Mapping[str, Any]
    classes: int
    size: tuple[int, int]
    config: TrainingConfig


class Network(Protocol):
    """A task's networks. ``facts`` are plain (JSON) values, in the plan and beside saved weights."""

    @staticmethod
    def build(order: NetworkOrder) -> Built:
        """Build a network to train; ``Built.facts`` are what ``restore`` needs beyond name and arguments.

        Raises ``InputError`` for what cannot be built and ``WeightsError`` for weights that do not fit.
        """

    @staticmethod
    def restore(
        backbone: str, model_args: Mapping[str, Any], facts: Mapping[str, Any], classes: int
    ) -> nn.Module:
        """Build the same network with fresh numbers, to be filled from a file."""

    @staticmethod
    def reload(folder: Path) -> nn.Module:
        """Build the network of a bundle from its config.json and model.safetensors."""
