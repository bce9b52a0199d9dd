"""The job that makes a bundle and proves it before anyone can download it."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import select

from engine.contracts.base import utc_now
from engine.contracts.datasets import SPLITS
from engine.contracts.jobs import Work
from engine.contracts.results import ProbeResult, Report, WeightsUsed
from engine.datasets.cache import decoded
from engine.datasets.framing import Frame
from engine.datasets.manifest import Manifest, load_manifest
from engine.errors import ConflictError, ExportError, NotFoundError
from engine.evaluation.agreement import Agreement
from engine.export import bundle, parity
from engine.export.card import CardFacts, write_card
from engine.export.onnx_file import write_onnx
from engine.storage.blobs import BlobStore, sha256_of
from engine.storage.tables import ExportRow, FileRow, Project, ReportRow, RunRow, VersionRow
from engine.tasks.base import Said
from engine.tasks.registry import get_task, load_dotted
from engine.training.trained import TrainedModel, load_trained, reload

BATCH = 32
HEIC = "HEIF"
"""How the reader of HEIC pictures names their format."""


@dataclass(frozen=True)
class Source:
    """What is exported: the run's rows and records."""

    project: Project
    run: RunRow
    version: VersionRow
    report: Report
    probe: ProbeResult | None


def run(work: Work) -> dict[str, Any]:
    """Make, prove and pack the bundle of ``payload["run_id"]``; the result names it.

    Raises ``ExportError`` with the figures when the bundle does not agree with the trained model.
    """
    source = _load_source(work, work.payload["run_id"])
    work.progress(0.02, "Loading the trained model")
    trained = load_trained(work.settings, work.database, source.run.id, device="cpu")
    manifest = load_manifest(work.database, work.settings, source.version.id)
    heic = _has_heic(work, manifest)
    folder = work.folder / "bundle"
    folder.mkdir()

    work.progress(0.05, "Writing the ONNX file")
    spec = get_task(trained.task)
    bundle.write_parts(folder, trained.classes, trained.preprocessing, trained.folder, spec, heic=heic)
    _write_network(trained, folder / "model.onnx")
    work.check_stop()

    needed = (*parity.NEEDED, *(parity.NEEDED_FOR_HEIC if heic else ()))
    agreements = _prove(work, trained, manifest, source.report, folder, needed)
    work.progress(0.92, "Packing")
    facts = replace(_card_facts(source, manifest, trained, agreements), heic=heic)
    (folder / "card.md").write_text(write_card(facts), "utf-8")
    bundle.write_checksums(folder)
    target = work.folder / f"{_slug(source.project.name)}-run-{source.run.number}.zip"
    bundle.write_zip(folder, target)
    return _record(work, source, folder, target, agreements)


def _load_source(work: Work, run_id: str) -> Source:
    with work.database.read() as session:
        run_row = session.get(RunRow, run_id)
        report = session.get(ReportRow, run_id)
        if run_row is None:
            raise NotFoundError("This run does not exist.", "Choose one on the Runs screen.")
        if report is None:
            raise ConflictError("This run has no model to export.", "Choose a run that has finished.")
        return Source(
            project=session.scalars(select(Project).where(Project.id == run_row.project_id)).one(),
            run=run_row,
            version=session.scalars(select(VersionRow).where(VersionRow.id == run_row.version_id)).one(),
            report=Report.model_validate(report.report),
            probe=ProbeResult.model_validate(report.probe) if report.probe else None,
        )


def _has_heic(work: Work, manifest: Manifest) -> bool:
    """Whether any picture of the set, in any split, is HEIC, which Pillow alone does not read."""
    used = {image.sha256 for image in manifest.images}
    with work.database.read() as session:
        query = select(FileRow.sha256).where(FileRow.format == HEIC)
        return any(sha256 in used for sha256 in session.scalars(query))


def _write_network(trained: TrainedModel, path: Path) -> None:
    record = trained.preprocessing
    write_onnx(
        trained.model,
        (record.height, record.width),
        path,
        {
            "task": trained.task,
            "classes": [info.name for info in trained.classes],
            "preprocessing": record.to_dict(),
        },
        get_task(trained.task).outputs,
    )


# --- the proof ------------------------------------------------------------------------------------


