"""The import: from an archive, a folder or pictures to rows, with an outcome for every file.

``run`` is the code of jobs of kind ``import``. Pixels and thumbnails are stored as they are read; rows
are written in one transaction at the very end, so an import that is stopped or killed leaves no trace
in the project.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.contracts.base import utc_now
from engine.contracts.datasets import ImportReport
from engine.contracts.jobs import ENDED, Work
from engine.datasets.account import SHOWN_ISSUES, Account
from engine.datasets.archive import open_source
from engine.datasets.assemble import assemble
from engine.datasets.commit import Terms, commit_rows
from engine.datasets.intake import Intake
from engine.datasets.leftovers import sweep_unused
from engine.datasets.manifest import freeze_version
from engine.datasets.newcomers import Incoming
from engine.datasets.pictures import named_channels, takes_channels
from engine.datasets.queries import classes as list_classes
from engine.datasets.staging import goes_on, remove_staged, scratch_folder, staged_files, sweep_staging
from engine.datasets.taking import Taking
from engine.datasets.thumbnails import ensure_thumbnail, thumbnail_path
from engine.datasets.understand import Known, Order, Understood, understand
from engine.errors import (
    InputError,
    NotFoundError,
    QuestionError,
)
from engine.settings import Limits
from engine.storage.blobs import write_atomic
from engine.storage.tables import ClassRow, ImageRow, ImportRow, JobRow, Project

DECODING = 0.9  # share of the progress bar; the rest is writing
COLLECTED_AFTER = 50_000
"""New objects between two looks; 700 is usual, and costs up to a quarter of the reading of labels."""
ISSUES_FILE = "issues.csv"
BACKGROUND = [255, 255, 255]


def run(work: Work) -> dict[str, Any]:
    """Import a source into a project and return its ``ImportReport`` as plain values.

    Raises ``QuestionError`` when a person must decide (its ``flag`` names the option that does),
    other ``InputError`` when the source cannot be used, ``OSError`` (``ENOSPC``) when the disk is full.
    Nothing of it is in the project then. What was uploaded for it goes away unless it is needed again.
    """
    sweep_staging(work.settings, needed=_needed_uploads(work))
    sweep_unused(work.settings, work.database)
    try:
        with _rare_collections():
            report = _already_done(work) or _import(work, Order.from_payload(work.payload))
    except BaseException as error:
        # A set that was stopped, or cannot be used as what it was taken for, may be another one.
        if not goes_on(work, error, chosen_again=True):
            remove_staged(work.payload, work.settings)
        raise
    remove_staged(work.payload, work.settings)
    return report


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for rings of dead objects less often: an import makes millions of records, and hardly a ring."""
    usual = gc.get_threshold()
    gc.set_threshold(COLLECTED_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _import(work: Work, order: Order) -> dict[str, Any]:
    account = Account()
    try:
        return _take_in(work, order, account)
    except InputError as error:
        if account.issues:
            # Who has to decide, or to mend the set, wants to see what is wrong with it.
            error.issues, error.issues_total = account.skips_first(), len(account.issues)
            error.issues_file = _write_issues(work, account)
        raise


def _take_in(work: Work, order: Order, account: Account) -> dict[str, Any]:
    start = time.monotonic()
    work.progress(0.0, "Reading the list of files")
    known = _known(work, order)
    with (
        scratch_folder(work) as scratch,
        Intake(work.settings, known.preprocessing) as intake,
        Taking(intake, _teller(work)) as taking,
    ):
        source = open_source(order.paths, work.settings.limits, scratch)
        work.check_stop()
        limits = work.settings.limits
        understood = understand(source, order, known, limits, scratch, taking, account=account)
        incoming = assemble(understood, order, taking)
    preprocessing = _fix_range(known.preprocessing, incoming)
    _late_thumbnails(work, incoming, preprocessing)
    # One sync for all pixels: as durable as one per file, at a fraction of its cost.
    os.sync()
    work.progress(DECODING, "Writing")
    work.check_stop()
    with work.write() as session:
        project = _project(session, order.project_id)
        _refuse_second(session, order)
        # From the row as it is now: another import may have fixed the range, and it stays.
        chosen, note = _choose_channels(_defaults(project), order, incoming)
        understood.notes.extend([note] if note else [])
        project.preprocessing = fixed = _fix_range(chosen, incoming)
        report = _commit(session, work, order, understood, incoming, start)
    if fixed != preprocessing:
        _late_thumbnails(work, incoming, fixed, again=True)
    work.progress(1.0, f"{report['images']:,} images")
    return report


def _commit(
    session: Session,
    work: Work,
    order: Order,
    understood: Understood,
    incoming: Sequence[Incoming],
    start: float,
) -> dict[str, Any]:
    """Write all rows and the new version, and return the report."""
    limits, account = work.settings.limits, understood.account
    person = work.payload.get("person")
    project = _project(session, order.project_id)
    committed = commit_rows(
        session, project, incoming, account, understood.heads,
        Terms(work.job_id, order.mode, limits.classes, person),
    )  # fmt: skip
    if order.task is None:
        project.task = understood.task
    _refuse_skips(account, limits, order)
    version = freeze_version(session, work.settings, project.id, "import", person)
    report = ImportReport(
        project=project.id,
        task=understood.task,
        format=understood.found.format.name,
        format_reason=understood.reason,
        dataset_version=version.number,
        images=committed.images,
        classes=tuple(info.name for info in list_classes(session, project.id)),
        annotations=committed.annotations,
        **account.counts(),
        ignored=understood.source.ignored + _unread(understood),
        issues_total=len(account.issues),
        issues=tuple(account.issues[:SHOWN_ISSUES]),
        issues_file=_write_issues(work, account),
        seconds=time.monotonic() - start,
        splits_of_set=committed.splits_of_set,
        notes=(*understood.notes, *committed.notes),
    ).model_dump(mode="json")
    session.add(_import_row(work, order, report))
    return report


def _known(work: Work, order: Order) -> Known:
    """Look at the project; raises ``QuestionError`` when it has images and nobody said what of them."""
    with work.database.read() as session:
        project = _project(session, order.project_id)
        _refuse_second(session, order)
        names = select(ClassRow.name).where(ClassRow.project_id == project.id, ClassRow.deleted_at.is_(None))
        names = names.order_by(ClassRow.position)
        record, _ = _with_channels(_defaults(project), order)
        return Known(record, () if order.mode == "replace" else tuple(session.scalars(names)))


def _refuse_second(session: Session, order: Order) -> None:
    query = select(func.count()).select_from(ImageRow).where(ImageRow.project_id == order.project_id)
    if order.mode == "new" and (images := session.scalar(query)):
        raise QuestionError(
            f"The project holds {images:,} images already.",
            "Add to them with --add, or put the new ones in their place with --replace.",
            flag="--add",
        )


def _refuse_skips(account: Account, limits: Limits, order: Order) -> None:
    """Ask when too much would be skipped; refuse when nothing is left."""
    first = account.images.first
    if first is not None and account.images.skipped == account.images.read:
        raise InputError(
            f"None of the {account.images.read:,} pictures could be used. {first.file}: {first.reason}.",
            "Mend the pictures, or choose others.",
        )
    account.ask(limits.skipped_share, order.accept_skips)


def _defaults(project: Project) -> dict[str, Any]:
    return {"background": BACKGROUND, **(project.preprocessing or {})}


def _choose_channels(
    held: dict[str, Any], order: Order, incoming: Sequence[Incoming]
) -> tuple[dict[str, Any], str]:
    """Fix the channels that were named once there are pictures which need them, and say what else."""
    if not order.channels or any(takes_channels(item.taken.mode) for item in incoming):
        return _with_channels(held, order)
    return held, "No picture has channels to choose from; those that were named are not used."


def _with_channels(held: dict[str, Any], order: Order) -> tuple[dict[str, Any], str]:
    """Add the channels that were named to a project's preprocessing; those it has stay but for a new set."""
    named, before = named_channels(order.channels), held.get("channels")
    if named is None or before == list(named):
        return held, ""
    chosen = {**held, "channels": list(named)}
    if before is None:
        return chosen, ""
    old, new = ("{}, {} and {}".format(*some) for some in (before, named))
    if order.mode != "replace":
        return held, f"Channels {old} are red, green and blue in this project, and stay so."
    return chosen, f"Channels {new} are red, green and blue from now on; before, these were {old}."


def _teller(work: Work) -> Callable[[int, int, bool], None]:
    """Return what tells of files taken in, and ends the import when a person wants that."""

    def tick(done: int, total: int, with_masks: bool) -> None:
        what = "images and masks" if with_masks else "images"
        work.progress(DECODING * done / total, f"{done:,} of {total:,} {what}")
        work.check_stop()

    return tick


def _fix_range(preprocessing: dict[str, Any], incoming: Sequence[Incoming]) -> dict[str, Any]:
    """Fix the range of data of more than 8 bits at the first import that brings such data."""
    lows = [item.taken.low for item in incoming if item.taken.low is not None]
    highs = [item.taken.high for item in incoming if item.taken.high is not None]
    if not lows or preprocessing.get("low") is not None:
        return preprocessing
    low, high = min(lows), max(highs)
    return {**preprocessing, "low": low, "high": high if high > low else low + 1}


def _late_thumbnails(
    work: Work, incoming: Sequence[Incoming], preprocessing: dict[str, Any], *, again: bool = False
) -> None:
    """Make the thumbnails that had to wait for the range of the set."""
    for item in incoming:
        if item.taken.low is not None:
            if again:
                channels = preprocessing.get("channels")
                thumbnail_path(work.settings, item.taken.sha256, channels).unlink(missing_ok=True)
            else:
                work.check_stop()
            ensure_thumbnail(work.settings, item.taken.sha256, preprocessing)


def _project(session: Session, project_id: str) -> Project:
    project = session.get(Project, project_id)
    if project is None or project.deleted_at is not None:
        raise NotFoundError("The project of this import does not exist any more.")
    return project


def _unread(understood: Understood) -> int:
    """Count the files that are neither pictures of the set nor read as labels, such as a README."""
    read = {path for row in understood.rows for path in (row.path, *(mask.path for mask in row.masks))}
    read |= understood.found.view.opened
    return sum(member.path not in read for member in understood.source.members)


def _write_issues(work: Work, account: Account) -> str:
    """Write all issues as CSV into the job's folder; returns its path inside the workspace."""
    path = work.folder / ISSUES_FILE
    write_atomic(path, account.issues_csv())
    return path.relative_to(work.settings.home).as_posix()


def _import_row(work: Work, order: Order, report: dict[str, Any]) -> ImportRow:
    return ImportRow(
        id=work.job_id,
        project_id=order.project_id,
        source=order.name,
        report=report,
        created_at=utc_now(),
    )


def _already_done(work: Work) -> dict[str, Any] | None:
    """Return the report when an earlier attempt was killed after its rows were written."""
    with work.database.read() as session:
        row = session.get(ImportRow, work.job_id)
        return None if row is None else row.report


def _needed_uploads(work: Work) -> set[Path]:
    """Return the uploads of all jobs that have not ended, this one among them."""
    query = select(JobRow.payload).where(JobRow.state.not_in(ENDED))
    with work.database.read() as session:
        return {path for payload in session.scalars(query) for path in staged_files(payload)}
