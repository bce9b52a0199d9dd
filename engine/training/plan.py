"""The plan of a run: everything decided or measured before the first step, frozen from then on.

No torch here: forecasts plan the epochs as the run itself does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, cast

from engine.contracts.training import Plan, TrainingConfig
from engine.training.choices import STRATEGY_WORDS, Choice

if TYPE_CHECKING:
    from engine.training.tune import Speed

RATES = {
    # (optimizer, starts from pre-trained weights): peak rate at a batch of 32
    ("adamw", True): 1e-3,
    ("adamw", False): 2e-3,
    ("sgd", True): 0.01,
    ("sgd", False): 0.05,
}


def make_plan(
    choice: Choice,
    config: TrainingConfig,
    speed: Speed,
    device: str,
    images: tuple[int, int],
    seconds_used: float,
) -> Plan:
    """Put the plan together; ``images`` are the numbers of training and validation images.

    ``seconds_used`` (import, decoding, probe) count against the time budget, but at least half of it
    is left for training.
    """
    train, _ = images
    setting = speed.setting
    batch = min(setting.batch_size, train)
    steps = max(1, train // batch)
    epochs = plan_epochs(choice, (speed.train_rate, speed.predict_rate), images, seconds_used)
    return Plan(
        strategy=choice.strategy,
        backbone=choice.backbone,
        model_args=choice.model_args,
        image_size=choice.image_size,
        batch_size=batch,
        epochs=epochs,
        steps_per_epoch=steps,
        lr=choice.lr or default_rate(config, choice.pretrained, batch),
        precision=cast("Literal['fp32', 'bf16']", setting.precision),
        memory_format=cast("Literal['contiguous', 'channels_last']", setting.memory_format),
        threads=setting.threads,
        device=device,
        images_per_second=round(speed.train_rate, 1),
        tried=speed.tried,
        reason=f"Trains {STRATEGY_WORDS[choice.strategy]}. {choice.weights.sentence}",
    )


def plan_epochs(
    choice: Choice, rates: tuple[float, float], images: tuple[int, int], seconds_used: float
) -> int:
    """Return the epochs that were asked for, or as many as fit the time budget.

    ``rates`` are images/s in training and in evaluation, ``images`` those of training and validation.
    """
    if choice.strategy == "probe":
        return 1
    if choice.epochs is not None:
        return choice.epochs
    if choice.time_budget is None:
        return choice.max_epochs
    train, val = images
    left = max(choice.time_budget - seconds_used, choice.time_budget / 2)
    epoch = train / rates[0] + val / rates[1]
    return max(1, min(choice.max_epochs, int(left / epoch)))


def default_rate(config: TrainingConfig, pretrained: bool, batch: int) -> float:
    """Return the peak learning rate: scaled with the batch for SGD, with its root for AdamW.

    Goyal et al. (2017) for SGD; Malladi et al. (2022) for the square root.
    """
    rate = RATES[config.optimizer, pretrained]
    ratio = batch / 32
    return rate * (ratio if config.optimizer == "sgd" else math.sqrt(ratio))


def setup_sentence(plan: Plan) -> str:
    """Say on one line how the run computes."""
    words = "" if plan.images_per_second is None else f", about {plan.images_per_second:.0f} images/s"
    return (
        f"{plan.backbone} at {plan.image_size} px, batch {plan.batch_size}, {plan.precision}, "
        f"{plan.memory_format.replace('_', ' ')}, {plan.threads} threads on {plan.device}{words}"
    )
