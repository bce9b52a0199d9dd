"""Commands about data: import, dataset, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.api import Lensmith, open_workspace
from engine.cli.app import Json, NoWorker, Project, app
from engine.cli.support import answer, ensure_worker, follow, issue_lines, say
from engine.contracts.jobs import JobState, Problem
from engine.errors import InputError, NotFoundError

NOT_PUBLISHED = {"format_reason", "seconds", "notes", "splits_of_set"}
"""What the screen shows of an import beyond the published JSON."""


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A ZIP, a folder, or a picture.")],
    project: Project,
    task: Annotated[str | None, typer.Option(help="What the set is for; left out, it is recognised.")] = None,
    format: Annotated[str | None, typer.Option(help="Skip the recognition and use this format.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Add to what the project has.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put in place of what the project has.")] = False,
    accept_skips: Annotated[
        bool, typer.Option("--accept-skips", help="Go on although labels are skipped.")
    ] = False,
    merge_classes: Annotated[
        bool, typer.Option("--merge-classes", help="Merge classes of equal name.")
    ] = False,
    swap_boxes: Annotated[
        bool, typer.Option("--swap-boxes", help="Exchange corners that stand the wrong way round.")
    ] = False,
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Bring labels of another size to their pictures.")
    ] = False,
    schema: Annotated[str, typer.Option(help="Which sort of keypoints, where a set has several.")] = "",
    void: Annotated[str, typer.Option(help="What 255 is in a mask: ignore or class.")] = "",
    channels: Annotated[str, typer.Option(help="Which channels become R, G, B, such as 3,2,1.")] = "",
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
        any_folder=True,
        task=task,
        format=format,
        mode=mode,
        accept_skips=accept_skips,
        merge_classes=merge_classes,
        swap_boxes=swap_boxes,
        rescale=rescale,
        schema=schema,
        void=_void(void),
        channels=channels,
    )
    if no_worker:
        answer({"job": job.id, "state": job.state}) if as_json else say(f"Queued as {job.id}.")
        return
    ensure_worker(lensmith)
    done = follow(lensmith, job.id, "import", check=False)
    if done.state is not JobState.SUCCEEDED:
        if as_json:
            answer(done.model_dump(mode="json"))
        raise _failure(done.problem)
    report = lensmith.datasets.import_report(str(done.project))
    if report is None:
        raise NotFoundError("The import left no report.", "Run it again.")
    if as_json:
        answer(report.model_dump(mode="json", exclude=NOT_PUBLISHED))
    else:
        for line in issue_lines(report):
            print(line)


@app.command()
def delete(project: Annotated[str, typer.Argument(help="Name or id of the project.")]) -> None:
    """Delete a project."""
    open_workspace().projects.delete(project)
    say(f"Deleted {project}.")


def _failure(problem: Problem | None) -> InputError:
    """Say why an import did not succeed, with the option that answers its question."""
    if problem is None:
        return InputError("The import was stopped.")
    if not problem.flag or problem.flag in problem.hint:
        return InputError(problem.message, problem.hint)
    values = f" {'|'.join(problem.choices)}" if problem.choices else ""
    return InputError(problem.message, f"{problem.hint} The option is {problem.flag}{values}.")


def _void(value: str) -> Literal["", "class", "ignore"]:
    known: tuple[Literal["", "class", "ignore"], ...] = ("", "class", "ignore")
    if value not in known:
        raise InputError(f"--void is ignore or class, not “{value}”.")
    return known[known.index(value)]


def _known(lensmith: Lensmith, project: str) -> str | None:
    """Return the id of the project with this name or id, or None when it is new."""
    try:
        return lensmith.projects.get(project).id
    except NotFoundError:
        return None
