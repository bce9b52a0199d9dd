"""The images that an import brings, and which of them train, validate and test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from engine.contracts.datasets import Split, SplitRule
from engine.datasets import splits
from engine.datasets.geometry import geometry_text
from engine.datasets.groups import keys_of
from engine.datasets.intake import Taken
from engine.datasets.labels import ImageLabels, Label
from engine.datasets.present import Present
from engine.datasets.stratify import Bag

COPY = "\x00copy "  # no group of a set is called so
SEED = 0
"""Of the split; the same set imported twice is split the same way."""


@dataclass(frozen=True)
class Incoming:
    """One image of the import that could be read, with its labels in px of the upright picture.

    ``merged`` are labels that went into another one of ``labels``: used, but not kept by themselves.
    ``geometry`` is that of each label as it is stored; made here, since the database is locked later.
    ``names`` are the class names, one for each label that has one.
    """

    row: ImageLabels
    taken: Taken
    labels: tuple[Label, ...]
    merged: tuple[Label, ...] = ()
    geometry: tuple[str | None, ...] = field(init=False, repr=False, compare=False)
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Write the geometry of all labels as text."""
        object.__setattr__(self, "geometry", tuple(map(geometry_text, self.labels)))
        object.__setattr__(self, "names", tuple([label.name for label in self.labels if label.name]))

    @property
    def negative(self) -> bool:
        """Whether the set says that nothing is on it."""
        return self.row.negative and not self.labels


@dataclass(frozen=True)
class Newcomer:
    """What decides about the split of a new image; ``own`` is what the set or the project says."""

    path: str
    sha256: str
    bag: Bag
    group: str | None
    own: Split | None

    @classmethod
    def of(cls, incoming: Incoming, own: Split | None) -> Self:
        """Take what is needed from an image of the import."""
        row, bag = incoming.row, _bag(incoming.names, incoming.negative)
        return cls(row.path, incoming.taken.sha256, bag, row.group, own)


def choose_splits(
    newcomers: Sequence[Newcomer], present: Sequence[Present], rule: SplitRule | None
) -> tuple[list[Split], bool, str]:
    """Return the split of each new image, whether the set brought them, and a note.

    ``rule`` is how a person had the splits of the project drawn; new images follow it. An image that is
    there never changes its split. The same pixels under another path join the split that they are in, so
    that no picture is trained on and tested with; copies within the set go together where it leaves that
    open.
    """
    own = [newcomer.own for newcomer in newcomers]
    bags = [newcomer.bag for newcomer in newcomers]
    copies = [newcomer.sha256 for newcomer in newcomers]
    seed, fractions = (rule.seed, rule.fractions) if rule else (SEED, splits.FRACTIONS)
    if not present:
        groups = _groups([one.path for one in newcomers], [one.group for one in newcomers], rule)
        groups = with_copies(groups, copies)
        completed = splits.complete(bags, own, seed, groups)
        if completed is not None:
            return completed.splits, True, completed.note
        drawn = splits.draw(bags, seed, fractions, groups=groups)
        return drawn.splits, False, drawn.note
    coming = {newcomer.path for newcomer in newcomers}
    used = [image for image in present if not image.left_out and image.path not in coming]
    groups = _groups(
        [*(image.path for image in used), *(one.path for one in newcomers)],
        [*(image.group for image in used), *(one.group for one in newcomers)],
        rule,
    )
    joined, note = _join_copies(newcomers, present)
    drawn = splits.draw(
        [*(_bag(image.names, image.negative) for image in used), *bags],
        seed,
        fractions,
        existing=[*(image.split for image in used), *joined],
        groups=with_copies(groups, [*(None for _ in used), *copies]),
    )
    notes = " ".join(part for part in (note, drawn.note) if part)
    return drawn.splits[len(used) :], any(split is not None for split in own), notes


def _join_copies(newcomers: Sequence[Newcomer], present: Sequence[Present]) -> tuple[list[Split | None], str]:
    """Give copies of what the project holds the split that it is in there, also where the set says another.

    A copy of an image that is out of use joins that one's split, unless the set says another: what an
    earlier run trained on is not tested with later.
    """
    there = {image.path for image in present}
    idle = {image.sha256: image.split for image in present if image.left_out}
    used = {image.sha256: image.split for image in present if not image.left_out}
    joined: list[Split | None] = []
    moved = 0
    for newcomer in newcomers:
        split = newcomer.own
        if newcomer.path not in there:
            split = used.get(newcomer.sha256) or split or idle.get(newcomer.sha256)
            moved += newcomer.own is not None and split != newcomer.own
        joined.append(split)
    if not moved:
        return joined, ""
    told = "1 copy of an image" if moved == 1 else f"{moved:,} copies of images"
    return joined, f"{told} of the project joined its split there, whatever the set says."


def with_copies(
    groups: Sequence[str | None] | None, copies: Sequence[str | None]
) -> Sequence[str | None] | None:
    """Join groups that share a picture: images with the same entry in ``copies`` stay together."""
    counts = Counter(copies)
    keys: list[str | None] = [None] * len(copies) if groups is None else list(groups)
    above: dict[str, str] = {}
    for key, copy in zip(keys, copies, strict=True):
        if copy is not None and counts[copy] > 1 and key is not None:
            above[_top(above, key)] = _top(above, COPY + copy)
    if not any(copy is not None and count > 1 for copy, count in counts.items()):
        return groups
    return [
        _top(above, COPY + copy)
        if copy is not None and counts[copy] > 1
        else (None if key is None else _top(above, key))
        for key, copy in zip(keys, copies, strict=True)
    ]


def _top(above: dict[str, str], key: str) -> str:
    """Follow the joins up to the name that stands for all of them, shortening the way."""
    way = []
    while (higher := above.get(key, key)) != key:
        way.append(key)
        key = higher
    above.update(dict.fromkeys(way, key))
    return key


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
