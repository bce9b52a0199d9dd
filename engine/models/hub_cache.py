"""The weights that are in this machine's hub cache; looks at files only, and never asks the hub."""

from __future__ import annotations

from pathlib import Path

HUB_FILE = "model.safetensors"
_FOLDER = "models--"


def cached_file(repository: str) -> Path | None:
    """Return the weights file of a hub repository in this machine's hub cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, HUB_FILE)
    return Path(found) if isinstance(found, str) else None


def cached_repositories() -> frozenset[str]:
    """Return the repositories whose weights file is here: one look at the names in the cache's folder."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    if not folder.is_dir():
        return frozenset()
    # The cache writes "timm/resnet18.a1_in1k" as "models--timm--resnet18.a1_in1k".
    names = (
        entry.name.removeprefix(_FOLDER).replace("--", "/", 1)
        for entry in folder.iterdir()
        if entry.name.startswith(f"{_FOLDER}timm--")
    )
    return frozenset(name for name in names if cached_file(name) is not None)
