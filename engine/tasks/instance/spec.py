"""What instance is, without torch; so far what its labels are, so that sets can be taken in."""

from __future__ import annotations

from engine.tasks.base import TaskSpec

SPEC = TaskSpec(
    name="instance",
    title="Instance segmentation",
    labels="a class and an outline for each object",
    label_kind="masks",
    minimum_classes=1,
)
