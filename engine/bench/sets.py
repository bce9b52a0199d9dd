"""Real sets through the whole house: imported as they are, exported in every format, imported again.

``lensmith bench sets`` works below ``LENSMITH_BENCH_DATA``; nothing of it is in the project. A row says
what became of a set: what it was taken for, its counts against those of its source, and in which formats
it came back as it was, but for what the format says it loses (``set_compare``).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.api import Lensmith
from engine.bench.at_once import run_here
from engine.bench.box_runs import data_folder
from engine.bench.measure import row
from engine.bench.set_compare import Held, Rules, differences, hold
from engine.bench.set_figures import LARGE, SETS, RealSet
from engine.bench.workspace import quiet_workspace
from engine.contracts.datasets import DatasetSummary, ImportReport
from engine.datasets.formats.registry import get_format
from engine.errors import InputError
from engine.settings import Settings
from engine.tasks.registry import get_task


def real_sets(settings: Settings) -> list[dict[str, Any]]:
    """Give one row per set."""
    return measure_sets(settings, data_folder(), SETS)


def large_sets(settings: Settings) -> list[dict[str, Any]]:
    """Give the rows of the sets that take minutes."""
    return measure_sets(settings, data_folder(), LARGE)


def measure_sets(settings: Settings, folder: Path, sets: Sequence[RealSet]) -> list[dict[str, Any]]:
    """Measure sets, each in a workspace of its own."""
    return [measure_set(settings, folder, one) for one in sets]


def measure_set(settings: Settings, folder: Path, one: RealSet) -> dict[str, Any]:
    """Import a set, hold its counts against the known ones, and send it through every format."""
    with tempfile.TemporaryDirectory(prefix="lensmith-set-") as place, quiet_workspace(settings) as lensmith:
        scratch = Path(place)
        (scratch / "source").mkdir()
        source = one.prepare(folder, scratch / "source")
        if not source.exists():
            raise InputError(f"“{one.name}” is not below the folder of sets.")
        task = one.task if one.asked else None
        job = lensmith.datasets.start_import(source, name="set", task=task, schema=one.schema)
        done = run_here(lensmith, job)
        report = lensmith.datasets.import_report(done.project)
        if report is None:
            return _row(one, None, [done.problem], {})
        wrong = figure_differences(one, report, lensmith.datasets.summary(done.project))
        return _row(one, report, wrong, round_trips(lensmith, done.project, report.task, scratch))


def round_trips(lensmith: Lensmith, project: str, task: str, scratch: Path) -> dict[str, list[str]]:
    """Export a project in each format that it is offered, and say for each what is not as it was."""
    first = hold(lensmith, project)
    found = {}
    for offered in lensmith.dataset_exports.formats(project):
        target = scratch / offered.name
        found[offered.name] = _round_trip(lensmith, project, first, task, offered.name, target)
        shutil.rmtree(target, ignore_errors=True)
    return found


def _round_trip(
    lensmith: Lensmith, project: str, first: Held, task: str, format: str, target: Path
) -> list[str]:
    written = run_here(lensmith, lensmith.dataset_exports.start(project, format, to=target))
    if written.problem:
        return [f"not written: {written.problem}"]
    again = run_here(lensmith, lensmith.datasets.start_import(target, name=format, task=task))
    if again.problem:
        return [f"not read: {again.problem}"]
    kind = get_task(task).label_kind
    rules = Rules(kind, get_format(format, kind).keeps)
    wrong = differences(first, hold(lensmith, again.project), rules)
    report = lensmith.datasets.import_report(again.project)
    if report is not None and wrong and report.format != format:
        wrong.append(f"it was taken for {report.format}")
    return wrong


def figure_differences(one: RealSet, report: ImportReport, summary: DatasetSummary) -> list[str]:
    """Say where an import differs from what is known of the set."""
    wrong = []
    if report.task != one.task:
        wrong.append(f"taken for {report.task} instead of {one.task}")
    if summary.images != one.images:
        wrong.append(f"{summary.images} images instead of {one.images}")
    objects = {info.name: info.objects for info in summary.classes if info.objects}
    if list(one.objects) == [""]:  # the one class has no name in the set
        objects = {"": sum(objects.values())}
    if one.objects and objects != one.objects:
        wrong.append(f"{objects} instead of {dict(one.objects)}")
    splits = {name: count for name, count in summary.splits.items() if count}
    if one.splits is not None and splits != {name: count for name, count in one.splits.items() if count}:
        wrong.append(f"splits {splits} instead of {dict(one.splits)}")
    if report.skipped != one.skipped:
        wrong.append(f"{report.skipped} rows skipped instead of {one.skipped}")
    if report.read != report.kept + report.repaired + report.skipped:
        wrong.append("the account does not add up")
    return wrong


def _row(
    one: RealSet, report: ImportReport | None, wrong: list[str], trips: dict[str, list[str]]
) -> dict[str, Any]:
    """Give the row of a set; ``ratio`` is the share of formats in which it came back as it was."""
    same = [name for name, found in trips.items() if not found]
    differ = {name: found for name, found in trips.items() if found}
    found: dict[str, Any] = {"set": one.name, "wrong": wrong, "same": same, "differ": differ}
    said = "; ".join(wrong) or f"as known ({one.source})"
    if report is None:
        return row(f"sets: {one.name}", "formats, as it was", 0.0, 1.0, "share", said) | found
    found |= {
        "task": report.task,
        "format": report.format,
        "images": report.images,
        "labels": report.annotations,
        "kept": report.kept,
        "repaired": report.repaired,
        "skipped": report.skipped,
        "seconds": round(report.seconds, 2),
    }
    note = (
        f"{report.task} as {report.format}, {report.images:,} images, {report.annotations:,} labels, "
        f"kept {report.kept:,} + repaired {report.repaired:,} + skipped {report.skipped:,}, "
        f"{report.seconds:.1f} s; {said}; {len(same)} of {len(trips)} formats"
    )
    note += "".join(f"; {name}: {reasons[0]}" for name, reasons in differ.items())
    share = len(same) / len(trips) if trips else 0.0
    return row(f"sets: {one.name}", "formats, as it was", share, 1.0, "share", note) | found
