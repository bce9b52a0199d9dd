"""Commands that start, end and measure the house: up, down, worker, demo, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.api import open_workspace
from engine.cli.app import Json, app
from engine.cli.support import answer, ensure_worker, finish_run, follow, say
from engine.errors import NotFoundError


@app.command()
def up(
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    detach: Annotated[bool, typer.Option("--detach", help="Give the terminal back.")] = False,
) -> None:
    """Start the page and the worker, and keep both alive until Ctrl-C."""
    from engine.jobs.supervisor import up as start

    raise typer.Exit(start(open_workspace().settings, host, port, open_browser=browser, detach=detach))


@app.command()
def down() -> None:
    """End what `lensmith up` started; runs in progress go on at the next start."""
    from engine.jobs.supervisor import down as stop

    raise typer.Exit(stop(open_workspace().settings))


@app.command()
def worker(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when no job is left.")] = False,
) -> None:
    """Run the worker alone, without the page."""
    from engine.jobs.worker import run_worker

    run_worker(open_workspace().settings, until_idle=until_idle)


@app.command()
def demo(
    as_json: Json = False, to: Annotated[Path | None, typer.Option(help="Where the bundle goes.")] = None
) -> None:
    """Go from the sample data to a report and a bundle, without a browser."""
    lensmith = open_workspace()
    ensure_worker(lensmith)
    samples = lensmith.projects.samples()
    if not samples:
        raise NotFoundError("The sample data is missing.", "Run `python sample_data/draw.py`.")
    say(f"Sample set “{samples[0].title}”: {samples[0].images} images.")
    job = follow(lensmith, lensmith.projects.create_sample(samples[0].name).id, "import")
    run = lensmith.runs.start(str(job.project), {"preset": "quick"})
    code = finish_run(lensmith, run.id, as_json=False, quiet=as_json)
    if code:
        raise typer.Exit(code)
    export = lensmith.models.start_export(run.id)
    follow(lensmith, export.id, "export")
    bundle = lensmith.models.export_file(run.id)
    target = to or Path.cwd() / bundle.name
    target.write_bytes(bundle.path.read_bytes())
    say(f"Bundle: {target} (unpack it and run `python predict.py IMAGE`).")
    if as_json:
        report = lensmith.results.report(run.id)
        answer(
            {
                "run": run.id,
                "bundle": str(target),
                "report": report.model_dump(mode="json") if report else None,
            }
        )


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which benchmarks; all when none is named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure this machine: interleaved A/B/A runs, load recorded."""
    from engine.bench import run_benchmarks

    rows = run_benchmarks(open_workspace().settings, tuple(names or ()), say)
    if as_json:
        answer(rows)
    for row in rows if not as_json else ():
        goal = "" if row["goal"] is None else f"goal {row['goal']}"
        figure = f"{row['name']:28} {row['ratio']:8.3f} {row['unit']:6} {goal:14}"
        print(f"{figure} load {row['load']:.2f}  {row['note']}")
