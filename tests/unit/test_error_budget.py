"""The error budget: each kind by hand, and on random sets what has to hold for every detector."""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation import average_precision as ap
from engine.evaluation.boxes import Detections, Objects
from engine.evaluation.error_budget import KINDS, Mistake, error_budget

Box = tuple[float, float, float, float]
BODY: Box = (0, 0, 100, 100)
HALF: Box = (0, 0, 100, 30)  # IoU 0.3 with BODY
FAR: Box = (300, 300, 400, 400)


def _found(*rows: tuple[Box, float, int]) -> Detections:
    return Detections(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int64),
    )


def _there(*rows: tuple[Box, int], ignored: tuple[int, ...] = ()) -> Objects:
    aside = np.zeros(len(rows), np.bool_)
    aside[list(ignored)] = True
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return Objects(boxes, np.array([row[1] for row in rows], np.int64), aside)


def _costs(**given: float) -> dict[str, float]:
    return dict.fromkeys(KINDS, 0.0) | {name.rstrip("_"): cost for name, cost in given.items()}


def test_a_perfect_detector_owes_nothing() -> None:
    budget = error_budget([(_found((BODY, 0.9, 0)), _there((BODY, 0))), (Detections.none(), Objects.none())])
    assert budget.map50 == pytest.approx(1)
    assert budget.costs == pytest.approx(_costs())
    assert budget.mistakes == []


@pytest.mark.parametrize(
    ("kind", "box", "called", "of"),
    [("class", BODY, 1, 0), ("localization", HALF, 0, 0), ("both", HALF, 1, 0), ("background", FAR, 0, -1)],
)
def test_each_kind_of_false_detection(kind: str, box: Box, called: int, of: int) -> None:
    # In the second image both classes are found, but with less confidence.
    pictures = [
        (_found((box, 0.9, called)), _there((BODY, 0))),
        (_found((BODY, 0.5, 0), (FAR, 0.4, 1)), _there((BODY, 0), (FAR, 1))),
    ]
    budget = error_budget(pictures)
    assert budget.mistakes[0] == Mistake(kind, 0, 0, of, pytest.approx(0.9))
    # Class 0: two objects, the first one not found. Recalls 0 to 0.50 are 51 of 101.
    missing = kind in {"both", "background"}
    assert [entry.kind for entry in budget.mistakes] == [kind, "missed"][: 1 + missing]
    false_zero, false_one = called == 0, called == 1
    zero = 51 / 101 * (0.5 if false_zero else 1)
    one = 0.5 if false_one else 1.0
    assert budget.map50 == pytest.approx((zero + one) / 2)
    fixed = {
        "class": (1 + 1) / 2,
        "localization": (1 + 1) / 2,
        "both": (51 / 101 + 1) / 2,
        "background": (51 / 101 + 1) / 2,
    }[kind]
    assert budget.costs[kind] == pytest.approx(fixed - budget.map50)
    if missing:  # one object of class 0 is left to be found, at the same precision
        assert budget.costs["missed"] == pytest.approx(((0.5 if false_zero else 1) - zero) / 2)
    others = set(KINDS) - {kind, "missed"}
    assert [budget.costs[other] for other in others] == pytest.approx([0] * 4)


def test_a_duplicate_between_two_right_ones_costs_precision() -> None:
    budget = error_budget(
        [
            (_found((BODY, 0.9, 0), (BODY, 0.8, 0)), _there((BODY, 0))),
            (_found((BODY, 0.7, 0)), _there((BODY, 0))),
        ]
    )
    before = (51 + 50 * 2 / 3) / 101
    assert budget.map50 == pytest.approx(before)
    assert budget.costs == pytest.approx(_costs(duplicate=1 - before))
    assert budget.mistakes == [Mistake("duplicate", 0, 1, 0, pytest.approx(0.8))]


def test_a_mistake_on_an_object_that_a_weaker_one_found_takes_its_place() -> None:
    # Corrected, the stronger detection lies on the object, and the weaker one goes.
    budget = error_budget([(_found((HALF, 0.9, 0), (BODY, 0.5, 0)), _there((BODY, 0)))])
    assert budget.map50 == pytest.approx(0.5)
    assert budget.costs == pytest.approx(_costs(localization=0.5))


