"""Weights on this machine: list, fetch ahead of time, bring one's own, take along, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.api.jobs import Jobs
from engine.api.places import place_here
from engine.api.uploads import Uploads
from engine.contracts.files import ServedFile
from engine.contracts.jobs import ENDED, JobInfo
from engine.contracts.models import ModelInfo
from engine.contracts.weights import HubAnswer, WeightsItem
from engine.errors import ConflictError, InputError, NotFoundError
from engine.jobs import queue
from engine.models import bundled as box
from engine.models.catalog import must_be_asked, read_catalog
from engine.models.hub_cache import CachedWeights, cached_items, is_offline, remove_cached
from engine.models.hub_state import hub_state
from engine.models.library import Imported, damaged, list_imported, packed, remove
from engine.models.published import published
from engine.models.weights import IMPORTED, check_model_args
from engine.models.weights_file import check_file, read_config
from engine.storage.database import Database
from engine.storage.tables import JobRow, RunRow

SMALLEST_INPUT, LARGEST_INPUT = 16, 2048


class ImportSettings(TypedDict, total=False):
    """What a person can say about a weights file; what is left out comes from its config or the catalog.

    ``mean`` and ``std`` on the 0 to 1 scale, ``input_size`` in px.
    """

    title: str
    licence: str
    architecture: str
    model_args: dict[str, Any]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input_size: int


class Weights:
    """Everything about starting weights."""

    def __init__(self, database: Database, jobs: Jobs, uploads: Uploads) -> None:
        self.database = database
        self.jobs = jobs
        self.uploads = uploads

    def list(self) -> tuple[WeightsItem, ...]:
        """Return all weights on this machine: those that Lensmith ships, imported ones, and the caches."""
        settings = self.database.settings
        known = {model.weights.name.rpartition("/")[2]: model for model in read_catalog(settings)}
        found = [
            *(_of_bundled(entry) for entry in box.BUNDLED),
            *(_of_import(entry) for entry in list_imported(settings)),
            *(_of_damaged(name, size) for name, size in damaged(settings)),
            *(_of_cache(entry, known.get(entry.name.rpartition("/")[2])) for entry in cached_items()),
        ]
        with self.database.read() as session:
            runs = _starts(session)
        return tuple(item.model_copy(update={"used_by": _users(item, runs)}) for item in found)

    def get(self, item: str) -> WeightsItem:
        """Return one of them by its id, or by what a run names it; raises ``NotFoundError``."""
        for found in self.list():
            if item == found.id or (found.source != "cache" and item == found.start):
                return found
        raise NotFoundError(f"There are no weights “{item}” here.", "Settings lists those that are here.")

    def start_fetch(self, backbone: str, key: str | None = None) -> JobInfo:
        """Fetch a backbone's published weights for later; one download of each at a time.

        Raises ``InputError`` when there are none.
        """
        if not self._may_be_published(backbone):
            raise InputError(
                f"No weights are published for “{backbone}”.", "The list of models shows which have some."
            )
        return self._about("fetch-weights", backbone, key)

    def _may_be_published(self, backbone: str) -> bool:
        """Say whether something is published for ``backbone``, as far as a web process knows."""
        settings = self.database.settings
        return must_be_asked(settings, backbone) or published(settings, backbone) is not None

    def _about(self, kind: str, backbone: str, key: str | None = None) -> JobInfo:
        """Queue a job about a backbone, unless one is waiting or running."""
        with self.database.write() as session:
            waiting = select(JobRow).where(JobRow.kind == kind, JobRow.state.not_in(ENDED))
            row = next((r for r in session.scalars(waiting) if r.payload.get("backbone") == backbone), None)
            row = row or queue.enqueue(session, kind, {"backbone": backbone}, key=key)
            session.flush()
            return queue.info(session, row.id)

    def start_import(
        self,
        source: Path | None = None,
        *,
        upload: str | None = None,
        key: str | None = None,
        any_folder: bool = False,
        **choices: Unpack[ImportSettings],
    ) -> JobInfo:
        """Take in a weights file, or a folder or ZIP with one and its ``config.json``.

        ``any_folder``: whoever asks may read all of this machine, as on its command line.
        Raises ``InputError`` when there is nothing to take, ``WeightsError`` for a kind that is not opened.
        """
        model_args = choices.get("model_args", {})
        if not isinstance(model_args, dict):
            raise InputError("“model_args” holds names with values.", 'Write it like {"pad_type": "same"}.')
        check_model_args(model_args)
        _check_scale(choices)
        path, name = self._source(source, upload, any_folder)
        if not (path.is_dir() or Path(name).suffix.lower() == ".zip" or upload):
            check_file(self.database.settings, path)
        payload = {"source": str(path), "name": name, "staged": upload is not None, **choices}
        return self.jobs.enqueue("import-weights", payload, key=key)

    def _source(self, source: Path | None, upload: str | None, any_folder: bool) -> tuple[Path, str]:
        if source is not None:
            return place_here(source, self.database.settings, any_folder)
        if upload is None:
            raise InputError("There is nothing to import.", "Choose a weights file.")
        info = self.uploads.get(upload)
        if not info.complete:
            raise ConflictError(f"“{info.name}” has not arrived yet.", "Wait until the upload has finished.")
        return self.uploads.path(upload), Path(info.name).name

    def look(self, backbone: str) -> None:
        """Ask the hub, in the background, whether it answers and how large these weights are."""
        if is_offline(self.database.settings) or not self._may_be_published(backbone):
            return
        self._about("look", backbone)

    def hub(self) -> HubAnswer:
        """Return whether the hub may be asked, is being asked, and whether it answered lately."""
        settings = self.database.settings
        return HubAnswer(
            offline=is_offline(settings),
            asking=any(job.kind == "look" for job in self.jobs.active()),
            problem=hub_state(settings).problem,
        )

    def remove(self, item: str) -> int:
        """Take weights off this machine and return the bytes freed.

        Raises ``ConflictError`` for those that Lensmith ships and ``NotFoundError`` for unknown ones.
        """
        found = self.get(item)
        if found.source == "bundled":
            raise ConflictError("The weights that come with Lensmith cannot be removed.")
        if found.source == "imported":
            self._refuse_when_awaited(found)
            return remove(self.database.settings, found.id)
        return sum(remove_cached(entry) for entry in cached_items() if entry.name == found.id)

    def _refuse_when_awaited(self, item: WeightsItem) -> None:
        waiting = select(RunRow).join(JobRow, JobRow.id == RunRow.id).where(JobRow.state.not_in(ENDED))
        with self.database.read() as session:
            for run in session.scalars(waiting):
                if run.weights is None and run.config.get("weights") == item.start:
                    raise ConflictError(
                        f"Run {run.number} waits to start from these weights.",
                        "Stop it, or wait until it runs.",
                    )

    def file(self, item: str) -> ServedFile:
        """Return imported weights, with all that is known of them, as a ZIP that Lensmith takes in."""
        identifier = item.removeprefix(IMPORTED)
        path = packed(self.database.settings, identifier)
        return ServedFile(
            path=path, media_type="application/zip", name=f"{identifier}.zip", etag=path.stem[-16:]
        )


def _check_scale(choices: ImportSettings) -> None:
    """Raise ``InputError`` for a normalisation or size that no image could have."""
    for name in ("mean", "std"):
        if name in choices and not _three_shares(choices.get(name)):
            raise InputError(
                f"“{name}” is three numbers from 0 to 1, one for each channel.",
                "Write them like 0.485, 0.456, 0.406.",
            )
    if 0 in choices.get("std", ()):
        raise InputError("“std” cannot be 0.", "Write it like 0.229, 0.224, 0.225.")
    size = choices.get("input_size")
    if size is not None and not (isinstance(size, int) and SMALLEST_INPUT <= size <= LARGEST_INPUT):
        raise InputError(f"“input_size” is from {SMALLEST_INPUT} to {LARGEST_INPUT} px.", "Change the size.")


def _three_shares(numbers: Any) -> bool:
    """Say whether these are three numbers from 0 to 1; the command line hands on whatever was typed."""
    return (
        isinstance(numbers, list | tuple)
        and len(numbers) == 3
        and all(isinstance(n, int | float) and 0 <= n <= 1 for n in numbers)
    )


def _of_bundled(entry: box.Bundled) -> WeightsItem:
    return WeightsItem(
        id=entry.name,
        source="bundled",
        title=entry.name,
        backbone=entry.architecture,
        start="bundled",
        bytes=entry.path.stat().st_size,
        licence=entry.licence,
        origin="comes with Lensmith",
        sha256=entry.sha256,
        model_args=dict(entry.model_args),
        mean=entry.mean,
        std=entry.std,
        input_size=entry.input_size,
        removable=False,
    )


def _of_import(entry: Imported) -> WeightsItem:
    config = read_config(entry.file)
    return WeightsItem(
        id=entry.id,
        source="imported",
        title=entry.title,
        backbone=entry.fit.architecture,
        library=entry.fit.library,
        start=f"{IMPORTED}{entry.id}",
        bytes=entry.bytes,
        licence=entry.licence,
        origin=entry.origin,
        sha256=entry.tensors_sha256,
        model_args=config.model_args,
        mean=config.mean,
        std=config.std,
        input_size=config.input_size,
        added_at=entry.added_at,
        fit=entry.fit,
    )


def _of_cache(entry: CachedWeights, model: ModelInfo | None) -> WeightsItem:
    """Describe weights in a cache; ``model`` is None where they are not the catalog's default ones."""
    return WeightsItem(
        id=entry.name,
        source="cache",
        title=entry.name,
        backbone=model.name if model else "",
        library=entry.library,
        start="auto" if model else str(entry.path),
        bytes=entry.bytes,
        licence=model.weights.licence if model else "",
        origin=str(entry.path),
    )


def _of_damaged(name: str, size: int) -> WeightsItem:
    return WeightsItem(
        id=name,
        source="imported",
        title=f"{name} (damaged: remove and import again)",
        backbone="",
        start="",
        bytes=size,
    )


def _starts(session: Session) -> list[tuple[str, str, str]]:
    """Return run, name and SHA-256 of the weights it started from, the newest run first."""
    rows = session.execute(
        select(RunRow.id, RunRow.weights)
        .join(JobRow, JobRow.id == RunRow.id)
        .where(RunRow.weights.is_not(None))
        .order_by(JobRow.created_at.desc())
    )
    return [(run, str(weights["name"]), str(weights.get("sha256", ""))) for run, weights in rows if weights]


def _users(item: WeightsItem, runs: list[tuple[str, str, str]]) -> tuple[str, ...]:
    """Return the runs that started from ``item``; its id may have been another file's before."""
    if item.source == "cache":
        return tuple(run for run, name, _ in runs if name == item.id)
    return tuple(run for run, _, sha256 in runs if sha256 and sha256 == item.sha256)
