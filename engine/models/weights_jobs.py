"""Jobs about weights: fetch published ones, take in a file, ask the hub. Child processes only."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from engine.contracts.jobs import Work
from engine.errors import InputError, WeightsError
from engine.models.backbones import create
from engine.models.catalog import find_model
from engine.models.fetch import ask, fetch
from engine.models.hub_state import remember_hub
from engine.models.library import add, free_id
from engine.models.published import Published, published
from engine.models.recognise import recognise
from engine.models.torch_files import readable_file
from engine.models.weights import check_model_args
from engine.models.weights_file import (
    CONFIG_FILE,
    SAFE_SUFFIXES,
    TORCH_SUFFIXES,
    FileConfig,
    read_config,
    read_header,
)
from engine.settings import Settings
from engine.storage.blobs import sha256_of

MODEL_SUFFIXES = SAFE_SUFFIXES + TORCH_SUFFIXES
ARCHIVE_MEMBERS = 16


def fetch_weights(work: Work) -> dict[str, Any]:
    """Job ``fetch-weights``: bring the published weights of ``payload["backbone"]`` into the cache."""
    known = _published(work.settings, str(work.payload["backbone"]))

    def tell(done: int, total: int | None) -> None:
        whole = f" of {total / 1e6:.1f}" if total else ""
        work.progress(done / total if total else None, f"{known.name}: {done / 1e6:.1f}{whole} MB")

    work.progress(None, f"Asking for {known.name}")
    path = fetch(work.settings, known, tell, work.check_stop)
    remember_hub(work.settings, "", {known.name: path.stat().st_size})
    return {"name": known.name, "bytes": path.stat().st_size}


def look(work: Work) -> dict[str, Any]:
    """Job ``look``: ask whether the hub answers, and how large a backbone's weights are."""
    known = _published(work.settings, str(work.payload["backbone"]))
    try:
        size, problem = ask(work.settings, known).bytes, ""
    except WeightsError as error:
        size, problem = None, error.message
    remember_hub(work.settings, problem, {} if size is None else {known.name: size})
    return {"problem": problem, "bytes": size}


def _published(settings: Settings, backbone: str) -> Published:
    known = published(settings, backbone)
    if known is None:
        raise InputError(
            f"No weights are published for “{backbone}”.", "`lensmith models` lists what there is."
        )
    return known


def import_weights(work: Work) -> dict[str, Any]:
    """Job ``import-weights``: recognise a file and put it into the library.

    The payload holds ``path`` (a weights file, or a folder or ZIP with one and its ``config.json``),
    ``name``, and what the person set: ``title, licence, architecture, model_args, mean, std, input_size``.
    """
    payload = work.payload
    work.progress(None, "Reading the file")
    file, config = _source(work, Path(payload["path"]), str(payload["name"]))
    digest = sha256_of(file)
    title = str(payload.get("title") or _title(file, str(payload["name"])))
    identifier = free_id(work.settings, title, digest)
    tensors = readable_file(work.settings, file)
    header = read_header(tensors)
    shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
    model_args = {**config.model_args, **payload.get("model_args", {})}
    check_model_args(model_args)
    work.progress(None, "Comparing with the catalog")
    fit = recognise(
        shapes,
        work.settings,
        architecture=str(payload.get("architecture") or config.architecture),
        model_args=model_args,
        dtypes={name: str(entry["dtype"]) for name, entry in header.items()},
        progress=work.progress,
        check_stop=work.check_stop,
    )
    about = {
        "title": title,
        "sha256": digest,
        "licence": str(payload.get("licence", "")),
        "origin": str(payload["name"]),
        "fit": fit.model_dump(mode="json"),
    }
    entry = add(
        work.settings, identifier, tensors, _config(work, fit.architecture, model_args, config), about
    )
    return {"id": entry.id, "start": f"weights:{entry.id}", "fit": about["fit"]}


def _title(file: Path, name: str) -> str:
    """Name weights after their file, or after its folder where the file is called as all are."""
    plain = Path(name).stem
    return file.parent.name if plain in ("model", "pytorch_model", "weights", "best") else plain


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


def _source(work: Work, path: Path, name: str) -> tuple[Path, FileConfig]:
    """Find the one weights file and its config; an upload has lost its name, so it gets it back here."""
    if path.is_dir():
        return _only(path)
    if zipfile.is_zipfile(path) and Path(name).suffix.lower() == ".zip":
        return _only(_unpacked(work, path))
    if path.name != name:
        named = work.folder / Path(name).name
        named.unlink(missing_ok=True)
        named.symlink_to(path)
        return named, FileConfig()
    return path, read_config(path)


def _only(folder: Path) -> tuple[Path, FileConfig]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in MODEL_SUFFIXES)
    if not files:
        raise WeightsError(
            f"There is no weights file in “{folder.name}”.",
            "It should hold a .safetensors, .pt or .pth file.",
        )
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise WeightsError(
            f"There are several weights files in “{folder.name}”: {names}.", "Name one of them."
        )
    return files[0], read_config(files[0])


def _unpacked(work: Work, path: Path) -> Path:
    """Take the weights file and its config out of a ZIP; nothing else in it is touched."""
    folder = work.folder / "unpacked"
    folder.mkdir(exist_ok=True)
    limit = work.settings.limits.weights_bytes
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                plain = Path(member.filename).name
                if member.is_dir() or not (
                    plain == CONFIG_FILE or Path(plain).suffix.lower() in MODEL_SUFFIXES
                ):
                    continue
                if member.file_size > limit or len(list(folder.iterdir())) >= ARCHIVE_MEMBERS:
                    raise WeightsError(f"“{path.name}” holds more, or larger, files than weights need.")
                _take(archive, member, folder / plain)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"The ZIP cannot be read: {error}.") from error
    return folder


def _take(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Copy a member, no more bytes than it declares."""
    left = member.file_size
    with archive.open(member) as reader, target.open("wb") as writer:
        while left > 0 and (chunk := reader.read(min(left, 1 << 20))):
            writer.write(chunk)
            left -= len(chunk)
