"""Feature maps of strides 8, 16 and 32 from any timm backbone, through one adapter."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from engine.errors import InputError

STRIDES = (8, 16, 32)
"""The strides (px) that a pyramid aims at."""

_PROBE = 128
"""Side in px of the input that a backbone without a fixed size is tried with."""


class FeaturePyramid(nn.Module):
    """Maps of a few strides from a plain timm model (``num_classes=0``), which stays ``backbone``.

    What comes after the last map that is used is pruned, so load starting weights first. A stride that the
    backbone does not have is made from its nearest map by (transposed) convolution; for a backbone of one
    stride, such as a ViT, that is the simple pyramid of ViTDet (Li et al., 2022), on its last map.

    ``strides`` and ``channels`` say what comes out: maps (N, channels[k], ceil(H / strides[k]),
    ceil(W / strides[k])) for any (N, 3, H, W). The strides are the wanted ones, except where the backbone has
    a patch that is no power of two (14 px give 7, 14 and 28).
    """

    strides: tuple[int, ...]
    channels: tuple[int, ...]

    def __init__(
        self, backbone: nn.Module, wanted: tuple[int, ...] = STRIDES, size: tuple[int, int] | None = None
    ) -> None:
        """Take ``backbone`` over. ``size``: height and width (px) of the input where the backbone fixes it.

        Raises ``InputError`` for a backbone that gives no maps, or none whose strides double.
        """
        super().__init__()
        info = _feature_info(backbone)
        reductions = [int(entry["reduction"]) for entry in info]
        sources = _sources(reductions, wanted)
        self.indices = sorted(set(sources))
        self.one_stride = len(set(reductions)) == 1
        self.fixed = _fixed_size(backbone)
        self.backbone = backbone
        prune: Callable[..., Any] | None = getattr(backbone, "prune_intermediate_layers", None)
        if prune is not None:
            prune(self.indices, prune_norm=not self.one_stride, prune_head=True)
        depths = self._settle(size or self.fixed or (_probe_side(backbone),) * 2)
        self.sources = [self.indices.index(source) for source in sources]
        taken = [(reductions[source], stride) for source, stride in zip(sources, wanted, strict=True)]
        powers = [round(math.log2(stride / reduction)) for reduction, stride in taken]
        self.levels = nn.ModuleList(
            _rescale(depths[source], power) for source, power in zip(self.sources, powers, strict=True)
        )
        self.strides = tuple(
            round(reduction * 2**power) for (reduction, _), power in zip(taken, powers, strict=True)
        )
        if any(coarse != 2 * fine for fine, coarse in pairwise(self.strides)):
            raise _no_maps(backbone, f" whose strides double, but strides of {self.strides} px")
        self.channels = tuple(depths[source] for source in self.sources)
        self._padding = 1 if self.fixed else max(reductions[index] for index in self.indices)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps of normalised images (N, 3, H, W), the finest first."""
        height, width = images.shape[-2:]
        if self._padding > 1:
            # A floor somewhere inside would stretch the grid; what the padding adds is cut off again.
            images = functional.pad(images, (0, -width % self._padding, 0, -height % self._padding))
        full = images.shape[-2:]
        found = self._maps(images)
        maps = []
        for source, level, stride in zip(self.sources, self.levels, self.strides, strict=True):
            grid = (math.ceil(full[0] / stride), math.ceil(full[1] / stride))
            features = level(found[source])
            if tuple(features.shape[-2:]) != grid:  # convolutions without padding (Inception)
                features = functional.interpolate(features, size=grid, mode="bilinear", align_corners=False)
            maps.append(features[:, :, : math.ceil(height / stride), : math.ceil(width / stride)])
        return maps

    def _maps(self, images: torch.Tensor, backbone: nn.Module | None = None) -> list[torch.Tensor]:
        give: Callable[..., list[torch.Tensor]] = (backbone or self.backbone).forward_intermediates  # type: ignore[assignment]
        return give(
            images, indices=self.indices, norm=self.one_stride, output_fmt="NCHW", intermediates_only=True
        )

    def _settle(self, size: tuple[int, int]) -> list[int]:
        """Try the backbone: check its maps, return their channels and drop what they do not need."""
        trial, called = _without_numbers(self.backbone)
        try:
            with torch.enable_grad():
                found = self._maps(torch.empty(1, 3, *size, device="meta"), trial)
        except (TypeError, ValueError, RuntimeError, AssertionError, AttributeError) as error:
            raise _no_maps(self.backbone, f" at {size[0]} x {size[1]} px: {error}") from error
        if any(features.ndim != 4 for features in found) or len(found) != len(self.indices):
            raise _no_maps(self.backbone)
        _drop_unused(self.backbone, _unused(trial, found), called)
        return [int(features.shape[1]) for features in found]


