"""The data path of training: frozen samples, decoded pixels, and batches that depend only on the step."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contracts.training import Plan
from engine.datasets.cache import DecodedImages
from engine.datasets.preprocessing import Preprocessing
from engine.tasks.base import Sample


@dataclass(frozen=True)
class Part:
    """One split: its samples and their pixels, uint8 (N, H, W, 3), in the same order."""

    samples: tuple[Sample, ...]
    pixels: DecodedImages

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class Data:
    """The three splits of a frozen version as a run sees them."""

    train: Part
    val: Part
    test: Part
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def reported(self) -> tuple[str, Part]:
        """The split that the report is about: test, or validation where no test image is labelled."""
        return ("test", self.test) if len(self.test) else ("val", self.val)


def derive_seed(*parts: int) -> int:
    """Mix numbers such as (run seed, step) into one 63-bit seed; no state, so a resume needs none."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of the training samples in one epoch: a permutation of range(count)."""
    return np.random.default_rng((seed, epoch)).permutation(count)


class Batches:
    """Training batches by global step, the next one read ahead in a thread.

    Each is (pixels uint8 (B, H, W, 3), indices (B,)). The samples left over when the count does not
    divide by the batch size are others in every epoch.
    """

    def __init__(self, part: Part, plan: Plan, seed: int) -> None:
        self._part = part
        self._plan = plan
        self._seed = seed
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._ahead: dict[int, Future[tuple[NDArray[np.uint8], NDArray[np.int64]]]] = {}

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def at(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the batch of global step ``step`` and start reading the one after it."""
        now = self._ahead.pop(step, None) or self._pool.submit(self._read, step)
        self._ahead = {step + 1: self._pool.submit(self._read, step + 1)}
        return now.result()

    def _read(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        epoch, within = divmod(step, self._plan.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(len(self._part), self._seed, epoch))
        size = self._plan.batch_size
        index = self._order[1][within * size : (within + 1) * size]
        return self._part.pixels[index], index


def to_unit(pixels: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Move uint8 (N, H, W, 3) to the device as float32 (N, 3, H, W) on the 0 to 1 scale."""
    images = torch.from_numpy(np.ascontiguousarray(pixels))
    if device.type == "cuda":
        images = images.pin_memory()
    moved = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
    return moved.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


class Normaliser:
    """Per-channel mean and deviation, and the memory format that the model wants."""

    def __init__(self, record: Preprocessing, memory_format: str, device: torch.device) -> None:
        self._mean = torch.tensor(record.mean, device=device).reshape(1, 3, 1, 1)
        self._std = torch.tensor(record.std, device=device).reshape(1, 3, 1, 1)
        self._format = torch_format(memory_format)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise (N, 3, H, W) on the 0 to 1 scale, in place; returned in the model's memory format."""
        return images.sub_(self._mean).div_(self._std).contiguous(memory_format=self._format)


def torch_format(name: str) -> torch.memory_format:
    """Return torch's memory format for "contiguous" or "channels_last"."""
    return torch.channels_last if name == "channels_last" else torch.contiguous_format


def chunks(count: int, size: int) -> Iterator[slice]:
    """Yield slices that cover range(count)."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
