"""The settings of a training run: one model for forms, ``--set``, requests and storage."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.contracts.base import Record

Preset = Literal["quick", "balanced", "best"]
Strategy = Literal["auto", "probe", "head", "last_stages", "full"]
Precision = Literal["auto", "fp32", "bf16"]

STRATEGY_TITLES: dict[str, str] = {
    "probe": "linear classifier on frozen features",
    "head": "new last layer",
    "last_stages": "last stages",
    "full": "whole network",
    "auto": "what fits the weights",
}
"""What a person reads for each strategy: what learns."""


class TrainingConfig(Record):
    """What every task has. A task adds its own fields in a subclass in its ``spec.py``.

    ``json_schema_extra`` of a field may hold ``{"group": str, "unit": str, "basic": bool}``, which is
    all that a form needs to draw it.
    """

    preset: Preset = Field("quick", title="Preset", json_schema_extra={"group": "Preset"})
    backbone: str = Field(
        "auto",
        title="Backbone",
        description="Any timm architecture; 'auto' takes the preset's choice.",
        json_schema_extra={"group": "Model", "basic": True},
    )
    weights: str = Field(
        "auto",
        title="Starting weights",
        description="'auto': this machine's cache, then the hub, then the weights that Lensmith ships; "
        "'bundled': those at once; 'random'; weights:NAME (imported), run:ID (a run of yours), or the path "
        "of a .safetensors, .pt or .pth file.",
        json_schema_extra={"group": "Model", "basic": True},
    )
    model_args: dict[str, Any] = Field(
        default_factory=dict,
        title="Model arguments",
        description='Extra arguments of the architecture, such as {"pad_type": "same"}.',
        json_schema_extra={"group": "Model"},
    )
    mean: tuple[float, float, float] | None = Field(
        None,
        title="Mean",
        description="Per-channel mean of the weights' normalisation (0 to 1 scale); empty: from the weights.",
        json_schema_extra={"group": "Model"},
    )
    std: tuple[float, float, float] | None = Field(
        None,
        title="Standard deviation",
        description="Per-channel standard deviation of the weights' normalisation.",
        json_schema_extra={"group": "Model"},
    )
    strategy: Strategy = Field(
        "auto",
        title="What is trained",
        description="probe: a linear classifier on frozen features; head: the new last layer; "
        "last_stages: the last stages too; full: everything.",
        json_schema_extra={"group": "Model", "basic": True},
    )
    open_stages: int = Field(
        2,
        ge=1,
        le=8,
        title="Open stages",
        description="How many of the backbone's last stages learn ('last stages').",
        json_schema_extra={"group": "Model"},
    )
    epochs: int | None = Field(
        None,
        ge=1,
        le=10_000,
        title="Epochs",
        description="Passes over the training images; empty: as many as fit the time.",
        json_schema_extra={"group": "Training", "basic": True},
    )
    time_budget: float | None = Field(
        None,
        gt=0,
        title="Time budget",
        description="Training time; the number of epochs is planned from the measured speed.",
        json_schema_extra={"group": "Training", "unit": "s", "basic": True},
    )
    image_size: int | None = Field(
        None,
        ge=32,
        le=1024,
        title="Image size",
        description="Side of the square that the model sees; empty: the preset's choice.",
        json_schema_extra={"group": "Training", "unit": "px", "basic": True},
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        title="Batch size",
        description="Images per step; empty: measured on this machine.",
        json_schema_extra={"group": "Training"},
    )
    lr: float | None = Field(
        None,
        gt=0,
        le=100,
        title="Learning rate",
        description="Peak learning rate; empty: by optimizer and strategy.",
        json_schema_extra={"group": "Optimizer", "basic": True},
    )
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", title="Optimizer", json_schema_extra={"group": "Optimizer"}
    )
    momentum: float = Field(
        0.9,
        ge=0,
        lt=1,
        title="Momentum",
        description="Of SGD.",
        json_schema_extra={"group": "Optimizer"},
    )
    weight_decay: float = Field(
        0.02, ge=0, le=1, title="Weight decay", json_schema_extra={"group": "Optimizer"}
    )
    layer_decay: float = Field(
        0.75,
        gt=0,
        le=1,
        title="Layer-wise decay",
        description="Each earlier stage learns slower by this factor (pretrained, 'full').",
        json_schema_extra={"group": "Optimizer"},
    )
    warmup: float = Field(
        0.1,
        ge=0,
        le=0.5,
        title="Warm-up",
        description="Share of the steps in which the rate rises before the cosine falls.",
        json_schema_extra={"group": "Optimizer", "unit": "share"},
    )
    flip_horizontal: bool = Field(True, title="Flip left-right", json_schema_extra={"group": "Augmentation"})
    flip_vertical: bool = Field(False, title="Flip up-down", json_schema_extra={"group": "Augmentation"})
    rotate: float = Field(
        15.0, ge=0, le=180, title="Rotate up to", json_schema_extra={"group": "Augmentation", "unit": "°"}
    )
    zoom: float = Field(
        0.25,
        ge=0,
        le=0.9,
        title="Zoom up to",
        json_schema_extra={"group": "Augmentation", "unit": "share"},
    )
    shift: float = Field(
        0.1,
        ge=0,
        le=0.5,
        title="Shift up to",
        json_schema_extra={"group": "Augmentation", "unit": "share"},
    )
    shear: float = Field(
        0.0, ge=0, le=45, title="Shear up to", json_schema_extra={"group": "Augmentation", "unit": "°"}
    )
    color: float = Field(
        0.2,
        ge=0,
        le=1,
        title="Colour jitter",
        description="Brightness, contrast and saturation change by up to this share.",
        json_schema_extra={"group": "Augmentation", "unit": "share"},
    )
    dropout: float = Field(0.0, ge=0, le=0.9, title="Dropout", json_schema_extra={"group": "Regularisation"})
    ema: float = Field(
        0.998,
        ge=0,
        lt=1,
        title="Averaged weights",
        description="Decay of the running average (EMA) that is evaluated; 0: off.",
        json_schema_extra={"group": "Regularisation"},
    )
    early_stopping: int = Field(
        0,
        ge=0,
        le=1000,
        title="Early stopping",
        description="Stop after this many epochs without a better validation value; 0: never.",
        json_schema_extra={"group": "Training", "unit": "epochs"},
    )
    monitor: str = Field(
        "auto",
        title="Metric to choose by",
        description="The validation metric that picks the best checkpoint.",
        json_schema_extra={"group": "Training"},
    )
    precision: Precision = Field(
        "auto",
        title="Precision",
        description="'auto' measures fp32 and bf16 for this model on this machine.",
        json_schema_extra={"group": "Machine"},
    )
    memory_format: Literal["auto", "contiguous", "channels_last"] = Field(
        "auto", title="Memory format", json_schema_extra={"group": "Machine"}
    )
    device: str = Field("auto", title="Device", json_schema_extra={"group": "Machine"})
    seed: int = Field(0, ge=0, le=2**31 - 1, title="Seed", json_schema_extra={"group": "Machine"})


class Plan(Record):
    """What was measured or decided before the first step; frozen into the run.

    A run that goes on after an interruption uses this plan unchanged, so that its numbers come out
    the same. Rates are images/s in training; ``tried`` lists each measured combination.
    """

    strategy: Literal["probe", "head", "last_stages", "full"]
    backbone: str
    model_args: dict[str, Any]
    network: dict[str, Any] = Field(default_factory=dict)
    image_size: int
    batch_size: int
    epochs: int
    steps_per_epoch: int
    lr: float
    precision: Literal["fp32", "bf16"]
    memory_format: Literal["contiguous", "channels_last"]
    threads: int
    device: str
    images_per_second: float | None = None
    tried: tuple[tuple[str, float], ...] = ()
    reason: str = ""
