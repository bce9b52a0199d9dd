"""Commands about starting weights: list, fetch, import, export, remove."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.api import open_workspace
from engine.api.weights import ImportSettings
from engine.cli.app import Json, NoWorker, app
from engine.cli.support import answer, follow, opened, parse_settings
from engine.contracts.jobs import JobInfo, JobState
from engine.contracts.weights import WeightsItem
from engine.errors import InputError, RunError

weights = typer.Typer(help="Starting weights on this machine.", no_args_is_help=True)
app.add_typer(weights, name="weights")


@weights.command("list")
def list_(as_json: Json = False) -> None:
    """List the weights on this machine, with size, source, licence and use."""
    rows = open_workspace().weights.list()
    if as_json:
        answer([row.model_dump(mode="json") for row in rows])
    for row in rows if not as_json else ():
        used = f"used by {len(row.used_by)} runs" if row.used_by else ""
        size = f"{row.bytes / 1e6:7.1f} MB"
        print(f"{row.start:32} {row.source:9} {row.backbone:28} {size}  {row.licence:12} {used}")


@weights.command()
def fetch(backbone: str, as_json: Json = False, no_worker: NoWorker = False) -> None:
    """Fetch a backbone's published weights, for work without a network."""
    lensmith = opened(worker=not no_worker)
    started = lensmith.weights.start_fetch(backbone)
    if no_worker:
        _queued(started, as_json=as_json)
        return
    job = follow(lensmith, started.id, "download")
    result = job.result or {}
    if as_json:
        answer({"backbone": backbone, **result})
    else:
        print(f"{result.get('name')}: {result.get('bytes', 0) / 1e6:.1f} MB are here.")


@weights.command("import")
def import_(
    source: Path,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="title, licence, architecture, model_args, mean, std or input_size: key=value (JSON).",
        ),
    ] = None,
    as_json: Json = False,
    no_worker: NoWorker = False,
) -> None:
    """Take in a weights file (.safetensors, .pt, .pth), or a folder or ZIP with one and its config.json."""
    lensmith = opened(worker=not no_worker)
    choices = parse_settings(set_ or [])
    unknown = set(choices) - set(ImportSettings.__annotations__)
    if unknown:
        known = ", ".join(ImportSettings.__annotations__)
        raise InputError(f"“{', '.join(sorted(unknown))}” cannot be set.", f"Known: {known}.")
    started = lensmith.weights.start_import(source, any_folder=True, **choices)
    if no_worker:
        _queued(started, as_json=as_json)
        return
    job = follow(lensmith, started.id, "import of weights", check=False)
    if job.state is not JobState.SUCCEEDED:
        raise _not_imported(job)
    item = lensmith.weights.get(str((job.result or {})["id"]))
    if as_json:
        answer(item.model_dump(mode="json"))
        return
    for line in _lines(item):
        print(line)


def _queued(job: JobInfo, *, as_json: bool) -> None:
    """Say what waits for a worker."""
    if as_json:
        answer({"job": job.id, "state": job.state})
    else:
        print(f"Queued as {job.id}; a worker does it.")


def _not_imported(job: JobInfo) -> InputError | RunError:
    """Return the error of an import: exit code 2 for a file that cannot be used, else 1."""
    problem = job.problem
    if problem is None:
        return RunError(f"The import was {job.state}.")
    return (InputError if problem.of_input else RunError)(problem.message, problem.hint)


def _lines(item: WeightsItem) -> list[str]:
    found = [f"{item.title}: {item.backbone}, {item.bytes / 1e6:.1f} MB"]
    if item.fit is not None:
        found.append(item.fit.sentence)
        for title, names, total in (
            ("missing", item.fit.missing, item.fit.missing_total),
            ("left over", item.fit.left_over, item.fit.left_over_total),
        ):
            if total:
                more = f" and {total - len(names)} more" if total > len(names) else ""
                found.append(f"  {title}: {', '.join(names[:5])}{more}")
    found.append(f"Start a run from it with: --set weights={item.start}")
    return found


@weights.command()
def export(item: str, to: Annotated[Path, typer.Option("--to", help="A folder or a file.")]) -> None:
    """Save imported weights as a ZIP that any Lensmith takes in again."""
    file = open_workspace().weights.file(item)
    target = to / file.name if to.is_dir() else to
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)
    except OSError as error:
        raise InputError(f"“{target}” cannot be written: {error.strerror}.", "Choose another.") from error
    print(target)


@weights.command()
def remove(item: str, as_json: Json = False) -> None:
    """Take weights off this machine."""
    freed = open_workspace().weights.remove(item)
    result: dict[str, Any] = {"removed": item, "bytes": freed}
    if as_json:
        answer(result)
    else:
        print(f"{item} is gone; {freed / 1e6:.1f} MB are free.")
