import time

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from torchvision.ops import batched_nms, box_iou, generalized_box_iou_loss

from engine.models.detectors.assignment import Truth, assign
from engine.models.detectors.decode import decode, suppress
from engine.models.detectors.decode import grid_points as numpy_points
from engine.models.detectors.grid import PRIOR, GridDetector, grid_points
from engine.models.detectors.losses import _giou, boxes_of, grid_loss
from engine.models.pyramid import FeaturePyramid

SIZE = (96, 96)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _detector(name="test_resnet", classes=2, width=32, size=SIZE):
    torch.manual_seed(0)
    backbone = timm.create_model(name, num_classes=0)
    return GridDetector(FeaturePyramid(backbone, size=size), classes, width)


def _target(boxes, classes=None, ignored=None):
    count = len(boxes)
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "classes": torch.tensor(classes or [0] * count, dtype=torch.long),
        "ignored": torch.tensor(ignored or [False] * count, dtype=torch.bool),
    }


def _drawn(count=8, seed=3):
    """Squares (class 0) and discs (class 1) on noise, and where they are."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.2, (count, 3, *SIZE)).astype(np.float32)
    targets = []
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    for image in images:
        boxes, classes = [], []
        for corner in ((0, 0), (48, 0), (0, 48), (48, 48))[: rng.integers(2, 5)]:
            side, kind = int(rng.integers(14, 40)), int(rng.integers(2))
            left, top = (int(c + rng.integers(0, 48 - side + 1)) for c in corner)
            colour = rng.uniform(1, 2, 3) * rng.choice([-1, 1], 3)
            far = np.hypot(x - left - side / 2, y - top - side / 2) < side / 2
            square = (x > left) & (x < left + side) & (y > top) & (y < top + side)
            image[:, far if kind else square] = colour[:, None]
            boxes.append([left, top, left + side, top + side])
            classes.append(kind)
        targets.append(_target(boxes, classes))
    return torch.from_numpy(images), targets


def _average_precision(found, targets, iou):
    """Mean over two classes of the area under precision and recall, computed here on its own."""
    values = []
    for kind in range(2):
        hits, total = [], 0
        for (boxes, scores, classes), target in zip(found, targets, strict=True):
            truth = target["boxes"][target["classes"] == kind]
            total += len(truth)
            taken = set()
            for box, score in zip(boxes[classes == kind], scores[classes == kind], strict=True):
                fits = box_iou(torch.from_numpy(box)[None], truth)[0] if len(truth) else torch.zeros(0)
                best = int(fits.argmax()) if len(fits) else -1
                good = best >= 0 and float(fits[best]) >= iou and best not in taken
                taken |= {best} if good else set()
                hits.append((score, good))
        right = np.cumsum([good for _, good in sorted(hits, key=lambda hit: -hit[0])])
        precision = right / np.arange(1, len(right) + 1)
        recall = right / total
        values.append(float(np.sum(np.diff(recall, prepend=0) * precision)))
    return float(np.mean(values))


def test_overfits_drawn_pictures():
    model = _detector()
    images, targets = _drawn()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-4)
    steps, losses = 60, []
    model.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min((step + 1) / 8, 1, (steps - step) / 30)
        loss, parts = grid_loss(model(images), targets, SIZE)
        losses.append(float(loss.detach()))
        assert float(parts["class"] + parts["box"]) == pytest.approx(losses[-1], rel=1e-5)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.inference_mode():
        logits, distances = model(images)
    found = decode(logits.numpy(), distances.numpy(), SIZE)
    assert _average_precision(found, targets, 0.5) > 0.95
    assert _average_precision(found, targets, 0.75) > 0.8
    assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_gradients_reach_every_open_parameter(name):
    size = (160, 160) if name == "test_vit" else SIZE
    model = _detector(name, size=size).train()
    images = torch.randn(2, 3, *size)
    # Sides of 12, 40 and 90 px: an object for each level.
    target = _target([[4, 4, 16, 16], [40, 40, 80, 80], [2, 3, 92, 93]], [0, 1, 0])
    grid_loss(model(images), [target, target], size, model.strides)[0].backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_starts_from_the_prior_with_one_place_for_each_cell():
    model = _detector(classes=5).eval()
    with torch.inference_mode():
        logits, distances = model(torch.randn(3, 3, 100, 72))
    cells = 13 * 9 + 7 * 5 + 4 * 3
    assert logits.shape == (3, cells, 5) and distances.shape == (3, cells, 4)
    assert float(logits.sigmoid().mean()) == pytest.approx(PRIOR, rel=0.3)
    assert float(distances.min()) > 0


def test_exports_whole_with_a_dynamic_batch():
    model = _detector("test_efficientnet", classes=3).eval()
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        model, (torch.randn(2, 3, 72, 96),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = torch.randn(3, 3, 72, 96)
    answers = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.inference_mode():
        expected = model(images)
    for one, other in zip(answers, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-3, atol=1e-4)


def test_two_grids_agree():
    for size, strides in (((96, 64), (8, 16, 32)), ((100, 70), (7, 14, 28))):
        points, steps = grid_points(size, strides, torch.device("cpu"))
        others = numpy_points(size, strides)
        np.testing.assert_array_equal(points.numpy(), others[0])
        np.testing.assert_array_equal(steps.numpy(), others[1])


def test_pictures_without_objects_only_teach_background():
    outputs = torch.zeros(2, 189, 3, requires_grad=True), torch.ones(2, 189, 4, requires_grad=True)
    loss, parts = grid_loss(outputs, [_target([]), _target([])], SIZE)
    assert float(parts["box"]) == 0
    # A cross-entropy of log 2 for every cell and class.
    assert float(loss.detach()) == pytest.approx(2 * 189 * 3 * np.log(2), rel=1e-5)
    mixed, _ = grid_loss(outputs, [_target([[10, 10, 40, 40]]), _target([])], SIZE)
    mixed.backward()
    assert torch.isfinite(outputs[1].grad).all() and outputs[1].grad[0].abs().sum() > 0
    assert outputs[1].grad[1].abs().sum() == 0


def test_loss_of_a_batch_does_not_depend_on_filling_up():
    torch.manual_seed(1)
    logits, distances = torch.randn(2, 189, 3), torch.rand(2, 189, 4) * 3
    first, second = _target([[10, 10, 40, 40]], [2]), _target([[0, 0, 20, 30], [50, 50, 90, 90]], [0, 1])
    points, steps = grid_points(SIZE, (8, 16, 32), logits.device)
    boxes = boxes_of(distances, points, steps)
    both = assign(Truth.of([first, second], logits.device), logits.sigmoid(), boxes, points, steps)
    alone = assign(Truth.of([first], logits.device), logits[:1].sigmoid(), boxes[:1], points, steps)
    for name in ("positive", "quality", "counts"):
        torch.testing.assert_close(getattr(both, name)[:1], getattr(alone, name))


def test_assignment_prefers_what_fits():
    points, steps = grid_points(SIZE, (8, 16, 32), torch.device("cpu"))
    truth = [[8.0, 8.0, 40.0, 40.0]]
    boxes = boxes_of(torch.full((1, 189, 4), 2.0), points, steps)
    scores = torch.full((1, 189, 2), 0.01)
    found = assign(Truth.of([_target(truth, [1])], points.device), scores, boxes, points, steps)
    assert 1 <= int(found.positive.sum()) <= 10
    overlaps = box_iou(torch.tensor(truth), boxes[0])[0]
    best = int(overlaps.argmax())
    assert found.positive[0, best] and int(found.quality[0].argmax()) == best
    assert float(found.quality[0, best]) == pytest.approx(float(overlaps[best]))
    assert float(steps[best]) == 8.0
    assert (found.classes[0][found.positive[0]] == 1).all()
    # A cell with a better score for the class gets more of it.
    second = int(overlaps.topk(5).indices[4])
    assert found.positive[0, second] and overlaps[second] < overlaps[best]
    scores[0, second, 1] = 0.9
    again = assign(Truth.of([_target(truth, [1])], points.device), scores, boxes, points, steps)
    assert again.quality[0, second] > found.quality[0, second]


def test_a_cell_has_one_object_and_tiny_objects_have_cells():
    points, steps = grid_points(SIZE, (8, 16, 32), torch.device("cpu"))
    boxes = boxes_of(torch.full((1, 189, 4), 2.0), points, steps)
    scores = torch.full((1, 189, 1), 0.01)
    nested = [[8.0, 8.0, 40.0, 40.0], [9.0, 9.0, 39.0, 39.0], [61.0, 61.0, 63.0, 63.0]]
    found = assign(Truth.of([_target(nested)], points.device), scores, boxes, points, steps)
    owners = {tuple(box.tolist()) for box in found.boxes[found.positive]}
    assert tuple(nested[2]) in owners and len(owners) >= 2


def test_void_regions_count_for_nothing():
    torch.manual_seed(2)
    logits, distances = torch.randn(1, 189, 2), torch.rand(1, 189, 4) * 3
    void = [48.0, 0.0, 96.0, 96.0]
    target = _target([[8, 8, 40, 40], void], [1, 0], [False, True])
    points, _ = grid_points(SIZE, (8, 16, 32), logits.device)
    within = (points[:, 0] > 48)[None]
    logits.requires_grad_()
    distances.requires_grad_()
    grid_loss((logits, distances), [target], SIZE)[0].backward()
    assert logits.grad[within].abs().sum() == 0 and distances.grad[within].abs().sum() == 0
    assert (logits.grad[~within].abs().sum(-1) > 0).all()
    # The same picture with an object inside the region: that object still teaches.
    more = _target([[8, 8, 40, 40], [56, 56, 88, 88], void], [1, 0, 0], [False, False, True])
    distances.grad = None
    grid_loss((logits, distances), [more], SIZE)[0].backward()
    assert distances.grad[within].abs().sum() > 0


def test_giou_agrees_with_torchvision():
    corners = torch.rand(50, 2, 2, 2) * 40
    sides = torch.rand(50, 2, 2) * 30 + 1
    boxes = torch.cat([corners[:, :, 0], corners[:, :, 0] + sides], -1)
    expected = generalized_box_iou_loss(boxes[:, 0], boxes[:, 1])
    torch.testing.assert_close(1 - _giou(boxes[:, 0], boxes[:, 1]), expected, rtol=1e-4, atol=1e-5)


def test_suppression_agrees_with_torchvision():
    rng = np.random.default_rng(0)
    for _ in range(5):
        corners = rng.uniform(0, 60, (400, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (400, 2))], 1).astype(np.float32)
        scores = np.sort(rng.permutation(400).astype(np.float32))[::-1].copy()
        classes = rng.integers(0, 3, 400)
        expected = batched_nms(*map(torch.from_numpy, (boxes, scores, classes)), 0.6)[:100]
        np.testing.assert_array_equal(suppress(boxes, classes, 0.6, 100), expected.numpy())


def test_decoding_agrees_with_torchvision_and_is_quick():
    rng = np.random.default_rng(1)
    size = (640, 640)
    logits = rng.normal(-6, 1.2, (1, 8400, 20)).astype(np.float32)
    distances = rng.uniform(0.3, 4, (1, 8400, 4)).astype(np.float32)
    decode(logits, distances, size)
    started = time.process_time()
    ((boxes, scores, classes),) = decode(logits, distances, size)
    assert time.process_time() - started < 0.25
    assert len(boxes) == 100 and (np.diff(scores) <= 0).all()
    points, strides = grid_points(size, (8, 16, 32), torch.device("cpu"))
    every = boxes_of(torch.from_numpy(distances), points, strides)[0].clamp(0, 640)
    chances = torch.from_numpy(logits)[0].sigmoid()
    best = chances.flatten().topk(1000)
    places, kinds = best.indices // 20, best.indices % 20
    kept = batched_nms(every[places], best.values, kinds, 0.6)[:100]
    np.testing.assert_allclose(scores, best.values[kept].numpy(), rtol=1e-5)
    np.testing.assert_array_equal(classes, kinds[kept].numpy())
    np.testing.assert_allclose(boxes, every[places][kept].numpy(), atol=1e-3)


def test_decoding_of_empty_extreme_and_misfitting_outputs():
    cells = 189
    nothing, distances = np.full((2, cells, 3), -20.0, np.float32), np.ones((2, cells, 4), np.float32)
    for boxes, scores, classes in decode(nothing, distances, SIZE):
        assert boxes.shape == (0, 4) and scores.shape == (0,) and classes.shape == (0,)
        assert boxes.dtype == scores.dtype == np.float32 and classes.dtype == np.int64
    nothing[1, 0, 2] = 1e4
    empty, one = decode(nothing, distances, SIZE)
    assert len(empty[0]) == 0
    np.testing.assert_allclose(one[0], [[0, 0, 12, 12]])
    assert one[1][0] == 1 and one[2][0] == 2
    assert len(decode(nothing, distances, SIZE, {"floor": 0.0, "most": 7})[0][0]) == 7
    with pytest.raises(ValueError, match="do not belong"):
        decode(nothing, distances, (96, 128))
