"""A pool of views with a teacher's answers, in shards on disk, made once and read in every epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn import functional

from engine.models.bundled.views import Views, chunks

FIELDS = ("views", "pooled", "logits", "middle", "deep")
BATCH = 64


@dataclass(frozen=True)
class Teacher:
    """A frozen network, its normalisation, and which of its stages answer beside features and logits."""

    model: Any
    mean: torch.Tensor
    std: torch.Tensor
    stages: tuple[int, int]

    @torch.inference_mode()
    def answers(self, views: torch.Tensor, grids: tuple[int, int]) -> dict[str, NDArray[np.float16]]:
        """Answer for (N, 3, H, W) views in [0, 1]: pooled (N, D), logits (N, K), two maps (N, C, G, G)."""
        images = ((views - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            final, maps = self.model.forward_intermediates(images, indices=list(self.stages))
            features = self.model.forward_head(final, pre_logits=True).flatten(1)
            logits = self.model.get_classifier()(features)
        answers = {"pooled": features, "logits": logits}
        for name, values, grid in zip(("middle", "deep"), maps, grids, strict=True):
            answers[name] = functional.adaptive_avg_pool2d(values.float(), grid)
        return {name: values.float().numpy().astype(np.float16) for name, values in answers.items()}


def load_teacher(folder: Path) -> Teacher:
    """Load a timm network from ``config.json`` and ``model.safetensors`` in ``folder``."""
    config = json.loads((folder / "config.json").read_text())
    model: Any = timm.create_model(
        config["architecture"], num_classes=config.get("num_classes", 1000), **config.get("model_args", {})
    )
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    model = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    count = len(model.feature_info)
    return Teacher(model, mean, std, (count - 2, count - 1))


def write_shard(
    shard: Path, teacher: Teacher, source: Views, rng: np.random.Generator, count: int, stored: int
) -> None:
    """Render ``count`` views at the size of ``source``, ask the teacher, keep the views at ``stored`` px.

    The shard appears under its name only when it is whole.
    """
    grids = (stored // 16, stored // 32)
    parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in FIELDS}
    for size in chunks(count, BATCH):
        views = torch.from_numpy(source.batch(rng, size)).permute(0, 3, 1, 2).float()
        for name, values in teacher.answers(views / 255, grids).items():
            parts[name].append(values)
        small = functional.interpolate(views, (stored, stored), mode="bilinear", antialias=True)
        parts["views"].append(small.round().clamp(0, 255).to(torch.uint8).numpy())
    part = shard.with_name(shard.name.replace("shard", "part"))
    part.mkdir(parents=True, exist_ok=True)
    for name, arrays in parts.items():
        np.save(part / f"{name}.npy", np.concatenate(arrays), allow_pickle=False)
    part.rename(shard)


class Pool:
    """The shards in a folder, as one list of views."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.shards = [
            {name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in FIELDS}
            for path in sorted(folder.glob("shard-*"))[:limit]
        ]
        if not self.shards:
            raise FileNotFoundError(f"There is no shard in {folder}; make the pool first.")
        self.sizes = [len(shard["views"]) for shard in self.shards]
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of one row of each field."""
        return {name: array.shape[1:] for name, array in self.shards[0].items()}

    def rows(self, order: NDArray[np.intp]) -> dict[str, torch.Tensor]:
        """Return the rows of every field in the given order; views uint8, the rest float32."""
        shard = np.searchsorted(self.starts, order, side="right") - 1
        found: dict[str, torch.Tensor] = {}
        for name in FIELDS:
            rows = [self.shards[s][name][i - self.starts[s]] for s, i in zip(shard, order, strict=True)]
            values = torch.from_numpy(np.stack(rows))
            found[name] = values if name == "views" else values.float()
        return found

    def statistics(self, name: str, count: int = 2048) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation per channel of a field over the first shard's rows."""
        values = torch.from_numpy(np.array(self.shards[0][name][:count])).float()
        dims = [d for d in range(values.ndim) if d != 1]
        return values.mean(dims), values.std(dims).clamp(min=1e-3)

    def prior(self, count: int = 2048) -> torch.Tensor:
        """Return the logarithm of the teacher's mean probabilities over the first shard's rows."""
        logits = torch.from_numpy(np.array(self.shards[0]["logits"][:count])).float()
        return logits.softmax(dim=1).mean(dim=0).log()


def batches(order: NDArray[np.intp], size: int, rank: int, ranks: int) -> Iterator[NDArray[np.intp]]:
    """Give this rank's part of every whole batch of ``size * ranks`` rows of an epoch's order."""
    whole = size * ranks
    for start in range(0, len(order) - whole + 1, whole):
        yield order[start + rank * size : start + (rank + 1) * size]
