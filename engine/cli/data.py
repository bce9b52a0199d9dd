"""Commands about data: import, dataset, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.api import Lensmith, open_workspace
from engine.cli.app import Json, NoWorker, Project, app
from engine.cli.support import answer, ensure_worker, follow, issue_lines, say
from engine.contracts.datasets import ImportChoices, ImportReport
from engine.contracts.jobs import JobInfo, JobState, Problem
from engine.errors import InputError, NotFoundError

NOT_PUBLISHED = {"format_reason", "seconds", "notes", "splits_of_set"}
"""What the screen shows of an import beyond the published JSON."""


Source = Annotated[Path, typer.Argument(help="A ZIP, a folder, or a picture.")]
Task = Annotated[str | None, typer.Option(help="What the set is for; left out, it is recognised.")]
Format = Annotated[str | None, typer.Option(help="Skip the recognition and use this format.")]
Add = Annotated[bool, typer.Option("--add", help="Add to what the project has.")]
Replace = Annotated[bool, typer.Option("--replace", help="Put in place of what the project has.")]
AcceptSkips = Annotated[bool, typer.Option("--accept-skips", help="Go on although labels are skipped.")]
MergeClasses = Annotated[bool, typer.Option("--merge-classes", help="Merge classes of equal name.")]
SwapBoxes = Annotated[
    bool, typer.Option("--swap-boxes", help="Exchange corners that stand the wrong way round.")
]
Rescale = Annotated[bool, typer.Option("--rescale", help="Bring labels of another size to their pictures.")]
Schema = Annotated[str, typer.Option(help="Which sort of keypoints, where a set has several.")]
Void = Annotated[str, typer.Option(help="What 255 is in a mask: ignore or class.")]
Channels = Annotated[str, typer.Option(help="Which channels become R, G, B, such as 3,2,1.")]


@app.command("import")
def import_(
    source: Source,
    project: Project,
    task: Task = None,
    format: Format = None,
    add: Add = False,
    replace: Replace = False,
    accept_skips: AcceptSkips = False,
    merge_classes: MergeClasses = False,
    swap_boxes: SwapBoxes = False,
    rescale: Rescale = False,
    schema: Schema = "",
    void: Void = "",
    channels: Channels = "",
    as_json: Json = False,
    no_worker: NoWorker = False,
) -> None:
    """Take labelled images into a project, which is made when it is new."""
    choices = ImportChoices(
        task=task, format=format, schema=schema, mode=_mode(add, replace), accept_skips=accept_skips,
        merge_classes=merge_classes, swap_boxes=swap_boxes, rescale=rescale, void=_void(void),
        channels=channels,
    )  # fmt: skip
    lensmith = open_workspace()
    known = _known(lensmith, project)
    name = None if known else project
    job = lensmith.datasets.start_import(source, project=known, name=name, any_folder=True, **choices)
    if no_worker:
        answer({"job": job.id, "state": job.state}) if as_json else say(f"Queued as {job.id}.")
        return
    ensure_worker(lensmith)
    _tell(follow(lensmith, job.id, "import", check=False), as_json)


@app.command()
def delete(project: Annotated[str, typer.Argument(help="Name or id of the project.")]) -> None:
    """Delete a project."""
    open_workspace().projects.delete(project)
    say(f"Deleted {project}.")


def _tell(done: JobInfo, as_json: bool) -> None:
    """Print the report that this very job made; another import may have ended since."""
    if done.state is not JobState.SUCCEEDED:
        if as_json:
            answer(done.model_dump(mode="json"))
        raise _failure(done.problem)
    if done.result is None:
        raise NotFoundError("The import left no report.", "Run it again.")
    report = ImportReport.model_validate(done.result)
    if as_json:
        answer(report.model_dump(mode="json", exclude=NOT_PUBLISHED))
    else:
        for line in issue_lines(report):
            print(line)


def _failure(problem: Problem | None) -> InputError:
    """Say why an import did not succeed, with the option that answers its question."""
    if problem is None:
        return InputError("The import was stopped.")
    if not problem.flag or problem.flag in problem.hint:
        return InputError(problem.message, problem.hint)
    values = f" {'|'.join(problem.choices)}" if problem.choices else ""
    return InputError(problem.message, f"{problem.hint} The option is {problem.flag}{values}.")


def _mode(add: bool, replace: bool) -> Literal["new", "add", "replace"]:
    if add and replace:
        raise InputError("--add and --replace exclude each other.", "Choose one.")
    return "add" if add else "replace" if replace else "new"


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
