"""The published weights on this machine: the hub's cache and torch's own folder.

Looks at files only and never asks the hub; no torch. A file counts when it is whole: both folders take a
download in under another name and rename it at its end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from engine.contracts.models import Library, ModelInfo, WeightsInfo
from engine.errors import ConflictError, WeightsError
from engine.models.weights_file import TORCH_SUFFIXES
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.models.published import Published

HUB_FILE = "model.safetensors"
HUB_CONFIG = "config.json"
_FOLDER = "models--"
_OWNERS: dict[str, Library] = {"timm": "timm", "smp-hub": "smp"}


@dataclass(frozen=True)
class CachedWeights:
    """Weights in a cache: ``name`` is a hub repository or a file's name, ``bytes`` the size of ``path``.

    In torch's own folder lies what torchvision fetched, and the few weights that timm fetches by address.
    """

    name: str
    library: Library
    path: Path
    bytes: int


def is_offline(settings: Settings) -> bool:
    """Say whether nobody is to be asked: by Lensmith's setting, or by the hub's own (``HF_HUB_OFFLINE``)."""
    from huggingface_hub import constants

    return settings.offline or constants.is_offline_mode()


def hub_folder() -> Path:
    """Return the hub's cache (``HF_HUB_CACHE``, or ``HF_HOME``/hub)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def torch_folder() -> Path:
    """Return where torch keeps downloaded weights, as ``torch.hub.get_dir`` finds it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or str(Path(cache) / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def repository_folder(repository: str) -> Path:
    """Return a repository's folder: "timm/resnet18.a1_in1k" is cached as "models--timm--resnet18.a1_in1k"."""
    return hub_folder() / _folder_name(repository)


def _folder_name(repository: str) -> str:
    return _FOLDER + repository.replace("/", "--")


def _entries(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def hub_files(published: Published) -> tuple[str, ...]:
    """Return the files of a repository that its library reads; smp keeps the normalisation beside."""
    return (HUB_CONFIG, published.file) if published.library == "smp" else (published.file,)


def cached_file(repository: str, revision: str | None = None, file: str = HUB_FILE) -> Path | None:
    """Return a file of a hub repository in this machine's hub cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def cached(published: Published) -> Path | None:
    """Return the weights file in a cache, or None when it (or what belongs to it) is not there whole."""
    if not published.repository:
        path = torch_folder() / published.file
        return path if path.is_file() else None
    found = [cached_file(published.repository, published.revision, file) for file in hub_files(published)]
    return found[-1] if all(path is not None for path in found) else None


def mark_cached(models: tuple[ModelInfo, ...]) -> tuple[ModelInfo, ...]:
    """Say of each entry of the catalog whether its weights are here now; looks only at what is here."""
    from engine.models.published import of_model

    names = {path.name for folder in (hub_folder(), torch_folder()) for path in _entries(folder)}
    return tuple(
        model.model_copy(update={"weights": model.weights.model_copy(update={"cached": True})})
        if _cache_name(model.weights) in names
        and (published := of_model(model)) is not None
        and cached(published) is not None
        else model
        for model in models
    )


def _cache_name(weights: WeightsInfo) -> str:
    return weights.name.rpartition("/")[2] if weights.source == "url" else _folder_name(weights.name)


def cached_items() -> tuple[CachedWeights, ...]:
    """Return all whole weights of timm, smp and torchvision in the two caches, by name."""
    return tuple(sorted([*_hub_items(), *_torch_items()], key=lambda item: item.name))


def _hub_items() -> Iterator[CachedWeights]:
    for entry in _entries(hub_folder()):
        owner, _, rest = entry.name.removeprefix(_FOLDER).partition("--")
        if not entry.name.startswith(_FOLDER) or owner not in _OWNERS:
            continue
        repository = f"{owner}/{rest}"
        # smp pins a commit, and then no name such as "main" leads to the snapshot.
        path = cached_file(repository) or next(iter(entry.glob(f"snapshots/*/{HUB_FILE}")), None)
        if path is not None and path.is_file():
            yield CachedWeights(repository, _OWNERS[owner], path, path.stat().st_size)


def _torch_items() -> Iterator[CachedWeights]:
    for path in _entries(torch_folder()):
        if path.suffix in TORCH_SUFFIXES and path.is_file():
            yield CachedWeights(path.name, "torchvision", path, path.stat().st_size)


def remove_cached(item: Published | CachedWeights) -> int:
    """Delete these weights from their cache, all revisions of a repository; returns the bytes freed.

    Raises ``ConflictError`` while they are being fetched, ``WeightsError`` when they cannot be deleted.
    """

    def refuse() -> None:
        raise ConflictError(f"The weights {item.name} are being fetched right now.", "Wait for its end.")

    with alone(item.name, refuse):
        if "/" in item.name:
            return _remove_repository(item.name)
        path = torch_folder() / Path(item.name).name
        freed = path.stat().st_size if path.is_file() else 0
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise WeightsError(f"The weights {item.name} cannot be deleted: {error.strerror}.") from error
        return freed


def _remove_repository(repository: str) -> int:
    """Delete a repository's folder, and look at no other: a cache may hold thousands."""
    folder = repository_folder(repository)
    if not folder.is_dir():
        return 0
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    freed = sum(path.stat().st_size for path in files)  # snapshots hold links to the bytes, or the bytes
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise WeightsError(
            f"The weights {repository} cannot be deleted whole: {error.strerror}.", f"See {folder}."
        ) from error
    return freed


@contextmanager
def alone(name: str, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of these weights, so that one process at a time fetches or removes them.

    ``wait`` is called several times a second as long as another process holds it, and may raise.
    """
    if "/" in name:
        path = hub_folder() / ".locks" / repository_folder(name).name / "lensmith.lock"
    else:
        path = torch_folder() / f".{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            wait()
    try:
        yield
    finally:
        lock.release()
