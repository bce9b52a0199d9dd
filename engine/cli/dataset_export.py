"""``lensmith dataset export``: a dataset in a format of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.app import Json, Project, dataset_app
from engine.cli.support import answer, ensure_worker, follow, opened, say
from engine.contracts.jobs import JobState
from engine.errors import InputError


@dataset_app.command("export")
def dataset_export(
    project: Project,
    to: Annotated[Path, typer.Option(help="A new folder, or a file that ends in .zip.")],
    format: Annotated[str, typer.Option(help="Left out, the one that loses least.")] = "",
    version: Annotated[int | None, typer.Option(help="Left out, the data as they are now.")] = None,
    as_json: Json = False,
) -> None:
    """Write a dataset in a format of other tools; says first what the format cannot carry."""
    lensmith = opened(worker=False)
    known = lensmith.dataset_exports.formats(project, version)
    chosen = next((one for one in known if one.name == format), known[0] if known and not format else None)
    if chosen is None:
        names = ", ".join(one.name for one in known)
        raise InputError(f"The format “{format}” does not carry this set.", f"Choose one of: {names}.")
    for sentence in chosen.losses:
        say(f"{chosen.title}: {sentence}")
    job = lensmith.dataset_exports.start(project, chosen.name, version=version, to=to)
    ensure_worker(lensmith)
    done = follow(lensmith, job.id, "export", check=False)
    if done.state is not JobState.SUCCEEDED or done.result is None:
        problem = done.problem
        raise InputError(
            problem.message if problem else "The export was stopped.", problem.hint if problem else ""
        )
    if as_json:
        answer({**done.result, "losses": list(chosen.losses)})
    else:
        made = done.result
        print(f"{made['images']} images of version {made['version']} as {chosen.title} in {made['path']}")