def _prove(
    work: Work,
    trained: TrainedModel,
    manifest: Manifest,
    report: Report,
    folder: Path,
    needed: Sequence[str],
) -> dict[str, Agreement]:
    """Compare the files in ``folder`` with the trained model on the images that the report measured.

    ``needed``: the packages that requirements.txt of the bundle brings, as they are imported.
    """
    images = {image.id: image for image in manifest.images}
    measured = [images[result.image_id] for result in report.results]
    if not measured:
        raise ExportError(
            "The export cannot be proven: this run was measured on no image.",
            "Add test or validation images and train again.",
        )
    work.progress(0.25, f"Asking the trained model about {len(measured)} images")
    shas, record = [image.sha256 for image in measured], trained.preprocessing
    pixels = decoded(work.settings, shas, record, lambda _share: work.check_stop())
    frames = [Frame.of(image.width, image.height, record) for image in measured]
    reference = _in_batches(work, trained, trained.model, pixels, frames)
    work.progress(0.45, "Loading the safetensors file and asking it too")
    reloaded = _in_batches(work, trained, reload(trained, folder), pixels, frames)
    work.progress(0.65, "Running the bundle's predict.py on the original files")
    store = BlobStore(work.settings.files)
    exported = parity.run_bundle(folder, [store.path(sha) for sha in shas], work.check_stop, needed)
    examiner = load_dotted(get_task(trained.task).examiner)([info.name for info in trained.classes])
    agreements = {
        "onnx": parity.compare(examiner, reference, exported),
        "safetensors": parity.compare(examiner, reference, reloaded),
        "report": parity.compare(examiner, examiner.stored(report.results), exported),
    }
    for name, agreement in agreements.items():
        work.log(f"parity {name}: {agreement.to_dict()}")
    parity.require(agreements["onnx"], "model.onnx with predict.py", "the trained model")
    parity.require(agreements["safetensors"], "model.safetensors", "the trained model")
    parity.require(agreements["report"], "model.onnx with predict.py", "the run's report")
    return agreements


def _in_batches(
    work: Work, trained: TrainedModel, model: torch.nn.Module, pixels: Any, frames: Sequence[Frame]
) -> list[Said]:
    """Answer prepared images with ``model``, as the trained model's task reads its outputs."""
    asked, rows = replace(trained, model=model), []
    for start in range(0, len(pixels), BATCH):
        work.check_stop()
        part = slice(start, start + BATCH)
        rows.extend(asked.answer(pixels[part], frames[part], top=0))
    return rows


# --- what is written down -------------------------------------------------------------------------


def _card_facts(
    source: Source, manifest: Manifest, trained: TrainedModel, agreements: dict[str, Agreement]
) -> CardFacts:
    return CardFacts(
        project=source.project.name,
        run=source.run.id,
        run_number=source.run.number,
        dataset_version=source.version.number,
        manifest=source.version.manifest,
        classes=[info.name for info in trained.classes],
        split_sizes=_split_sizes(manifest),
        config=source.run.config,
        plan=source.run.plan or {},
        weights=WeightsUsed.model_validate(source.run.weights) if source.run.weights else None,
        report=source.report,
        probe=source.probe,
        record=trained.preprocessing,
        onnx=agreements["onnx"],
        safetensors=agreements["safetensors"],
        stored=agreements["report"],
    )


def _split_sizes(manifest: Manifest) -> dict[str, dict[str, int]]:
    names = {info.id: info.name for info in manifest.classes}
    return {
        split: dict(
            Counter(names[label.class_id] for image in manifest.of_split(split) for label in image.labels)
        )
        for split in SPLITS
    }


def _slug(name: str) -> str:
    """Turn a project's name into part of a file name: letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "model"


def _record(
    work: Work,
    source: Source,
    folder: Path,
    target: Path,
    agreements: dict[str, Agreement],
) -> dict[str, Any]:
    files: Sequence[bundle.BundleFile] = bundle.list_files(folder)
    digest, size = sha256_of(target), target.stat().st_size
    path = target.relative_to(work.settings.home).as_posix()
    figures = {name: agreement.to_dict() for name, agreement in agreements.items()}
    with work.write() as session:
        session.merge(
            ExportRow(
                id=work.job_id,
                run_id=source.run.id,
                path=path,
                sha256=digest,
                bytes=size,
                files=[[file.name, file.size] for file in files],
                parity={**figures["onnx"], "split": source.report.split, **figures},
                created_at=utc_now(),
            )
        )
    shutil.rmtree(folder)
    return {"path": path, "sha256": digest, "bytes": size, "parity": figures["onnx"]}
