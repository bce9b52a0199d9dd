"""The one tuple of tasks. A task is one folder and one entry here; nothing else names it."""

from __future__ import annotations

import importlib
from typing import Any

from engine.errors import InputError
from engine.tasks.base import TaskSpec
from engine.tasks.classification.spec import SPEC as CLASSIFICATION

TASKS: tuple[TaskSpec, ...] = (CLASSIFICATION,)
DEFAULT_TASK = TASKS[0].name
"""What is meant when nobody names a task."""


def get_task(name: str) -> TaskSpec:
    """Return the task called ``name``; raises ``InputError`` that lists the known ones."""
    for spec in TASKS:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in TASKS)
    raise InputError(f"There is no task called “{name}”.", f"Choose one of: {known}.")


def load_dotted(name: str) -> Any:
    """Import ``package.module:attribute``; used in child processes only."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
