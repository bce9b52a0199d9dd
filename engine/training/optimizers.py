"""Optimizers and their parameter groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.contracts.training import TrainingConfig
from engine.models.backbones import stages


def parameter_groups(
    model: nn.Module, lr: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Group the open parameters by stage and by whether they are decayed.

    The rate of a stage is ``lr * layer_decay ** (stages after it)``, as in BEiT and ConvNeXt
    fine-tuning. Biases and the scales of norms (fewer than two dimensions) get no weight decay. Each
    group keeps its peak rate as ``peak``.
    """
    named = dict(model.named_parameters())
    found = stages(model)
    groups: list[dict[str, Any]] = []
    for position, names in enumerate(found):
        rate = lr * layer_decay ** (len(found) - 1 - position)
        opened = [named[name] for name in names if named[name].requires_grad]
        for decayed in (True, False):
            members = [parameter for parameter in opened if (parameter.ndim >= 2) is decayed]
            if members:
                decay = weight_decay if decayed else 0.0
                groups.append({"params": members, "lr": rate, "peak": rate, "weight_decay": decay})
    return groups


def build_optimizer(
    model: nn.Module, config: TrainingConfig, lr: float, layer_decay: float
) -> torch.optim.Optimizer:
    """Build the optimizer that ``config`` names over the open parameters of ``model``."""
    groups = parameter_groups(model, lr, config.weight_decay, layer_decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=config.momentum, nesterov=config.momentum > 0)
    # One kernel instead of ten passes over the weights; on a CPU in about half the time.
    return torch.optim.AdamW(groups, lr=lr, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to ``factor`` (0 to 1) of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
