"""The devices that torch sees, and which one a run takes. Imports torch: child processes only."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from engine.contracts.models import DeviceInfo
from engine.errors import InputError


def list_devices() -> tuple[DeviceInfo, ...]:
    """List the devices, best first; the CPU is always last. Memory in bytes."""
    found: list[DeviceInfo] = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        found.append(DeviceInfo(name=f"cuda:{index}", title=facts.name, memory=facts.total_memory))
    if torch.backends.mps.is_available():
        found.append(DeviceInfo(name="mps", title="Apple GPU"))
    cpu = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    found.append(DeviceInfo(name="cpu", title=cpu, memory=psutil.virtual_memory().total))
    return tuple(found)


def choose_device(*wishes: str) -> torch.device:
    """Return the device of the first wish that is not "auto"; the best one when all are.

    Raises ``InputError`` when a device that was asked for is not there.
    """
    names = [device.name for device in list_devices()]
    wish = next((wish for wish in wishes if wish != "auto"), names[0])
    wanted = "cuda:0" if wish == "cuda" else wish
    if wanted not in names:
        raise InputError(f"The device “{wish}” is not there.", f"Choose one of: {', '.join(names)}.")
    return torch.device(wanted)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a model computes: bfloat16 where asked for, else plain fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def exact_fp32() -> Iterator[None]:
    """Compute float32 as float32, so that answers do not depend on the device.

    On CUDA, convolutions otherwise round their inputs to TF32 (10 bits of mantissa), which the exported
    model does not.
    """
    switches = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        yield
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision
