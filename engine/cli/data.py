"""Commands about data: import, dataset, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.api import Lensmith, open_workspace
from engine.cli.app import Json, NoWorker, Project, app, dataset_app
from engine.cli.support import answer, ensure_worker, follow, issue_lines, say
from engine.contracts.jobs import JobState
from engine.errors import InputError, NotFoundError
from engine.tasks.registry import DEFAULT_TASK

NOT_PUBLISHED = {"format_reason", "seconds", "notes", "splits_of_set"}
"""What the screen shows of an import beyond the published JSON."""


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A ZIP, a folder, or a picture.")],
    project: Project,
    task: str = DEFAULT_TASK,
    format: Annotated[str | None, typer.Option(help="Skip the recognition and use this format.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Add to what the project has.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put in place of what the project has.")] = False,
    accept_skips: Annotated[
        bool, typer.Option("--accept-skips", help="Go on although labels are skipped.")
    ] = False,
    merge_classes: Annotated[
        bool, typer.Option("--merge-classes", help="Merge classes of equal name.")
    ] = False,
    as_json: Json = False,
    no_worker: NoWorker = False,
) -> None:
    """Take labelled images into a project, which is made when it is new."""
    if add and replace:
        raise InputError("--add and --replace exclude each other.", "Choose one.")
    lensmith = open_workspace()
    mode: Literal["new", "add", "replace"] = "add" if add else "replace" if replace else "new"
    known = _known(lensmith, project)
    job = lensmith.datasets.start_import(
        source,
        project=known,
        name=None if known else project,
        task=task,
        format=format,
        mode=mode,
        accept_skips=accept_skips,
        merge_classes=merge_classes,
    )
    if no_worker:
        answer({"job": job.id, "state": job.state}) if as_json else say(f"Queued as {job.id}.")
        return
    ensure_worker(lensmith)
    done = follow(lensmith, job.id, "import", check=False)
    if done.state is not JobState.SUCCEEDED:
        if as_json:
            answer(done.model_dump(mode="json"))
        problem = done.problem
        raise InputError(
            problem.message if problem else "The import was stopped.", problem.hint if problem else ""
        )
    report = lensmith.datasets.import_report(str(done.project))
    if report is None:
        raise NotFoundError("The import left no report.", "Run it again.")
    if as_json:
        answer(report.model_dump(mode="json", exclude=NOT_PUBLISHED))
    else:
        for line in issue_lines(report):
            print(line)


@dataset_app.command("versions")
def dataset_versions(project: Project, as_json: Json = False) -> None:
    """List the frozen versions of a dataset."""
    rows = open_workspace().datasets.versions(project)
    if as_json:
        answer([row.model_dump(mode="json") for row in rows])
    for row in rows if not as_json else ():
        when = f"{row.created_at:%Y-%m-%d %H:%M}"
        print(f"{row.number:4}  {when}  {row.images:6} images  {row.reason}  {row.changes}")


@app.command()
def delete(project: Annotated[str, typer.Argument(help="Name or id of the project.")]) -> None:
    """Delete a project."""
    open_workspace().projects.delete(project)
    say(f"Deleted {project}.")


def _known(lensmith: Lensmith, project: str) -> str | None:
    """Return the id of the project with this name or id, or None when it is new."""
    try:
        return lensmith.projects.get(project).id
    except NotFoundError:
        return None
