"""Average precision against pycocotools, resamples against repeated images, intervals against each other."""

from __future__ import annotations

import contextlib
import io
import json
import time

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.evaluation import average_precision as ap
from engine.evaluation.boxes import Detections, Objects
from engine.evaluation.intervals import bootstrap_weights

NAMES = ("map50_95", "map50", "map75", "ap_small", "ap_medium", "ap_large")
Picture = tuple[Detections, Objects]


def _pictures(seed: int, images: int, classes: int, most: int = 6, false: int = 8) -> list[Picture]:
    """Draw images with near, double and false detections; some are empty, scores repeat, sizes vary."""
    generator = np.random.default_rng(seed)
    pictures = []
    for _ in range(images):
        count = int(generator.integers(0, most + 1))
        start = generator.integers(0, 200, (count, 2))
        truth = np.concatenate([start, start + generator.integers(4, 180, (count, 2))], axis=1)
        owned = generator.integers(0, max(1, classes - 1), count)  # the last class has no objects
        source = generator.integers(0, count, 2 * count) if count else np.zeros(0, np.int64)
        near = truth[source] + generator.integers(-6, 7, (len(source), 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        lost = int(generator.integers(0, false))
        start = generator.integers(0, 200, (lost, 2))
        wrong = np.concatenate([start, start + generator.integers(4, 120, (lost, 2))], axis=1)
        called = np.concatenate([owned[source], generator.integers(0, classes, lost)])
        swapped = generator.random(len(called)) < 0.15
        called[swapped] = generator.integers(0, classes, swapped.sum())
        boxes = np.concatenate([near, wrong]).astype(np.float32)
        scores = generator.integers(1, 40, len(boxes)) / np.float32(40)
        pictures.append(
            (
                Detections(boxes, scores.astype(np.float32), called.astype(np.int64)),
                Objects(truth.astype(np.float32), owned.astype(np.int64), generator.random(count) < 0.15),
            )
        )
    return pictures


def _sized(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


def _pycocotools(pictures: list[Picture], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first six numbers of its summary, and its precision (10, 101, K, 4, 3)."""
    truth, called = [], []
    for at, (detections, objects) in enumerate(pictures, start=1):
        for box, position, ignored in zip(objects.boxes, objects.classes, objects.ignored, strict=True):
            size = _sized(box)
            owners = range(classes) if position < 0 else [int(position)]
            truth += [
                {
                    "image_id": at, "category_id": k + 1, "bbox": size, "area": size[2] * size[3],
                    "iscrowd": int(ignored),
                }
                for k in owners
            ]  # fmt: skip
        called += [
            {"image_id": at, "category_id": int(k) + 1, "bbox": _sized(box), "score": float(score)}
            for box, score, k in zip(detections.boxes, detections.scores, detections.classes, strict=True)
        ]
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": at} for at in range(1, len(pictures) + 1)],
        "categories": [{"id": k + 1} for k in range(classes)],
        "annotations": [{"id": at, **entry} for at, entry in enumerate(truth, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        judged = COCOeval(coco, coco.loadRes(called), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged.stats[:6], judged.eval["precision"]


def _digests(pictures: list[Picture]) -> list[dict[str, object]]:
    return [ap.digest(*picture) for picture in pictures]


@pytest.mark.parametrize(("seed", "images", "classes"), [(1, 30, 3), (2, 12, 1), (3, 40, 6), (4, 3, 2)])
def test_equals_pycocotools(seed: int, images: int, classes: int) -> None:
    pictures = _pictures(seed, images, classes)
    summary, precision = _pycocotools(pictures, classes)
    digests = _digests(pictures)
    ours = ap.metrics(json.loads(json.dumps(digests)))
    theirs = np.where(summary < 0, np.nan, summary)
    assert [ours[name] for name in NAMES] == pytest.approx(theirs.tolist(), abs=1e-6, nan_ok=True)
    rows = ap.measure(digests, classes, resamples=0).classes
    for position, row in enumerate(rows):
        own = precision[:, :, position, 0, 2]
        if own.max() < 0:
            assert row.ap.value is None
            assert row.objects == 0
        else:
            assert row.ap.value == pytest.approx(own.mean(), abs=1e-6)
            assert (row.ap50, row.ap75) == pytest.approx((own[0].mean(), own[5].mean()), abs=1e-6)
    assert any(row.ap.value is None for row in rows) or classes == 1


def test_equals_pycocotools_with_more_than_a_hundred_detections_and_regions_of_every_class() -> None:
    pictures = _pictures(5, 4, 2, most=20, false=9)
    crowded = _pictures(6, 2, 2, most=40, false=300)
    assert max(np.bincount(detections.classes).max() for detections, _ in crowded) > 100
    for detections, objects in crowded:
        ignored = objects.ignored.copy()
        ignored[:3] = True
        owned = np.where(np.arange(len(objects)) < 3, -1, objects.classes)
        pictures.append((detections, Objects(objects.boxes, owned, ignored)))
    summary, _ = _pycocotools(pictures, 2)
    ours = ap.metrics(_digests(pictures))
    assert [ours[name] for name in NAMES] == pytest.approx(summary.tolist(), abs=1e-6)


def test_whole_weights_are_repeated_images() -> None:
    pictures = _pictures(7, 15, 3)
    for detections, _ in pictures:  # within an image, a repeat has no order among equal scores
        detections.scores[:] = np.random.default_rng(len(detections)).permutation(len(detections)) / 1000
    digests = _digests(pictures)
    tallied = ap.tally(digests)
    weights = next(iter(bootstrap_weights(15, 5, seed=3)))
    together = ap.average_precision(tallied, weights)
    for row, counts in enumerate(weights.astype(int)):
        repeated = [entry for entry, times in zip(digests, counts, strict=True) for _ in range(times)]
        alone = ap.average_precision(ap.tally(repeated), np.ones((1, len(repeated))))
        values, again = together[row, 0].mean(axis=0), alone[0, 0].mean(axis=0)
        present = [one.position for one in ap.tally(repeated)]
        columns = [at for at, one in enumerate(tallied) if one.position in present]
        assert values[columns] == pytest.approx(again, abs=1e-12, nan_ok=True)


def test_intervals_hold_the_value_and_agree_with_each_other() -> None:
    digests = _digests(_pictures(8, 40, 3))
    measured = ap.measure(digests, 3, seed=2, resamples=200)
    found = measured.metrics["map50_95"]
    assert found.value == pytest.approx(ap.headline(digests))
    assert found.low < found.value < found.high
    low, high = ap.headline_interval(digests, seed=2, resamples=200)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert measured.classes[0].ap.low < measured.classes[0].ap.value < measured.classes[0].ap.high


def test_a_better_run_is_better_and_the_same_run_is_not() -> None:
    pictures = _pictures(9, 60, 3)
    worse = _digests(pictures)
    better = []
    for detections, objects in pictures:
        sure = np.ones(int((~objects.ignored).sum()), np.float32)
        exact = Detections(objects.boxes[~objects.ignored], sure, objects.classes[~objects.ignored])
        boxes = np.concatenate([detections.boxes, exact.boxes[:2]])
        scores = np.concatenate([detections.scores * np.float32(0.9), exact.scores[:2]])
        better.append(
            ap.digest(
                Detections(boxes, scores, np.concatenate([detections.classes, exact.classes[:2]])), objects
            )
        )
    value, low, high = ap.paired_difference(worse, better, seed=1, resamples=200)
    assert value == pytest.approx(ap.headline(better) - ap.headline(worse))
    assert 0 < low < value < high
    back = ap.paired_difference(better, worse, seed=1, resamples=200)
    assert back == pytest.approx((-value, -high, -low))
    same = ap.paired_difference(worse, worse, seed=1, resamples=50)
    assert same[0] == 0
    assert -0.1 < same[1] < 0 < same[2] < 0.1


def test_what_has_no_meaning_says_so() -> None:
    empty = [ap.digest(Detections.none(), Objects.none())] * 2
    assert np.isnan(ap.headline(empty))
    measured = ap.measure(empty, 2, resamples=20)
    assert measured.metrics["map50"].value is None
    assert measured.metrics["map50"].reason
    assert ap.headline_interval([], seed=1) is None
    with pytest.raises(ValueError, match="objects"):
        ap.paired_difference(empty, empty)
    with pytest.raises(ValueError, match="same images"):
        ap.paired_difference(empty, empty[:1])


def test_a_thousand_resamples_take_seconds() -> None:
    digests = _digests(_pictures(10, 100, 4, most=12, false=37))
    assert sum(len(entry["scores"]) for entry in digests) > 2_500
    start = time.process_time()
    ap.headline_interval(digests)
    assert time.process_time() - start < 6
