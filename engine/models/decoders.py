"""The decoders of semantic segmentation, by name (no torch): what they are called and how they scale up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Upsampling = Literal["nearest", "bilinear"]


@dataclass(frozen=True)
class Decoder:
    """A decoder: its ``name`` in settings, its ``title`` for people, and where it was published.

    ``upsampling``: the ways of scaling up that can be chosen, the usual one first; none: it has one of its
    own (learned transposed convolutions in LinkNet and FCN-8s, undone pooling in SegNet).
    """

    name: str
    title: str
    source: str
    upsampling: tuple[Upsampling, ...] = ()


DECODERS: tuple[Decoder, ...] = (
    Decoder("unet", "U-Net", "Ronneberger 2015", ("nearest", "bilinear")),
    Decoder("unetplusplus", "U-Net++", "Zhou 2018", ("nearest", "bilinear")),
    Decoder("fpn", "FPN", "Kirillov 2017", ("nearest", "bilinear")),
    Decoder("pspnet", "PSPNet", "Zhao 2017"),
    Decoder("deeplabv3", "DeepLabV3", "Chen 2017"),
    Decoder("deeplabv3plus", "DeepLabV3+", "Chen 2018"),
    Decoder("linknet", "LinkNet", "Chaurasia 2017"),
    Decoder("manet", "MA-Net", "Fan 2020", ("nearest", "bilinear")),
    Decoder("pan", "PAN", "Li 2018", ("bilinear", "nearest")),
    Decoder("upernet", "UPerNet", "Xiao 2018"),
    Decoder("segformer", "SegFormer", "Xie 2021"),
    Decoder("dpt", "DPT", "Ranftl 2021"),
    Decoder("fcn", "FCN-8s", "Long 2015"),
    Decoder("segnet", "SegNet", "Badrinarayanan 2017"),
)

OWN_ENCODER = "own/segnet"
"""The small encoder that SegNet has without a VGG of timm's; it always starts from random numbers."""


def decoder_called(name: str) -> Decoder | None:
    """Return the decoder of this name, None when there is none."""
    return next((decoder for decoder in DECODERS if decoder.name == name), None)
