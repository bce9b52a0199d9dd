"""Which starting weights a run gets: the file a person names, the local cache, the hub, random numbers.

Nothing here imports torch, so the web process can say before a start what will happen. Only the header
of a ``.safetensors`` file is read; ``.pt`` and ``.pth`` are opened by ``engine.models.torch_files`` in a
child process. Weights that ship with the project would stand between hub and random ("bundled").
"""

from __future__ import annotations

import json
import struct
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.contracts.models import WeightsPlan
from engine.errors import InputError, WeightsError
from engine.models.catalog import find_model
from engine.models.hub_cache import HUB_FILE, cached_file
from engine.models.recommended import recommended
from engine.settings import Settings

HEADER_LIMIT = 10 * 2**20
CONFIG_LIMIT = 2**20
SAFE_SUFFIXES = (".safetensors",)
TORCH_SUFFIXES = (".pt", ".pth")

_WEIGHTS_HINT = "Name the starting weights in the setting “weights”."
_OUTPUT_HINT = "The classes of the project and the setting “dropout” decide it."
_KIND_HINT = "A run trains a whole classifier on RGB images."
FORBIDDEN_ARGS = {
    **dict.fromkeys(
        (
            "pretrained",
            "pretrained_cfg",
            "pretrained_cfg_overlay",
            "pretrained_strict",
            "pretrained_filter_fn",
            "pretrained_model_args",
            "checkpoint_path",
            "cache_dir",
        ),
        _WEIGHTS_HINT,
    ),
    **dict.fromkeys(("num_classes", "drop_rate"), _OUTPUT_HINT),
    **dict.fromkeys(
        (
            "model_name",
            "in_chans",
            "features_only",
            "out_indices",
            "feature_cfg",
            "model_cfg",
            "kwargs_filter",
            "scriptable",
            "exportable",
            "no_jit",
        ),
        _KIND_HINT,
    ),
}
"""Arguments of ``timm.create_model`` that load files, reach the hub, or make it no RGB classifier; each with
what to do instead. Every other argument only shapes the architecture."""


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


def plan_weights(
    settings: Settings, backbone: str, requested: str = "auto", model_args: dict[str, Any] | None = None
) -> WeightsPlan:
    """Say which weights a run of ``backbone`` would start from; looks at files only.

    ``requested`` is "auto", "random" or the path of a file. Raises ``WeightsError`` when a named file
    cannot be used, and ``InputError`` for ``model_args`` that nobody may set.
    """
    check_model_args(model_args or {})
    if requested == "random":
        return WeightsPlan(
            source="random", name="random", sentence="Starts from random numbers, as asked for."
        )
    if requested != "auto":
        return _plan_file(settings, Path(requested).expanduser())
    repository, licence, size = published_weights(settings, backbone)
    if not repository:
        return _random_plan(f"No weights are published for {backbone}")
    if cached_file(repository) is not None:
        sentence = f"Pre-trained weights of {backbone} from this machine's cache ({repository})."
        return WeightsPlan(source="cache", name=repository, sentence=sentence, licence=licence, bytes=size)
    if settings.offline:
        return _random_plan("No weights on this machine and no network")
    sentence = (
        f"Pre-trained weights of {backbone} would be fetched from the hub ({repository}"
        f"{_megabytes(size)}). If it does not answer within {settings.hub_timeout:.0f} s, the run "
        "starts from random numbers and says so."
    )
    return WeightsPlan(source="hub", name=repository, sentence=sentence, licence=licence, bytes=size)


def check_model_args(model_args: Mapping[str, Any]) -> None:
    """Raise ``InputError`` when an argument is for Lensmith, and not for a person or a file, to set."""
    for name, hint in FORBIDDEN_ARGS.items():
        if name in model_args:
            raise InputError(f"The model argument “{name}” cannot be set.", hint)


def _random_plan(reason: str) -> WeightsPlan:
    return WeightsPlan(source="random", name="random", sentence=f"{reason}: starts from random numbers.")


def _plan_file(settings: Settings, path: Path) -> WeightsPlan:
    check_file(settings, path)
    config = read_config(path)
    trained = f", made for {config.architecture}" if config.architecture else ""
    size = path.stat().st_size
    return WeightsPlan(
        source="file",
        name=str(path),
        sentence=f"Weights from the file {path.name}{_megabytes(size)}{trained}.",
        bytes=size,
    )


def _megabytes(size: int | None) -> str:
    return "" if size is None else f", {size / 1e6:.0f} MB"


def published_weights(settings: Settings, backbone: str) -> tuple[str, str, int | None]:
    """Return (hub repository, licence, bytes) of a backbone's default weights; "" when none.

    Known without torch for the short list; for every other architecture from the written catalog,
    and as long as there is none, by timm's naming without a tag, which the hub may not have.
    """
    entry = recommended(backbone)
    model = find_model(settings, backbone)
    if model is not None:
        return model.weights.name, model.weights.licence, model.weights.bytes
    if entry is not None:
        return entry.repository, "apache-2.0", None
    return f"timm/{backbone}", "", None


def hub_file(settings: Settings, repository: str) -> Path:
    """Return the weights file of a hub repository, from the cache or by downloading it.

    Raises ``WeightsError`` when Lensmith is offline, or when the hub does not answer within
    ``settings.hub_timeout`` seconds. A broken download leaves no file behind (huggingface_hub renames
    only whole files).
    """
    cached = cached_file(repository)
    if cached is not None:
        return cached
    if settings.offline:
        raise WeightsError(f"The weights {repository} are not on this machine, and Lensmith is offline.")
    from huggingface_hub import hf_hub_download, hf_hub_url

    # A look with a hard limit first: the hub's own client tries again and again for minutes.
    _ask(hf_hub_url(repository, HUB_FILE), settings.hub_timeout)
    try:
        return Path(hf_hub_download(repository, HUB_FILE, etag_timeout=settings.hub_timeout))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"The weights {repository} could not be fetched from the hub.", _HUB_HINT
        ) from error


_HUB_HINT = "Name a weights file, choose weights=random, or try again when the network is back."


def _ask(url: str, timeout: float) -> None:
    """Raise ``WeightsError`` unless ``url`` answers a HEAD request within ``timeout`` seconds."""

    def head() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 (the hub's own address)
        with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310
            return

    pool = ThreadPoolExecutor(max_workers=1)
    try:
        # In a thread, because looking up a name has no time limit of its own.
        pool.submit(head).result(timeout=timeout)
    except urllib.error.HTTPError as error:
        raise WeightsError(f"The hub does not have {url} (answer {error.code}).", _HUB_HINT) from error
    except (OSError, TimeoutError) as error:
        raise WeightsError(f"The weights hub does not answer ({error}).", _HUB_HINT) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


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


def hub_environment(settings: Settings) -> dict[str, str]:
    """Give the variables that hold the hub's client to our limits.

    They must stand before its process starts: the client reads them when it is imported.
    """
    seconds = str(max(1, round(settings.hub_timeout)))  # it knows whole seconds, and takes 0 for its default
    limits = {
        "HF_HUB_ETAG_TIMEOUT": seconds,
        "HF_HUB_DOWNLOAD_TIMEOUT": seconds,
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return {**limits, "HF_HUB_OFFLINE": "1"} if settings.offline else limits
