"""Reading weights files into tensors. ``.pt`` and ``.pth`` never run code: ``weights_only=True``, always."""

from __future__ import annotations

import errno
import os
import pickle
import secrets
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.errors import WeightsError
from engine.models.other_files import refuse_other_files
from engine.models.weights_file import check_file, read_header
from engine.settings import Limits, Settings
from engine.storage.blobs import sha256_of, sync_folder

_CONTAINERS = ("state_dict_ema", "state_dict", "model_state_dict", "model_ema", "model")
_DEEPEST = 4
"""How many containers may lie in each other: a checkpoint in a checkpoint has two."""
_SAVE_PLAIN = "Save only the state_dict, best as .safetensors."
_DISK_FULL = f"os error {errno.ENOSPC}"
"""How safetensors, which is written in Rust, says that the disk is full."""


def read_state(settings: Settings, path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Read the tensors of a weights file and the file's SHA-256.

    Raises ``WeightsError`` for what cannot be read safely and for what holds no weights to train from, such
    as 8-bit ones, an adapter or an optimizer's state.
    """
    file = readable_file(settings, path)
    header = read_header(file)
    refuse_other_files(
        {name: tuple(entry["shape"]) for name, entry in header.items()},
        {name: str(entry["dtype"]) for name, entry in header.items()},
    )
    return _read_safetensors(file, path.name), sha256_of(path)


def readable_file(settings: Settings, path: Path) -> Path:
    """Return a safetensors file with the tensors of ``path``: itself, or a rewritten ``.pt`` or ``.pth``.

    Raises ``WeightsError`` for what cannot be read safely, ``OSError`` (``ENOSPC``) when the disk is full.
    """
    if check_file(settings, path) == "safetensors":
        return path
    rewritten = settings.cache / "weights" / f"{sha256_of(path)}.safetensors"
    if not rewritten.is_file():
        _rewrite(path, rewritten, settings.limits)
    return rewritten


def _read_safetensors(file: Path, name: str) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise WeightsError(f"“{name}” cannot be read: {error}.") from error


def _rewrite(path: Path, target: Path, limits: Limits) -> None:
    """Write the tensors of ``path`` as safetensors; ``target`` is whole or absent."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        # Not bytes that are then written: the tensors go from the mapped file straight to the new one.
        save_file(_read_torch(path, limits), beside)
        with beside.open("rb") as handle:
            os.fsync(handle.fileno())
        beside.replace(target)
    except (WeightsError, OSError):
        raise
    except Exception as error:
        if _DISK_FULL in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        # What a stranger's file may hold and safetensors cannot: odd dtypes, names that are no Unicode.
        raise WeightsError(f"“{path.name}” cannot become safetensors: {error}.", _SAVE_PLAIN) from error
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(target.parent)


def _read_torch(path: Path, limits: Limits) -> dict[str, torch.Tensor]:
    try:
        mapped = _can_be_mapped(path, limits)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        tensors = _checked(path, _tensors(content), limits)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"“{path.name}” holds more than weights and could run code when it is read: "
            f"{_blocked(str(error))}.",
            _SAVE_PLAIN,
        ) from error
    except MemoryError as error:
        raise WeightsError(f"“{path.name}” needs more memory than there is.") from error
    except Exception as error:
        # A stranger's bytes drive zipfile and torch's unpickler: AssertionError, TypeError, BadZipFile,
        # UnicodeDecodeError, RecursionError and more all say the same of the file, and nothing of Lensmith.
        raise WeightsError(f"“{path.name}” is damaged or not a torch file.") from error
    return tensors


def _can_be_mapped(path: Path, limits: Limits) -> bool:
    """Whether the tensors lie in the file as they are: in a ZIP, packed by nothing.

    Raises ``WeightsError`` when the ZIP would unpack to more than weights may have.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    inflated = sum(member.file_size for member in members)
    if inflated > limits.weights_bytes:
        raise WeightsError(f"“{path.name}” would unpack to {inflated / 2**30:.1f} GiB.")
    return all(member.compress_type == zipfile.ZIP_STORED for member in members)


def _blocked(message: str) -> str:
    """Take the name of the blocked global out of torch's long advice."""
    for line in message.splitlines():
        if "GLOBAL" in line or "global" in line:
            return line.strip().partition(" was not an allowed")[0].removeprefix("WeightsUnpickler error: ")
    return "it is not a plain state_dict"


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    """Find the state dict in a checkpoint; a checkpoint that holds itself ends at the deepest container."""
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            return {}
        inner = next((content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
        content = inner
    return {}


def _checked(path: Path, tensors: dict[str, torch.Tensor], limits: Limits) -> dict[str, torch.Tensor]:
    """Return the tensors as safetensors takes them: plain, contiguous, none sharing memory with another.

    Everything is counted before anything is copied, because a view of one number can claim 10**13.
    """
    if not tensors:
        raise WeightsError(f"“{path.name}” holds no weights (no state_dict was found).")
    for name, value in tensors.items():
        if value.is_quantized or value.layout != torch.strided or value.device.type != "cpu":
            raise WeightsError(
                f"“{name}” in “{path.name}” is quantised, sparse or without numbers: training cannot start "
                "from it.",
                "Choose the file with plain floating-point weights.",
            )
    wanted = sum(value.numel() * value.element_size() for value in tensors.values())
    unpacks = wanted > limits.inflate_ratio * path.stat().st_size and wanted > limits.ratio_applies_above
    if wanted > limits.weights_bytes or unpacks:
        raise WeightsError(
            f"The tensors of “{path.name}” would take {wanted / 2**30:,.1f} GiB, the file has "
            f"{path.stat().st_size / 2**20:,.1f} MiB.",
            _SAVE_PLAIN,
        )
    owners = Counter(value.untyped_storage().data_ptr() for value in tensors.values())
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        if owners[value.untyped_storage().data_ptr()] > 1
        else value.detach().contiguous()
        for name, value in tensors.items()
    }
