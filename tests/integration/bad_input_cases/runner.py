"""Runs the import of a case and gives what it answers as plain values, for a golden file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from engine.contracts.base import utc_now
from engine.contracts.datasets import ImageItem, ImportIssue, ImportReport, LabelItem
from engine.datasets import importer, masks, queries
from engine.datasets.intake import Intake
from engine.datasets.labels import Rle
from engine.errors import LensmithError, QuestionError
from engine.settings import Limits, Settings
from engine.storage.database import new_id
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow, ImportRow, Project, VersionRow
from engine.tasks.registry import tasks_by_labels
from tests.integration.bad_input_cases.case import Case
from tests.integration.importing import Workspace

LIMITS = Limits()
LEFT_OUT = {"project", "dataset_version", "seconds", "issues_file", "issues_total", "issues", "splits_of_set"}
Answer = dict[str, Any]


class House:
    """One workspace for all cases, each import in a project of its own."""

    def __init__(self, home: Path) -> None:
        self.space = Workspace(home, LIMITS)

    def play(self, case: Case, folder: Path) -> Answer:
        """Import the set of a case, and once more with each answer to its question."""
        folder.mkdir(parents=True)
        case.build(folder)
        found: Answer = {"row": case.row, "import": self.answer(case, folder, {})}
        if case.answers:
            found["answered"] = [
                {"with": dict(one), **self.answer(case, folder, one)} for one in case.answers
            ]
        return found

    def answer(self, case: Case, folder: Path, answers: Mapping[str, Any]) -> Answer:
        """Run one import; checks what holds for each."""
        project = new_id()
        with self.space.db.write() as session:
            session.add(
                Project(
                    id=project,
                    name=project,
                    task=case.task or "classification",
                    created_at=utc_now(),
                    preprocessing={},
                )
            )
        packed = folder / "set.zip"
        choices = {
            "task": case.task,
            "tasks": tasks_by_labels(),
            "project_id": project,
            **case.choices,
            **answers,
        }
        work = self.space.work(packed if packed.exists() else folder, source_name="set", **choices)
        work.settings = replace(work.settings, limits=replace(LIMITS, skipped_share=case.share))
        before = set(folder.parent.rglob("*"))
        start = time.monotonic()
        try:
            report = ImportReport.model_validate(importer.run(work))
        except LensmithError as error:
            assert not self._rows(project), "a refusal left something in the project"
            return _refusal(error)
        finally:
            assert case.seconds is None or time.monotonic() - start < 5 * case.seconds
            assert set(folder.parent.rglob("*")) == before, (
                "the source was changed, or something lies beside it"
            )
        assert report.read == report.kept + report.repaired + report.skipped
        assert report.issues_total == len(report.issues)
        return self._report(report, project)

    def _rows(self, project: str) -> int:
        tables = (ImageRow, ClassRow, AnnotationRow, ImportRow, VersionRow)
        with self.space.db.read() as session:
            counts = [
                select(func.count()).select_from(one).where(one.project_id == project) for one in tables
            ]
            return sum(session.scalar(count) or 0 for count in counts)

    def _report(self, report: ImportReport, project: str) -> Answer:
        plain = report.model_dump(mode="json", exclude=LEFT_OUT)
        with self.space.db.read() as session:
            names = {info.id: info.name for info in queries.classes(session, project)}
            items = queries.images(session, project, None, 0, 100).items
            columns = select(ImageRow.path, ImageRow.group_key).where(ImageRow.project_id == project)
            groups = {path: f" (group {group})" for path, group in session.execute(columns) if group}
        stored = {item.path: f"{_item(item, names)}{groups.get(item.path, '')}" for item in items}
        return {**plain, "issues": [*map(_issue, report.issues)], "stored": stored}


def _refusal(error: LensmithError) -> Answer:
    kind = "question" if isinstance(error, QuestionError) else "refusal"
    found: Answer = {"error": kind, "message": error.message, "hint": error.hint}
    if isinstance(error, QuestionError):
        found |= {"flag": error.flag, "choices": list(error.choices)}
    assert error.exit_code == 2 and error.message.endswith((".", "?", "!")), error.message
    return found


def _issue(issue: ImportIssue) -> str:
    line = f", line {issue.line}" if issue.line is not None else ""
    return f"{issue.outcome.value}: {issue.file}{line}: {issue.reason}"


def _item(item: ImageItem, names: Mapping[str, str]) -> str:
    """Say in a line what is stored of an image."""
    labels = "; ".join(sorted(_label(label, item, names) for label in item.labels))
    return f"{item.width} x {item.height}: {labels or ('negative' if item.negative else 'not labelled')}"


def _label(label: LabelItem, item: ImageItem, names: Mapping[str, str]) -> str:
    words = [names.get(label.class_id, "(no class)")]
    if label.box:
        words.append(f"box {_numbers(label.box)}")
    for ring in label.polygons or ():
        words.append(f"outline {_numbers(ring)}")
    if label.rle:
        region = Rle(item.height, item.width, label.rle)
        words.append(f"mask of {masks.area(region):g} px in {_numbers(masks.box_of(region) or ())}")
    if label.points:
        words.append("points " + " ".join(f"{_numbers(point)}" for point in label.points))
    if label.ignored:
        words.append("ignored")
    return " ".join(words)


def _numbers(values: Any) -> str:
    return ",".join(f"{round(value, 3):g}" for value in values)


@contextmanager
def shared_intake() -> Iterator[None]:
    """Let the processes that decode pictures outlive an import: they are most of what a tiny one costs."""
    kept = _Kept()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importer, "Intake", lambda settings, record: _Borrowed(kept, settings, record))
        patch.setattr("os.sync", lambda: None)  # no test here pulls the plug
        patch.setattr("socket.socket.connect", _no_way_out)
        try:
            yield
        finally:
            kept.end()


def _no_way_out(*_: object) -> None:
    raise AssertionError("an import asked for a connection")


@dataclass
class _Kept:
    """The processes of the last import, and the preprocessing that they were told."""

    intake: Intake | None = None
    told: str = ""

    def get(self, settings: Settings, record: dict[str, Any]) -> Intake:
        told = json.dumps(record, sort_keys=True)
        if self.intake is None or told != self.told:
            self.end()
            self.intake, self.told = Intake(settings, record).__enter__(), told
        return self.intake

    def end(self) -> None:
        if self.intake is not None:
            self.intake.__exit__(None, None, None)
        self.intake = None


@dataclass
class _Borrowed:
    """Stands where an import makes its ``Intake``."""

    kept: _Kept
    settings: Settings
    record: dict[str, Any]
    lent: Intake | None = field(default=None)

    def __enter__(self) -> Intake:
        self.lent = self.kept.get(self.settings, self.record)
        return self.lent

    def __exit__(self, *_: object) -> None:
        workers = self.lent.workers if self.lent else []
        if any(worker.pending or worker.colors for worker in workers):
            self.kept.end()  # what they were told or still work at is no business of the next import
