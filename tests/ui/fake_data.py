"""The fake areas of the facade about projects and datasets."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.contracts.datasets import (
    ClassInfo,
    DatasetSummary,
    EditReceipt,
    ImageFilter,
    ImageItem,
    ImageOrder,
    ImagePage,
    ImportIssue,
    ImportReport,
    LabelItem,
    Outcome,
    SizeSummary,
    VersionInfo,
)
from engine.contracts.files import ServedFile
from engine.contracts.jobs import JobInfo
from engine.contracts.overlays import ImageTile, Legend, OverlaySize, TilePage
from engine.contracts.projects import ProjectStatus, ProjectSummary, SampleInfo, TaskInfo
from engine.contracts.results import (
    MetricValue,
)
from engine.datasets.legend import legend
from engine.datasets.overlay import draw
from engine.errors import NotFoundError, UnavailableError
from tests.ui.fake_world import NOW, picture


class FakeProjects:
    """Stands in for ``Lensmith.projects``."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def list(self) -> tuple[ProjectSummary, ...]:
        return tuple(self.get(p) for p in self.world.project_names)

    def get(self, project: str) -> ProjectSummary:
        name = self.world.project_names.get(project)
        if name is None:
            raise NotFoundError("This project does not exist (any more).", "Choose another one on Home.")
        empty = project == "p2"
        return ProjectSummary(
            id=project,
            name=name,
            task="classification",
            task_title="Image classification",
            created_at=NOW - timedelta(days=2),
            images=0 if empty else 2527,
            classes=0 if empty else len(self.world.classes),
            cover=() if empty else tuple(f"i{n}" for n in range(6)),
            best=None if empty else MetricValue(name="top1", value=0.874, n=431),
            last_run=None if empty else "run2",
            last_run_state=None if empty else "running",
        )

    def status(self, project: str) -> ProjectStatus:
        summary = self.get(project)
        if not summary.images:
            return ProjectStatus(project=summary)
        return ProjectStatus(
            project=summary,
            training_progress=0.62,
            training_run="run2",
            runs=3,
            finished_runs=2,
            best_run="run1",
            exports=1,
        )

    def create(self, name: str, task: str = "classification", key: str | None = None) -> ProjectSummary:
        self.world.note("create", name, task)
        self.world.project_names["p3"] = name
        return self.get("p3")

    def rename(self, project: str, name: str) -> ProjectSummary:
        self.world.note("rename", project, name)
        self.world.project_names[project] = name
        return self.get(project)

    def delete(self, project: str) -> None:
        self.world.note("delete", project)
        del self.world.project_names[project]

    def tasks(self) -> tuple[TaskInfo, ...]:
        return (
            TaskInfo(
                name="classification",
                title="Image classification",
                labels="one class per image",
                metrics=("top1",),
                presets=("quick", "balanced", "best"),
            ),
        )

    def samples(self) -> tuple[SampleInfo, ...]:
        return (
            SampleInfo(
                name="fruit",
                title="Fruit on a table",
                task="classification",
                images=360,
                sentence="360 drawn photos of six kinds of fruit.",
            ),
        )

    def create_sample(self, name: str, key: str | None = None) -> JobInfo:
        self.world.note("create_sample", name)
        return self.world.jobs.get("import1")


