"""What a training would be, before it starts: presets with forecast, recommendation, obstacles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.contracts.datasets import SPLITS, DatasetSummary
from engine.contracts.jobs import JobState
from engine.contracts.models import WeightsPlan
from engine.contracts.runs import PresetInfo, TrainOptions
from engine.contracts.training import TrainingConfig
from engine.datasets import queries
from engine.settings import Settings
from engine.storage.tables import AnnotationRow, ImageRow, JobRow, Project
from engine.tasks.base import TaskSpec
from engine.tasks.registry import get_task
from engine.training.choices import choose
from engine.training.forecast import forecast

TITLES = {
    "quick": ("Quick", "a first answer, and the yardstick"),
    "balanced": ("Balanced", "good for most sets"),
    "best": ("Best", "for when it matters; leave it running"),
}
MANY_IMAGES = 400
LEAST_TRAIN_IMAGES = 2


def train_options(
    session: Session, settings: Settings, project: Project, start: Mapping[str, Any] | None = None
) -> TrainOptions:
    """Put together what the Train screen shows; measures nothing, reads what was measured.

    ``start`` holds the settings ``weights`` and ``backbone`` where a person has chosen them already.
    """
    spec = get_task(project.task)
    summary = queries.summary(session, project.id)
    labelled = _labelled(session, project.id)
    if not spec.trains:
        return _not_yet(spec, labelled)
    presets = tuple(_preset(settings, spec, name, labelled, start or {}) for name in spec.presets)
    recommended, reason = _recommend(labelled["train"], presets)
    queued = session.scalar(
        select(func.count())
        .select_from(JobRow)
        .where(
            JobRow.kind == "train",
            JobRow.state.in_([JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED]),
        )
    )
    return TrainOptions(
        presets=tuple(
            preset.model_copy(update={"recommended": preset.name == recommended}) for preset in presets
        ),
        recommended=recommended,
        reason=reason,
        train_images=labelled["train"],
        val_images=labelled["val"],
        test_images=labelled["test"],
        queued_before=queued or 0,
        parameter_schema=spec.config.model_json_schema(),
        problems=_problems(spec, summary, labelled),
    )


def _not_yet(spec: TaskSpec, labelled: dict[str, int]) -> TrainOptions:
    """Say that a task's sets can be taken in and exported, but not trained on."""
    sentence = (
        f"{spec.title} cannot be trained here yet. The set can be looked at, versioned and exported in any "
        "format that carries it."
    )
    return TrainOptions(
        presets=(),
        recommended="",
        reason="",
        train_images=labelled["train"],
        val_images=labelled["val"],
        test_images=labelled["test"],
        queued_before=0,
        parameter_schema={},
        problems=(sentence,),
    )


def _labelled(session: Session, project_id: str) -> dict[str, int]:
    """Count the labelled images of each split on the head: only those are trained on and measured."""
    counted = session.execute(
        select(ImageRow.split, func.count(ImageRow.id.distinct()))
        .join(AnnotationRow, AnnotationRow.image_id == ImageRow.id)
        .where(ImageRow.project_id == project_id, ImageRow.left_out.is_(False), AnnotationRow.on_head)
        .group_by(ImageRow.split)
    )
    found = {split: count for split, count in counted if split}
    return {split: found.get(split, 0) for split in SPLITS}


def _preset(
    settings: Settings, spec: TaskSpec, name: str, labelled: dict[str, int], start: Mapping[str, Any]
) -> PresetInfo:
    config = spec.config.model_validate({"preset": name})
    choice = choose(settings, spec, config.model_copy(update=dict(start)), labelled["train"])
    title, sentence = TITLES.get(name, (name.capitalize(), ""))
    expected = forecast(settings, choice, labelled["train"], labelled["val"], labelled["test"])
    return PresetInfo(
        name=name,
        title=title,
        sentence=sentence,
        backbone=choice.backbone,
        strategy=choice.strategy,
        seconds=expected.seconds,
        seconds_measured=expected.measured,
        weights=choice.weights,
        config=config.model_dump(mode="json"),
    )


def weights_plan(settings: Settings, spec: TaskSpec, config: TrainingConfig) -> WeightsPlan:
    """Return which weights a run with these settings would start from."""
    return choose(settings, spec, config).weights


def _recommend(train_images: int, presets: tuple[PresetInfo, ...]) -> tuple[str, str]:
    """Start with the yardstick on few images, go on to Balanced where there is more to learn from."""
    pretrained = any(preset.weights.source != "random" for preset in presets)
    if not pretrained:
        return (
            "quick",
            "No pretrained weights are on this machine, so the model learns from nothing: "
            "Quick shows within a minute or two how far that goes.",
        )
    if train_images < MANY_IMAGES:
        return (
            "quick",
            f"{train_images} images is little to learn from: a linear classifier on pretrained features is "
            "the safest start, and the yardstick for everything after it.",
        )
    return (
        "balanced",
        f"{train_images} images is enough to tune the pretrained model to your pictures; the linear "
        "classifier runs first, as the yardstick.",
    )


def _problems(spec: TaskSpec, summary: DatasetSummary, labelled: dict[str, int]) -> tuple[str, ...]:
    used = [entry for entry in summary.classes if entry.images > 0]
    found = []
    if summary.images == 0:
        found.append("There are no images yet. Add some on Data.")
    elif len(used) < spec.minimum_classes:
        found.append(
            f"Only {len(used)} class has images; at least {spec.minimum_classes} are needed. "
            "Add images of another class on Data."
        )
    elif labelled["train"] < LEAST_TRAIN_IMAGES:
        found.append(
            f"The training part has {labelled['train']} labelled images; at least {LEAST_TRAIN_IMAGES} are "
            "needed. Label or add images on Data."
        )
    elif labelled["val"] == 0:
        found.append(
            "No labelled image is left to choose the best model by (validation). Label or add images on Data."
        )
    return tuple(found)
