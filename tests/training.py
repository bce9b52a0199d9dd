"""What tests of training share: a workspace with a tiny frozen dataset, and a job without a queue."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.contracts.base import utc_now
from engine.datasets.manifest import freeze_version
from engine.settings import Settings
from engine.storage.blobs import BlobStore
from engine.storage.database import Database, new_id
from engine.storage.tables import AnnotationRow, ClassRow, FileRow, ImageRow, JobRow, Project, RunRow
from tests.work import FakeWork

COLOURS = {"red": (200, 60, 60), "green": (60, 190, 70), "blue": (60, 70, 200)}


def make_settings(home: Path) -> Settings:
    return Settings(home=home, database_url=f"sqlite:///{home / 'lensmith.db'}", device="cpu", offline=True)


def make_project(settings: Settings, database: Database, images: int = 36, side: int = 40) -> str:
    """Store a set of noisy coloured pictures, 2/3 train, 1/6 val, 1/6 test; returns its version's id."""
    generator = np.random.default_rng(7)
    store = BlobStore(settings.files)
    with database.write() as session:
        project = Project(
            id=new_id(), name="tiny", task="classification", created_at=utc_now(), preprocessing={}
        )
        session.add(project)
        session.flush()
        classes = {name: new_id() for name in COLOURS}
        for position, (name, class_id) in enumerate(classes.items()):
            session.add(ClassRow(id=class_id, project_id=project.id, name=name, position=position))
        session.flush()
        for number in range(images):
            name = list(COLOURS)[number % 3]
            noise = generator.normal(0, 40, (side, side, 3))
            pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            digest = store.put(buffer.getvalue(), sync=False)
            split = ("train", "train", "train", "train", "val", "test")[number // 3 % 6]
            image_id = f"{number:012x}"
            session.add(
                FileRow(sha256=digest, bytes=buffer.tell(), format="PNG", mode="RGB", width=side, height=side)
            )
            session.flush()
            session.add(
                ImageRow(
                    id=image_id,
                    project_id=project.id,
                    path=f"{name}/{number:03}.png",
                    sha256=digest,
                    width=side,
                    height=side,
                    split=split,
                    added_at=utc_now(),
                )
            )
            session.flush()
            session.add(
                AnnotationRow(
                    id=new_id(),
                    project_id=project.id,
                    image_id=image_id,
                    class_id=classes[name],
                    created_at=utc_now(),
                )
            )
        return freeze_version(session, settings, project.id, "import").id


def make_run(
    settings: Settings, database: Database, version: str, config: dict[str, Any], number: int = 1
) -> FakeWork:
    """Store a run of ``config`` on a version; returns its job."""
    run_id = new_id()
    with database.write() as session:
        from engine.storage.tables import VersionRow

        project = session.get_one(VersionRow, version).project_id
        session.add(
            JobRow(
                id=run_id,
                kind="train",
                lane="heavy",
                project_id=project,
                state="running",
                payload={"run_id": run_id},
                created_at=utc_now(),
            )
        )
        session.flush()
        session.add(
            RunRow(
                id=run_id,
                project_id=project,
                number=number,
                version_id=version,
                task="classification",
                config=config,
            )
        )
    folder = settings.runs / run_id / "attempt-1"
    return FakeWork(settings, database, run_id, folder, project, payload={"run_id": run_id})


def finish(work: FakeWork, result: dict[str, Any]) -> None:
    """Write the job's result as the queue would."""
    with work.database.write() as session:
        session.get_one(JobRow, work.job_id).result = result
