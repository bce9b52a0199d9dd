"""Reading weights files into tensors. ``.pt`` and ``.pth`` never run code: ``weights_only=True``, always."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from engine.errors import WeightsError
from engine.models.weights_file import check_file
from engine.settings import Settings
from engine.storage.blobs import sha256_of, write_atomic

_CONTAINERS = ("state_dict_ema", "state_dict", "model_state_dict", "model_ema", "model")


def read_state(settings: Settings, path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Read the tensors of a weights file and the file's SHA-256; raises ``WeightsError``."""
    return _read_safetensors(readable_file(settings, path)), sha256_of(path)


def readable_file(settings: Settings, path: Path) -> Path:
    """Return a safetensors file with the tensors of ``path``: itself, or a rewritten ``.pt`` or ``.pth``.

    Raises ``WeightsError`` for what cannot be read safely.
    """
    if check_file(settings, path) == "safetensors":
        return path
    rewritten = settings.cache / "weights" / f"{sha256_of(path)}.safetensors"
    if not rewritten.is_file():
        write_atomic(rewritten, save(_read_torch(settings, path)))
    return rewritten


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"“{path.name}” cannot be read: {error}.") from error


def _read_torch(settings: Settings, path: Path) -> dict[str, torch.Tensor]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inflated = sum(member.file_size for member in archive.infolist())
        if inflated > settings.limits.weights_bytes:
            raise WeightsError(f"“{path.name}” would unpack to {inflated / 2**30:.1f} GiB.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"“{path.name}” holds more than weights and could run code when it is read: "
            f"{_blocked(str(error))}.",
            "Save only the state_dict, best as .safetensors.",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        raise WeightsError(f"“{path.name}” is damaged or not a torch file.") from error
    tensors = _tensors(content)
    if not tensors:
        raise WeightsError(f"“{path.name}” holds no weights (no state_dict was found).")
    return tensors


def _blocked(message: str) -> str:
    """Take the name of the blocked global out of torch's long advice."""
    for line in message.splitlines():
        if "GLOBAL" in line or "global" in line:
            return line.strip().partition(" was not an allowed")[0].removeprefix("WeightsUnpickler error: ")
    return "it is not a plain state_dict"


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for name in _CONTAINERS:
        if isinstance(content.get(name), Mapping):
            return _tensors(content[name])
    # A copy of each: tensors that share memory cannot be written as safetensors.
    return {
        str(name): value.detach().clone().contiguous()
        for name, value in content.items()
        if isinstance(value, torch.Tensor)
    }
