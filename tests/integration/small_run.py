"""A workspace with one finished run, made in a second: a random tiny network instead of a training."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import ClassInfo, LabelItem
from engine.contracts.jobs import JobState
from engine.datasets.manifest import Manifest, ManifestImage, encode
from engine.datasets.preprocessing import Preprocessing, prepare
from engine.settings import Settings
from engine.storage.blobs import BlobStore
from engine.storage.database import Database, new_id
from engine.storage.tables import FileRow, JobRow, Project, ReportRow, RunRow, VersionRow
from engine.tasks.base import Sample
from engine.tasks.classification.report import build_report
from engine.training.trained import Architecture, load_trained, save_model
from tests.integration.importing import five_channels, heic
from tests.work import FakeWork

CLASSES = ("glass", "metal | <b>can</b>", "paper", "Öl")
SIZE = 64
RECORD = Preprocessing(height=SIZE, width=SIZE, low=100.0, high=40_000.0, channels=(3, 2, 1))


@dataclass(frozen=True)
class SmallRun:
    """The workspace and the ids of what is in it; ``pictures`` by path."""

    settings: Settings
    database: Database
    project: str
    run: str
    pictures: Mapping[str, bytes]

    @property
    def model_folder(self) -> Path:
        return self.settings.runs / self.run / "attempt-1" / "model"

    def work(self, kind: str, payload: dict[str, Any]) -> FakeWork:
        """Queue a job of ``kind`` in the database and give the work of its first attempt."""
        job = new_id()
        folder = self.settings.runs / job / "attempt-1"
        work = FakeWork(self.settings, self.database, job, folder, payload=payload)
        with self.database.write() as session:
            session.add(_job(work.job_id, kind, self.project, JobState.RUNNING, None))
        return work


def odd_pictures() -> dict[str, bytes]:
    """One picture of each kind that preprocessing must treat the same everywhere."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((180, 130), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    see_through = photo.convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize(photo.size))
    deep = (np.asarray(photo.convert("L")).astype(np.uint16) * 150) + 100
    pictures = {
        "plain.jpg": _encoded(photo, "JPEG", quality=90),
        "turned.jpg": _encoded(photo, "JPEG", quality=90, exif=exif.tobytes()),
        "grey.png": _encoded(photo.convert("L"), "PNG"),
        "alpha.png": _encoded(see_through, "PNG"),
        "sixteen.png": _encoded(Image.fromarray(deep), "PNG"),
        "sixteen.tif": _encoded(Image.fromarray(deep), "TIFF"),
        "palette.gif": _encoded(photo.convert("P"), "GIF"),
        "large.jpg": _encoded(photo.resize((1600, 1200)), "JPEG"),
    }
    for number in range(12):
        noise = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        pictures[f"more/{number}.webp"] = _encoded(Image.fromarray(noise).resize((90, 70)), "WEBP")
    return pictures


def unusual_pictures() -> dict[str, bytes]:
    """Pictures that Pillow alone does not read."""
    coarse = np.random.default_rng(5).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((180, 130), Image.Resampling.BICUBIC)
    return {"photo.heic": heic(photo), "five.tif": five_channels()}


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def make_run(
    home: Path,
    backbone: str = "test_resnet",
    model_args: Mapping[str, Any] | None = None,
    more: Mapping[str, bytes] | None = None,
) -> SmallRun:
    """Make a workspace in ``home`` with a finished run over ``odd_pictures`` and ``more``."""
    settings = Settings.from_environment({"LENSMITH_HOME": str(home), "LENSMITH_DEVICE": "cpu"})
    database = Database(settings)
    pictures = {**odd_pictures(), **(more or {})}
    small = SmallRun(settings, database, new_id(), new_id(), pictures)
    infos = tuple(ClassInfo(id=new_id(), name=name, position=n) for n, name in enumerate(CLASSES))
    manifest = _manifest(settings, pictures, infos)
    version = new_id()
    with database.write() as session:
        _add_rows(session, small, version, BlobStore(settings.files).put(encode(manifest)), backbone)
    _write_model(small.model_folder, infos, (backbone, dict(model_args or {})))
    _measure(small, manifest)
    return small


def _manifest(settings: Settings, pictures: Mapping[str, bytes], infos: tuple[ClassInfo, ...]) -> Manifest:
    store = BlobStore(settings.files)
    images = []
    for n, (path, content) in enumerate(pictures.items()):
        label = LabelItem(id=new_id(), class_id=infos[n % len(infos)].id)
        images.append(ManifestImage(new_id(), path, store.put(content), 180, 130, "test", (label,)))
    return Manifest(infos, tuple(images), {"low": RECORD.low, "high": RECORD.high})


def _job(job: str, kind: str, project: str, state: JobState, result: dict[str, Any] | None) -> JobRow:
    return JobRow(
        id=job,
        kind=kind,
        lane="light",
        project_id=project,
        state=state,
        payload={},
        result=result,
        attempt=1,
        created_at=utc_now(),
    )


def _add_rows(session: Session, small: SmallRun, version: str, manifest: str, backbone: str) -> None:
    for path, content in small.pictures.items():
        sha256, kind = hashlib.sha256(content).hexdigest(), "HEIF" if path.endswith(".heic") else "other"
        session.add(
            FileRow(sha256=sha256, bytes=len(content), format=kind, mode="RGB", width=180, height=130)
        )
    session.add(
        Project(id=small.project, name="Bins & *bottles*", task="classification", created_at=utc_now())
    )
    session.flush()
    model = small.model_folder.relative_to(small.settings.home).as_posix()
    session.add(_job(small.run, "train", small.project, JobState.SUCCEEDED, {"model": model}))
    session.add(
        VersionRow(
            id=version,
            project_id=small.project,
            number=1,
            reason="train",
            manifest=manifest,
            images=len(small.pictures),
            edit_seq=0,
            created_at=utc_now(),
        )
    )
    session.flush()
    session.add(
        RunRow(
            id=small.run,
            project_id=small.project,
            number=7,
            version_id=version,
            task="classification",
            config={"preset": "quick", "weights": "/secret/mine.safetensors"},
            plan={"backbone": backbone, "precision": "fp32"},
            weights={"source": "random", "name": "random"},
        )
    )


def _write_model(
    folder: Path, infos: tuple[ClassInfo, ...], architecture: tuple[str, dict[str, Any]]
) -> None:
    torch.manual_seed(1)
    model = timm.create_model(architecture[0], num_classes=len(infos), **architecture[1]).eval()
    with torch.no_grad():  # random networks answer nearly the same for all images: spread them
        classifier = model.get_classifier()
        classifier.weight.mul_(30 / classifier.weight.norm())
    save_model(folder, model, Architecture(*architecture), RECORD, infos)


def _measure(small: SmallRun, manifest: Manifest) -> None:
    positions = {info.id: n for n, info in enumerate(manifest.classes)}
    trained = load_trained(small.settings, small.database, small.run)
    store = BlobStore(small.settings.files)
    pixels = np.stack([prepare(store.path(image.sha256), RECORD) for image in manifest.images])
    samples = [
        Sample(image.id, image.sha256, image.path, positions[image.labels[0].class_id])
        for image in manifest.images
    ]
    names = [info.name for info in manifest.classes]
    report = build_report(samples, trained.predict(pixels), names, "test")
    with small.database.write() as session:
        session.add(ReportRow(run_id=small.run, report=report.model_dump(mode="json"), created_at=utc_now()))
