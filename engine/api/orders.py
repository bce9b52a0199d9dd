"""What an import job is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from engine.contracts.datasets import ImportChoices
from engine.tasks.registry import TASKS, tasks_by_labels


def import_payload(
    source: Path,
    source_name: str,
    project: str,
    task_of_project: str | None,
    *,
    staged: bool = False,
    person: str | None = None,
    made_project: bool = False,
    **choices: Unpack[ImportChoices],
) -> dict[str, Any]:
    """Put together the payload of an ``import`` or ``recognise`` job.

    ``task_of_project`` is None when the set itself says what it is for. ``staged``: the source was
    uploaded, and goes away with the import. ``person`` is who asked for it. ``made_project``: the project
    is there for this import only.
    """
    return {
        "format": None,
        "mode": "new",
        **choices,
        "source": str(source),
        "source_name": source_name,
        "project_id": project,
        "task": task_of_project,
        "tasks": tasks_by_labels(),
        "titles": {spec.name: spec.title for spec in TASKS},
        "staged": staged,
        "person": person,
        "made_project": made_project,
    }
