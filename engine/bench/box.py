"""The judge of the backbones in the box: linear probes on real sets.

The sets are named in ``SETS`` and ``engine/models/bundled/CARD.md``; none was used in the training, and
nothing of them is in the project.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from torch import nn

from engine.datasets.preprocessing import Preprocessing, prepare
from engine.features.embeddings import pooled
from engine.features.probe import fit_probe
from engine.models.backbones import create

SEEDS = (0, 1, 2)
TRASH_CLASSES = ("glass", "paper", "cardboard", "plastic", "metal", "trash")
BATCH = 32

Features = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Judged:
    """A set: files, targets (N,) int64 or (N, K) int64 0/1, and its parts (train, val, test) for a seed."""

    name: str
    files: tuple[Path, ...]
    targets: NDArray[np.int64]
    parts: Callable[[int], tuple[Rows, Rows, Rows]]


def trashnet(folder: Path) -> Judged:
    """Read trashnet_192 with its lists; the labels in them count from one. A seed changes no part."""
    root = folder / "trashnet_192"
    files: list[Path] = []
    targets: list[int] = []
    parts: list[Rows] = []
    for part in ("train", "val", "test"):
        text = (root / "garythung" / "data" / f"one-indexed-files-notrash_{part}.txt").read_text()
        lines = [line.split() for line in text.splitlines() if line.strip()]
        parts.append(np.arange(len(files), len(files) + len(lines)))
        for name, label in lines:
            files.append(root / "dataset-resized" / TRASH_CLASSES[int(label) - 1] / name)
            targets.append(int(label) - 1)
    train, val, test = parts
    return Judged(
        "trashnet_192", tuple(files), np.array(targets, dtype=np.int64), lambda seed: (train, val, test)
    )


def facemask(folder: Path) -> Judged:
    """Read facemask_dev without exact duplicates; a seed draws its parts (60, 15 and 25 %)."""
    root = folder / "facemask_dev" / "dataset"
    seen: set[str] = set()
    files: list[Path] = []
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest not in seen:
            seen.add(digest)
            files.append(file)
    targets = np.array([file.parent.name == "without_mask" for file in files], dtype=np.int64)

    def parts(seed: int) -> tuple[Rows, Rows, Rows]:
        order = np.random.default_rng(seed).permutation(len(files))
        train, val, test = np.split(order, [int(0.6 * len(files)), int(0.75 * len(files))])
        return train, val, test

    return Judged("facemask_dev", tuple(files), targets, parts)


def cards(folder: Path) -> Judged:
    """Read cards_tags with its split; a seed draws the fifth of the training images that validates."""
    root = folder / "cards_tags"
    with (root / "labels_onehot.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    names = [name for name in rows[0] if name not in ("filename", "split")]
    targets = np.array([[int(row[name]) for name in names] for row in rows], dtype=np.int64)
    training = np.flatnonzero([row["split"] == "train" for row in rows])
    test = np.flatnonzero([row["split"] != "train" for row in rows])

    def parts(seed: int) -> tuple[Rows, Rows, Rows]:
        order = np.random.default_rng(seed).permutation(training)
        cut = len(order) // 5
        return order[cut:], order[:cut], test

    return Judged("cards_tags", tuple(root / "images" / row["filename"] for row in rows), targets, parts)


SETS = (trashnet, facemask, cards)


@torch.inference_mode()
def features_of(model: nn.Module, judged: Judged, record: Preprocessing) -> Features:
    """Return (N, D) features of a set's images, prepared as the app prepares them."""
    model.eval()
    found = []
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (record.mean, record.std))
    for start in range(0, len(judged.files), BATCH):
        pixels = np.stack([prepare(file, record) for file in judged.files[start : start + BATCH]])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
        found.append(pooled(model, images.contiguous(memory_format=torch.channels_last)).numpy())
    return np.concatenate(found)


def probe_score(features: Features, judged: Judged, seed: int) -> float:
    """Return top-1 on the test images, or the mean average precision when the targets are tags."""
    train, val, test = judged.parts(seed)
    if judged.targets.ndim == 2:
        return _tags_score(features, judged.targets, (train, val, test))
    classes = int(judged.targets.max()) + 1
    probe = fit_probe(features[train], judged.targets[train], features[val], judged.targets[val], classes)
    answers = probe.probabilities(features[test]).argmax(axis=1)
    return float((answers == judged.targets[test]).mean())


def _tags_score(features: Features, targets: NDArray[np.int64], parts: tuple[Rows, Rows, Rows]) -> float:
    """Return mAP of one logistic regression per tag; C is the best for the validation mAP."""
    train, val, test = parts
    mean, std = features[train].mean(axis=0), features[train].std(axis=0)
    inputs = (features - mean) / np.where(std > 1e-6, std, np.inf)
    best = (-1.0, 0.0)
    for strength in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
        scores = np.empty((len(inputs), targets.shape[1]))
        for tag in range(targets.shape[1]):
            model = LogisticRegression(C=strength, max_iter=300).fit(inputs[train], targets[train, tag])
            scores[:, tag] = model.decision_function(inputs)
        on_val, on_test = (float(average_precision_score(targets[p], scores[p])) for p in (val, test))
        best = max(best, (on_val, on_test), key=lambda pair: pair[0])
    return best[1]


def record_for(size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocessing:
    """Return the app's default preparation (squash) at ``size`` px."""
    return Preprocessing(size, size, mean=mean, std=std)  # type: ignore[arg-type]


def judge(
    folder: Path,
    model: Callable[[int], nn.Module],
    record: Preprocessing,
    seeds: tuple[int, ...] = SEEDS,
    *,
    fixed: bool = True,
) -> dict[str, list[float]]:
    """Return the probe's scores per set and seed.

    ``model`` gives the network of a seed; with ``fixed`` it is the same for all and asked once. A seed
    also draws facemask_dev's parts and cards_tags' validation images; trashnet_192's lists never change.
    """
    scores: dict[str, list[float]] = {}
    for read in SETS:
        judged = read(folder)
        features: Features | None = None
        for seed in seeds:
            if features is None or not fixed:
                features = features_of(model(seed), judged, record)
            scores.setdefault(judged.name, []).append(probe_score(features, judged, seed))
    return scores


def random_network(architecture: str, seed: int, model_args: dict[str, Any] | None = None) -> nn.Module:
    """Return a network with fresh weights drawn with ``seed``, without a classifier."""
    torch.manual_seed(seed)
    return create(architecture, 0, model_args or {})


def filled_network(architecture: str, file: Path, model_args: dict[str, Any] | None = None) -> nn.Module:
    """Return a network with the weights of a safetensors file, its classifier left out.

    Raises ``RuntimeError`` when a weight of the backbone is missing.
    """
    model = create(architecture, 0, model_args or {})
    wanted = model.state_dict()
    state = {name: value.float() for name, value in load_file(file).items() if name in wanted}
    counters = [name for name in wanted if name.endswith("num_batches_tracked")]
    model.load_state_dict({**{name: wanted[name] for name in counters}, **state})
    return model


def share(box: dict[str, list[float]], random: dict[str, list[float]], best: dict[str, list[float]]) -> float:
    """Return (box - random) / (best - random) of the means over sets and seeds."""
    a, b, c = (float(np.mean([np.mean(v) for v in scores.values()])) for scores in (box, random, best))
    return (a - b) / (c - b)
