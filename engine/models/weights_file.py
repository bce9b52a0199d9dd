"""Weights files as they lie on disk: what may be opened, the header, the ``config.json`` beside them.

Nothing here imports torch. Only the header of a ``.safetensors`` file is read; ``.pt`` and ``.pth`` are
opened by ``engine.models.torch_files`` in a child process.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.errors import WeightsError
from engine.settings import Settings

HEADER_LIMIT = 10 * 2**20
CONFIG_LIMIT = 2**20
SAFE_SUFFIXES = (".safetensors",)
TORCH_SUFFIXES = (".pt", ".pth")
MODEL_SUFFIXES = SAFE_SUFFIXES + TORCH_SUFFIXES
CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class FileConfig:
    """What the ``config.json`` beside a weights file says; empty where it says nothing."""

    architecture: str = ""
    model_args: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    interpolation: str = ""
    crop_pct: float | None = None
    input_size: int | None = None


def check_file(settings: Settings, path: Path) -> Literal["safetensors", "torch"]:
    """Check name, size and (for safetensors) header; raises ``WeightsError`` with the reason."""
    if not path.is_file():
        raise WeightsError(f"There is no weights file “{path}”.", "Check the path.")
    suffix = path.suffix.lower()
    if suffix not in SAFE_SUFFIXES + TORCH_SUFFIXES:
        raise WeightsError(
            f"“{path.name}” is not a kind of weights file that Lensmith opens: files ending in "
            f"“{suffix or 'nothing'}” can run code when they are read.",
            "Save the weights as .safetensors (or a state_dict as .pt or .pth).",
        )
    size = path.stat().st_size
    if size > settings.limits.weights_bytes:
        raise WeightsError(
            f"“{path.name}” has {size / 2**30:.1f} GiB; the limit is "
            f"{settings.limits.weights_bytes / 2**30:.0f} GiB."
        )
    if suffix in TORCH_SUFFIXES:
        return "torch"
    read_header(path)
    return "safetensors"


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file: name -> {dtype, shape, data_offsets}.

    Raises ``WeightsError`` when it is damaged, over 10 MB, or points outside the file.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        start = handle.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            raise WeightsError(f"“{path.name}” is not a safetensors file, or it is cut off.")
        text = handle.read(length)
    try:
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise WeightsError(f"“{path.name}” has a damaged safetensors header.") from error
    if end != size - 8 - length:
        raise WeightsError(f"“{path.name}” is cut off: its header speaks of {end:,} bytes of numbers.")
    return header


def read_config(path: Path) -> FileConfig:
    """Read the ``config.json`` beside a weights file; an empty record when there is none.

    Raises ``WeightsError`` when a value in it has the wrong type, because a wrong normalisation
    would silently cost accuracy.
    """
    file = path.parent / "config.json"
    if not file.is_file():
        return FileConfig()
    if file.stat().st_size > CONFIG_LIMIT:
        raise WeightsError(f"The config.json beside “{path.name}” is larger than 1 MB.")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        # timm's own files keep these keys one level down.
        raw = {**raw.get("pretrained_cfg", {}), **raw}
        size = raw.get("input_size")
        return FileConfig(
            architecture=str(raw.get("architecture", "")),
            model_args=dict(raw.get("model_args") or {}),
            mean=_triple(raw.get("mean")),
            std=_triple(raw.get("std")),
            interpolation=str(raw.get("interpolation", "")),
            crop_pct=None if raw.get("crop_pct") is None else float(raw["crop_pct"]),
            input_size=int(size[-1]) if isinstance(size, list) else None,
        )
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise WeightsError(f"The config.json beside “{path.name}” cannot be used: {error}.") from error


def _triple(value: Any) -> tuple[float, float, float] | None:
    if value is None:
        return None
    red, green, blue = (float(part) for part in value)
    return red, green, blue
