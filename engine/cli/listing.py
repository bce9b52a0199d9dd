"""Commands that only look: tasks, models, projects, runs, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.api import open_workspace
from engine.cli.app import Json, NoWorker, app
from engine.cli.support import answer, ensure_worker, follow
from engine.tasks.registry import get_task


@app.command()
def tasks(as_json: Json = False) -> None:
    """List the tasks."""
    rows = open_workspace().projects.tasks()
    if as_json:
        answer(
            [{"name": t.name, "labels": t.labels, "metrics": t.metrics, "presets": t.presets} for t in rows]
        )
    for task in rows if not as_json else ():
        print(f"{task.name:16} {task.title}: {task.labels}")


@app.command()
def models(
    query: Annotated[str, typer.Argument(help="Part of a name or family.")] = "",
    task: Annotated[str | None, typer.Option(help="Only models that fit this task.")] = None,
    limit: int = 2000,
    as_json: Json = False,
    no_worker: NoWorker = False,
) -> None:
    """List the backbones."""
    if task:
        get_task(task)
    lensmith = open_workspace()
    if not lensmith.models.catalog_written and not no_worker:
        ensure_worker(lensmith)
        follow(lensmith, lensmith.jobs.enqueue("catalog", {}).id, "catalog")
    rows = lensmith.models.catalog(query, limit=limit, task=task)
    if as_json:
        answer(
            [
                {
                    "name": m.name,
                    "library": m.library,
                    "family": m.family,
                    "parameters": m.parameters,
                    "input_size": m.input_size,
                    "weights": {
                        "cached": m.weights.cached,
                        "source": m.weights.source,
                        "licence": m.weights.licence,
                    },
                }
                for m in rows
            ]
        )
    for model in rows if not as_json else ():
        size = f"{model.parameters / 1e6:.1f} M" if model.parameters else ""
        print(f"{model.name:40} {size:>9} {model.input_size:4} px  {model.recommended}")


@app.command()
def projects(as_json: Json = False) -> None:
    """List the projects."""
    rows = open_workspace().projects.list()
    if as_json:
        answer([row.model_dump(mode="json") for row in rows])
    for row in rows if not as_json else ():
        best = f"best {row.best.value:.3f}" if row.best and row.best.value is not None else ""
        print(f"{row.id}  {row.name:32} {row.task:16} {row.images:6} images  {best}")


@app.command()
def runs(
    project: Annotated[str | None, typer.Option("--project", "-p")] = None, as_json: Json = False
) -> None:
    """List the runs, newest first."""
    rows = open_workspace().runs.list(project)
    if as_json:
        answer(
            [
                {
                    "run": r.id,
                    "project": r.project,
                    "task": r.task,
                    "state": r.state,
                    "progress": r.progress,
                    "best": r.best.model_dump(mode="json") if r.best else None,
                    "created": r.created_at.isoformat(),
                }
                for r in rows
            ]
        )
    for r in rows if not as_json else ():
        share = "" if r.progress is None else f"{r.progress:4.0%}"
        best = f"{r.best.name} {r.best.value:.3f}" if r.best and r.best.value is not None else ""
        print(f"{r.id}  #{r.number:<3} {r.state:11} {share:5} {r.title:40} {best}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Tell what this machine has and what stands in the way."""
    machine = open_workspace().models.machine()
    if as_json:
        data = machine.model_dump(mode="json")
        data["disk"] = data.pop("disk_free")
        answer(data)
    else:
        print(f"Python {machine.python}, torch {machine.torch}, {machine.cores} cores")
        print(f"Memory {machine.memory / 2**30:.1f} GB, disk free {machine.disk_free / 2**30:.1f} GB")
        print(f"Devices: {', '.join(device.title for device in machine.devices)}")
        print(f"Workspace: {machine.home}   worker: {machine.worker or 'not running'}")
        for problem in machine.problems:
            print(f"! {problem}")
    raise typer.Exit(0)