def test_an_object_under_a_class_mistake_is_not_missed() -> None:
    budget = error_budget([(_found((BODY, 0.9, 1)), _there((BODY, 0), (FAR, 0)))])
    assert [(entry.kind, entry.object) for entry in budget.mistakes] == [("class", 0), ("missed", 1)]
    # One of two is left: found by nothing of its class. The class mistake would be the first of the two.
    assert budget.costs == pytest.approx(_costs(class_=51 / 101))


def test_a_class_that_was_missed_whole_costs_all_of_it() -> None:
    budget = error_budget([(_found((BODY, 0.9, 0)), _there((BODY, 0), (FAR, 1)))])
    assert budget.map50 == pytest.approx(0.5)
    assert budget.costs == pytest.approx(_costs(missed=0.5))
    assert budget.mistakes == [Mistake("missed", 0, -1, 1, 0.0)]


def test_ignored_regions_neither_cost_nor_explain() -> None:
    pictures = [(_found((HALF, 0.9, 0), (FAR, 0.8, 0)), _there((BODY, 0), (FAR, 0), ignored=(0,)))]
    budget = error_budget(pictures)
    assert budget.map50 == pytest.approx(1)
    assert budget.mistakes == []


def test_without_objects_there_is_no_budget() -> None:
    budget = error_budget([(_found((BODY, 0.9, 0)), Objects.none())])
    assert np.isnan(budget.map50)
    assert all(np.isnan(cost) for cost in budget.costs.values())
    assert [entry.kind for entry in budget.mistakes] == ["background"]
    assert error_budget([]).mistakes == []


def _random(seed: int, images: int = 30, classes: int = 3) -> list[tuple[Detections, Objects]]:
    generator = np.random.default_rng(seed)
    pictures = []
    for _ in range(images):
        count = int(generator.integers(0, 6))
        start = generator.uniform(0, 150, (count, 2))
        truth = np.concatenate([start, start + generator.uniform(20, 80, (count, 2))], axis=1)
        owned = generator.integers(0, classes, count)
        source = generator.integers(0, count, 2 * count) if count else np.zeros(0, np.int64)
        near = truth[source] + generator.normal(0, 12, (len(source), 4))
        lost = generator.uniform(0, 150, (4, 2))
        boxes = np.concatenate([near, np.concatenate([lost, lost + 40], axis=1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        called = np.concatenate([owned[source], generator.integers(0, classes, 4)])
        called = np.where(
            generator.random(len(called)) < 0.3, generator.integers(0, classes, len(called)), called
        )
        scores = generator.random(len(boxes))
        pictures.append(
            (
                Detections(boxes.astype(np.float32), scores.astype(np.float32), called.astype(np.int64)),
                Objects(truth.astype(np.float32), owned.astype(np.int64), generator.random(count) < 0.1),
            )
        )
    return pictures


@pytest.mark.parametrize("seed", range(5))
def test_budget_agrees_with_average_precision(seed: int) -> None:
    pictures = _random(seed)
    digests = [ap.digest(*picture) for picture in pictures]
    budget = error_budget(pictures)
    assert budget.map50 == pytest.approx(ap.metrics(digests)["map50"], abs=1e-12)
    assert {entry.kind for entry in budget.mistakes} == set(KINDS)
    # Each false detection of the digests is a mistake, once.
    false = sum(
        1 for entry in digests for a, b in zip(entry["right"], entry["aside"], strict=True) if not (a | b) & 1
    )
    places = [(entry.image, entry.detection) for entry in budget.mistakes if entry.kind != "missed"]
    assert len(places) == len(set(places)) == false
    assert all(cost >= 0 for cost in budget.costs.values())


@pytest.mark.parametrize("seed", range(5))
def test_leaving_a_kind_out_gives_what_average_precision_says_without_it(seed: int) -> None:
    """Kinds that are put right by dropping detections, measured the long way: drop them and match again."""
    pictures = _random(seed + 10)
    budget = error_budget(pictures)
    for kind in ("both", "duplicate", "background"):
        without = []
        for at, (detections, objects) in enumerate(pictures):
            keep = np.ones(len(detections), np.bool_)
            keep[
                [entry.detection for entry in budget.mistakes if (entry.kind, entry.image) == (kind, at)]
            ] = False
            without.append(ap.digest(detections.chosen(keep), objects))
        assert budget.costs[kind] == pytest.approx(ap.metrics(without)["map50"] - budget.map50, abs=1e-12)
