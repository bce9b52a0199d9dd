"""Jobs about weights: fetch published ones, take in a file, ask the hub. Child processes only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from engine.contracts.jobs import Work
from engine.datasets.staging import goes_on, remove_staged
from engine.errors import InputError, WeightsError
from engine.models.backbones import create
from engine.models.catalog import ask_libraries, find_model
from engine.models.fetch import ask, fetch
from engine.models.hub_state import remember_answer
from engine.models.library import Imported, add, list_imported
from engine.models.published import Published, published
from engine.models.recognise import recognise
from engine.models.torch_files import readable_file
from engine.models.weights import check_model_args
from engine.models.weights_archive import UNPACKED, open_source
from engine.models.weights_file import (
    CONFIG_FILE,
    FileConfig,
    read_header,
)
from engine.settings import Settings
from engine.storage.blobs import sha256_of

COMMON_NAMES = ("model", "pytorch_model", "weights", "best")


def fetch_weights(work: Work) -> dict[str, Any]:
    """Job ``fetch-weights``: bring the published weights of ``payload["backbone"]`` into the cache."""
    known = _published(work.settings, str(work.payload["backbone"]))

    def tell(done: int, total: int | None) -> None:
        whole = f" of {total / 1e6:.1f}" if total else ""
        work.progress(done / total if total else None, f"{known.name}: {done / 1e6:.1f}{whole} MB")

    work.progress(None, f"Asking for {known.name}")
    path = fetch(work.settings, known, tell, work.check_stop)
    remember_answer(work.settings, known, size=path.stat().st_size)
    return {"name": known.name, "bytes": path.stat().st_size}


def look(work: Work) -> dict[str, Any]:
    """Job ``look``: ask whether the hub answers, and how large a backbone's weights are."""
    known = _published(work.settings, str(work.payload["backbone"]))
    try:
        size = ask(work.settings, known).bytes
    except WeightsError as error:
        remember_answer(work.settings, known, error=error)
        return {"problem": error.message, "bytes": None}
    remember_answer(work.settings, known, size=size)
    return {"problem": "", "bytes": size}


def _published(settings: Settings, backbone: str) -> Published:
    ask_libraries(settings, backbone)  # the catalog may not be written yet
    known = published(settings, backbone)
    if known is None:
        raise InputError(
            f"No weights are published for “{backbone}”.", "The list of models shows which have some."
        )
    return known


def import_weights(work: Work) -> dict[str, Any]:
    """Job ``import-weights``: recognise a file and put it into the library.

    The payload holds ``path`` (a weights file, or a folder or ZIP with one and its ``config.json``),
    ``name``, whether it was ``staged`` (uploaded), and what the person set: ``title, licence, architecture,
    model_args, mean, std, input_size``. An upload goes away with the job, unless a next attempt reads it.
    """
    try:
        entry = _import(work)
    except BaseException as error:
        if not goes_on(work, error):
            _clear(work)
        raise
    _clear(work)
    return {"id": entry.id, "start": f"weights:{entry.id}", "fit": entry.fit.model_dump(mode="json")}


def _clear(work: Work) -> None:
    shutil.rmtree(work.folder / UNPACKED, ignore_errors=True)
    remove_staged(work.payload, work.settings)


def _import(work: Work) -> Imported:
    payload = work.payload
    already = next((entry for entry in list_imported(work.settings) if entry.job == work.job_id), None)
    if already is not None:
        return already  # an earlier attempt was killed after its last step
    work.progress(None, "Reading the file")
    path, name = Path(payload["source"]), str(payload["name"])
    file, config = open_source(path, name, work.folder, work.settings.limits, work.check_stop)
    tensors = readable_file(work.settings, file)
    header = read_header(tensors)
    model_args = {**config.model_args, **payload.get("model_args", {})}
    check_model_args(model_args)
    work.progress(None, "Comparing with the catalog")
    fit = recognise(
        {name: tuple(entry["shape"]) for name, entry in header.items()},
        work.settings,
        architecture=str(payload.get("architecture") or config.architecture),
        model_args=model_args,
        dtypes={name: str(entry["dtype"]) for name, entry in header.items()},
        progress=work.progress,
        check_stop=work.check_stop,
    )
    said = _said(file)
    about = {
        "title": str(payload.get("title") or said.get("title") or _title(path, file, name)),
        "sha256": sha256_of(file),
        "licence": str(payload.get("licence") or said.get("licence") or ""),
        "origin": str(said.get("origin") or name),
        "job": work.job_id,
        "fit": fit.model_dump(mode="json"),
    }
    work.progress(None, "Writing")
    return add(work.settings, tensors, _config(work, fit.architecture, model_args, config), about)


def _said(file: Path) -> dict[str, Any]:
    """Return what another Lensmith wrote about these weights; ``read_config`` has checked the file."""
    config = file.parent / CONFIG_FILE
    if not config.is_file():
        return {}
    said = json.loads(config.read_text(encoding="utf-8-sig")).get("lensmith", {})
    return said if isinstance(said, dict) else {}


def _title(path: Path, file: Path, name: str) -> str:
    """Name weights after their file, or after its folder where a person's file is called as all are."""
    if path.is_dir() or file.is_relative_to(path.parent):
        plain = file.parent.name if file.stem in COMMON_NAMES else file.stem
        return path.name if path.is_dir() else plain
    return Path(name).stem


def _config(work: Work, architecture: str, model_args: dict[str, Any], config: FileConfig) -> dict[str, Any]:
    """Write down, as timm does, how the file wants to be used; what the person set comes first."""
    payload = work.payload
    model = find_model(work.settings, architecture)
    published_cfg: dict[str, Any] = {}
    if model is None or model.library == "timm":
        # Also proves that the architecture can be built with these arguments.
        published_cfg = getattr(create(architecture, 0, model_args), "pretrained_cfg", {})
    size = payload.get("input_size") or config.input_size or (published_cfg.get("input_size") or [0])[-1]
    wanted = {
        "mean": payload.get("mean") or config.mean or published_cfg.get("mean"),
        "std": payload.get("std") or config.std or published_cfg.get("std"),
        "interpolation": config.interpolation or published_cfg.get("interpolation"),
        "crop_pct": config.crop_pct or published_cfg.get("crop_pct"),
        "input_size": [3, int(size), int(size)] if size else None,
    }
    stated = {key: value for key, value in wanted.items() if value is not None}
    return {"architecture": architecture, "model_args": model_args, "pretrained_cfg": stated}
