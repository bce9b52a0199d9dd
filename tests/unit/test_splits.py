"""Splits: stratified, seeded, stable under growth."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.datasets import SPLITS
from engine.datasets.splits import FRACTIONS, assign, complete

LABELS = st.lists(st.sampled_from(["cat", "dog", "a rare one", None]), max_size=80)
EXISTING = st.sampled_from([None, None, *SPLITS])


@settings(deadline=None)
@given(LABELS, st.integers(0, 10))
def test_each_class_is_split_by_the_rule(labels: list[str | None], seed: int) -> None:
    made = assign(labels, seed)
    assert len(made) == len(labels)
    for label in set(labels):
        count = Counter(split for split, own in zip(made, labels, strict=True) if own == label)
        total = sum(count.values())
        if total >= 3:
            assert all(count[split] >= 1 for split in SPLITS)
        else:
            assert list(count) and count["train"] == 1 and count["test"] == 0
        for split, share in zip(SPLITS, FRACTIONS, strict=True):
            assert abs(count[split] - share * total) < 2


@settings(deadline=None)
@given(LABELS, st.integers(0, 10), st.data())
def test_new_images_never_move_the_old_ones(labels: list[str | None], seed: int, data: st.DataObject) -> None:
    first = assign(labels, seed)
    more = data.draw(LABELS)
    grown = assign(labels + more, seed, existing=[*first, *([None] * len(more))])
    assert grown[: len(labels)] == first
    for label in set(labels + more):
        count = Counter(s for s, own in zip(grown, labels + more, strict=True) if own == label)
        assert sum(count.values()) < 3 or all(count[split] for split in SPLITS)


@settings(deadline=None)
@given(LABELS, st.integers(0, 3), st.data())
def test_existing_splits_stay(labels: list[str | None], seed: int, data: st.DataObject) -> None:
    existing = [data.draw(EXISTING) for _ in labels]
    made = assign(labels, seed, existing=existing)
    assert all(old is None or old == new for old, new in zip(existing, made, strict=True))


@settings(deadline=None)
@given(LABELS, st.integers(0, 100))
def test_the_same_seed_gives_the_same(labels: list[str | None], seed: int) -> None:
    assert assign(labels, seed) == assign(labels, seed)


def test_another_seed_gives_another() -> None:
    labels = ["cat"] * 100
    assert len({tuple(assign(labels, seed)) for seed in range(5)}) == 5


def test_a_new_class_does_not_move_the_others() -> None:
    labels: list[str | None] = ["cat", "dog"] * 20
    assert assign([*labels, *["bird"] * 9], 0)[: len(labels)] == assign(labels, 0)


def test_exact_shares_at_ten_images() -> None:
    assert Counter(assign(["a"] * 10, 0)) == {"train": 7, "val": 2, "test": 1}
    assert Counter(assign(["a"] * 1000, 0)) == {"train": 700, "val": 200, "test": 100}


def test_a_share_of_nothing_gets_nothing() -> None:
    assert set(assign(["a"] * 20, 0, (0.5, 0.5, 0.0))) == {"train", "val"}


def test_wrong_fractions_are_refused() -> None:
    for wrong in ((0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)):
        with pytest.raises(ValueError, match="shares"):
            assign(["a"], 0, wrong)
    with pytest.raises(ValueError, match="one entry"):
        assign(["a"], 0, existing=[])


def test_a_sets_own_three_splits_are_kept() -> None:
    own = ["train"] * 5 + ["val"] * 3 + ["test"] * 2
    made = complete(["a"] * 10, own, 0)
    assert made is not None and made.splits == own and made.note == ""


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 60), st.integers(1, 20))
def test_a_missing_split_is_drawn_from_train_only(train: int, other: int) -> None:
    for there, missing, share in (("test", "val", 2 / 9), ("val", "test", 1 / 8)):
        own = ["train"] * train + [there] * other
        made = complete(["a"] * len(own), own, 0)
        assert made is not None and made.splits[train:] == [there] * other
        count = Counter(made.splits[:train])
        assert set(count) == {"train", missing} and abs(count[missing] - share * train) <= 1
        assert f"{count[missing]:,} of its training images" in made.note


def test_a_set_too_small_for_a_missing_split_says_so() -> None:
    made = complete(["a"] * 2, ["train", "val"], 0)
    assert made is not None
    assert (made.splits, made.note) == (["train", "val"], "The set has no test images; it has none to spare.")


def test_a_set_without_splits_brings_none() -> None:
    assert complete(["a"] * 4, [None] * 4, 0) is None
    assert complete(["a"] * 4, ["train"] * 4, 0) is None
    assert complete(["a"] * 4, ["val", "test"] * 2, 0) is None
