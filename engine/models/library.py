"""Weights that a person brought into the workspace: one folder each, in the layout that timm loads.

``weights/<id>/`` holds ``model.safetensors``, ``config.json`` (architecture, arguments, normalisation: timm's
``local-dir:`` loads both) and ``about.json``, which is written last: a folder without it does not count.
The weights of a finished run lie in its own folder in the same layout. No torch here.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from engine.contracts.base import utc_now
from engine.contracts.weights import WeightsFit
from engine.errors import ConflictError, NotFoundError, WeightsError
from engine.models.weights_file import CONFIG_FILE, read_config
from engine.settings import Settings
from engine.storage.blobs import copy_atomic, sha256_of, write_atomic

MODEL_FILE = "model.safetensors"
ABOUT_FILE = "about.json"
CLASSES_FILE = "classes.json"
"""The last file that a run writes of its model."""

_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Imported:
    """One entry of the library; ``sha256`` is of the file as it was brought, ``job`` brought it in."""

    id: str
    title: str
    folder: Path
    sha256: str
    tensors_sha256: str
    bytes: int
    licence: str
    origin: str
    job: str
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
    """Return the entry with this id; raises ``NotFoundError``, ``WeightsError`` for a damaged one."""
    folder = library_folder(settings) / identifier
    if not _ID.fullmatch(identifier) or not (folder / ABOUT_FILE).exists():
        raise _unknown(identifier)
    found = _read(folder)
    if found is None:
        raise WeightsError(
            f"The imported weights “{identifier}” are damaged.", "Remove and import them again."
        )
    return found


def _unknown(identifier: str) -> NotFoundError:
    return NotFoundError(
        f"There are no imported weights called “{identifier}”.", "Settings lists those that are here."
    )


def list_imported(settings: Settings) -> tuple[Imported, ...]:
    """Return all entries that can be read, the newest first; ``damaged`` names the others."""
    found = [entry for entry in (_read(folder) for folder in _folders(settings)) if entry is not None]
    return tuple(sorted(found, key=lambda entry: entry.added_at, reverse=True))


def damaged(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Return id and bytes of folders whose description or config cannot be read; they can only be removed."""
    return tuple((folder.name, _size(folder)) for folder in _folders(settings) if _read(folder) is None)


def _folders(settings: Settings) -> list[Path]:
    """Return the folders that count: with a description, which is written last."""
    root = library_folder(settings)
    return [
        folder for folder in _entries(root) if _ID.fullmatch(folder.name) and (folder / ABOUT_FILE).exists()
    ]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in _entries(folder) if file.is_file())


def _read(folder: Path) -> Imported | None:
    """Read an entry; None when a file is gone or says what this version does not understand."""
    try:
        if not read_config(folder / MODEL_FILE).architecture:
            return None
        raw: dict[str, Any] = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
        return Imported(
            id=folder.name,
            title=str(raw["title"]),
            folder=folder,
            sha256=str(raw["sha256"]),
            tensors_sha256=str(raw["tensors_sha256"]),
            bytes=(folder / MODEL_FILE).stat().st_size,
            licence=str(raw["licence"]),
            origin=str(raw["origin"]),
            job=str(raw["job"]),
            added_at=datetime.fromisoformat(raw["added_at"]),
            fit=WeightsFit.model_validate(raw["fit"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, WeightsError):
        return None


def add(settings: Settings, tensors: Path, config: dict[str, Any], about: dict[str, Any]) -> Imported:
    """Copy a safetensors file into the library, with its ``config.json``; one import at a time.

    ``about`` holds ``title``, ``sha256`` (of the file as it came), ``licence``, ``origin``, ``job`` and
    ``fit``. The same job again gets its own entry. Raises ``ConflictError`` when this file is here already.
    """
    root = library_folder(settings)
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        for entry in list_imported(settings):
            if entry.job == about["job"]:
                return entry
            if entry.sha256 == about["sha256"]:
                raise ConflictError(
                    f"These weights are here already, as “{entry.title}”.",
                    "Start from those, or remove them first.",
                )
        folder = root / _free_id(root, about["title"], about["sha256"])
        if folder.exists():
            shutil.rmtree(folder)  # what a killed import left behind
        copy_atomic(tensors, folder / MODEL_FILE)
        write_atomic(folder / CONFIG_FILE, json.dumps(config, indent=1, allow_nan=False).encode())
        whole = {**about, "tensors_sha256": sha256_of(tensors), "added_at": utc_now().isoformat()}
        write_atomic(folder / ABOUT_FILE, json.dumps(whole, indent=1).encode())
    return imported(settings, folder.name)


def _free_id(root: Path, title: str, sha256: str) -> str:
    """Make an id of the title, with the checksum's beginning where another entry has it."""
    plain = re.sub(r"[^a-z0-9_.-]+", "-", title.lower()).strip("-._")[:48] or "weights"
    return f"{plain}-{sha256[:8]}" if (root / plain / ABOUT_FILE).exists() else plain


def remove(settings: Settings, identifier: str) -> int:
    """Take weights off this machine, also damaged ones; returns the bytes freed.

    Raises ``NotFoundError``.
    """
    folders = {folder.name: folder for folder in _folders(settings)}
    if identifier not in folders:
        raise _unknown(identifier)
    folder = folders[identifier]
    freed = _size(folder)
    entry = _read(folder)
    (folder / ABOUT_FILE).unlink()  # from here on the folder does not count
    shutil.rmtree(folder)
    made = [settings.cache / "weights" / f"{entry.sha256}.safetensors"] if entry else []
    for path in (*made, *(settings.cache / "weights").glob(f"{identifier}-*.zip")):
        freed += path.stat().st_size if path.exists() else 0
        path.unlink(missing_ok=True)
    return freed


def packed(settings: Settings, identifier: str) -> Path:
    """Return a ZIP of an entry for another Lensmith; made once, raises ``NotFoundError``.

    What is known of the weights beyond timm's own keys stands in its ``config.json`` under "lensmith".
    """
    entry = imported(settings, identifier)
    config = json.loads((entry.folder / CONFIG_FILE).read_text(encoding="utf-8"))
    said = {"title": entry.title, "licence": entry.licence, "origin": entry.origin}
    text = json.dumps({**config, "lensmith": said}, indent=1)
    digest = hashlib.sha256(f"{entry.tensors_sha256} {text}".encode()).hexdigest()
    path = settings.cache / "weights" / f"{entry.id}-{digest[:16]}.zip"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
            archive.write(entry.file, f"{entry.id}/{MODEL_FILE}")
            archive.writestr(f"{entry.id}/{CONFIG_FILE}", text)
        beside.replace(path)
    return path


def run_folder(settings: Settings, run: str) -> Path:
    """Return the folder with the model of a finished run; raises ``NotFoundError`` when there is none."""
    attempts = (settings.runs / run).glob("attempt-*/model") if _ID.fullmatch(run) else iter(())
    files = (MODEL_FILE, CLASSES_FILE)
    whole = [folder for folder in attempts if all((folder / name).is_file() for name in files)]
    if not whole:
        raise NotFoundError(f"The run “{run}” has no model to start from.", "Choose a finished run.")
    return max(whole, key=lambda folder: int(folder.parent.name.partition("-")[2]))
