"""FCN-8s and SegNet: the two decoders of semantic segmentation that no library of ours has."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

SMALL_WIDTHS = (32, 64, 96, 128)


class FcnDecoder(nn.Module):
    """FCN-8s (Long, Shelhamer and Darrell 2015): class scores at strides 32, 16 and 8, summed going up.

    ``channels``: those of the feature maps at strides 1, 2, 4, ..., 32. Each class is scaled up on its own by
    transposed convolutions that are learned and start as bilinear interpolation. The scores of the two finer
    strides start at zero, as published, so that training begins with the coarse map.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        eighth, sixteenth, last = channels[3:6]
        self.score = nn.Conv2d(last, classes, 1)
        self.finer = nn.ModuleList(_zero(nn.Conv2d(width, classes, 1)) for width in (sixteenth, eighth))
        self.doubling = nn.ModuleList(bilinear_transposed(classes, 2) for _ in self.finer)
        self.last = bilinear_transposed(classes, 8)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Turn features at strides 1 to 32 into (N, K, H, W) logits."""
        scores: torch.Tensor = self.score(features[5])
        for feature, finer, double in zip((features[4], features[3]), self.finer, self.doubling, strict=True):
            scores = double(scores) + finer(feature)
        upscaled: torch.Tensor = self.last(scores)
        return upscaled


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def bilinear_transposed(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Make a transposed convolution that scales each channel up by ``factor`` (even), at first bilinearly.

    Inside the picture it equals ``interpolate(mode="bilinear", align_corners=False)``.
    """
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False
    )
    places = torch.arange(2 * factor, dtype=torch.float32)
    ramp = 1 - (places - (factor - 0.5)).abs() / factor
    with torch.no_grad():
        layer.weight.copy_((ramp[:, None] * ramp[None, :]).expand_as(layer.weight))
    return layer


class PoolingEncoder(nn.Module):
    """Layers of a VGG that also say where each maximum of their 2 x 2 pooling was.

    ``features`` has the name and the order that timm's VGG has, so that its weights fit by name.
    """

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features

    def group_matcher(self, coarse: bool = False) -> Callable[[str], int]:
        """Return what tells the stage of a tensor by its name, as timm's networks do: one a pooling."""
        poolings = [number for number, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        return lambda name: bisect(poolings, int(name.split(".")[1]))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the last feature map and the places of each pooling, the finest first."""
        places = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                images, found = functional.max_pool2d(images, 2, 2, return_indices=True)
                places.append(found)
            else:
                images = layer(images)
        return images, places


def small_encoder() -> PoolingEncoder:
    """Make the small encoder: four times two convolutions and a pooling."""
    layers: list[nn.Module] = []
    before = 3
    for width in SMALL_WIDTHS:
        layers += [*_block(before, width), *_block(width, width), nn.MaxPool2d(2, 2)]
        before = width
    return PoolingEncoder(nn.Sequential(*layers))


def _block(before: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


class SegNetDecoder(nn.Module):
    """SegNet's decoder (Badrinarayanan 2017): the encoder mirrored, each pooling undone by its places."""

    def __init__(self, encoder: PoolingEncoder, classes: int) -> None:
        super().__init__()
        stages = _widths(encoder)
        self.stages = nn.ModuleList()
        for number in range(len(stages) - 1, -1, -1):
            widths = stages[number]
            # The last convolution of a stage gives the width that the next pooling's places are for.
            narrow = stages[number - 1][-1] if number else widths[0]
            layers = [part for width in widths[1:] for part in _block(widths[-1], width)]
            self.stages.append(nn.Sequential(*layers, *_block(widths[-1], narrow)))
        self.logits = nn.Conv2d(stages[0][0], classes, 3, padding=1)

    def forward(self, feature: torch.Tensor, places: Sequence[torch.Tensor]) -> torch.Tensor:
        """Turn the last feature map and the places of the poolings into (N, K, H, W) logits."""
        for stage, found in zip(self.stages, reversed(places), strict=True):
            feature = stage(max_unpool(feature, found))
        logits: torch.Tensor = self.logits(feature)
        return logits


def _widths(encoder: PoolingEncoder) -> list[list[int]]:
    """Return the widths of the convolutions before each pooling."""
    stages: list[list[int]] = [[]]
    for layer in encoder.features:
        if isinstance(layer, nn.Conv2d):
            stages[-1].append(layer.out_channels)
        elif isinstance(layer, nn.MaxPool2d):
            stages.append([])
    return stages[:-1]


def max_unpool(feature: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Put (N, C, H, W) maxima back where they were in (N, C, 2H, 2W), with zeros around them.

    As ``torch.nn.functional.max_unpool2d`` does, by an operation that ONNX has too.
    """
    count, channels, height, width = feature.shape
    flat = feature.new_zeros(count, channels, 4 * height * width)
    flat = flat.scatter(2, places.flatten(2), feature.flatten(2))
    return flat.view(count, channels, 2 * height, 2 * width)
