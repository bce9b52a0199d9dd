"""Pooled features of a frozen backbone, cached by (file, preprocessing, backbone and weights).

A cache is a folder of shards, each an array ``<n>.npy`` of (rows, D) float32 and the SHA-256 of each
row in ``<n>.json``. The list is written last, so a shard counts only when it is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.storage.blobs import write_atomic


def features_key(decode_hash: str, normalisation: str, network: str) -> str:
    """Return the name of a cache folder from everything that changes a feature.

    ``network`` names backbone, arguments and weights.
    """
    text = "|".join((decode_hash, normalisation, network))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def pooled(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the (N, D) float32 features that the model's classifier would get."""
    head = getattr(model, "forward_head")  # noqa: B009 (timm's models have it, nn.Module does not)
    extract = getattr(model, "forward_features")  # noqa: B009
    features: torch.Tensor = head(extract(images), pre_logits=True)
    return features.flatten(1).float()


def cached_features(
    folder: Path, sha256s: Sequence[str], compute: Callable[[NDArray[np.intp]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return (N, D) float32 features in the order of ``sha256s``.

    ``compute`` gets the positions that are not cached yet and returns their features.
    """
    found = _read(folder)
    missing = np.array([i for i, sha in enumerate(sha256s) if sha not in found], dtype=np.intp)
    if len(missing):
        fresh = compute(missing)
        names = [sha256s[i] for i in missing]
        _write(folder, names, fresh)
        found.update(zip(names, fresh, strict=True))
    return np.stack([found[sha] for sha in sha256s]).astype(np.float32, copy=False)


def _read(folder: Path) -> dict[str, NDArray[np.float32]]:
    rows: dict[str, NDArray[np.float32]] = {}
    for index in sorted(folder.glob("*.json")):
        array = np.load(index.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        rows.update(zip(json.loads(index.read_text()), array, strict=True))
    return rows


def _write(folder: Path, names: list[str], features: NDArray[np.float32]) -> None:
    content = BytesIO()
    np.save(content, features, allow_pickle=False)
    name = hashlib.sha256("".join(names).encode()).hexdigest()[:16]
    write_atomic(folder / f"{name}.npy", content.getvalue(), sync=False)
    write_atomic(folder / f"{name}.json", json.dumps(names).encode(), sync=False)
