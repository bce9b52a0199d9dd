"""Which images train, validate and test: seeded, stratified by class, stable under growth.

The rule for images of one class each (``assign``), per class: the images without a split are shuffled
by the seed; each in turn goes to the first of train, val, test that has no image of this class yet, and
when none is empty, to the one that is furthest below its share of the class. So a class of three or more
has an image in each split, and each split ends within one image of its share wherever "at least one"
leaves room. An image that has a split keeps it.

``draw`` is the rule for everything: images with many labels or with groups go by ``stratify``. ``folds``
cuts a dataset into equal parts for cross-validation.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from engine.contracts.datasets import SPLITS, Split
from engine.datasets.stratify import Bag, place, stream, units_of
from engine.errors import InputError

FRACTIONS = (0.7, 0.2, 0.1)
"""Shares of train, val and test."""
MOST_FOLDS = 20


def assign(
    labels: Sequence[str | None],
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
    existing: Sequence[Split | None] | None = None,
) -> list[Split]:
    """Give each image a split.

    Args:
        labels: class of each image; None for unlabelled, which are a group of their own.
        seed: the same labels, seed and existing splits give the same result.
        fractions: shares of train, val and test, summing to 1; a share of 0 gets no image.
        existing: splits that stay as they are; None where one is to be found.

    Raises:
        ValueError: the fractions are no shares, or the lengths differ.
    """
    check_fractions(fractions)
    known: list[Split | None] = [None] * len(labels) if existing is None else list(existing)
    groups: dict[str | None, list[int]] = defaultdict(list)
    for position, label in enumerate(labels):
        groups[label].append(position)
    if len(known) != len(labels):
        raise ValueError("existing has one entry per label")
    for label, positions in groups.items():
        _fill(positions, known, dict(zip(SPLITS, fractions, strict=True)), _generator(seed, label))
    return [split for split in known if split is not None]


@dataclass(frozen=True)
class Drawn:
    """A split for each image; ``note`` says in words what a person should know."""

    splits: list[Split]
    note: str = ""


def draw(
    bags: Sequence[Bag],
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
    existing: Sequence[Split | None] | None = None,
    groups: Sequence[str | None] | None = None,
) -> Drawn:
    """Give each image a split, whatever the labels are.

    Args:
        bags: the class names of each image, one for each label; None: not labelled; empty: nothing on it.
        seed: the same bags, seed, existing splits and groups give the same result.
        fractions: shares of train, val and test, summing to 1; a share of 0 gets no image.
        existing: splits that stay as they are; None where one is to be found.
        groups: images of the same group get the same split; None: the image is by itself.

    Images of a group that lies in several splits already join the one that holds most of it.

    Raises:
        ValueError: the fractions are no shares, or the lengths differ.
    """
    check_fractions(fractions)
    known: list[Split | None] = [None] * len(bags) if existing is None else list(existing)
    if len(known) != len(bags) or (groups is not None and len(groups) != len(bags)):
        raise ValueError("existing and groups have one entry per image")
    if groups is None or not any(groups):
        if all(bag is None or len(bag) < 2 for bag in bags):
            return Drawn(
                assign([None if bag is None else "".join(bag) for bag in bags], seed, fractions, known)
            )
        units = units_of(bags)
        fixed = [_part(known[unit.members[0]]) for unit in units]
        return Drawn([SPLITS[part] for part in place(units, fractions, seed, fixed)])
    return _draw_groups(bags, groups, known, seed, fractions)


def _draw_groups(
    bags: Sequence[Bag],
    groups: Sequence[str | None],
    known: list[Split | None],
    seed: int,
    fractions: tuple[float, float, float],
) -> Drawn:
    placed, straddling = _by_group(groups, known)
    # Each image that has a split counts where it is; the open images of a group go together.
    keys = [None if split is not None else key for split, key in zip(placed, groups, strict=True)]
    units = units_of(bags, keys)
    parts = place(units, fractions, seed, [_part(placed[unit.members[0]]) for unit in units])
    splits: list[Split] = ["train"] * len(bags)
    for unit, part in zip(units, parts, strict=True):
        for position in unit.members:
            splits[position] = SPLITS[part]
    note = ""
    if straddling:
        told = "1 group was" if straddling == 1 else f"{straddling:,} groups were"
        note = f"{told} in more than one split already; new images joined the split that holds most of it."
    return Drawn(splits, note)


def _by_group(groups: Sequence[str | None], known: Sequence[Split | None]) -> tuple[list[Split | None], int]:
    """Give open images the split that most of their group is in; count the groups in several splits."""
    counts: dict[str, Counter[Split]] = defaultdict(Counter)
    opened = {key for key, split in zip(groups, known, strict=True) if split is None}
    for key, split in zip(groups, known, strict=True):
        if key is not None and split is not None:
            counts[key][split] += 1
    most = {key: max(SPLITS, key=lambda split: count[split]) for key, count in counts.items()}
    placed = [
        most.get(key) if split is None and key is not None else split
        for key, split in zip(groups, known, strict=True)
    ]
    return placed, sum(len(count) > 1 and key in opened for key, count in counts.items())


def folds(
    labels: Sequence[str | Bag],
    k: int,
    seed: int,
    groups: Sequence[str | None] | None = None,
    aside: Sequence[bool] | None = None,
) -> list[int]:
    """Cut a dataset into ``k`` parts of equal size, stratified; returns the fold of each image, from 0.

    Args:
        labels: the class of each image, or all its class names; None: not labelled.
        k: number of folds, 2 to 20.
        seed: the same labels, k, seed and groups give the same folds.
        groups: images of the same group are in the same fold; None: the image is by itself.
        aside: images that are dealt out last, such as those of test: what is left of each fold without
            them is even too. A group is aside when all its images are.

    Raises:
        InputError: ``k`` is out of range, or there are fewer images or groups than folds.
    """
    if not 2 <= k <= MOST_FOLDS:
        raise InputError(f"There can be 2 to {MOST_FOLDS} folds, not {k}.")
    units = units_of([_bag(label) for label in labels], groups)
    late = [aside is not None and all(aside[position] for position in unit.members) for unit in units]
    first = [unit for unit, waits in zip(units, late, strict=True) if not waits]
    if len(first) < k:
        what = ("images" if groups is None else "groups") + (" outside test" if any(late) else "")
        raise InputError(f"{k} folds need at least {k} {what}; there are {len(first)}.", "Use fewer folds.")
    shares = [1 / k] * k
    dealt = iter(place(first, shares, seed))
    fixed = [None if waits else next(dealt) for waits in late]
    found = [0] * len(labels)
    for unit, fold in zip(units, place(units, shares, seed, fixed), strict=True):
        for position in unit.members:
            found[position] = fold
    return found


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise ``ValueError`` unless these are shares that sum to 1."""
    if not (min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-9):
        raise ValueError("fractions are shares that sum to 1")


