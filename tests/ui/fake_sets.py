"""The fake areas of the facade about what a set could be, its versions, its splits, and its exports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.contracts.datasets import (
    ClassChange,
    ClassSpread,
    EditReceipt,
    ExportFormat,
    FoldPlan,
    GroupPreview,
    ImportOffer,
    Split,
    SplitMove,
    SplitPreview,
    SplitRule,
    VersionDiff,
    VersionInfo,
)
from engine.contracts.files import ServedFile
from engine.contracts.jobs import JobInfo
from engine.errors import InputError, NotFoundError
from tests.ui.fake_data import FakeDatasets
from tests.ui.fake_world import NOW, picture

LOOK = "look1"
"""The job that looks at a set; its state is ``world.look_state``."""
EXPORT = "set1"
"""The job that exports a set; its state is ``world.set_state``."""


def offer(task: str = "detection", format: str = "coco", **more: Any) -> ImportOffer:
    """Make an offer about a set of 18 images with three classes."""
    fields: dict[str, Any] = {
        "format_title": {"coco": "COCO JSON"}.get(format, format),
        "reason": "“train.json” has images, annotations and categories",
        "classes": ("bolt", "nut", "washer"),
        "images": 18,
    }
    return ImportOffer(task=task, format=format, **{**fields, **more})


class FakeSets(FakeDatasets):
    """Stands in for ``Lensmith.datasets``, with what a set could be taken in as."""

    def start_recognition(
        self,
        source: Path | None = None,
        *,
        uploads: Sequence[str] = (),
        key: str | None = None,
        any_folder: bool = False,
    ) -> JobInfo:
        self.world.refuse(source)
        self.world.note("start_recognition", source, tuple(uploads))
        return self.world.jobs.get(LOOK)

    there = True
    """Whether what was uploaded is there still."""

    def upload_path(self, upload: str) -> Path:
        return Path(__file__) if self.there else Path(__file__) / "gone"

    def offers(self, job: str) -> tuple[ImportOffer, ...]:
        return self.world.offers


class FakeVersions:
    """Stands in for ``Lensmith.versions``."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.diff = VersionDiff(
            before=2,
            after=3,
            added=("i1", "i2"),
            relabelled=tuple(f"i{n}" for n in range(30)),
            moved=(SplitMove(image="i5", before="train", after="test"),),
            classes_added=(self.world.classes[0],),
            counts=(ClassChange(id="c0", name=self.world.classes[0], before=400, after=403),),
            changes="30 labels changed, 2 images added, 1 image moved to another split",
        )

    def list(self, project: str) -> tuple[VersionInfo, ...]:
        reasons = ("train", "manual", "import")
        return tuple(
            VersionInfo(
                id=f"v{number}",
                number=number,
                reason=reasons[number % 3],
                created_at=NOW - timedelta(hours=4 * (3 - number)),
                images=2527 - number,
                changes="3 labels changed, 2 images left out" if number > 1 else "",
                person="local",
                runs=(1, 2) if number == 3 else (),
            )
            for number in range(self.world.versions_made, 0, -1)
        )

    def compare(self, project: str, before: int, after: int) -> VersionDiff:
        self.world.note("compare", before, after)
        return self.diff

    def restore(self, project: str, number: int, key: str | None = None) -> EditReceipt:
        self.world.note("restore", project, number)
        self.world.datasets.undo_text = f"Version {number} restored"
        return EditReceipt(batch="b", changed=12, message=f"Version {number} restored")

    def freeze(self, project: str) -> VersionInfo:
        self.world.note("freeze", project)
        return self.list(project)[0]


class FakeSplits:
    """Stands in for ``Lensmith.splits``."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.last: SplitRule | None = None
        self.by_hand = 0
        self.found = {"": 2, "folder": 12, "folder:1": 3, "folder:2": 12, "before:_": 12}
        """How many groups each rule finds."""

    def moved(self, project: str) -> int:
        return self.by_hand

    def groups(self, project: str, rules: Sequence[str]) -> tuple[GroupPreview, ...]:
        names = (("p01", 8), ("p02", 6), (self.world.classes[0], 3))
        numbers = [self.found.get(rule, 0) for rule in rules]
        return tuple(GroupPreview(groups=n, examples=names[:n]) for n in numbers)

    def preview(self, project: str, rule: SplitRule) -> SplitPreview:
        if abs(sum(rule.fractions) - 1) > 1e-6:
            raise InputError("The shares of train, val and test sum to 100 %.", "For example 70, 20, 10.")
        total = self.world.total
        shares = rule.fractions if rule.folds is None else (0.9 - 0.9 / rule.folds, 0.9 / rule.folds, 0.1)
        sizes = [round(total * share) for share in shares]
        split = dict(zip(("train", "val", "test"), sizes, strict=True))
        examples = (("p01", 8), ("p02", 6), (self.world.classes[0], 3))
        return SplitPreview(
            splits=split,
            moved=0 if rule == self.last else 38,
            classes=tuple(
                ClassSpread(id=f"c{n}", name=name, images=split) for n, name in enumerate(self.world.classes)
            ),
            groups=GroupPreview(groups=12, largest=8, largest_key="p01", without=2, examples=examples)
            if rule.by == "group"
            else None,
            note="2 images without a group: each goes by itself." if rule.by == "group" else "",
        )

    def rule(self, project: str) -> SplitRule | None:
        return self.last

    def resplit(self, project: str, rule: SplitRule, key: str | None = None) -> EditReceipt:
        self.world.note("resplit", project, rule)
        self.world.datasets.undo_text = "Splits drawn again: 38 images moved"
        return EditReceipt(batch="b", changed=38, message="Splits drawn again: 38 images moved")

    def move(
        self, project: str, image_ids: Sequence[str], split: Split, key: str | None = None
    ) -> EditReceipt:
        self.world.note("move", tuple(image_ids), split)
        told = f"{len(image_ids)} images moved to {split}"
        self.world.datasets.undo_text = told
        return EditReceipt(batch="b", changed=len(image_ids), message=told)

    def folds(self, project: str, k: int, seed: int = 0, group_rule: str | None = None) -> FoldPlan:
        return FoldPlan(k=k, images=())


class FakeSetExports:
    """Stands in for ``Lensmith.dataset_exports``."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def formats(self, project: str, version: int | None = None) -> tuple[ExportFormat, ...]:
        return (
            ExportFormat(name="coco", title="COCO JSON"),
            ExportFormat(name="yolo", title="YOLO", losses=("Attributes of labels are left out.",)),
        )

    def start(
        self,
        project: str,
        format: str,
        *,
        version: int | None = None,
        to: Path | None = None,
        key: str | None = None,
    ) -> JobInfo:
        self.world.note("export_set", project, format, version)
        return self.world.jobs.get(EXPORT)

    def file(self, project: str, job: str) -> ServedFile:
        if job != EXPORT:
            raise NotFoundError("This export does not exist.", "Export the set again.")
        return ServedFile(path=picture(0, 240), media_type="application/zip", name="set.zip", etag=job)
