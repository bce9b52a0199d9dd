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
from typing import Any, Final

from engine.api import Lensmith
from engine.bench.at_once import Done, run_here
from engine.bench.box_runs import data_folder
from engine.bench.measure import row
from engine.bench.set_compare import Held, Rules, differences, hold
from engine.bench.set_figures import LARGE, SETS, RealSet
from engine.bench.workspace import quiet_workspace
from engine.contracts.datasets import DatasetSummary, ImportChoices, ImportReport
from engine.datasets.formats.registry import get_format
from engine.errors import InputError
from engine.settings import Settings
from engine.tasks.registry import get_task

ACCEPT: Final = "--accept-skips"


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
        done, asked = _taken_in(lensmith, source, one)
        report = lensmith.datasets.import_report(done.project)
        if report is None:
            return _refused_row(one, done.problem)
        wrong = figure_differences(one, report, lensmith.datasets.summary(done.project))
        trips = round_trips(lensmith, done.project, report.task, scratch)
        return _row(one, report, wrong, trips, asked)


def _taken_in(lensmith: Lensmith, source: Path, one: RealSet) -> tuple[Done, str]:
    """Import a set; whether labels that are skipped may be skipped is answered with yes, and said."""
    choices: ImportChoices = {"task": one.task if one.asked else None, "schema": one.schema}
    accepting: ImportChoices = {**choices, "accept_skips": True}
    done = run_here(lensmith, lensmith.datasets.start_import(source, name="set", any_folder=True, **choices))
    if done.flag != ACCEPT or one.refused:
        return done, ""
    again = lensmith.datasets.start_import(source, project=done.project, any_folder=True, **accepting)
    return run_here(lensmith, again), done.problem


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
    again = run_here(
        lensmith, lensmith.datasets.start_import(target, name=format, task=task, any_folder=True)
    )
    if again.problem:
        return [f"not read: {again.problem}"]
    kind = get_task(task).label_kind
    known = get_format(format, kind)
    rules = Rules(kind, known.keeps_of(kind), kind in known.caveats)
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
    splits = dict(summary.splits)
    if one.splits and not one.splits["val"]:  # it is drawn from the training images then
        splits |= {"train": splits["train"] + splits["val"], "val": 0}
    if one.splits and splits != one.splits:
        wrong.append(f"splits {splits} instead of {dict(one.splits)}")
    if report.skipped != one.skipped:
        wrong.append(f"{report.skipped} rows skipped instead of {one.skipped}")
    if report.read != report.kept + report.repaired + report.skipped:
        wrong.append("the account does not add up")
    return wrong


def _refused_row(one: RealSet, problem: str) -> dict[str, Any]:
    right = bool(one.refused) and one.refused in problem
    said = f"refused{', as it should be' if right else ''}: {problem}"
    found = row(f"sets: {one.name}", "formats, as it was", float(right), 1.0, "share", said)
    return found | {"set": one.name, "wrong": [] if right else [problem], "same": [], "differ": {}}


def _row(
    one: RealSet, report: ImportReport, wrong: list[str], trips: dict[str, list[str]], asked: str
) -> dict[str, Any]:
    """Give the row of a set; ``ratio`` is the share of formats in which it came back as it was."""
    wrong = [*wrong, "it was not refused"] if one.refused else wrong
    same = [name for name, found in trips.items() if not found]
    differ = {name: found for name, found in trips.items() if found}
    note = (
        f"{report.task} as {report.format}, {report.images:,} images, {report.annotations:,} labels, "
        f"kept {report.kept:,} + repaired {report.repaired:,} + skipped {report.skipped:,}, "
        f"{report.seconds:.1f} s; {'; '.join(wrong) or f'as known ({one.source})'}; "
        f"{len(same)} of {len(trips)} formats"
    )
    note += "".join(f"; {name}: {reasons[0]}" for name, reasons in differ.items())
    note += f"; asked: {asked}" if asked else ""
    share = len(same) / len(trips) if trips and not one.refused else 0.0
    return row(f"sets: {one.name}", "formats, as it was", share, 1.0, "share", note) | {
        "set": one.name,
        "task": report.task,
        "format": report.format,
        "images": report.images,
        "labels": report.annotations,
        "kept": report.kept,
        "repaired": report.repaired,
        "skipped": report.skipped,
        "seconds": round(report.seconds, 2),
        "asked": asked,
        "wrong": wrong,
        "same": same,
        "differ": differ,
    }