def _feature_info(backbone: nn.Module) -> list[dict[str, Any]]:
    info: Any = getattr(backbone, "feature_info", None)
    entries = info.get_dicts() if hasattr(info, "get_dicts") else info
    if not entries or not hasattr(backbone, "forward_intermediates"):
        raise _no_maps(backbone)
    return list(entries)


def _no_maps(backbone: nn.Module, why: str = "") -> InputError:
    name = str(getattr(backbone, "pretrained_cfg", {}).get("architecture", "") or type(backbone).__name__)
    return InputError(
        f"{name} gives no feature maps{why}.", "Choose another backbone, such as mobilenetv3_large_100."
    )


def _sources(reductions: list[int], wanted: tuple[int, ...]) -> list[int]:
    """Return for each wanted stride the index of the backbone's map nearest to it, the last of them."""

    def distance(index: int, stride: int) -> tuple[float, int]:
        return abs(math.log2(reductions[index] / stride)), -index

    return [min(range(len(reductions)), key=lambda index: distance(index, stride)) for stride in wanted]


def _fixed_size(backbone: nn.Module) -> tuple[int, int] | None:
    """Return the height and width that the backbone insists on, None where it takes any."""
    published = getattr(backbone, "pretrained_cfg", {}) or {}
    embed = getattr(backbone, "patch_embed", None)
    own = getattr(embed, "img_size", None)
    if not published.get("fixed_input_size"):
        return None
    if own is not None:
        return int(own[0]), int(own[1])
    native = published.get("input_size") or (3, 224, 224)
    return int(native[1]), int(native[2])


def _probe_side(backbone: nn.Module) -> int:
    least = (getattr(backbone, "pretrained_cfg", {}) or {}).get("min_input_size") or (3, _PROBE, _PROBE)
    return max(_PROBE, int(least[-1]))


def _without_numbers(backbone: nn.Module) -> tuple[nn.Module, set[str]]:
    """Copy a backbone without its numbers (on torch's meta device), to try it at no cost.

    The set is filled with the names of the modules that run.
    """
    empty: dict[int, torch.Tensor] = {
        id(value): nn.Parameter(torch.empty_like(value, device="meta"), requires_grad=value.requires_grad)
        for value in backbone.parameters()
    }
    empty |= {id(value): torch.empty_like(value, device="meta") for value in backbone.buffers()}
    trial = copy.deepcopy(backbone, empty).eval()
    called: set[str] = set()
    for name, module in trial.named_modules():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
    return trial, called


def _unused(trial: nn.Module, found: list[torch.Tensor]) -> set[str]:
    """Return the names of the parameters on which no map rests."""
    asked = {name: value for name, value in trial.named_parameters() if value.requires_grad}
    total = torch.stack([features.float().sum() for features in found]).sum()
    gradients = torch.autograd.grad(total, list(asked.values()), allow_unused=True)
    return {name for name, gradient in zip(asked, gradients, strict=True) if gradient is None}


def _drop_unused(backbone: nn.Module, dead: set[str], called: set[str]) -> None:
    """Take out the modules that never run, and freeze what runs without effect on a map."""
    for name, module in list(backbone.named_modules()):
        own = {f"{name}.{inner}" for inner, _ in module.named_parameters()}
        runs = any(f"{one}.".startswith(f"{name}.") for one in called)
        if name and own and own <= dead and not runs:
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, nn.Identity())
            dead = dead - own
    for name in dead:
        backbone.get_parameter(name).requires_grad_(False)


def _rescale(channels: int, power: int) -> nn.Module:
    """Build what takes a map to a stride ``2 ** power`` times its own, with as many channels."""
    if power == 0:
        return nn.Identity()
    layers: list[nn.Module] = []
    for _ in range(abs(power)):
        if layers:
            layers += [nn.BatchNorm2d(channels), nn.GELU()]
        layers.append(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1)
            if power > 0
            else nn.ConvTranspose2d(channels, channels, 2, stride=2)
        )
    return nn.Sequential(*layers)
