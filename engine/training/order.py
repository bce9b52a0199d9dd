"""What a run was asked for, and what is frozen at its start."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from engine.contracts.datasets import ClassInfo
from engine.contracts.jobs import Work
from engine.contracts.results import ProbeResult, WeightsUsed
from engine.contracts.training import Plan, TrainingConfig
from engine.datasets.manifest import Manifest, load_manifest
from engine.datasets.preprocessing import Preprocessing
from engine.errors import InputError, RunError
from engine.storage.tables import RunRow
from engine.tasks.base import TaskSpec
from engine.tasks.registry import get_task


@dataclass(frozen=True)
class Order:
    """What was asked for: a run, its settings and its frozen data."""

    work: Work
    run: RunRow
    spec: TaskSpec
    config: TrainingConfig
    manifest: Manifest
    started: float

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes of the frozen version, in the order of the model's outputs."""
        return self.manifest.classes

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(info.name for info in self.classes)


@dataclass(frozen=True)
class Frozen:
    """What never changes after the start; every checkpoint carries it."""

    plan: Plan
    weights: WeightsUsed
    record: Preprocessing
    budget: float | None
    probe: ProbeResult | None
    probe_digests: list[Any]
    notes: list[str]

    def to_plain(self) -> dict[str, Any]:
        """Turn it into plain values, which a checkpoint can hold."""
        return {
            "plan": self.plan.model_dump(mode="json"),
            "weights": self.weights.model_dump(mode="json"),
            "record": self.record.to_dict(),
            "budget": self.budget,
            "probe": None if self.probe is None else self.probe.model_dump(mode="json"),
            "probe_digests": self.probe_digests,
            "notes": self.notes,
        }

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> Frozen:
        """Read what ``to_plain`` wrote."""
        return cls(
            plan=Plan.model_validate(values["plan"]),
            weights=WeightsUsed.model_validate(values["weights"]),
            record=Preprocessing.from_dict(values["record"]),
            budget=values["budget"],
            probe=None if values["probe"] is None else ProbeResult.model_validate(values["probe"]),
            probe_digests=list(values["probe_digests"]),
            notes=list(values["notes"]),
        )


def read_order(work: Work) -> Order:
    """Read the run of a job; raises ``RunError`` or ``InputError`` when it cannot be trained."""
    run_id = work.payload.get("run_id", work.job_id)
    with work.database.read() as session:
        row = session.get(RunRow, run_id)
    if row is None:
        raise RunError("The run of this job does not exist.")
    spec = get_task(row.task)
    manifest = load_manifest(work.database, work.settings, row.version_id)
    if len(manifest.classes) < spec.minimum_classes:
        raise InputError(
            f"Training needs at least {spec.minimum_classes} classes; there are {len(manifest.classes)}."
        )
    if not manifest.of_split("val"):
        raise InputError(
            "No labelled image is in the validation part, so nothing could choose the best weights.",
            "Label images of the validation part on Data, or add more images.",
        )
    config = spec.config.model_validate(row.config)
    return Order(work, row, spec, config, manifest, time.perf_counter())
