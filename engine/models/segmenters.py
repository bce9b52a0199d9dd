"""The networks of semantic segmentation: an encoder, a decoder, class scores for each pixel.

Every decoder of segmentation-models-pytorch on timm's backbones and on that library's own, FCN-8s on the
same, and SegNet on timm's VGGs and on a small encoder of our own. Imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn
from torch.nn import functional

from engine.errors import InputError
from engine.models.backbones import create, no_backbone
from engine.models.decoders import DECODERS, OWN_ENCODER, Decoder, decoder_called
from engine.models.libraries import library_of, without_tag
from engine.models.segmenter_names import stages_of_wrapped
from engine.models.segmenter_own import FcnDecoder, PoolingEncoder, SegNetDecoder, small_encoder
from engine.models.weights import check_model_args

STRIDE = 32
PAN_LEAST = 128
"""PAN halves the map at stride 16 three times more, so that it needs eight cells a side."""
DILATED = ("deeplabv3", "deeplabv3plus", "pan")
"""These need a backbone whose last stages can keep their size, by convolutions with holes."""
REFUSALS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, AssertionError)
"""What timm and segmentation-models-pytorch raise for an encoder that a decoder cannot have."""


class Pyramid(Protocol):
    """How a backbone's answer becomes what a decoder takes."""

    def __call__(self, backbone: nn.Module, images: torch.Tensor) -> tuple[Any, ...]:
        """Return the decoder's arguments for (N, 3, H, W) ``images``."""


