"""Speeds that were measured on this machine, one small file each in ``cache/speeds/``. No torch here.

Training and feature extraction write them, the catalog and the forecasts read them. A workspace that
moved to another machine starts with none.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from engine.contracts.base import Record
from engine.settings import Settings
from engine.storage.blobs import write_atomic

LEAST_IMAGES = 64
"""A speed over fewer images is mostly the first batch, which is slower than the others."""


class Speed(Record):
    """``images_per_second`` of a backbone at ``image_size`` px on ``device``.

    ``strategy`` "probe": computing features in fp32; the others: training steps, as tuned.
    """

    backbone: str
    image_size: int
    strategy: str
    device: str
    images_per_second: float


def remember(settings: Settings, speed: Speed) -> None:
    """Keep a measured speed; it replaces the one of the same backbone, size, strategy and device."""
    facts = (speed.backbone, speed.image_size, speed.strategy, speed.device)
    name = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    write_atomic(_folder(settings) / f"{name}.json", speed.model_dump_json().encode())


def read_speeds(settings: Settings, device: str) -> tuple[Speed, ...]:
    """Return all speeds that were measured with ``device`` of this machine, the newest last."""
    paths = sorted(_folder(settings).glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    speeds = (Speed.model_validate_json(path.read_bytes()) for path in paths)
    return tuple(speed for speed in speeds if speed.device == device)


def _folder(settings: Settings) -> Path:
    facts = (platform.node(), platform.machine(), platform.processor(), os.cpu_count())
    return settings.cache / "speeds" / hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
