"""What tagging is, without torch; so far what its labels are, so that sets can be taken in."""

from __future__ import annotations

from engine.tasks.base import TaskSpec

SPEC = TaskSpec(
    name="tagging",
    title="Multi-label tagging",
    labels="any number of tags per image",
    label_kind="tags",
    minimum_classes=1,
)
