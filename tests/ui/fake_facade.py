"""A facade with made-up, realistic data, so that screens can be tested without an engine.

``FakeFacade(kind)``: "normal" (a project with images, a finished and a running run), "empty" (nothing
yet) or "broken" (every call about data raises an expected error). What the screens ask it to do is kept
in ``calls``. With ``drawn``, labels have boxes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engine.contracts.files import ServedFile
from engine.contracts.jobs import ENDED, JobInfo, JobState, Problem
from engine.contracts.models import DeviceInfo, Machine, ModelInfo, WeightsPlan
from engine.contracts.predictions import FilePrediction, Prediction
from engine.contracts.runs import (
    ExportInfo,
)
from engine.errors import InputError, UnavailableError
from engine.settings import allowed_folder
from tests.ui.fake_data import FakeOverlays, FakeProjects
from tests.ui.fake_runs import FakeResults, FakeRuns
from tests.ui.fake_sets import EXPORT, LOOK, FakeSetExports, FakeSets, FakeSplits, FakeVersions, offer
from tests.ui.fake_weights import FakeWeights, catalog, check_backbone, plan_of
from tests.ui.fake_world import CLASSES, HOSTILE, NOW, TOTAL, picture

__all__ = ["HOSTILE", "FakeFacade"]


class FakeModels:
    """Stands in for ``Lensmith.models``."""

    def __init__(self, world: Any) -> None:
        self.world = world

    catalog_written = True

    def catalog(
        self, query: str = "", recommended: bool = False, limit: int = 50, task: str | None = None
    ) -> tuple[ModelInfo, ...]:
        return catalog(query)[:limit]

    def weights_plan(self, config: dict[str, Any], task: str = "classification") -> WeightsPlan:
        self.world.note("weights_plan", config.get("weights"), config.get("backbone"))
        check_backbone(config.get("backbone", "auto"))
        if config.get("weights", "auto") != "auto":
            return plan_of(config["weights"])
        return WeightsPlan(source="cache", name="x", sentence="ImageNet weights, already on this machine.")

    def start_export(self, run: str, key: str | None = None) -> ExportInfo:
        self.world.note("start_export", run)
        self.world.export_state = JobState.RUNNING
        return self.export(run)  # type: ignore[return-value]

    def export(self, run: str) -> ExportInfo | None:
        state = self.world.export_state
        if state is None:
            return None
        done = state is JobState.SUCCEEDED
        return ExportInfo(
            id="e1",
            run=run,
            state=state,
            progress=1.0 if done else 0.4,
            message="Checking 431 images",
            bytes=18_400_000 if done else None,
            sha256="ab" * 32 if done else "",
            files=(("model.onnx", 9_000_000), ("model.safetensors", 9_000_000), ("predict.py", 6_400))
            if done
            else (),
            parity={
                name: {
                    "images": 431,
                    "same_class": 431,
                    "near_ties": 0,
                    "largest_difference": 3.1e-6,
                    "mean_difference": 1e-7,
                    "tolerance": 1e-3,
                    "near_tie": 2e-3,
                    "holds": True,
                }
                for name in ("onnx", "safetensors", "report")
            }
            if done
            else None,
        )

    def export_file(self, run: str) -> ServedFile:
        return ServedFile(path=picture(0, 240), media_type="application/zip", name="bundle.zip", etag="e")

    def predict(
        self, target: str, files: Sequence[tuple[str, bytes]], *, previews: bool = False
    ) -> tuple[FilePrediction, ...]:
        self.world.note("predict", target, tuple(name for name, _ in files))
        if self.world.kind == "broken":
            raise UnavailableError("The prediction process did not answer.", "Is “lensmith up” running?")
        scores = (0.71, 0.2, 0.05, 0.02, 0.01, 0.01)
        answers = tuple(
            Prediction(label=name, score=score)
            for name, score in zip(self.world.classes, scores, strict=False)
        )
        return tuple(FilePrediction(file=name, predictions=answers, milliseconds=23.0) for name, _ in files)

    def machine(self) -> Machine:
        return Machine(
            python="3.11",
            torch="2.15.0",
            devices=(DeviceInfo(name="cpu", title="CPU, 2 cores"),),
            cores=2,
            memory=8 * 2**30,
            disk_free=50 * 2**30,
            home="home",
            worker="running",
        )


class FakeJobs:
    """Stands in for ``Lensmith.jobs``."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def get(self, job: str) -> JobInfo:
        if job in self.world.weights.jobs:
            return self.world.weights.jobs[job]
        if job in (LOOK, EXPORT):
            return self._about_sets(job)
        state = self.world.import_state
        problem = self.world.import_problem if state is JobState.FAILED else None
        return JobInfo(
            id=job,
            kind="import",
            project="p1",
            state=state,
            progress=0.4,
            created_at=NOW,
            message="Reading picture 1,010 of 2,527",
            problem=problem,
            started_at=NOW,
        )

    def _about_sets(self, job: str) -> JobInfo:
        """Give the job that looks at a set, or the one that exports it."""
        state = self.world.look_state if job == LOOK else self.world.set_state
        done = state is JobState.SUCCEEDED
        return JobInfo(
            id=job,
            kind="recognise" if job == LOOK else "export-set",
            project=None if job == LOOK else "p1",
            state=state,
            progress=1.0 if done else 0.2,
            created_at=NOW,
            message="Looking what it is" if job == LOOK else "200 of 1,204 images",
            result={"bytes": 31_000_000, "format": "yolo", "version": 3, "images": 1204} if done else None,
        )

    def active(self, project: str | None = None) -> tuple[JobInfo, ...]:
        return tuple(job for job in self.world.weights.jobs.values() if job.state not in ENDED)

    def cancel(self, job: str) -> JobInfo:
        self.world.note("cancel", job)
        return self.get(job)

    def resume(self, job: str) -> JobInfo:
        self.world.note("resume_job", job)
        return self.get(job)


