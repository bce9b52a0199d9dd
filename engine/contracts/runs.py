"""Records about runs, live and ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from engine.contracts.base import Record
from engine.contracts.jobs import JobState, Problem
from engine.contracts.models import WeightsPlan
from engine.contracts.results import GridItem, MetricValue, Series, Tone, WeightsUsed
from engine.contracts.training import Plan


class RunSummary(Record):
    """A run as lists show it; ``seconds`` is time spent in running attempts."""

    id: str
    project: str
    task: str
    number: int
    title: str
    state: JobState
    progress: float | None
    message: str
    preset: str
    strategy: str
    backbone: str
    weights: WeightsUsed | None
    version: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    best: MetricValue | None
    problem: Problem | None = None
    ahead: int = 0


class RunDetail(RunSummary):
    """A run with its settings and its frozen plan."""

    config: dict[str, Any]
    plan: Plan | None
    attempt: int
    exported: bool = False


class Observation(Record):
    """One sentence about the curves, with the evidence in it."""

    text: str
    tone: Tone = "neutral"


class LiveRun(Record):
    """A run while it learns; rates in images/s, times in s, ``progress`` 0 to 1."""

    run: RunSummary
    epoch: int
    epochs: int
    images_per_second: float | None
    seconds_done: float
    seconds_left: float | None
    loss: tuple[Series, ...]
    metric: tuple[Series, ...]
    metric_title: str
    rate: tuple[Series, ...]
    observations: tuple[Observation, ...]
    samples: tuple[GridItem, ...]
    probe: MetricValue | None = None
    setup: str = ""


class PresetInfo(Record):
    """A preset as the Train screen offers it: what it would do here, and how long it would take."""

    name: str
    title: str
    sentence: str
    backbone: str
    strategy: str
    seconds: float | None
    seconds_measured: bool
    weights: WeightsPlan
    config: dict[str, Any]
    recommended: bool = False


class TrainOptions(Record):
    """All that the Train screen needs before a run starts."""

    presets: tuple[PresetInfo, ...]
    recommended: str
    reason: str
    train_images: int
    val_images: int
    test_images: int
    queued_before: int
    parameter_schema: dict[str, Any]
    problems: tuple[str, ...] = ()


class ExportInfo(Record):
    """A bundle: its state, its proof, and where to fetch it; sizes in bytes."""

    id: str
    run: str
    state: JobState
    progress: float | None
    message: str
    bytes: int | None = None
    sha256: str = ""
    files: tuple[tuple[str, int], ...] = ()
    parity: dict[str, Any] | None = None
    problem: Problem | None = None
