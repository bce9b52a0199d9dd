"""Boxes: overlap against pycocotools' own, and which detection takes which object, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from engine.evaluation.boxes import Detections, Objects, areas, match, overlap, strongest


def _detections(*rows: tuple[list[float], float, int]) -> Detections:
    return Detections(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int64),
    )


def _objects(*rows: tuple[list[float], int, bool]) -> Objects:
    return Objects(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.bool_),
    )


def test_overlap_agrees_with_pycocotools() -> None:
    generator = np.random.default_rng(1)
    corners = generator.uniform(0, 60, (40, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    sized = boxes.astype(np.float64)
    sized[:, 2:] -= sized[:, :2]
    crowds = generator.random(25) < 0.5
    theirs = coco_mask.iou(sized[:15], sized[15:], crowds.astype(int).tolist())
    assert overlap(boxes[:15], boxes[15:], crowds) == pytest.approx(theirs, abs=1e-12)
    assert areas(boxes) == pytest.approx(np.prod(sized[:, 2:], axis=1))


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[5, 5, 5, 9], [7, 7, 3, 3]], np.float32)
    assert areas(flat).tolist() == [0, 0]
    assert overlap(flat, flat).tolist() == [[0, 0], [0, 0]]
    assert overlap(flat[:0], flat).shape == (0, 2)


def test_the_stronger_detection_takes_the_object_and_the_second_one_gets_none() -> None:
    found = match(
        _detections(([0, 0, 10, 9], 0.6, 0), ([0, 0, 10, 8], 0.9, 0), ([0, 0, 10, 10], 0.95, 1)),
        _objects(([0, 0, 10, 10], 0, False)),
    )
    assert found.order.tolist() == [2, 1, 0]
    assert found.found[0, 0].tolist() == [-1, 0, -1]
    # From 0.85 on the stronger one no longer fits, and the weaker one does.
    assert found.found[0, 7].tolist() == [-1, -1, 0]
    assert found.right[0, 0].tolist() == [False, True, False]


def test_of_several_objects_the_one_that_fits_best_is_taken() -> None:
    objects = _objects(([0, 0, 10, 10], 0, False), ([0, 0, 10, 7], 0, False), ([0, 0, 10, 7], 0, False))
    found = match(_detections(([0, 0, 10, 9], 0.9, 0), ([0, 0, 10, 9], 0.8, 0)), objects)
    # Of the two that fit the second detection alike, COCO takes the later one.
    assert found.found[0, 0].tolist() == [0, 2]


def test_a_detection_prefers_a_free_object_to_an_ignored_region_that_fits_better() -> None:
    objects = _objects(([0, 0, 10, 10], 0, True), ([0, 0, 10, 8], 0, False))
    found = match(_detections(([0, 0, 10, 10], 0.9, 0), ([0, 0, 10, 10], 0.8, 0)), objects)
    assert found.found[0, 0].tolist() == [1, 0]
    assert found.aside[0, 0].tolist() == [False, True]


@pytest.mark.parametrize("region_class", [0, -1])
def test_an_ignored_region_takes_any_number_of_detections_by_their_own_share(region_class: int) -> None:
    objects = _objects(([0, 0, 100, 100], region_class, True))
    boxes = _detections(
        ([1, 1, 5, 5], 0.9, 0),
        ([2, 2, 6, 6], 0.8, 0),
        ([98, 0, 104, 6], 0.7, 0),
        ([1, 1, 5, 5], 0.6, 1),
    )
    found = match(boxes, objects)
    other = region_class == -1
    assert found.aside[0, 0].tolist() == [True, True, False, other]
    assert not found.right.any()


def test_detections_of_another_size_are_set_aside_unless_they_found_an_object() -> None:
    objects = _objects(([0, 0, 31, 31], 0, False))
    found = match(_detections(([0, 0, 33, 33], 0.9, 0), ([200, 0, 240, 40], 0.8, 0)), objects)
    assert found.right[1, 0].tolist() == [True, False]
    assert found.aside[1, 0].tolist() == [False, True]
    assert found.aside[2, 0].tolist() == [True, False]


def test_at_most_a_hundred_of_each_class_count() -> None:
    scores = np.linspace(0, 1, 260, dtype=np.float32)
    classes = np.repeat([0, 1], 130)
    kept = strongest(Detections(np.zeros((260, 4), np.float32), scores, classes))
    assert kept.tolist() == [*range(259, 159, -1), *range(129, 29, -1)]


def test_what_does_not_fit_together_is_refused() -> None:
    one, empty = np.zeros((1, 4), np.float32), np.zeros(0, np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        Detections(one, empty, np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="finite"):
        Detections(one, np.array([np.nan], np.float32), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="class"):
        _objects(([0, 0, 1, 1], -1, False))
    assert len(match(Detections.none(), Objects.none()).order) == 0
    assert len(_detections(([0, 0, 1, 1], 0.5, 0)).chosen(np.array([False]))) == 0
