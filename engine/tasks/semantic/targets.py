"""The label maps of a split, drawn once, and how they move with their pictures."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from engine.augment.labels import move_masks
from engine.datasets.preprocessing import Preprocessing
from engine.settings import Settings
from engine.tasks.base import Sample
from engine.tasks.semantic.maps import ALGORITHM, LabelMap, paint

IN_MEMORY = 64 * 2**20
"""Bytes of maps up to which they are drawn anew each time, and not stored."""


def label_maps(
    settings: Settings,
    samples: Sequence[Sample],
    record: Preprocessing,
    background: int,
    progress: Callable[[float], None] = lambda _share: None,
) -> NDArray[np.uint8]:
    """Return the label maps (N, H, W) of samples whose targets are regions, in order.

    Small ones are drawn into memory; large ones are drawn once for the same regions and preprocessing, kept
    in the workspace's cache and mapped into memory, read only. ``progress`` gets the share that is drawn, 0
    to 1; what it raises ends the work. Raises ``OSError`` (``ENOSPC``) when the disk has no room.
    """
    shape = (len(samples), record.height, record.width)

    def drawn() -> Iterable[LabelMap]:
        for number, sample in enumerate(samples, 1):
            yield paint(sample.target, sample.width, sample.height, record, background)
            progress(number / len(samples))

    if shape[0] * shape[1] * shape[2] <= IN_MEMORY:
        maps = np.empty(shape, np.uint8)
        for number, one in enumerate(drawn()):
            maps[number] = one
        return maps
    path = settings.cache / "label_maps" / f"{_fingerprint(samples, record, background)}.npy"
    if not path.exists():
        _write(path, shape, drawn())
    found: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _fingerprint(samples: Sequence[Sample], record: Preprocessing, background: int) -> str:
    """Return a hash over all that the maps depend on."""
    digest = hashlib.sha256(json.dumps([ALGORITHM, record.decode_hash(), background]).encode())
    for sample in samples:
        parts = [[part.position, part.rle, part.polygons, part.box] for part in sample.target]
        digest.update(json.dumps([sample.width, sample.height, parts]).encode() + b"\n")
    return digest.hexdigest()


def _write(path: Path, shape: tuple[int, int, int], maps: Iterable[LabelMap]) -> None:
    """Write maps one after the other as .npy; the file has its name only when it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for one in maps:
                stream.write(one.tobytes())
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


@dataclass(frozen=True)
class MapTargets:
    """The label maps of some samples; ``beyond`` is what comes in at the edge of a moved one."""

    maps: NDArray[np.uint8]
    device: torch.device
    beyond: Literal["mirror"] | int = "mirror"

    def batch(self, index: NDArray[np.int64], matrices: torch.Tensor | None) -> torch.Tensor:
        """Return the label maps of the samples at ``index`` (B,), uint8 (B, H, W), moved by ``matrices``."""
        maps = torch.from_numpy(np.array(self.maps[index])).to(self.device)
        return maps if matrices is None else move_masks(maps, matrices, self.beyond)
