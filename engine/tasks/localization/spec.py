"""What localization is, without torch; so far what its labels are, so that sets can be taken in."""

from __future__ import annotations

from engine.tasks.base import TaskSpec

SPEC = TaskSpec(
    name="localization",
    title="Classification and localization",
    labels="one class and one box per image",
    label_kind="box",
    minimum_classes=2,
)
