"""Weights files as they lie on disk: what may be opened, the header, the ``config.json`` beside them.

Nothing here imports torch. Only the header of a ``.safetensors`` file is read; ``.pt`` and ``.pth`` are
opened by ``engine.models.torch_files`` in a child process.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
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
MOST_AXES = 64
"""Axes that a torch tensor may have."""

_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
}
"""Bits of one number, by safetensors' name of its type."""


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
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:  # a name longer than the system takes, a folder that is not ours
        short = path.name[:80]
        raise WeightsError(f"“{short}” cannot be opened: {error.strerror}.", "Check the path.") from error
    if size is None:
        raise WeightsError(f"There is no weights file “{path}”.", "Check the path.")
    suffix = path.suffix.lower()
    if suffix == ".zip":
        raise WeightsError(
            f"“{path.name}” is an archive: it is imported, no run starts from it.",
            "Import it (Settings, or `lensmith weights import`), or unpack it.",
        )
    if suffix not in MODEL_SUFFIXES:
        raise WeightsError(
            f"“{path.name}” is not a kind of weights file that Lensmith opens: files ending in "
            f"“{suffix or 'nothing'}” can run code when they are read.",
            "Save the weights as .safetensors (or a state_dict as .pt or .pth).",
        )
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

    Each entry's ``dtype`` (a name such as "F32"), ``shape`` (list of ints) and ``data_offsets`` (begin and
    end in bytes) are there and agree, and the entries fill the file without gap or overlap, as
    https://github.com/huggingface/safetensors#format wants it. Raises ``WeightsError`` when they do not, and
    when the header is damaged or over 10 MB.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            start = handle.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            text = handle.read(length) if 2 <= length <= min(HEADER_LIMIT, size - 8) else b""
    except OSError as error:
        raise WeightsError(f"“{path.name}” cannot be opened: {error.strerror}.", "Check the path.") from error
    if not text:
        raise WeightsError(f"“{path.name}” is not a safetensors file, or it is cut off.")
    try:
        header: dict[str, Any] = json.loads(text.decode("utf-8"))
        header.pop("__metadata__", None)
        end = _end_of_numbers(header.values())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise WeightsError(f"“{path.name}” has a damaged safetensors header.") from error
    if end != size - 8 - length:
        raise WeightsError(f"“{path.name}” is cut off: its header speaks of {end:,} bytes of numbers.")
    return header


def _end_of_numbers(entries: Iterable[dict[str, Any]]) -> int:
    """Return where the last tensor ends, in bytes; raises ``ValueError`` and its like for a wrong entry."""
    end = 0
    for entry in sorted(entries, key=lambda entry: tuple(entry["data_offsets"])):
        begin, after = entry["data_offsets"]
        shape = entry["shape"]
        axes = isinstance(shape, list) and len(shape) <= MOST_AXES
        if not axes or not all(_is_count(part) for part in (begin, after, *shape)):
            raise ValueError("shapes and offsets are whole numbers")
        if begin != end or (after - begin) * 8 != math.prod(shape) * _BITS[entry["dtype"]]:
            raise ValueError("the tensors do not lie one after another, each as large as its shape")
        end = after
    return end


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def read_config(path: Path) -> FileConfig:
    """Read the ``config.json`` beside a weights file; an empty record when there is none.

    ``mean`` and ``std`` are on the 0 to 1 scale. Raises ``WeightsError`` when a value in it has the wrong
    type or cannot be, because a wrong normalisation would silently cost accuracy.
    """
    file = path.parent / CONFIG_FILE
    if not file.is_file():
        return FileConfig()
    if file.stat().st_size > CONFIG_LIMIT:
        raise WeightsError(f"The config.json beside “{path.name}” is larger than 1 MB.")
    try:
        # Editors of some systems put a byte order mark before the text.
        raw = json.loads(file.read_text(encoding="utf-8-sig"))
        if not isinstance(raw, dict):
            raise ValueError("it holds no names and values")
        # timm's own files keep these keys one level down.
        raw = {**(raw.get("pretrained_cfg") or {}), **raw}
        return FileConfig(
            architecture=_text(raw, "architecture"),
            model_args=_table(raw, "model_args"),
            mean=_shares(raw, "mean", zero=True),
            std=_shares(raw, "std", zero=False),
            interpolation=_text(raw, "interpolation"),
            crop_pct=_crop(raw),
            input_size=_side(raw),
        )
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, OSError) as error:
        raise WeightsError(f"The config.json beside “{path.name}” cannot be used: {error}.") from error


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw.get(key) or ""
    if not isinstance(value, str):
        raise ValueError(f"“{key}” is a name")
    return value


def _table(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"“{key}” holds names and values")
    return value


def _shares(raw: dict[str, Any], key: str, *, zero: bool) -> tuple[float, float, float] | None:
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3 or not all(_is_number(part) for part in value):
        raise ValueError(f"“{key}” is three finite numbers, one for each channel")
    if any(part > 1 for part in value) and all(0 <= part <= 255 for part in value):
        raise ValueError(f"“{key}” is on the 0 to 1 scale; divide {value} by 255")
    if not all(0 <= part <= 1 and (zero or part > 0) for part in value):
        raise ValueError(f"“{key}” is from 0 to 1{'' if zero else ' and not 0'}, not {value}")
    red, green, blue = (float(part) for part in value)
    return red, green, blue


def _crop(raw: dict[str, Any]) -> float | None:
    value = raw.get("crop_pct")
    # Some of timm's own are above 1 (volo).
    if value is not None and not (_is_number(value) and value > 0):
        raise ValueError("“crop_pct” is a share above 0")
    return None if value is None else float(value)


def _side(raw: dict[str, Any]) -> int | None:
    """Return the side in px from timm's [channels, height, width], or [height, width], or a plain number."""
    value = raw.get("input_size")
    if value is None:
        return None
    side = value[-1] if isinstance(value, list) and len(value) in (2, 3) else value
    if not (_is_count(side) and side > 0):
        raise ValueError("“input_size” is channels, height and width, such as [3, 224, 224]")
    return int(side)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
