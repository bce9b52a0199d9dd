"""One measured speed for a machine that has trained nothing yet. Imports torch."""

from __future__ import annotations

import time

import torch
from torch import nn

from engine.models.backbones import create
from engine.models.devices import choose_device, exact_fp32
from engine.models.speeds import Speed, read_speeds, remember
from engine.settings import Settings

CALIBRATION = ("mobilenetv3_large_100", 160)
"""Backbone and size (px) of the first feature extraction that most people ask for."""
BATCH = 16
PASSES = 2


def calibrate(settings: Settings) -> None:
    """Measure the features of one small backbone, unless a run did already; about a second.

    Other backbones are estimated from it by their multiply-adds until they were measured themselves.
    """
    name, size = CALIBRATION
    device = choose_device(settings.device)
    known = read_speeds(settings, str(device))
    if any((speed.backbone, speed.image_size, speed.strategy) == (name, size, "probe") for speed in known):
        return
    model = create(name, 2, {}).eval().to(device)
    rate = max(_rate(model, size, device, form) for form in (torch.channels_last, torch.contiguous_format))
    remember(
        settings,
        Speed(backbone=name, image_size=size, strategy="probe", device=str(device), images_per_second=rate),
    )


@torch.inference_mode()
@exact_fp32()
def _rate(model: nn.Module, size: int, device: torch.device, form: torch.memory_format) -> float:
    model.to(memory_format=form)
    images = torch.rand(BATCH, 3, size, size, device=device).contiguous(memory_format=form)
    model(images)
    started = _now(device)
    for _ in range(PASSES):
        model(images)
    return PASSES * BATCH / max(_now(device) - started, 1e-9)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
