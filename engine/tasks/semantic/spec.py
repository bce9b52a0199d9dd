"""What semantic is, without torch; so far what its labels are, so that sets can be taken in."""

from __future__ import annotations

from engine.tasks.base import TaskSpec

SPEC = TaskSpec(
    name="semantic",
    title="Semantic segmentation",
    labels="a class for each pixel",
    label_kind="regions",
    minimum_classes=1,
)
