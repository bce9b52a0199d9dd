"""Which images train, validate and test: seeded, stratified by class, stable under growth.

The rule, per class: the images without a split are shuffled by the seed; each in turn goes to the
first of train, val, test that has no image of this class yet, and when none is empty, to the one that
is furthest below its share of the class. So a class of three or more has an image in each split, and
each split ends within one image of its share wherever "at least one" leaves room. An image that has a
split keeps it.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from engine.contracts.datasets import SPLITS, Split

FRACTIONS = (0.7, 0.2, 0.1)
"""Shares of train, val and test."""


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
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError("fractions are shares that sum to 1")
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
class OwnSplits:
    """The splits that a set brings, completed; ``note`` says in words what was added."""

    splits: list[Split]
    note: str = ""


def complete(labels: Sequence[str | None], own: Sequence[Split | None], seed: int) -> OwnSplits | None:
    """Keep a set's own splits and add the one that is missing; None when it brings none.

    A set brings splits when it names train and at least one other. A missing val or test is drawn
    from train, stratified, at the share it has in ``FRACTIONS`` relative to train; the images that
    the set calls val or test stay what they are. Images that the set leaves open join train.
    """
    present = {split for split in own if split is not None}
    if "train" not in present or len(present) < 2:
        return None
    splits: list[Split] = [split or "train" for split in own]
    opened = sum(split is None for split in own)
    notes = [f"{opened:,} images without a split joined the training images."] if opened else []
    for missing, share in (("val", FRACTIONS[1]), ("test", FRACTIONS[2])):
        if missing not in present:
            train = [position for position, split in enumerate(splits) if split == "train"]
            part = share / (share + FRACTIONS[0])
            fractions = (1 - part, part, 0.0)
            drawn = assign([labels[position] for position in train], seed, fractions)
            for position, split in zip(train, drawn, strict=True):
                splits[position] = SPLITS[SPLITS.index(missing)] if split == "val" else "train"
            word = "validation" if missing == "val" else "test"
            notes.append(
                f"The set has no {word} images; {drawn.count('val'):,} of its training images serve for that."
            )
    return OwnSplits(splits, " ".join(notes))


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
    # One stream per class, so that a new class does not move the images of the others. Python's
    # hash() differs between processes, hence a digest.
    name = "unlabelled" if label is None else f"class {label}"
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
