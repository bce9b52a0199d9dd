"""The command line's one application, and the options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="lensmith",
    help="Build vision models from labelled images, on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
dataset_app = typer.Typer(help="Look at a project's dataset.", no_args_is_help=True)
app.add_typer(dataset_app, name="dataset")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
NoWorker = Annotated[bool, typer.Option("--no-worker", help="Do not start a worker; only queue.")]
Project = Annotated[str, typer.Option("--project", "-p", help="Name or id of the project.")]
