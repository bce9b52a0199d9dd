"""Stratification of images with many labels, and of groups, against shares and against scikit-learn."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from engine.contracts.datasets import SPLITS, Split
from engine.datasets.splits import FRACTIONS, assign, complete, draw, folds
from engine.errors import InputError

BAGS = st.lists(
    st.one_of(st.none(), st.lists(st.sampled_from(["cat", "dog", "bird"]), max_size=5).map(tuple)),
    max_size=60,
)
EXISTING = st.one_of(st.none(), st.sampled_from(SPLITS))
SCRIPT = """
from engine.datasets.splits import draw, folds
bags = [("a", "b", "b")[: number % 4] or None for number in range(60)]
keys = [f"g{number // 7}" for number in range(60)]
print(draw(bags, 3).splits, draw(bags, 3, groups=keys).splits, folds(bags, 4, 3), folds(bags, 4, 3, keys))
"""


def tagged(seed: int, count: int) -> list[tuple[str, ...]]:
    """Images with up to four of six tags, the rarest on about 3 % of them."""
    generator = random.Random(seed)
    chances = {"a": 0.6, "b": 0.4, "c": 0.2, "d": 0.1, "e": 0.05, "f": 0.03}
    return [
        tuple(tag for tag, chance in chances.items() if generator.random() < chance) for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_every_tag_gets_its_shares(seed: int) -> None:
    bags = tagged(seed, 400)
    made = draw(bags, seed).splits
    sizes = Counter(made)
    for split, share in zip(SPLITS, FRACTIONS, strict=True):
        assert abs(sizes[split] - share * len(bags)) <= 8
        for tag in "abcdef":
            having = [split for bag, split in zip(bags, made, strict=True) if tag in bag]
            assert abs(having.count(split) - share * len(having)) <= max(2, 0.04 * len(having))


def test_a_random_split_would_fail_that() -> None:
    worst = 0.0
    for seed in range(5):
        bags, generator = tagged(seed, 400), random.Random(seed)
        made = generator.choices(SPLITS, FRACTIONS, k=400)
        for tag in "abcdef":
            having = [split for bag, split in zip(bags, made, strict=True) if tag in bag]
            worst = max(worst, abs(having.count("test") - 0.1 * len(having)) - max(2, 0.04 * len(having)))
    assert worst > 0


def test_objects_are_counted_and_one_crowd_does_not_fill_a_split() -> None:
    generator = random.Random(0)
    bags = [("car",) * generator.randint(1, 30) for _ in range(300)]
    made = draw(bags, 0).splits
    objects: Counter[str] = Counter()
    for bag, split in zip(bags, made, strict=True):
        objects[split] += len(bag)
    for split, share in zip(SPLITS, FRACTIONS, strict=True):
        assert abs(made.count(split) - share * 300) < 2
        assert abs(objects[split] - share * objects.total()) < 0.01 * objects.total()
    crowd = [("car",) * 1000, *[("car",)] * 9]
    assert Counter(draw(crowd, 0).splits) == {"train": 7, "val": 2, "test": 1}


def test_images_with_nothing_and_images_without_labels_are_spread_too() -> None:
    bags = [*[("a", "b")] * 20, *[()] * 20, *[None] * 20]
    made = draw(bags, 0).splits
    for start in (0, 20, 40):
        assert Counter(made[start : start + 20]) == {"train": 14, "val": 4, "test": 2}


@settings(deadline=None, max_examples=60)
@given(BAGS, st.integers(0, 5), st.data())
def test_what_has_a_split_keeps_it(
    bags: list[tuple[str, ...] | None], seed: int, data: st.DataObject
) -> None:
    existing: list[Split | None] = [data.draw(EXISTING) for _ in bags]
    keys = (
        [data.draw(st.sampled_from([None, "x", "y", "z"])) for _ in bags]
        if data.draw(st.booleans())
        else None
    )
    made = draw(bags, seed, existing=existing, groups=keys).splits
    assert len(made) == len(bags)
    assert all(old is None or old == new for old, new in zip(existing, made, strict=True))
    assert draw(bags, seed, existing=existing, groups=keys).splits == made


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(st.none(), st.sampled_from(["cat", "dog"])), max_size=40), st.integers(0, 5))
def test_one_class_per_image_goes_by_the_plain_rule(labels: list[str | None], seed: int) -> None:
    bags = [None if label is None else (label,) for label in labels]
    assert draw(bags, seed).splits == assign(labels, seed)


@settings(deadline=None, max_examples=60)
@given(BAGS, st.data())
def test_a_group_is_never_torn(bags: list[tuple[str, ...] | None], data: st.DataObject) -> None:
    keys = [data.draw(st.sampled_from([None, "x", "y", "z", "w"])) for _ in bags]
    splits = draw(bags, 1, groups=keys).splits
    pairs = {(key, split) for key, split in zip(keys, splits, strict=True) if key is not None}
    assert len(pairs) == len({key for key, _ in pairs})
    if len(bags) > 8:
        parts = folds(bags, 3, 1, keys)
        torn = {(key, part) for key, part in zip(keys, parts, strict=True) if key is not None}
        assert len(torn) == len({key for key, _ in torn})


def test_groups_get_their_shares() -> None:
    generator = random.Random(4)
    keys = [f"patient {generator.randint(0, 59)}" for _ in range(600)]
    bags = [(generator.choice("aab"),) for _ in range(600)]
    made = draw(bags, 0, groups=keys).splits
    for split, share in zip(SPLITS, FRACTIONS, strict=True):
        assert abs(made.count(split) - share * 600) <= 6
        ours = sum(bag == ("b",) and own == split for bag, own in zip(bags, made, strict=True))
        assert abs(ours - share * bags.count(("b",))) <= 4


def test_new_images_join_the_split_that_most_of_their_group_is_in() -> None:
    keys = ["p", "p", "p", "p", "q", "q", None]
    existing: list[Split | None] = ["val", "val", "test", None, "test", None, None]
    made = draw([("a",)] * 7, 0, existing=existing, groups=keys)
    assert made.splits[:6] == ["val", "val", "test", "val", "test", "test"]
    assert made.note == (
        "1 group was in more than one split already; new images joined the split that holds most of it."
    )
    calm = draw([("a",)] * 2, 0, existing=["val", None], groups=["q", "q"])
    assert calm.splits == ["val", "val"] and calm.note == ""


def test_a_sets_own_splits_are_completed_by_group() -> None:
    keys = [f"g{number // 4}" for number in range(48)]
    own: list[Split | None] = ["train" if number < 40 else "test" for number in range(47)]
    own.append(None)
    made = complete([("a", "b")] * 48, own, 0, keys)
    assert made is not None and made.splits[40:] == ["test"] * 8
    assert "1 images without a split joined the split of their group." in made.note
    assert set(made.splits[:40]) == {"train", "val"}
    assert all(len(set(made.splits[start : start + 4])) == 1 for start in range(0, 40, 4))


def spread(labels: list[str], parts: list[int], k: int) -> float:
    """Return the largest distance of any class in any fold from its equal share, in images."""
    counts, totals = Counter(zip(labels, parts, strict=True)), Counter(labels)
    return max(abs(counts[label, fold] - totals[label] / k) for label in totals for fold in range(k))


@pytest.mark.parametrize("seed", range(12))
def test_folds_are_as_even_as_those_of_scikit_learn(seed: int) -> None:
    generator = random.Random(seed)
    count, k = generator.randint(60, 250), generator.randint(2, 7)
    labels = generator.choices("abcd", [8, 4, 2, 1], k=count)
    labels += [label for label in "abcd" for _ in range(k)]
    theirs = [0] * len(labels)
    for fold, (_, test) in enumerate(StratifiedKFold(k).split(np.zeros(len(labels)), labels)):
        for position in test:
            theirs[position] = fold
    ours = folds(labels, k, seed)
    assert spread(labels, ours, k) <= spread(labels, theirs, k) + 1e-9 < 1
    sizes = Counter(ours)
    assert max(sizes.values()) - min(sizes.values()) <= 2


@pytest.mark.parametrize("seed", range(12))
def test_folds_by_group_are_as_even_as_those_of_scikit_learn(seed: int) -> None:
    generator = random.Random(seed)
    count, k = generator.randint(80, 300), generator.randint(2, 5)
    labels = generator.choices("abcd", [8, 4, 2, 1], k=count)
    keys = [str(int(generator.random() ** 2 * 40)) for _ in labels]
    theirs = [0] * count
    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(np.zeros(count), labels, keys)):
        for position in test:
            theirs[position] = fold
    assert spread(labels, folds(labels, k, seed, keys), k) <= spread(labels, theirs, k) + 1


def test_images_that_are_aside_change_no_fold_of_the_others() -> None:
    generator = random.Random(5)
    labels = generator.choices("abcd", [8, 4, 2, 1], k=200)
    aside = [generator.random() < 0.2 for _ in labels]
    found = folds(labels, 4, 5, aside=aside)
    rest = [label for label, waits in zip(labels, aside, strict=True) if not waits]
    assert [fold for fold, waits in zip(found, aside, strict=True) if not waits] == folds(rest, 4, 5)
    assert spread(labels, found, 4) <= 1, "and with the others all folds are even too"


def test_folds_say_what_they_cannot() -> None:
    for k in (1, 21):
        with pytest.raises(InputError, match="2 to 20 folds"):
            folds(["a"] * 50, k, 0)
    with pytest.raises(InputError, match="at least 5 images; there are 4"):
        folds(["a"] * 4, 5, 0)
    with pytest.raises(InputError, match="at least 3 groups; there are 2"):
        folds(["a"] * 9, 3, 0, ["x"] * 5 + ["y"] * 4)
    with pytest.raises(InputError, match="at least 3 images outside test; there are 2"):
        folds(["a"] * 9, 3, 0, aside=[True] * 7 + [False] * 2)
    assert sorted(Counter(folds([None] * 20, 20, 0)).values()) == [1] * 20


def test_another_process_draws_the_same() -> None:
    def run(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert run("1") == run("2") != ""


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one entry"):
        draw([("a",)], 0, groups=[])
    with pytest.raises(ValueError, match="one entry"):
        draw([("a",)], 0, existing=[])
