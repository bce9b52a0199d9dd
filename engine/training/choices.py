"""From settings to decisions: which backbone, weights, size and strategy a run takes. No torch here.

The screens and the child use the same function, so what is said before the start is what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from engine.contracts.models import WeightsPlan
from engine.contracts.training import TrainingConfig
from engine.errors import InputError, WeightsError
from engine.models import bundled as box
from engine.models.catalog import catalog_names
from engine.models.libraries import library_of, without_tag
from engine.models.weights import RANDOM, named_weights, plan_weights
from engine.models.weights_file import FileConfig
from engine.settings import Settings
from engine.tasks.base import TaskSpec

ChosenStrategy = Literal["probe", "head", "last_stages", "full"]
_KINDS = {"random": "random", "bundled": "bundled"}
"""Which part of a preset goes with which source of weights; every other takes "pretrained"."""

SMALLEST, LARGEST = 32, 1024
"""Sizes in px that a run can take, as ``TrainingConfig.image_size`` has them."""

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
    settings: Settings,
    spec: TaskSpec,
    config: TrainingConfig,
    train_images: int | None = None,
    failed: str = "",
) -> Choice:
    """Fill every "auto" and empty field of ``config`` from the preset and the weights that there are.

    ``failed`` says why published weights could not be had, when that was tried. Raises ``InputError`` for a
    backbone that is not in the catalog or that the task cannot build, and ``WeightsError`` when a named
    weights file cannot be used.
    """
    preset = spec.presets[config.preset]
    found = _start_from(settings, spec, config, failed)
    backbone, weights = found.backbone, found.weights
    defaults = preset[_KINDS.get(weights.source, "pretrained")]
    size = preset["bundled" if weights.source == "bundled" else "pretrained"]["image_size"]
    if config.backbone == "auto" and weights.source == "random":
        # The small size from random numbers belongs to the small network that goes with it.
        backbone, size = defaults["backbone"], defaults["image_size"]
    if weights.source in ("run", "file") and found.config.input_size:
        size = found.config.input_size
        if config.image_size is None and not SMALLEST <= size <= LARGEST:
            raise WeightsError(
                f"The config.json beside these weights wants images of {size} px; a run takes {SMALLEST} to "
                f"{LARGEST} px.",
                "Set the image size.",
            )
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


def _start_from(settings: Settings, spec: TaskSpec, config: TrainingConfig, failed: str) -> _Start:
    """Decide backbone and weights together: weights that are named bring their architecture along."""
    open_backbone = config.backbone == "auto"
    named = named_weights(settings, config.weights, "" if open_backbone else config.backbone)
    beside = named.config if named else FileConfig()
    backbone = beside.architecture if open_backbone else config.backbone
    if backbone:
        _check_backbone(settings, spec, backbone)
    backbone = backbone or spec.presets[config.preset]["pretrained"]["backbone"]
    model_args = {**beside.model_args, **config.model_args}
    weights = plan_weights(
        settings, backbone, config.weights, model_args, open_backbone=open_backbone, failed=failed
    )
    if open_backbone and config.weights == "auto" and weights.source == "random" and box.BUNDLED:
        # The usual backbone's weights cannot be had: those that Lensmith ships are far better than none.
        first, reason = box.BUNDLED[0], weights.sentence.removesuffix(RANDOM)
        # Arguments that were meant for the usual backbone would change this one, or not fit it.
        backbone, model_args = first.architecture, dict(first.model_args)
        weights = plan_weights(settings, backbone, "bundled", model_args)
        unused = " The model arguments that were set are not used." if config.model_args else ""
        weights = weights.model_copy(update={"sentence": f"{reason}. {weights.sentence}{unused}"})
    return _Start(backbone, model_args, weights, beside)


def _check_backbone(settings: Settings, spec: TaskSpec, name: str) -> None:
    """Raise ``InputError`` for what the task cannot build; until the catalog is written a child finds out."""
    if library_of(name)[0] not in spec.libraries:
        raise InputError(
            f"{spec.title} cannot build {name}: its backbones come from {', '.join(spec.libraries)}.",
            "Choose another backbone.",
        )
    known = catalog_names(settings)
    if known and without_tag(name) not in known:
        close = ", ".join(get_close_matches(name, known, 5))
        raise InputError(
            f"There is no backbone called “{name[:80]}”.",
            f"Close by: {close}." if close else "The list of models names them all.",
        )


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
