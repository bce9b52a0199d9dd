"""What keypoints is, without torch; so far what its labels are, so that sets can be taken in."""

from __future__ import annotations

from engine.tasks.base import TaskSpec

SPEC = TaskSpec(
    name="keypoints",
    title="Keypoints",
    labels="points on each object",
    label_kind="points",
    minimum_classes=1,
)