class FakeFacade:
    """The whole facade; see the module's docstring."""

    def __init__(
        self,
        kind: str = "normal",
        *,
        classes: tuple[str, ...] = CLASSES,
        total: int = TOTAL,
        drawn: bool = False,
    ) -> None:
        self.kind = kind
        self.drawn = drawn
        self.classes = classes
        self.total = total
        self.queued = 0
        self.calls: list[tuple[Any, ...]] = []
        self.project_names = {} if kind == "empty" else {"p1": "Recycling line", "p2": "Empty one"}
        self.export_state: JobState | None = None
        self.import_state = JobState.RUNNING
        self.import_problem: Problem | None = None
        self.look_state = JobState.SUCCEEDED
        self.set_state = JobState.RUNNING
        self.offers = (offer(),)
        self.versions_made = 3
        self.settings = SimpleNamespace(
            home=Path(tempfile.gettempdir()), allowed_hosts=(), import_folders=()
        )
        self.token = "fake-token"
        self.projects = FakeProjects(self)
        self.datasets = FakeSets(self)
        self.dataset_exports = FakeSetExports(self)
        self.versions = FakeVersions(self)
        self.splits = FakeSplits(self)
        self.overlays = FakeOverlays(self)
        self.runs = FakeRuns(self)
        self.results = FakeResults(self)
        self.models = FakeModels(self)
        self.weights = FakeWeights(self)
        self.jobs = FakeJobs(self)

    def note(self, *call: Any) -> None:
        """Remember what a screen asked for."""
        self.calls.append(call)

    def refuse(self, source: Path | None) -> None:
        """Refuse a place on this machine as the facade does."""
        if source is not None and not allowed_folder(source, self.settings):  # type: ignore[arg-type]
            raise InputError(f"Nothing may be imported from “{source}” here.", "Upload it instead.")

    def close(self) -> None:
        """Nothing to give back."""