def _part(split: Split | None) -> int | None:
    return None if split is None else SPLITS.index(split)


@dataclass(frozen=True)
class OwnSplits:
    """The splits that a set brings, completed; ``note`` says in words what was added."""

    splits: list[Split]
    note: str = ""


def complete(
    labels: Sequence[str | Bag],
    own: Sequence[Split | None],
    seed: int,
    groups: Sequence[str | None] | None = None,
) -> OwnSplits | None:
    """Keep a set's own splits and add the one that is missing; None when it brings none.

    A set brings splits when it names train and at least one other. A missing val or test is drawn
    from train, stratified, at the share it has in ``FRACTIONS`` relative to train; the images that
    the set calls val or test stay what they are. Images that the set leaves open join their group,
    or train.
    """
    present = {split for split in own if split is not None}
    if "train" not in present or len(present) < 2:
        return None
    bags = [_bag(label) for label in labels]
    placed = list(own) if groups is None else _by_group(groups, own)[0]
    splits: list[Split] = [split or "train" for split in placed]
    notes = _opened(own, splits)
    for missing, share in (("val", FRACTIONS[1]), ("test", FRACTIONS[2])):
        if missing not in present:
            train = [position for position, split in enumerate(splits) if split == "train"]
            part = share / (share + FRACTIONS[0])
            keys = None if groups is None else [groups[position] for position in train]
            drawn = draw([bags[position] for position in train], seed, (1 - part, part, 0.0), groups=keys)
            for position, split in zip(train, drawn.splits, strict=True):
                splits[position] = SPLITS[SPLITS.index(missing)] if split == "val" else "train"
            word, count = "validation" if missing == "val" else "test", drawn.splits.count("val")
            said = f"{count:,} of its training images serve for that" if count else "it has none to spare"
            notes.append(f"The set has no {word} images; {said}.")
    return OwnSplits(splits, " ".join(notes))


def _opened(own: Sequence[Split | None], splits: Sequence[Split]) -> list[str]:
    """Say what became of the images that the set gave no split."""
    opened = [split for split, given in zip(splits, own, strict=True) if given is None]
    joined = opened.count("train")
    notes = [f"{joined:,} images without a split joined the training images."] if joined else []
    if len(opened) > joined:
        notes.append(f"{len(opened) - joined:,} images without a split joined the split of their group.")
    return notes


def _bag(label: str | Bag) -> Bag:
    return (label,) if isinstance(label, str) else label


def _fill(
    positions: list[int], known: list[Split | None], shares: dict[Split, float], generator: random.Random
) -> None:
    have = {split: sum(known[position] == split for position in positions) for split in SPLITS}
    open_positions = [position for position in positions if known[position] is None]
    generator.shuffle(open_positions)
    used = [split for split in SPLITS if shares[split] > 0]
    for position in open_positions:
        empty = [split for split in used if have[split] == 0]
        chosen = empty[0] if empty else max(used, key=lambda s: shares[s] * len(positions) - have[s])
        known[position] = chosen
        have[chosen] += 1


def _generator(seed: int, label: str | None) -> random.Random:
    # One stream per class, so that a new class does not move the images of the others.
    return stream(seed, "unlabelled" if label is None else f"class {label}")
