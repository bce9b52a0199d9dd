"""The catalog of backbones and the facts about this machine, written by a child and read anywhere.

The web process never loads torch, so it reads two JSON files in ``cache/``. Their names carry the
versions they were made with: after an upgrade they are missing, and the worker's ``catalog`` job
writes them again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from engine.contracts.jobs import Work
from engine.contracts.models import DeviceInfo, ModelInfo, WeightsInfo
from engine.models.hub_cache import mark_cached
from engine.models.libraries import DISTRIBUTIONS, without_tag
from engine.models.recommended import RECOMMENDED, Recommended, recommended
from engine.models.speeds import read_speeds
from engine.settings import Settings
from engine.storage.blobs import write_atomic

FORMAT = 3
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}")
_MODELS = TypeAdapter(tuple[ModelInfo, ...])
_DEVICES = TypeAdapter(tuple[DeviceInfo, ...])


def catalog_path(settings: Settings) -> Path:
    """Return where the catalog of the installed libraries is, or would be."""
    made_with = "-".join(f"{name}{version(name)}" for name in DISTRIBUTIONS.values())
    return settings.cache / f"catalog-{FORMAT}-{made_with}.json"


def machine_path(settings: Settings) -> Path:
    """Return where the devices that the installed torch sees are, or would be."""
    return settings.cache / f"machine-{FORMAT}-torch{version('torch')}.json"


def read_catalog(settings: Settings) -> tuple[ModelInfo, ...]:
    """Return all backbones, the short list first; only the short list until the job has run."""
    path = catalog_path(settings)
    if path.is_file():
        models = _parse(path, path.stat().st_mtime_ns)
    else:
        models = tuple(_stub(entry) for entry in RECOMMENDED)
    return mark_cached(_with_speeds(settings, models))


def _with_speeds(settings: Settings, models: tuple[ModelInfo, ...]) -> tuple[ModelInfo, ...]:
    """Fill in the training speeds that were measured here, the newest of each backbone."""
    measured = {
        speed.backbone: {"images_per_second": speed.images_per_second, "measured_size": speed.image_size}
        for speed in read_speeds(settings, usual_device(settings))
        if speed.strategy == "full"
    }
    if not measured:
        return models
    return tuple(
        model.model_copy(update=measured[model.name]) if model.name in measured else model for model in models
    )


@lru_cache(maxsize=4)
def _parse(path: Path, _modified: int) -> tuple[ModelInfo, ...]:
    return _MODELS.validate_json(path.read_bytes())


def find_model(settings: Settings, name: str) -> ModelInfo | None:
    """Return the entry called ``name``, of the catalog or of what a child has asked for; None: not known."""
    for path in (catalog_path(settings), _asked_path(settings, name)):
        if path is not None and path.is_file():
            models = _by_name(path, path.stat().st_mtime_ns)
            if name in models:
                return mark_cached(_with_speeds(settings, (models[name],)))[0]
    return None


def catalog_names(settings: Settings) -> frozenset[str]:
    """Return the names of all backbones, without the tags of timm's weights; empty until it is written."""
    path = catalog_path(settings)
    return frozenset(_by_name(path, path.stat().st_mtime_ns)) if path.is_file() else frozenset()


def must_be_asked(settings: Settings, name: str) -> bool:
    """Say whether only a child can find out what is published for ``name`` (``ask_libraries``).

    So it is as long as the catalog is not written, and later for names with a tag, which it does not list.
    """
    if recommended(name) is not None or find_model(settings, name) is not None:
        return False
    names = catalog_names(settings)
    return not names or (name != without_tag(name) and without_tag(name) in names)


def ask_libraries(settings: Settings, name: str) -> ModelInfo:
    """Return the entry called ``name``, from its library where the catalog has none yet; child process only.

    A name of timm's may have a tag ("resnet18.a1_in1k"), which the catalog never lists. The answer is kept,
    so that the web process knows it too. Raises ``InputError`` for a name that no library has.
    """
    found = find_model(settings, name)
    if found is not None:
        return found
    from engine.models.listing import list_model

    found = list_model(name)
    path = _asked_path(settings, name)
    if path is not None:
        write_atomic(path, _MODELS.dump_json((found,)))
    return found


def _asked_path(settings: Settings, name: str) -> Path | None:
    """Return where the answer about one name is kept; None for what can be no name."""
    if not _NAME.fullmatch(name):
        return None
    return settings.cache / catalog_path(settings).stem / f"{name.replace('/', '--')}.json"


@lru_cache(maxsize=64)
def _by_name(path: Path, modified: int) -> dict[str, ModelInfo]:
    return {model.name: model for model in _parse(path, modified)}


def read_devices(settings: Settings) -> tuple[DeviceInfo, ...]:
    """Return the devices that torch sees here; empty until the catalog job has run."""
    path = machine_path(settings)
    return _DEVICES.validate_json(path.read_bytes()) if path.is_file() else ()


def usual_device(settings: Settings) -> str:
    """Return the device that a run takes when it names none, as ``choose_device`` does."""
    if settings.device != "auto":
        return "cuda:0" if settings.device == "cuda" else settings.device
    return next((device.name for device in read_devices(settings)), "cpu")


def _stub(entry: Recommended) -> ModelInfo:
    return ModelInfo(
        name=entry.name,
        family=entry.name.split("_")[0],
        parameters=None,
        input_size=224,
        weights=WeightsInfo(source="hub", name=entry.repository, licence="apache-2.0"),
        recommended=entry.group,
    )


def write_catalog(work: Work) -> dict[str, Any]:
    """Job ``catalog``: list timm's architectures and this machine's devices, once per version."""
    from engine.models.calibration import calibrate
    from engine.models.devices import list_devices
    from engine.models.listing import list_models

    work.progress(0.0, "Looking at this machine")
    devices = list_devices()
    write_atomic(machine_path(work.settings), _DEVICES.dump_json(devices))
    calibrate(work.settings)
    work.progress(0.2, "Listing the backbones")
    models = list_models(work.check_stop)
    write_atomic(catalog_path(work.settings), _MODELS.dump_json(models))
    return {"models": len(models), "devices": len(devices)}
