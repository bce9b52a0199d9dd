"""A running average of a model's weights, which generalises better than the last step's."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Exponential moving average of parameters and buffers (Polyak averaging).

    The decay grows from 0.1 towards ``decay`` as (1 + t) / (10 + t), so that a short run is not held
    back by its first random weights. A decay of 0 means no average: ``model`` is then the model itself.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval() if decay > 0 else model

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after optimizer step number ``step`` (from 1)."""
        if self.decay <= 0:
            return
        keep = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = self.model.state_dict(), model.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - keep)
        for name in mine.keys() - set(floats):
            mine[name].copy_(theirs[name])
