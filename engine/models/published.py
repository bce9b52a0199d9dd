"""The weights that timm, segmentation-models-pytorch and torchvision publish; no torch, and no network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlparse

from engine.contracts.models import Library, ModelInfo
from engine.models.hub_cache import HUB_FILE
from engine.models.recommended import recommended
from engine.settings import Settings

DIGITS = re.compile(r"-([0-9a-f]{8,64})\.")
"""torch's naming: the name of a published file carries the first digits of its SHA-256 (torch.hub)."""


@dataclass(frozen=True)
class Published:
    """The default published weights of one backbone.

    ``repository`` is on the hub (at ``revision``, None for its newest), "" where ``url`` is an address
    instead. ``bytes`` is None until the hub was asked. ``sha256`` is whole, the first digits, or "" where
    nothing is known; the hub tells it with the download.
    """

    backbone: str
    library: Library
    repository: str
    file: str
    revision: str | None
    url: str
    licence: str
    bytes: int | None
    sha256: str

    @property
    def name(self) -> str:
        """What a person reads, and what the cache is asked for: the repository, or the file's name."""
        return self.repository or self.file


def published(settings: Settings, backbone: str) -> Published | None:
    """Return the published weights of ``backbone``, None when there are none or they are not known yet.

    They stand in the written catalog. As long as there is none, the short list is known, and what a child
    has asked the libraries for (``engine.models.catalog.ask_libraries``). ``must_be_asked`` there tells
    the two apart.
    """
    # The catalog marks what is in the cache, and so imports the cache.
    from engine.models.catalog import catalog_path, find_model

    model = find_model(settings, backbone)
    if model is not None:
        return of_model(model)
    entry = None if catalog_path(settings).is_file() else recommended(backbone)
    return None if entry is None else _on_hub(backbone, "timm", entry.repository, licence="apache-2.0")


def of_model(model: ModelInfo) -> Published | None:
    """Return the published weights that an entry of the catalog names, or None."""
    weights = model.weights
    if weights.source == "none":
        return None
    if weights.source == "hub":
        return _on_hub(
            model.name, model.library, weights.name, weights.revision, weights.licence, weights.bytes
        )
    file = file_of(weights.name)
    digits = DIGITS.search(file)
    return Published(
        backbone=model.name,
        library=model.library,
        repository="",
        file=file,
        revision=None,
        url=weights.name,
        licence=weights.licence,
        bytes=weights.bytes,
        sha256=digits.group(1) if digits else "",
    )


def file_of(url: str) -> str:
    """Return the name that torch gives the file at an address in its own folder."""
    return PurePosixPath(urlparse(url).path).name


def _on_hub(
    backbone: str,
    library: Library,
    repository: str,
    revision: str = "",
    licence: str = "",
    size: int | None = None,
) -> Published:
    return Published(
        backbone=backbone,
        library=library,
        repository=repository,
        file=HUB_FILE,
        revision=revision or None,
        url="",
        licence=licence,
        bytes=size,
        sha256="",
    )