class FakeOverlays:
    """Stands in for ``Lensmith.overlays``."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def tiles(
        self, project: str, filter: ImageFilter | None = None, offset: int = 0, limit: int = 60
    ) -> TilePage:
        page = self.world.datasets.images(project, filter, offset, limit)
        classes = {c.id: c for c in self.world.datasets._known_classes()}
        items = tuple(
            ImageTile(image=i, classes=i.count_classes(classes), look="1" if self.world.drawn else "")
            for i in page.items
        )
        return TilePage(items=items, total=page.total, offset=page.offset)

    def overlay(self, project: str, image: str, size: OverlaySize) -> bytes:
        item = self.world.datasets.image(project, image)
        classes = self.world.datasets._known_classes()
        return draw(item.labels, classes, (item.width, item.height), (item.width, item.height))

    def legend(self, project: str, image: str) -> Legend:
        return legend(self.world.datasets.image(project, image), self.world.datasets._known_classes())


class FakeDatasets:
    """Stands in for ``Lensmith.datasets``."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.undo_text = ""

    def start_import(
        self,
        source: Path | None = None,
        *,
        uploads: Sequence[str] = (),
        project: str | None = None,
        name: str | None = None,
        key: str | None = None,
        any_folder: bool = False,
        **choices: Any,
    ) -> JobInfo:
        self.world.refuse(source)
        self.world.note("start_import", source, tuple(uploads), project, name, choices)
        return self.world.jobs.get("import1")

    def import_report(self, project: str) -> ImportReport | None:
        if project == "p2":
            return None
        return ImportReport(
            project=project,
            task="classification",
            format="class_folders",
            format_reason="6 folders that hold pictures",
            dataset_version=3,
            images=2527,
            classes=self.world.classes,
            annotations=2527,
            read=5060,
            kept=5052,
            repaired=2,
            skipped=6,
            ignored=1,
            issues_total=3,
            seconds=21.0,
            issues=(
                ImportIssue(
                    file="glass/glass 12.jpg",
                    outcome=Outcome.REPAIRED,
                    reason="Turned upright by its EXIF orientation.",
                ),
                ImportIssue(
                    file="trash/=cmd.jpg",
                    outcome=Outcome.SKIPPED,
                    reason="The file is cut off: its last 3 kB are missing.",
                ),
                ImportIssue(
                    file="labels.csv",
                    line=17,
                    outcome=Outcome.SKIPPED,
                    reason="The image “a.png” is not in the archive.",
                ),
            ),
            issues_file="reports/import-issues.csv",
        )

    def issues_file(self, project: str) -> ServedFile | None:
        path = Path(tempfile.gettempdir()) / "lensmith-fake-issues.csv"
        path.write_text("file,line,outcome,reason\n", encoding="utf-8")
        return ServedFile(path=path, media_type="text/csv", name="import-issues.csv", etag="x")

    def issues_file_of(self, job: str) -> ServedFile | None:
        return self.issues_file(job) if self.world.import_problem else None

    def _known_classes(self) -> tuple[ClassInfo, ...]:
        counts = (403, 501, 410, 594, 482, 137)
        return tuple(
            ClassInfo(id=f"c{n}", name=name, position=n, images=counts[n])
            for n, name in enumerate(self.world.classes)
        )

    def summary(self, project: str) -> DatasetSummary:
        if self.world.kind == "broken":
            raise UnavailableError(
                "The database does not answer.", "Start Lensmith again with “lensmith up”."
            )
        if project == "p2":
            return DatasetSummary(images=0, left_out=0, unlabelled=0, classes=(), splits={})
        return DatasetSummary(
            images=2527,
            left_out=4,
            unlabelled=0,
            splits={"train": 1768, "val": 328, "test": 431},
            classes=self._known_classes(),
            sizes=SizeSummary(smallest=(192, 144), largest=(4032, 3024), median=(512, 384)),
            version=VersionInfo(id="v3", number=3, reason="import", created_at=NOW, images=2527),
            changed_since_version=2,
            undo=self.undo_text,
        )

    def images(
        self,
        project: str,
        filter: ImageFilter | None = None,
        offset: int = 0,
        limit: int = 60,
        order: ImageOrder = "path",
    ) -> ImagePage:
        wanted = filter or ImageFilter()
        total = self.world.total
        items = (
            [self.image(project, f"i{n}") for n in range(total)]
            if not wanted.image_ids
            else [self.image(project, i) for i in wanted.image_ids]
        )
        kept = [
            item
            for item in items
            if (not wanted.class_ids or item.labels[0].class_id in wanted.class_ids)
            and (not wanted.splits or item.split in wanted.splits)
        ]
        return ImagePage(items=tuple(kept[offset : offset + limit]), total=len(kept), offset=offset)

    def image(self, project: str, image: str) -> ImageItem:
        number = int(image.removeprefix("i"))
        kind = number % len(self.world.classes)
        return ImageItem(
            id=image,
            path=f"{self.world.classes[kind]}/{number:04}.jpg",
            sha256=hashlib.sha256(image.encode()).hexdigest(),
            width=512,
            height=384,
            split=("train", "val", "test")[(number // 6) % 3],
            labels=self._objects(number) if self.world.drawn else self._one_class(number),
            negative=self.world.drawn and number % 10 == 9,
        )

    def _one_class(self, number: int) -> tuple[LabelItem, ...]:
        return (LabelItem(id=f"l{number}", class_id=f"c{number % len(self.world.classes)}"),)

    def _objects(self, number: int) -> tuple[LabelItem, ...]:
        """Two objects of one class and one of the next, but none on some images."""
        if number % 10 > 7:
            return ()
        kinds = (number, number, number + 1)
        return tuple(
            LabelItem(
                id=f"l{number}-{n}",
                class_id=f"c{kind % len(self.world.classes)}",
                box=(60.0 + 120 * n, 90.0, 160.0 + 120 * n, 220.0),
            )
            for n, kind in enumerate(kinds)
        )

    def change_class(
        self, project: str, image_ids: Sequence[str], class_id: str, key: str | None = None
    ) -> EditReceipt:
        self.world.note("change_class", project, tuple(image_ids), class_id)
        self.undo_text = f"class of {len(image_ids)} images"
        return EditReceipt(batch="b1", changed=len(image_ids), message=f"{len(image_ids)} images changed.")

    def add_class(self, project: str, name: str) -> ClassInfo:
        self.world.note("add_class", project, name)
        return ClassInfo(id="c9", name=name, position=9)

    def leave_out(
        self, project: str, image_ids: Sequence[str], left_out: bool = True, key: str | None = None
    ) -> EditReceipt:
        self.world.note("leave_out", project, tuple(image_ids), left_out)
        self.undo_text = f"{len(image_ids)} images left out"
        return EditReceipt(batch="b2", changed=len(image_ids), message=f"{len(image_ids)} images left out.")

    def undo(self, project: str, key: str | None = None) -> EditReceipt | None:
        self.world.note("undo", project)
        self.undo_text = ""
        return EditReceipt(batch="b3", changed=1, message="Taken back.")

    def image_file(self, project: str, image: str) -> ServedFile:
        path = picture(int(image.removeprefix("i")), 320)
        return ServedFile(path=path, media_type="image/jpeg", name=f"{image}.jpg", etag=image)

    def thumbnail(self, project: str, image: str) -> ServedFile:
        path = picture(int(image.removeprefix("i")), 240)
        return ServedFile(path=path, media_type="image/jpeg", name="thumb.jpg", etag=f"t{image}")
