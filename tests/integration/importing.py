"""A workspace with one project and a small stand-in for the job, for tests of the import."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image
from sqlalchemy import func, select

from engine.contracts.base import utc_now
from engine.contracts.datasets import ImageFilter, ImportReport
from engine.datasets import importer, intake, queries
from engine.settings import Limits, Settings
from engine.storage.database import Database, new_id
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow, ImportRow, JobRow, Project, VersionRow
from tests.work import FakeWork

intake.PROCESSES = 1  # of a tiny import, starting those that decode is most of what it costs

PROJECT = "p"
FLAT = (40, 80, 120, 160, 200)  # the values of five channels


class Workspace:
    """A workspace with one empty project."""

    def __init__(self, home: Path, limits: Limits) -> None:
        self.settings = Settings(home=home, database_url=f"sqlite:///{home / 'test.db'}", limits=limits)
        self.db = Database(self.settings)
        with self.db.write() as session:
            session.add(
                Project(id=PROJECT, name="P", task="classification", created_at=utc_now(), preprocessing={})
            )

    def work(self, source: Path, **choices: Any) -> FakeWork:
        job = new_id()
        payload = {"source": str(source), "source_name": source.name, "project_id": PROJECT}
        payload |= {"task": "classification", "labels": "class", **choices}
        with self.db.write() as session:
            session.add(
                JobRow(
                    id=job,
                    kind="import",
                    lane="light",
                    project_id=PROJECT,
                    state="running",
                    payload=payload,
                    created_at=utc_now(),
                )
            )
        folder = self.settings.runs / job / "attempt-1"
        return FakeWork(self.settings, self.db, job, folder, PROJECT, payload=payload)

    def run(self, source: Path, **choices: Any) -> ImportReport:
        report = ImportReport.model_validate(importer.run(self.work(source, **choices)))
        assert report.read == report.kept + report.repaired + report.skipped
        return report

    def count(self, table: type[Any]) -> int:
        with self.db.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def labels(self) -> dict[str, str | None]:
        with self.db.read() as session:
            names = {info.id: info.name for info in queries.classes(session, PROJECT)}
            page = queries.images(session, PROJECT, ImageFilter(), 0, 1000)
            return {i.path: names[i.labels[0].class_id] if i.labels else None for i in page.items}

    def splits(self) -> dict[str, str | None]:
        with self.db.read() as session:
            return {i.path: i.split for i in queries.images(session, PROJECT, None, 0, 1000).items}

    def is_empty(self) -> bool:
        return not any(self.count(t) for t in (ImageRow, ClassRow, AnnotationRow, ImportRow, VersionRow))


def picture(
    seed: int = 0, size: tuple[int, int] = (20, 16), image_format: str = "PNG", **options: Any
) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def heic(image: Image.Image) -> bytes:
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=95)
    return out.getvalue()


def five_channels(values: tuple[int, ...] = FLAT, size: int = 16) -> bytes:
    """A TIFF of 8-bit channels that are flat, written by hand from TIFF 6.0."""
    pixels, count = bytes(values) * size**2, len(values)
    shorts = struct.pack(f"<{count}H", *[8] * count)
    tags = ((256, 4, 1, size), (257, 4, 1, size), (258, 3, count, 8), (259, 3, 1, 1), (262, 3, 1, 1))
    tags += ((273, 4, 1, 8 + count * 2), (277, 3, 1, count), (278, 4, 1, size), (279, 4, 1, len(pixels)))
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(shorts) + len(pixels))
    return head + shorts + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def two_classes(root: Path, count: int = 20, **more: bytes) -> Path:
    files = {f"{'cat' if n % 2 else 'dog'}/{n:03d}.png": picture(n) for n in range(count)}
    return folder(root, files | more)


def zipped(source: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(source))
    return target