@dataclass(frozen=True)
class TimmLevels:
    """Feature maps at strides 1, 2, 4, ... of a timm network with ``features_only``.

    ``own_first``: the network has a map at stride 1 itself, else the pictures stand there. ``gap``: it has
    none at stride 2, where decoders want one without channels. ``channels_last``: its maps are (N, H, W, C).
    """

    own_first: bool
    gap: bool
    channels_last: bool

    def __call__(self, backbone: nn.Module, images: torch.Tensor) -> tuple[list[torch.Tensor]]:
        """Return the maps, from fine to coarse."""
        maps: list[torch.Tensor] = list(backbone(images))
        if self.channels_last:
            maps = [one.permute(0, 3, 1, 2).contiguous() for one in maps]
        if self.gap:
            count, _, height, width = images.shape
            maps = [images.new_zeros((count, 0, height // 2, width // 2)), *maps]
        return (maps if self.own_first else [images, *maps],)


@dataclass(frozen=True)
class Tokens:
    """Maps of single blocks of a vision transformer, with the tokens that stand before the patches."""

    blocks: tuple[int, ...]
    has_tokens: bool

    def __call__(self, backbone: nn.Module, images: torch.Tensor) -> tuple[list[Any], list[Any]]:
        """Return the maps and the tokens (None where there are none) of the blocks, in order."""
        intermediates: Any = backbone.forward_intermediates
        more = {"return_prefix_tokens": True} if self.has_tokens else {}
        found = intermediates(images, indices=list(self.blocks), intermediates_only=True, **more)
        if self.has_tokens:
            return [one[0] for one in found], [one[1] for one in found]
        return list(found), [None] * len(found)


@dataclass(frozen=True)
class Whole:
    """The answer of an encoder as it is: ``spread`` when it is a tuple of arguments already."""

    spread: bool = False

    def __call__(self, backbone: nn.Module, images: torch.Tensor) -> tuple[Any, ...]:
        """Return the encoder's answer."""
        found = backbone(images)
        return tuple(found) if self.spread else (list(found),)


class Segmenter(nn.Module):
    """Class scores for each pixel: (N, 3, H, W) normalised pictures -> (N, K, H, W) logits.

    ``backbone`` is what starting weights fill; all the rest starts from random numbers. Pictures whose sides
    are no multiples of ``multiple`` px, or shorter than ``least``, are continued at the right and at the
    bottom by their last pixels, and the scores there are cut off again.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pyramid: Pyramid,
        decoder: nn.Module,
        head: nn.Module,
        multiple: int = STRIDE,
        least: int = STRIDE,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.head = head
        self.pyramid = pyramid
        self.multiple = multiple
        self.least = least

    def padded(self, size: Sequence[int]) -> tuple[int, int]:
        """Return the height and width that pictures of this height and width (px) are continued to."""
        return padded(size, self.multiple, self.least)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Score each pixel."""
        height, width = images.shape[-2:]
        high, wide = self.padded((height, width))
        if (high, wide) != (height, width):
            images = functional.pad(images, (0, wide - width, 0, high - height), mode="replicate")
        logits: torch.Tensor = self.head(self.decoder(*self.pyramid(self.backbone, images)))
        return logits[:, :, :height, :width]


def padded(size: Sequence[int], multiple: int, least: int) -> tuple[int, int]:
    """Return the next height and width (px) that are multiples and not below ``least``."""
    high, wide = (max(least, -(-side // multiple) * multiple) for side in size)
    return high, wide


class LoneBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains where a channel has a single number.

    Global pooling leaves one number for each picture; a batch of one picture has no spread then, and torch
    refuses it. Here the running statistics are used, as in evaluation.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C, H, W)."""
        if self.training and features.numel() == features.shape[1]:
            return functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)


def create_segmenter(
    decoder: str,
    backbone: str,
    model_args: Mapping[str, Any],
    classes: int,
    size: tuple[int, int],
    *,
    upsampling: str | None = None,
) -> Segmenter:
    """Create a network with fresh random numbers.

    ``backbone``: a timm name, "smp/..." or ``OWN_ENCODER``; ``model_args`` are timm's. ``size``: height and
    width of the input in px, which networks of a fixed size are made for. ``upsampling``: one of the
    decoder's, None for its usual one. Raises ``InputError`` for what does not exist or does not fit.
    """
    chosen = _checked(decoder, backbone, model_args, upsampling)
    try:
        if decoder == "segnet":
            network = _segnet(backbone, model_args, classes)
        elif decoder == "dpt":
            network = _dpt(backbone, model_args, classes, size)
        else:
            network = _pyramidal(chosen, backbone, model_args, classes, size, upsampling)
        replace_lone_norms(network.decoder)
        _try(network, classes, size, bool(_fixed_size(backbone, model_args, size)))
    except REFUSALS as error:
        raise InputError(
            f"{chosen.title} cannot be built on {backbone}: {_reason(chosen, error)}.",
            "Choose another backbone or another decoder.",
        ) from error
    return network


def _reason(decoder: Decoder, error: Exception) -> str:
    text = str(error).strip().split("\n")[0][:200].rstrip(".")
    if decoder.name in DILATED and (not text or "stride" in text):
        return "it needs feature maps at stride 8 or 16, which this backbone cannot give"
    if "downsampling pattern" in text:
        return "it needs feature maps that halve from stage to stage; DPT takes this backbone"
    return text or type(error).__name__


def _checked(decoder: str, backbone: str, model_args: Mapping[str, Any], upsampling: str | None) -> Decoder:
    check_model_args(model_args)
    chosen = decoder_called(decoder)
    if chosen is None:
        names = ", ".join(one.name for one in DECODERS)
        raise InputError(f"There is no decoder called “{decoder[:80]}”.", f"There are: {names}.")
    if upsampling is not None and upsampling not in chosen.upsampling:
        ways = " or ".join(chosen.upsampling) or "in its own way"
        raise InputError(f"{chosen.title} does not scale up “{upsampling[:80]}”.", f"It scales up {ways}.")
    library, name = library_of(backbone)
    if library == "smp" and name not in smp.encoders.get_encoder_names():
        raise InputError(f"segmentation-models-pytorch has no encoder called “{name[:80]}”.")
    if library == "torchvision":
        raise InputError(f"{backbone} cannot be used for segmentation.", "Choose a backbone of timm.")
    if library == "timm" and backbone != OWN_ENCODER and not timm.is_model(name):
        raise no_backbone(name)
    if library == "smp" and model_args:
        raise InputError(f"{backbone} takes no model arguments.")
    if backbone == OWN_ENCODER and decoder != "segnet":
        raise InputError(f"Only SegNet has its own small encoder, {chosen.title} has not.")
    return chosen


def _fixed_size(backbone: str, model_args: Mapping[str, Any], size: Sequence[int]) -> dict[str, Any]:
    """Return the argument that makes a timm network for ``size``, when it has to know its size."""
    if library_of(backbone)[0] != "timm" or backbone == OWN_ENCODER or "img_size" in model_args:
        return {}
    config = timm.get_pretrained_cfg(without_tag(backbone), allow_unregistered=True)
    return {"img_size": tuple(size)} if config is not None and config.fixed_input_size else {}


def _pyramidal(
    decoder: Decoder,
    backbone: str,
    model_args: Mapping[str, Any],
    classes: int,
    size: tuple[int, int],
    upsampling: str | None,
) -> Segmenter:
    """Build a network on feature maps at strides 1 to 32."""
    library, name = library_of(backbone)
    least = PAN_LEAST if decoder.name == "pan" else STRIDE
    more = dict(model_args)
    if library == "timm":
        name = f"tu-{name}"
        more |= _fixed_size(backbone, model_args, padded(size, STRIDE, least))
    if decoder.name == "fcn":
        encoder = smp.encoders.get_encoder(name, **more)
        parts: tuple[nn.Module, nn.Module] = FcnDecoder(encoder.out_channels, classes), nn.Identity()
    else:
        if upsampling is not None:
            more["decoder_interpolation"] = upsampling
        whole = smp.create_model(decoder.name, name, encoder_weights=None, classes=classes, **more)
        encoder, parts = whole.encoder, (whole.decoder, whole.segmentation_head)
    if library == "smp":
        return Segmenter(encoder, Whole(), *parts, least=least)
    body = encoder.model
    with torch.device("meta"):
        body.group_matcher = stages_of_wrapped(
            body, timm.create_model(name.removeprefix("tu-"), **model_args)
        )
    levels = TimmLevels(
        own_first=len(encoder.out_channels) == len(body.feature_info.channels()),
        gap=encoder.out_channels[1] == 0,
        channels_last=getattr(body, "output_fmt", None) == "NHWC",
    )
    return Segmenter(body, levels, *parts, least=least)


def _dpt(backbone: str, model_args: Mapping[str, Any], classes: int, size: tuple[int, int]) -> Segmenter:
    """Build DPT on single blocks of a vision transformer of timm's."""
    library, name = library_of(backbone)
    if library != "timm":
        raise ValueError("it needs a vision transformer of timm's")
    with torch.device("meta"):
        plain = timm.create_model(name, num_classes=0, **model_args)
    strides = {level["reduction"] for level in getattr(plain, "feature_info", ())}
    if len(strides) != 1:
        raise ValueError("it needs a vision transformer, whose blocks all have the same size")
    cells = 2 * strides.pop()  # the map of the last block is halved once more
    has_tokens = getattr(plain, "num_prefix_tokens", 0) > 0
    whole = smp.DPT(
        f"tu-{name}",
        encoder_weights=None,
        decoder_readout="cat" if has_tokens else "ignore",
        classes=classes,
        num_classes=0,
        **model_args,
        **_fixed_size(backbone, model_args, padded(size, cells, cells)),
    )
    # The same choice as the encoder's: blocks at equal distances, the last one among them.
    depth, count = len(whole.encoder.out_channels), len(whole.encoder.model.feature_info)
    blocks = tuple(int(count / depth * number) - 1 for number in range(1, depth + 1))
    pyramid = Tokens(blocks, whole.encoder.has_prefix_tokens)
    return Segmenter(whole.encoder.model, pyramid, whole.decoder, whole.segmentation_head, cells, cells)


def _segnet(backbone: str, model_args: Mapping[str, Any], classes: int) -> Segmenter:
    """Build SegNet on a VGG of timm's, whose pooling can be undone, or on the small encoder."""
    encoder = small_encoder()
    if backbone != OWN_ENCODER:
        library, name = library_of(backbone)
        if library != "timm" or not name.startswith("vgg"):
            raise ValueError(f"its pooling cannot be undone; take a VGG of timm's or {OWN_ENCODER}")
        # The layers behind the feature maps have ten times as many numbers, so they are left empty at first.
        with torch.device("meta"):
            features = create(name, 0, model_args).features
        assert isinstance(features, nn.Sequential)
        encoder = PoolingEncoder(features.to_empty(device="cpu"))
        _start(encoder)
    return Segmenter(encoder, Whole(spread=True), SegNetDecoder(encoder, classes), nn.Identity())


def _start(encoder: nn.Module) -> None:
    """Draw the numbers of a VGG's layers, as timm does."""
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()


def replace_lone_norms(module: nn.Module) -> None:
    """Give every batch normalisation of a decoder the behaviour of ``LoneBatchNorm``, its numbers kept."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            lone = LoneBatchNorm(child.num_features, child.eps, child.momentum)
            lone.load_state_dict(child.state_dict())
            setattr(module, name, lone)
        else:
            replace_lone_norms(child)


def _try(network: Segmenter, classes: int, size: tuple[int, int], fixed: bool) -> None:
    """Score one empty picture, the smallest that the network takes; raises ``ValueError`` for no scores."""
    height, width = size if fixed else network.padded((1, 1))
    network.eval()
    with torch.no_grad():
        found = network(torch.zeros(1, 3, height, width))
    network.train()
    if found.shape != (1, classes, height, width):
        raise ValueError(f"its scores of {height} x {width} px have the shape {tuple(found.shape)}")
