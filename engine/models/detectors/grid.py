"""A one-stage detector of our own on a grid: no anchor boxes, light enough to be the default on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from engine.models.pyramid import FeaturePyramid

PRIOR = 0.01
"""Score that every class starts with at every place (RetinaNet, Lin et al., 2017)."""

_START = 2.0
"""Strides from a cell to each side of the box that it starts with, so that a level starts with its sizes."""

_FARTHEST = 6.0
"""Logarithm of the greatest distance in strides; far beyond any picture, and finite in 16 bits."""


class Block(nn.Sequential):
    """A 3 x 3 depthwise convolution and a 1 x 1 one, each with batch norm, and one ReLU at the end."""

    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )


class Fusion(nn.Module):
    """Levels of one width from a pyramid's maps, coarse to fine and back (PANet, Liu et al., 2018).

    They are added, not concatenated, and smoothed depthwise: on a CPU that is what the time allows.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(count, width, 1, bias=False), nn.BatchNorm2d(width)) for count in channels
        )
        self.down = nn.ModuleList(Block(width) for _ in channels[1:])
        self.shrink = nn.ModuleList(Block(width, 2) for _ in channels[1:])
        self.up = nn.ModuleList(Block(width) for _ in channels[1:])

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Fuse maps (N, C_k, H_k, W_k), the finest first, into as many (N, width, H_k, W_k)."""
        levels = [lateral(features) for lateral, features in zip(self.lateral, maps, strict=True)]
        for index in range(len(levels) - 2, -1, -1):
            coarse = functional.interpolate(levels[index + 1], size=levels[index].shape[-2:])
            levels[index] = self.down[index](levels[index] + coarse)
        for index, (shrink, smooth) in enumerate(zip(self.shrink, self.up, strict=True)):
            levels[index + 1] = smooth(levels[index + 1] + shrink(levels[index]))
        return levels


class Branch(nn.Module):
    """Blocks and an output layer. Levels share the convolutions and have batch norms of their own.

    So every object teaches all levels, and their statistics do not mix (RTMDet, Lyu et al., 2022).
    """

    def __init__(self, width: int, outputs: int, levels: int, depth: int) -> None:
        super().__init__()
        self.depthwise = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False) for _ in range(depth)
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(width) for _ in range(levels)) for _ in range(depth)
        )
        self.output = nn.Conv2d(width, outputs, 1)

    def forward(self, features: torch.Tensor, level: int) -> torch.Tensor:
        """Return (N, H x W, outputs) for one level's (N, width, H, W)."""
        for depthwise, pointwise, norms in zip(self.depthwise, self.pointwise, self.norms, strict=True):
            assert isinstance(norms, nn.ModuleList)
            features = functional.relu(norms[level](pointwise(depthwise(features))), inplace=True)
        raw: torch.Tensor = self.output(features)
        return raw.flatten(2).transpose(1, 2)


class GridDetector(nn.Module):
    """Class logits and box distances at every cell of every level; nothing is decoded inside.

    One branch scores the classes, one measures the box; there is no objectness, since the class scores are
    taught how well their box fits (``losses.grid_loss``).
    """

    def __init__(self, pyramid: FeaturePyramid, classes: int, width: int = 96, depth: int = 2) -> None:
        """Build it on ``pyramid`` for ``classes`` classes; ``width`` channels, ``depth`` blocks a branch."""
        super().__init__()
        self.pyramid = pyramid
        self.fusion = Fusion(pyramid.channels, width)
        levels = len(pyramid.strides)
        self.scoring = Branch(width, classes, levels, depth)
        self.measuring = Branch(width, 4, levels, depth)
        self._start()

    @property
    def backbone(self) -> nn.Module:
        """The timm module that starting weights fill."""
        return self.pyramid.backbone

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of the levels in px, in the order of the outputs."""
        return self.pyramid.strides

    def _start(self) -> None:
        for part in (self.fusion, self.scoring, self.measuring):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for branch, bias in (
            (self.scoring, math.log(PRIOR / (1 - PRIOR))),
            (self.measuring, math.log(_START)),
        ):
            nn.init.normal_(branch.output.weight, std=0.01)
            assert branch.output.bias is not None
            nn.init.constant_(branch.output.bias, bias)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map normalised images (N, 3, H, W) to logits (N, A, K) and distances (N, A, 4).

        The distances are those to the left, top, right and bottom of a box, in strides of the level. A counts
        the cells of all levels, the finest first, row by row.
        """
        levels = self.fusion(self.pyramid(images))
        logits = torch.cat([self.scoring(features, level) for level, features in enumerate(levels)], 1)
        reach = torch.cat([self.measuring(features, level) for level, features in enumerate(levels)], 1)
        return logits, reach.clamp(max=_FARTHEST).exp()


def grid_points(
    size: tuple[int, int], strides: Sequence[int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the centres (A, 2), x and y in px, of all cells of an input and their strides (A,)."""
    points, steps = [], []
    for stride in strides:
        rows, columns = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        y = torch.arange(rows, device=device, dtype=torch.float32)
        x = torch.arange(columns, device=device, dtype=torch.float32)
        grid = torch.meshgrid(y, x, indexing="ij")
        points.append((torch.stack([grid[1].flatten(), grid[0].flatten()], 1) + 0.5) * stride)
        steps.append(torch.full((rows * columns,), float(stride), device=device))
    return torch.cat(points), torch.cat(steps)
