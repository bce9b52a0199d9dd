"""From settings to decisions: which backbone, weights, size and strategy a run takes. No torch here.

The screens and the child use the same function, so what is said before the start is what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from engine.contracts.models import WeightsPlan
from engine.contracts.training import TrainingConfig
from engine.models import bundled as box
from engine.models.weights import named_weights, plan_weights
from engine.models.weights_file import FileConfig
from engine.settings import Settings
from engine.tasks.base import TaskSpec

ChosenStrategy = Literal["probe", "head", "last_stages", "full"]
_KINDS = {"random": "random", "bundled": "bundled"}
"""Which part of a preset goes with which source of weights; every other takes "pretrained"."""

FEW_IMAGES = 200
"""With fewer training images than this, 'auto' opens only the last stages of pre-trained weights."""


@dataclass(frozen=True)
class Choice:
    """What a run would do before anything is measured; ``time_budget`` in s, None: no limit."""

    backbone: str
    model_args: dict[str, Any]
    weights: WeightsPlan
    strategy: ChosenStrategy
    image_size: int
    time_budget: float | None
    epochs: int | None
    max_epochs: int
    lr: float | None
    notes: tuple[str, ...] = field(default=())

    @property
    def pretrained(self) -> bool:
        """Whether the run starts from anything but random numbers."""
        return self.weights.source != "random"


def choose(
    settings: Settings, spec: TaskSpec, config: TrainingConfig, train_images: int | None = None
) -> Choice:
    """Fill every "auto" and empty field of ``config`` from the preset and the weights that there are.

    Raises ``WeightsError`` when a named weights file cannot be used.
    """
    preset = spec.presets[config.preset]
    found = _start_from(settings, config, preset["pretrained"]["backbone"])
    backbone, weights = found.backbone, found.weights
    defaults = preset[_KINDS.get(weights.source, "pretrained")]
    size = preset["bundled" if weights.source == "bundled" else "pretrained"]["image_size"]
    if config.backbone == "auto" and weights.source == "random":
        # The small size from random numbers belongs to the small network that goes with it.
        backbone, size = defaults["backbone"], defaults["image_size"]
    if weights.source == "run" and found.config.input_size:
        size = found.config.input_size
    return Choice(
        backbone=backbone,
        model_args=found.model_args,
        weights=weights,
        strategy=_strategy(config, defaults["strategy"], train_images),
        image_size=config.image_size or size,
        time_budget=config.time_budget or (None if config.epochs else preset["time_budget"]),
        epochs=config.epochs,
        max_epochs=defaults["max_epochs"],
        lr=config.lr,
    )


@dataclass(frozen=True)
class _Start:
    backbone: str
    model_args: dict[str, Any]
    weights: WeightsPlan
    config: FileConfig


def _start_from(settings: Settings, config: TrainingConfig, usual: str) -> _Start:
    """Decide backbone and weights together: weights that are named bring their architecture along."""
    open_backbone = config.backbone == "auto"
    named = named_weights(settings, config.weights, "" if open_backbone else config.backbone)
    beside = named.config if named else FileConfig()
    backbone = (beside.architecture or usual) if open_backbone else config.backbone
    model_args = {**beside.model_args, **config.model_args}
    weights = plan_weights(settings, backbone, config.weights, model_args)
    if open_backbone and config.weights == "auto" and weights.source == "random" and box.BUNDLED:
        # The usual backbone's weights cannot be had: those that Lensmith ships are far better than none.
        first, reason = box.BUNDLED[0], weights.sentence.partition(":")[0]
        backbone, model_args = first.architecture, {**first.model_args, **model_args}
        weights = plan_weights(settings, backbone, "bundled", model_args)
        weights = weights.model_copy(update={"sentence": f"{reason}. {weights.sentence}"})
    return _Start(backbone, model_args, weights, beside)


def _strategy(config: TrainingConfig, default: ChosenStrategy, train_images: int | None) -> ChosenStrategy:
    if config.strategy != "auto":
        return config.strategy
    few = train_images is not None and train_images < FEW_IMAGES
    return "last_stages" if default == "full" and few and config.preset != "quick" else default


STRATEGY_WORDS = {
    "probe": "a linear classifier on frozen features",
    "head": "the new last layer; the backbone stays as it is",
    "last_stages": "the last stages and the new last layer",
    "full": "the whole network",
}
