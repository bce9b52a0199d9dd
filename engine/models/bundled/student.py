"""The student with the throw-away layers that its lessons need, and what it loses in a lesson."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional

from engine.models.bundled.pool import Pool

GAIN = 0.1
"""Scale of the features before the throw-away layers, so that Adam's first steps do not upset them."""
WEIGHTS = {"features": 1.0, "logits": 0.3, "middle": 0.3, "deep": 0.3}
"""Of the losses: pooled features, softened logits, maps at strides 16 and 32."""


class Distilled(nn.Module):
    """A student and the throw-away layers that translate it into the teacher's terms."""

    student: Any  # timm's models have methods that nn.Module does not know
    pooled_mean: torch.Tensor
    pooled_std: torch.Tensor
    middle_mean: torch.Tensor
    middle_std: torch.Tensor
    deep_mean: torch.Tensor
    deep_std: torch.Tensor

    def __init__(self, architecture: str, pool: Pool, mean: float = 0.5, std: float = 0.5) -> None:
        super().__init__()
        self.student = timm.create_model(architecture, num_classes=0)
        self.mean, self.std = mean, std
        shapes = pool.shapes()
        info = self.student.feature_info
        count = len(info)
        self.stages = (count - 2, count - 1)
        with torch.no_grad():
            self.student.eval()
            final, maps = self.student.forward_intermediates(torch.zeros(1, 3, 64, 64), indices=self.stages)
            width = self.student.forward_head(final, pre_logits=True).flatten(1).shape[1]
        targets = shapes["pooled"][0]
        # The probe standardises features too; without it the quickest way down is to make them vanish.
        self.standard = nn.BatchNorm1d(width, affine=False)
        self.features = nn.Linear(width, targets)
        if width == targets:
            nn.init.eye_(self.features.weight).data.mul_(0.2 / GAIN)
        self.logits = nn.Linear(width, shapes["logits"][0])
        nn.init.zeros_(self.logits.weight)
        self.logits.bias.data.copy_(pool.prior())
        self.middle = nn.Conv2d(maps[0].shape[1], shapes["middle"][0], 1)
        self.deep = nn.Conv2d(maps[1].shape[1], shapes["deep"][0], 1)
        for name in ("pooled", "middle", "deep"):
            mean_, std_ = pool.statistics(name)
            self.register_buffer(f"{name}_mean", mean_)
            self.register_buffer(f"{name}_std", std_)

    def forward(self, rows: dict[str, torch.Tensor], size: int, flip: bool) -> dict[str, torch.Tensor]:
        """Return the losses of a batch, its views scaled to ``size`` px and perhaps mirrored."""
        images = rows["views"].float().div_(255).sub_(self.mean).div_(self.std)
        if size != images.shape[-1]:
            images = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
        middle, deep = rows["middle"], rows["deep"]
        if flip:
            images, middle, deep = images.flip(3), middle.flip(3), deep.flip(3)
        images = images.contiguous(memory_format=torch.channels_last)
        final, maps = self.student.forward_intermediates(images, indices=self.stages)
        features = GAIN * self.standard(self.student.forward_head(final, pre_logits=True).flatten(1))
        wanted = (rows["pooled"] - self.pooled_mean) / self.pooled_std
        answer = functional.log_softmax(self.logits(features), dim=1)
        truth = functional.log_softmax(rows["logits"], dim=1)
        return {
            "features": functional.mse_loss(self.features(features), wanted),
            "logits": functional.kl_div(answer, truth, log_target=True, reduction="batchmean"),
            "middle": map_loss(self.middle(maps[0]), middle, self.middle_mean, self.middle_std),
            "deep": map_loss(self.deep(maps[1]), deep, self.deep_mean, self.deep_std),
        }


def map_loss(
    values: torch.Tensor, wanted: torch.Tensor, mean: torch.Tensor, std: torch.Tensor
) -> torch.Tensor:
    """Return the mean squared error of (N, C, H, W) maps against standardised maps of another grid."""
    wanted = (wanted - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    if wanted.shape[-2:] != values.shape[-2:]:
        wanted = functional.adaptive_avg_pool2d(wanted, (values.shape[-2], values.shape[-1]))
    return functional.mse_loss(values, wanted)
