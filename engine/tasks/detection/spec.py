"""What detection is, without torch; so far what its labels are, so that sets can be taken in."""

from __future__ import annotations

from engine.tasks.base import TaskSpec

SPEC = TaskSpec(
    name="detection",
    title="Object detection",
    labels="a class and a box for each object",
    label_kind="boxes",
    minimum_classes=1,
)
