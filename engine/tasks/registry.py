"""The one tuple of tasks. A task is one folder and one entry here; nothing else names it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from engine.contracts.datasets import LabelKind
from engine.errors import InputError
from engine.tasks.base import TaskSpec
from engine.tasks.classification.spec import SPEC as CLASSIFICATION
from engine.tasks.detection.spec import SPEC as DETECTION
from engine.tasks.instance.spec import SPEC as INSTANCE
from engine.tasks.keypoints.spec import SPEC as KEYPOINTS
from engine.tasks.localization.spec import SPEC as LOCALIZATION
from engine.tasks.semantic.spec import SPEC as SEMANTIC
from engine.tasks.tagging.spec import SPEC as TAGGING

TASKS: tuple[TaskSpec, ...] = (
    CLASSIFICATION, TAGGING, LOCALIZATION, DETECTION, SEMANTIC, INSTANCE, KEYPOINTS,
)  # fmt: skip
DEFAULT_TASK = TASKS[0].name
"""What is meant when nobody names a task."""


def get_task(name: str) -> TaskSpec:
    """Return the task called ``name``; raises ``InputError`` that lists the known ones."""
    for spec in TASKS:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in TASKS)
    raise InputError(f"There is no task called “{name}”.", f"Choose one of: {known}.")


def tasks_by_labels() -> dict[LabelKind, str]:
    """Return which task learns which kind of label."""
    return {spec.label_kind: spec.name for spec in TASKS}


def read_answers(spec: TaskSpec) -> Callable[..., list[list[dict[str, Any]]]]:
    """Return what turns the outputs of a task's networks into answers; numpy only."""
    read: Callable[..., list[list[dict[str, Any]]]] = load_dotted(f"{spec.answers[-1]}:answers")
    return read


def load_dotted(name: str) -> Any:
    """Import ``package.module:attribute``; used in child processes only."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
