"""Commands about a dataset: its versions and its splits."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from engine.api import Lensmith, open_workspace
from engine.cli.app import Json, Project, dataset_app
from engine.cli.support import answer
from engine.contracts.datasets import SplitPreview, SplitRule, VersionDiff
from engine.errors import InputError


@dataset_app.command("versions")
def dataset_versions(
    project: Project,
    *,
    compare: Annotated[
        tuple[int, int] | None, typer.Option(help="Say what differs between two versions.")
    ] = None,
    restore: Annotated[int | None, typer.Option(help="Go back to this version.")] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Make a version of what is there.")] = False,
    as_json: Json = False,
) -> None:
    """List the frozen versions of a dataset, compare two, or go back to one."""
    if sum((compare is not None, restore is not None, freeze)) > 1:
        raise InputError("Choose one of --compare, --restore and --freeze.")
    versions = open_workspace().versions
    if compare is not None:
        diff = versions.compare(project, *compare)
        _show(diff.model_dump(mode="json"), diff_lines(diff), as_json)
        return
    if restore is not None:
        receipt = versions.restore(project, restore)
        document = receipt.model_dump(mode="json") | {"version": versions.list(project)[0].number}
        _show(document, [f"{receipt.message}: {receipt.changed:,} images changed"], as_json)
        return
    rows = (versions.freeze(project),) if freeze else versions.list(project)
    lines = []
    for row in rows:
        when = f"{row.created_at:%Y-%m-%d %H:%M}"
        runs = f"  runs {', '.join(f'#{number}' for number in row.runs)}" if row.runs else ""
        lines.append(f"{row.number:4}  {when}  {row.images:6} images  {row.reason}  {row.changes}{runs}")
    _show([row.model_dump(mode="json") for row in rows], lines, as_json)


@dataset_app.command("split")
def dataset_split(
    project: Project,
    *,
    by: Annotated[
        str,
        typer.Option(
            help="What stays together: image, group (as the set says), folder, folder:N, before:_, before:-, "
            "before:digit (a file's name up to the first such character), or a pattern with one group in "
            "round brackets, such as '^([^_]+)_'."
        ),
    ] = "image",
    fractions: Annotated[str, typer.Option(help="Shares of train, val and test in %.")] = "70,20,10",
    seed: Annotated[int, typer.Option(help="Another seed draws other splits.")] = 0,
    folds: Annotated[
        int | None,
        typer.Option(help="Cut into so many folds; without --hold-out only say which, and nothing changes."),
    ] = None,
    hold_out: Annotated[
        int | None, typer.Option(help="The fold that validates, from 1; the others train, test stays.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come of it.")] = False,
    as_json: Json = False,
) -> None:
    """Draw the splits of all images anew, each class at its share; one undoable step."""
    lensmith = open_workspace()
    if folds is not None and hold_out is None:
        _folds(lensmith, project, folds, seed, by, as_json)
        return
    if folds is None and hold_out is not None:
        raise InputError("--hold-out names one of the folds.", "Say with --folds how many there are.")
    group_rule = "" if by in ("image", "group") else by
    rule = SplitRule(
        fractions=parse_fractions(fractions),
        seed=seed,
        by="image" if by == "image" else "group",
        group_rule=group_rule,
        folds=folds,
        held_out=1 if hold_out is None else hold_out,
    )
    preview = lensmith.splits.preview(project, rule)
    document = preview.model_dump(mode="json") | {"changed": 0}
    lines = preview_lines(preview)
    if dry_run:
        lines.append(f"{preview.moved:,} images would move")
    else:
        receipt = lensmith.splits.resplit(project, rule)
        document |= receipt.model_dump(mode="json")
        lines.append(receipt.message)
    _show(document, lines, as_json)


def preview_lines(preview: SplitPreview) -> list[str]:
    """Write what a rule makes of a dataset as lines of text."""
    lines = [", ".join(f"{name} {count:,}" for name, count in preview.splits.items())]
    for row in preview.classes:
        spread = "  ".join(f"{part} {count:,}" for part, count in row.images.items())
        lines.append(f"  {row.name:24} {spread}")
    if (found := preview.groups) is not None:
        lines.append(
            f"{found.groups:,} groups; the largest, “{found.largest_key}”, has {found.largest:,} images"
        )
    return lines + ([preview.note] if preview.note else [])


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Read "70,20,10" (or "0.7,0.2,0.1") as shares; raises ``InputError``."""
    try:
        train, val, test = (float(part) for part in text.replace("%", "").split(","))
    except ValueError as error:
        raise InputError(f"“{text}” are not three shares.", "Write for example 70,20,10.") from error
    total = train + val + test
    whole = 1.0 if total < 2 else 100.0
    if not abs(total - whole) <= 1e-6 * whole:  # also what is no number
        raise InputError("The shares of train, val and test sum to 100 %.", "For example 70,20,10.")
    return train / whole, val / whole, test / whole


def diff_lines(diff: VersionDiff) -> list[str]:
    """Write what differs between two versions as lines of text."""
    lines = [f"version {diff.before} to {diff.after}: {diff.changes or 'nothing changed'}"]
    lines += [f"  {row.name}: {row.before:,} to {row.after:,} labels" for row in diff.counts]
    lines += [f"  “{row.before}” is called “{row.after}”" for row in diff.classes_renamed]
    lines += [f"  class added: {name}" for name in diff.classes_added]
    lines += [f"  class removed: {name}" for name in diff.classes_removed]
    return lines


def _folds(lensmith: Lensmith, project: str, k: int, seed: int, by: str, as_json: bool) -> None:
    rule = {"image": None, "group": ""}.get(by, by)
    plan = lensmith.splits.folds(project, k, seed, rule)
    lines = [f"{image.fold}  {image.path}" for image in plan.images]
    lines += [plan.note] if plan.note else []
    _show(plan.model_dump(mode="json"), lines, as_json)


def _show(document: Any, lines: list[str], as_json: bool) -> None:
    if as_json:
        answer(document)
    for line in lines if not as_json else ():
        print(line)
