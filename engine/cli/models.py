"""Commands about models: train and what follows it, export, predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.api import open_workspace
from engine.cli.app import Json, NoWorker, Project, app
from engine.cli.support import (
    answer,
    ensure_worker,
    finish_run,
    follow,
    opened,
    parse_settings,
    picture_files,
    predict_files,
    save_export,
    say,
)
from engine.contracts.predictions import FilePrediction


@app.command()
def train(
    project: Project,
    preset: Annotated[str, typer.Option(help="quick, balanced or best.")] = "quick",
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting: key=value.")] = None,
    more: Annotated[list[str] | None, typer.Argument(help="More settings: key=value ...")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the report.")] = False,
    as_json: Json = False,
    no_worker: NoWorker = False,
) -> None:
    """Start a training."""
    lensmith = open_workspace()
    settings = parse_settings([*(set_ or []), *(more or [])])
    config = {**settings, "preset": preset}
    run = lensmith.runs.start(project, config)
    say(lensmith.models.weights_plan(config, run.task).sentence)
    if not no_worker:
        ensure_worker(lensmith)
    if wait:
        raise typer.Exit(finish_run(lensmith, run.id, as_json=as_json))
    if as_json:
        answer(run.model_dump(mode="json"))
    else:
        print(run.id)


@app.command()
def cancel(run: str) -> None:
    """Stop a run and throw its work away."""
    open_workspace().runs.stop(run)


@app.command()
def pause(run: str) -> None:
    """Put a run aside; `lensmith resume` takes it up where it was."""
    open_workspace().runs.pause(run)


@app.command()
def resume(run: str, no_worker: NoWorker = False) -> None:
    """Take a paused, cancelled or failed run up again."""
    lensmith = open_workspace()
    lensmith.runs.resume(run)
    if not no_worker:
        ensure_worker(lensmith)


@app.command()
def logs(run: str) -> None:
    """Print the log of a run."""
    sys.stdout.write(open_workspace().runs.log(run))


@app.command()
def report(run: str, as_json: Json = False) -> None:
    """Print what a run measured."""
    raise typer.Exit(finish_run(open_workspace(), run, as_json=as_json, waiting=False))


@app.command()
def export(
    run: str,
    to: Annotated[Path, typer.Option("--to", help="A file, or a folder that exists.")],
    format: Annotated[str, typer.Option(help="bundle, onnx or safetensors.")] = "bundle",
    as_json: Json = False,
    no_worker: NoWorker = False,
) -> None:
    """Make the bundle of a run, prove it on the test set, and save it (or one model file of it)."""
    lensmith = opened(worker=not no_worker)
    job = lensmith.models.start_export(run)
    follow(lensmith, job.id, "export")
    saved = save_export(lensmith.models.export_file(run), to, format)
    info = lensmith.models.export(run)
    if as_json:
        answer({"run": run, "format": format, "file": str(saved), "parity": info.parity if info else None})
    else:
        print(saved)


@app.command()
def predict(
    target: Annotated[str, typer.Argument(help="A run, or the path of a bundle.")],
    images: Annotated[list[Path], typer.Argument(help="Images or folders of images.")],
    as_json: Json = False,
    no_worker: NoWorker = False,
) -> None:
    """Predict images with a run or a bundle."""
    lensmith = opened(worker=not no_worker)
    wanted: str | Path = Path(target) if Path(target).exists() else target
    found = predict_files(lensmith, wanted, picture_files(images))
    if as_json:
        answer([_prediction(entry) for entry in found])
        return
    for entry in found:
        best = entry.predictions[0] if entry.predictions else None
        print(f"{entry.file}: {f'{best.label} {best.score:.3f}' if best else entry.error}")


def _prediction(entry: FilePrediction) -> dict[str, Any]:
    data: dict[str, Any] = entry.model_dump(mode="json", exclude_none=True)
    if not data.get("error"):
        data.pop("error", None)
    return data
