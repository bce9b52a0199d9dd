"""What several commands share: waiting with progress, parsing settings, printing."""

from __future__ import annotations

import json
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.api import Lensmith, open_workspace
from engine.contracts.datasets import ImportReport
from engine.contracts.files import ServedFile
from engine.contracts.jobs import ENDED, JobInfo, JobState
from engine.contracts.predictions import FilePrediction
from engine.contracts.results import RunReport
from engine.datasets.archive import IMAGE_SUFFIXES
from engine.errors import InputError, RunError
from engine.jobs.presence import ensure_worker as start_worker

PICTURES_AT_ONCE = 64
POLL = 0.25
WORKER_SECONDS = 3.0
"""So often a waiting command looks whether there is a worker."""
EXPORT_MEMBERS = {"onnx": "model.onnx", "safetensors": "model.safetensors"}


def answer(document: Any) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str, allow_nan=False))


def say(line: str) -> None:
    """Tell a person something, beside the output."""
    print(line, file=sys.stderr)


def opened(*, worker: bool) -> Lensmith:
    """Open the workspace, and see to it that there is a worker when ``worker`` is set."""
    lensmith = open_workspace()
    if worker:
        ensure_worker(lensmith)
    return lensmith


def ensure_worker(lensmith: Lensmith) -> None:
    """Start a worker when none runs."""
    start_worker(lensmith.settings)


def follow(lensmith: Lensmith, job: str, what: str, *, check: bool = True) -> JobInfo:
    """Wait for a job, with its progress on standard error when that is a terminal.

    Sees to it that there is a worker as long as it waits: the one that was there may leave or be killed.
    Raises ``RunError`` with the job's own sentence when it does not succeed and ``check`` is set.
    """
    shown = ""
    looked = time.monotonic()
    while True:
        info = lensmith.jobs.get(job)
        if sys.stderr.isatty():
            share = "" if info.progress is None else f" {info.progress:4.0%}"
            line = f"{what}{share} {info.state} {info.message}"[:110]
            if line != shown:
                sys.stderr.write(f"\r\033[K{line}")
                shown = line
        if info.state in ENDED or info.state is JobState.PAUSED:
            break
        if time.monotonic() - looked >= WORKER_SECONDS:
            ensure_worker(lensmith)
            looked = time.monotonic()
        time.sleep(POLL)
    if shown:
        sys.stderr.write("\r\033[K")
    if check and info.state is not JobState.SUCCEEDED:
        problem = info.problem
        raise RunError(
            problem.message if problem else f"The {what} was {info.state}.", problem.hint if problem else ""
        )
    return info


def finish_run(
    lensmith: Lensmith, run: str, *, as_json: bool, quiet: bool = False, waiting: bool = True
) -> int:
    """Wait for a run (or take it as it is), print its report, and return the exit code."""
    if waiting:
        follow(lensmith, run, "train", check=False)
    detail = lensmith.runs.get(run)
    report = lensmith.results.report(run)
    if report is not None and as_json:
        data = report.model_dump(mode="json", exclude={"panels"})
        data["panels"] = [{"type": panel.type, "title": panel.title} for panel in report.panels]
        answer(data)
    elif as_json:
        answer(detail.model_dump(mode="json"))
    elif report is not None and not quiet:
        for line in report_lines(report):
            print(line)
    if detail.state is JobState.SUCCEEDED:
        return 0
    problem = detail.problem
    say(f"{problem.message} {problem.hint}".strip() if problem else f"The run is {detail.state}.")
    return 1 if detail.state in ENDED or detail.state is JobState.PAUSED or not waiting else 0


def report_lines(report: RunReport) -> list[str]:
    """Write a report's numbers as lines of text."""
    weights = f"{report.weights.source} ({report.weights.name})" if report.weights else "?"
    lines = [f"{report.backbone}, {report.strategy}, weights: {weights}, {report.seconds or 0:.0f} s"]
    for name, value in report.metrics.items():
        if value.value is None:
            lines.append(f"  {name:18} -        {value.reason}")
            continue
        interval = "" if value.low is None else f"  95 %: {value.low:.4f} to {value.high:.4f}"
        lines.append(f"  {name:18} {value.value:.4f}{interval}  n = {value.n}")
    if report.probe and report.probe.value is not None:
        lines.append(f"  probe {report.probe.metric:12} {report.probe.value:.4f}")
    return lines


def issue_lines(report: ImportReport) -> list[str]:
    """Write an import's account as lines of text."""
    lines = [
        f"{report.images} images, {len(report.classes)} classes, format {report.format}, "
        f"version {report.dataset_version}",
        f"rows read {report.read} = kept {report.kept} + repaired {report.repaired} + "
        f"skipped {report.skipped}; {report.ignored} files ignored",
        *report.notes,
    ]
    for issue in report.issues[:20]:
        where = issue.file if issue.line is None else f"{issue.file}:{issue.line}"
        lines.append(f"  {issue.outcome}: {where}: {issue.reason}")
    if report.issues_total > 20:
        lines.append(f"  ... {report.issues_total - 20} more in the issues file")
    return lines


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs; values are JSON where they parse as JSON, else text.

    Raises ``InputError`` for a pair without "=".
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"“{pair}” is not a setting.", "Write key=value, for example epochs=5.")
        try:
            found[key.strip()] = json.loads(value)
        except json.JSONDecodeError:
            found[key.strip()] = value
    return found


def picture_files(paths: Sequence[Path]) -> list[Path]:
    """Return the pictures that the paths name; folders are searched through.

    Raises ``InputError`` when a path does not exist or nothing is left.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"There is no file or folder “{path}”.", "Check the path.")
    if not found:
        raise InputError(
            "There are no pictures in what was named.", f"Known: {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return found


def predict_files(lensmith: Lensmith, target: str | Path, paths: Sequence[Path]) -> Iterator[FilePrediction]:
    """Predict pictures a few at a time, so that a large folder fits in memory and in the deadline."""
    for start in range(0, len(paths), PICTURES_AT_ONCE):
        files = [(str(path), path.read_bytes()) for path in paths[start : start + PICTURES_AT_ONCE]]
        yield from lensmith.models.predict(target, files)


def save_export(bundle: ServedFile, to: Path, format: str) -> Path:
    """Save a proven bundle, or one model file of it, and return where it lies."""
    if format != "bundle" and format not in EXPORT_MEMBERS:
        raise InputError(f"There is no format “{format}”.", "Choose bundle, onnx or safetensors.")
    name = bundle.name if format == "bundle" else EXPORT_MEMBERS[format]
    target = to / name if to.is_dir() else to
    target.parent.mkdir(parents=True, exist_ok=True)
    if format == "bundle":
        target.write_bytes(bundle.path.read_bytes())
        return target
    with zipfile.ZipFile(bundle.path) as archive:
        member = next(m for m in archive.namelist() if m.rsplit("/", 1)[-1] == EXPORT_MEMBERS[format])
        target.write_bytes(archive.read(member))
    return target
