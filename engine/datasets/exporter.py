"""The export of a set: a frozen version written in a format of other tools, as a folder or a ZIP.

``run`` is the code of jobs of kind ``export-set``. What is written appears whole or not at all.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select

from engine.contracts.datasets import LabelKind
from engine.contracts.jobs import Work
from engine.datasets.formats.base import DatasetFormat, ExportSet
from engine.datasets.formats.registry import get_format
from engine.datasets.geometry import label_of
from engine.datasets.labels import ClassHead, ImageLabels
from engine.datasets.manifest import Manifest, ManifestImage, freeze_version, walk_manifest
from engine.errors import InputError, NotFoundError
from engine.storage.blobs import BlobStore
from engine.storage.tables import Project, VersionRow

TICK = 50  # images between two reports of progress
PACKING = 0.8  # share of the progress bar before the ZIP


def run(work: Work) -> dict[str, Any]:
    """Write a set and return ``path``, ``bytes``, ``images``, ``format`` and ``version``.

    The payload names ``project_id``, ``format``, ``kind``, a ``version`` (None: the head, frozen now) and
    ``to``: a folder that does not exist or is empty, or the name of a ZIP; empty: a ZIP in the job's own
    folder. Raises ``InputError`` when the format cannot hold this set or the place is taken.
    """
    payload = work.payload
    kind: LabelKind = payload["kind"]
    known = get_format(payload["format"], kind)
    if known.write is None:
        raise InputError(f"“{known.title}” can be read but not written.", "Choose another format.")
    version, name = _version(work, payload["project_id"], payload.get("version"))
    to = Path(payload["to"]) if payload.get("to") else None
    packed = to is None or to.suffix.lower() == ".zip"
    target = to or work.folder / f"{_slug(name)}-{known.name}-v{version.number}.zip"
    _refuse_taken(target)
    beside = target.with_name(f".{target.name}.{work.job_id}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.parent.mkdir(parents=True, exist_ok=True)
    try:
        images = _write(work, known, kind, version, beside)
        if packed:
            _pack(work, beside, target)
        else:
            if target.exists():
                target.rmdir()
            beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    work.progress(1.0, f"{images:,} images")
    return {
        "path": str(target),
        "bytes": target.stat().st_size if packed else _bytes(target),
        "images": images,
        "format": known.name,
        "version": version.number,
    }


def _version(work: Work, project_id: str, number: int | None) -> tuple[VersionRow, str]:
    with work.write() as session:
        project = session.get(Project, project_id)
        if project is None or project.deleted_at is not None:
            raise NotFoundError("The project of this export does not exist any more.")
        if number is None:
            person = work.payload.get("person")
            return freeze_version(session, work.settings, project_id, "export", person), project.name
        query = select(VersionRow).where(VersionRow.project_id == project_id, VersionRow.number == number)
        found = session.scalars(query).first()
        if found is None:
            raise NotFoundError(f"The dataset has no version {number}.", "Choose one that is listed.")
        return found, project.name


def _write(work: Work, known: DatasetFormat, kind: LabelKind, version: VersionRow, folder: Path) -> int:
    store = BlobStore(work.settings.files)
    head, images = walk_manifest(store.path(version.manifest))
    classes = tuple(ClassHead(info.name, info.points, info.skeleton) for info in head.classes)
    folder.mkdir(parents=True)
    written = 0

    def rows() -> Iterator[tuple[ImageLabels, Path]]:
        nonlocal written
        for image in images:
            if written % TICK == 0:
                work.check_stop()
                share = PACKING * written / max(1, version.images)
                work.progress(share, f"{written:,} of {version.images:,} images")
            written += 1
            yield row_of(image, head), store.path(image.sha256)

    assert known.write is not None
    known.write(ExportSet(kind, classes, rows()), folder)
    return written


def row_of(image: ManifestImage, head: Manifest) -> ImageLabels:
    """Give an image of a version as a row for writers."""
    names = {info.id: info.name for info in head.classes}
    labels = tuple(
        label_of(label, names.get(label.class_id, ""), image.width, image.height) for label in image.labels
    )
    return ImageLabels(
        image.path,
        labels,
        image.split,
        negative=image.negative,
        size=(image.width, image.height),
        group=image.group,
    )


def _pack(work: Work, folder: Path, target: Path) -> None:
    """Pack a folder; pictures are stored as they are, since they do not get smaller."""
    beside = target.with_name(f".{target.name}.{work.job_id}.zip.part")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    try:
        with zipfile.ZipFile(beside, "w") as archive:
            for number, path in enumerate(files):
                if number % TICK == 0:
                    work.check_stop()
                    work.progress(PACKING + (1 - PACKING) * number / max(1, len(files)), "Packing")
                text = path.suffix.lower() in (".json", ".xml", ".txt", ".csv", ".yaml", ".ndjson")
                method = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED
                archive.write(path, path.relative_to(folder).as_posix(), method)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _refuse_taken(target: Path) -> None:
    if target.is_file() and target.suffix.lower() != ".zip":
        raise InputError(f"“{target}” is a file.", "Name a folder, or a file that ends in .zip.")
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"The folder “{target}” is not empty.", "Name another one.")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "set"
