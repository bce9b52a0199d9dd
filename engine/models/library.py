"""Weights that a person brought into the workspace: one folder each, in the layout that timm loads.

``weights/<id>/`` holds ``model.safetensors``, ``config.json`` (architecture, arguments, normalisation: timm's
``local-dir:`` loads both) and ``about.json``, which is written last: a folder without it does not count.
The weights of a finished run lie in its own folder in the same layout. No torch here.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.contracts.base import utc_now
from engine.contracts.weights import WeightsFit
from engine.errors import ConflictError, NotFoundError, WeightsError
from engine.models.weights_file import CONFIG_FILE
from engine.settings import Settings
from engine.storage.blobs import copy_atomic, write_atomic

MODEL_FILE = "model.safetensors"
ABOUT_FILE = "about.json"
CLASSES_FILE = "classes.json"
"""The last file that a run writes of its model."""

_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Imported:
    """One entry of the library; ``sha256`` is of the file as it was brought."""

    id: str
    title: str
    folder: Path
    sha256: str
    bytes: int
    licence: str
    origin: str
    added_at: datetime
    fit: WeightsFit

    @property
    def file(self) -> Path:
        """The tensors."""
        return self.folder / MODEL_FILE


def library_folder(settings: Settings) -> Path:
    """Return where imported weights are, or would be."""
    return settings.home / "weights"


def imported(settings: Settings, identifier: str) -> Imported:
    """Return the entry with this id; raises ``NotFoundError``."""
    found = _read(library_folder(settings) / identifier) if _ID.fullmatch(identifier) else None
    if found is None:
        raise NotFoundError(
            f"There are no imported weights called “{identifier}”.", "`lensmith weights list` shows all."
        )
    return found


def list_imported(settings: Settings) -> tuple[Imported, ...]:
    """Return all entries, the newest first."""
    return tuple(sorted(_entries(settings), key=lambda entry: entry.added_at, reverse=True))


def _entries(settings: Settings) -> Iterator[Imported]:
    root = library_folder(settings)
    for folder in root.iterdir() if root.is_dir() else ():
        entry = _read(folder)
        if entry is not None:
            yield entry


def _read(folder: Path) -> Imported | None:
    about = folder / ABOUT_FILE
    if not about.is_file() or not (folder / MODEL_FILE).is_file():
        return None
    try:
        raw: dict[str, Any] = json.loads(about.read_text(encoding="utf-8"))
        return Imported(
            id=folder.name,
            title=str(raw["title"]),
            folder=folder,
            sha256=str(raw["sha256"]),
            bytes=int(raw["bytes"]),
            licence=str(raw["licence"]),
            origin=str(raw["origin"]),
            added_at=datetime.fromisoformat(raw["added_at"]),
            fit=WeightsFit.model_validate(raw["fit"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"What is written about the weights “{folder.name}” is damaged.", "Remove and import them again."
        ) from error


def free_id(settings: Settings, title: str, sha256: str) -> str:
    """Return the id under which weights go: of the title, with the checksum's beginning where it is taken.

    Raises ``ConflictError`` when the very same file is in the library already.
    """
    same = next((entry for entry in _entries(settings) if entry.sha256 == sha256), None)
    if same is not None:
        raise ConflictError(
            f"These weights are here already, as “{same.title}”.", f"Name them as weights:{same.id}."
        )
    plain = re.sub(r"[^a-z0-9_.-]+", "-", title.lower()).strip("-._")[:48] or "weights"
    taken = (library_folder(settings) / plain).exists()
    return f"{plain}-{sha256[:8]}" if taken else plain


def add(
    settings: Settings, identifier: str, tensors: Path, config: dict[str, Any], about: dict[str, Any]
) -> Imported:
    """Copy a safetensors file into the library, with its ``config.json``.

    ``about`` holds ``title``, ``sha256``, ``licence``, ``origin`` and ``fit``. What a killed import left
    behind under this id is replaced.
    """
    folder = library_folder(settings) / identifier
    folder.mkdir(parents=True, exist_ok=True)
    copy_atomic(tensors, folder / MODEL_FILE)
    write_atomic(folder / CONFIG_FILE, json.dumps(config, indent=1).encode())
    whole = {**about, "bytes": tensors.stat().st_size, "added_at": utc_now().isoformat()}
    write_atomic(folder / ABOUT_FILE, json.dumps(whole, indent=1).encode())
    return imported(settings, identifier)


def remove(settings: Settings, identifier: str) -> int:
    """Take weights off this machine; returns the bytes freed. Raises ``NotFoundError``."""
    entry = imported(settings, identifier)
    (entry.folder / ABOUT_FILE).unlink()  # from here on the folder does not count
    shutil.rmtree(entry.folder)
    return entry.bytes


def run_folder(settings: Settings, run: str) -> Path:
    """Return the folder with the model of a finished run; raises ``NotFoundError`` when there is none."""
    attempts = (settings.runs / run).glob("attempt-*/model") if _ID.fullmatch(run) else iter(())
    whole = [folder for folder in attempts if (folder / CLASSES_FILE).is_file()]
    if not whole:
        raise NotFoundError(f"The run “{run}” has no model to start from.", "Choose a finished run.")
    return max(whole, key=lambda folder: int(folder.parent.name.partition("-")[2]))
