"""The images that an import brings, and which of them train, validate and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from engine.contracts.datasets import Split, SplitRule
from engine.datasets import splits
from engine.datasets.groups import keys_of
from engine.datasets.intake import Taken
from engine.datasets.labels import ImageLabels, Label
from engine.datasets.present import Present
from engine.datasets.stratify import Bag

SEED = 0
"""Of the split; the same set imported twice is split the same way."""


@dataclass(frozen=True)
class Incoming:
    """One image of the import that could be read, with its labels in px of the upright picture.

    ``merged`` are labels that went into another one of ``labels``: used, but not kept by themselves.
    """

    row: ImageLabels
    taken: Taken
    labels: tuple[Label, ...]
    merged: tuple[Label, ...] = ()

    @property
    def negative(self) -> bool:
        """Whether the set says that nothing is on it."""
        return self.row.negative and not self.labels

    @property
    def names(self) -> tuple[str, ...]:
        """Its class names, one for each label."""
        return tuple(label.name for label in self.labels if label.name)


@dataclass(frozen=True)
class Newcomer:
    """What decides about the split of a new image; ``own`` is what the set or the project says."""

    path: str
    bag: Bag
    group: str | None
    own: Split | None

    @classmethod
    def of(cls, incoming: Incoming, own: Split | None) -> Self:
        """Take what is needed from an image of the import."""
        row = incoming.row
        return cls(row.path, _bag(incoming.names, incoming.negative), row.group, own)


def choose_splits(
    newcomers: Sequence[Newcomer], present: Sequence[Present], rule: SplitRule | None
) -> tuple[list[Split], bool, str]:
    """Return the split of each new image, whether the set brought them, and a note.

    ``rule`` is how a person had the splits of the project drawn; new images follow it. An image that is
    there never changes its split.
    """
    own = [newcomer.own for newcomer in newcomers]
    bags = [newcomer.bag for newcomer in newcomers]
    seed, fractions = (rule.seed, rule.fractions) if rule else (SEED, splits.FRACTIONS)
    if not present:
        groups = _groups([one.path for one in newcomers], [one.group for one in newcomers], rule)
        completed = splits.complete(bags, own, seed, groups)
        if completed is not None:
            return completed.splits, True, completed.note
        drawn = splits.draw(bags, seed, fractions, groups=groups)
        return drawn.splits, False, drawn.note
    used = [image for image in present if not image.left_out]
    groups = _groups(
        [*(image.path for image in used), *(one.path for one in newcomers)],
        [*(image.group for image in used), *(one.group for one in newcomers)],
        rule,
    )
    drawn = splits.draw(
        [*(_bag(image.names, image.negative) for image in used), *bags],
        seed,
        fractions,
        existing=[*(image.split for image in used), *own],
        groups=groups,
    )
    return drawn.splits[len(used) :], any(split is not None for split in own), drawn.note


def _groups(
    paths: Sequence[str], own: Sequence[str | None], rule: SplitRule | None
) -> Sequence[str | None] | None:
    """Say what stays together: what the rule says, else what the set says."""
    if rule is None or (rule.by == "group" and not rule.group_rule):
        return own
    return keys_of(paths, rule.group_rule) if rule.by == "group" else None


def _bag(names: tuple[str, ...], negative: bool) -> tuple[str, ...] | None:
    """Give the classes of an image, one for each label; None when nobody has labelled it."""
    return names if names or negative else None
