"""Which cell learns which object: task-aligned assignment (TOOD, Feng et al., 2021), for a whole batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

TOP = 10
"""Cells an object may have."""

_CLASS_POWER, _BOX_POWER = 0.5, 6.0
_LEAST = 0.75
"""Half the least side, in strides of the finest level, of the region from which an object's cells come."""


@dataclass(frozen=True)
class Truth:
    """The objects of a batch, filled up to M an image: boxes (N, M, 4) in px, classes (N, M).

    ``valid`` (N, M): real objects; ``void`` (N, M): regions that do not count.
    """

    boxes: torch.Tensor
    classes: torch.Tensor
    valid: torch.Tensor
    void: torch.Tensor

    @classmethod
    def of(cls, targets: Sequence[Mapping[str, torch.Tensor]], device: torch.device) -> Truth:
        """Stack ``boxes``, ``classes`` and ``ignored`` of each image; a box without area does not count."""
        most = max((len(target["boxes"]) for target in targets), default=0)
        boxes = torch.zeros(len(targets), most, 4, device=device)
        classes = torch.zeros(len(targets), most, dtype=torch.long, device=device)
        valid = torch.zeros(len(targets), most, dtype=torch.bool, device=device)
        void = torch.zeros_like(valid)
        for index, target in enumerate(targets):
            count = len(target["boxes"])
            boxes[index, :count] = target["boxes"].to(device)
            classes[index, :count] = target["classes"].to(device)
            ignored = target["ignored"].to(device)
            valid[index, :count], void[index, :count] = ~ignored, ignored
        area = (boxes[..., 2:] > boxes[..., :2]).all(-1)
        return cls(boxes, classes, valid & area, void & area)


@dataclass(frozen=True)
class Assignment:
    """What each cell is to learn.

    ``positive`` (N, A): cells with an object; ``boxes`` (N, A, 4) and ``classes`` (N, A) are the object's;
    ``quality`` (N, A): the score that the cell is to give it, 0 to 1; ``counts`` (N, A): False for cells
    without an object inside a region that does not count.
    """

    positive: torch.Tensor
    boxes: torch.Tensor
    classes: torch.Tensor
    quality: torch.Tensor
    counts: torch.Tensor


@torch.no_grad()
def assign(
    truth: Truth, scores: torch.Tensor, boxes: torch.Tensor, points: torch.Tensor, strides: torch.Tensor
) -> Assignment:
    """Give each object the cells whose present score and box fit it best.

    ``scores`` (N, A, K) and ``boxes`` (N, A, 4) are what the network says, ``points`` (A, 2) and ``strides``
    (A,) the grid. A cell that several objects want goes to the one that its box overlaps most. The best cell
    of an object is taught its overlap as the score, its others less, by how much worse they fit.
    """
    images, places = boxes.shape[:2]
    if truth.boxes.shape[1] == 0:
        return _nothing(images, places, boxes)
    inside = _near(truth.boxes, points, float(strides.min())) & truth.valid[..., None]
    overlaps = pair_iou(truth.boxes, boxes) * inside
    wanted = truth.classes[:, None, :].expand(-1, places, -1)
    fitting = scores.gather(2, wanted).transpose(1, 2)
    metric = fitting.pow(_CLASS_POWER) * overlaps.pow(_BOX_POWER)
    chosen = _best(metric, inside)
    # A cell stands for one object only.
    owner = torch.where(chosen, overlaps, -1.0).argmax(1)
    positive = chosen.any(1)
    mine = chosen & (torch.arange(chosen.shape[1], device=boxes.device)[None, :, None] == owner[:, None, :])
    quality = _quality(metric * mine, overlaps * mine).gather(1, owner[:, None]).squeeze(1) * positive
    in_void = (_inside(truth.boxes, points) & truth.void[..., None]).any(1)
    return Assignment(
        positive=positive,
        boxes=truth.boxes.gather(1, owner[..., None].expand(-1, -1, 4)),
        classes=truth.classes.gather(1, owner),
        quality=quality,
        counts=positive | ~in_void,
    )


def _nothing(images: int, places: int, boxes: torch.Tensor) -> Assignment:
    none = boxes.new_zeros(images, places)
    return Assignment(
        none.bool(), torch.zeros_like(boxes), none.long(), none, torch.ones_like(none, dtype=torch.bool)
    )


def _inside(boxes: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return (N, M, A): whether a cell's centre lies in a box."""
    low = (points[None, None] - boxes[:, :, None, :2]).amin(-1)
    high = (boxes[:, :, None, 2:] - points[None, None]).amin(-1)
    return torch.minimum(low, high) > 0


def _near(boxes: torch.Tensor, points: torch.Tensor, finest: float) -> torch.Tensor:
    """Return the same for boxes grown to a least size, so that an object between centres has cells too."""
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = ((boxes[..., 2:] - boxes[..., :2]) / 2).clamp(min=_LEAST * finest)
    return _inside(torch.cat([centres - half, centres + half], -1), points)


def _best(metric: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Return (N, M, A): the cells with each object's best metrics, out of those inside."""
    top = metric.topk(min(TOP, metric.shape[-1]), dim=-1).indices
    return torch.zeros_like(inside).scatter_(-1, top, True) & inside & (metric > 0)


def _quality(metric: torch.Tensor, overlaps: torch.Tensor) -> torch.Tensor:
    """Scale each object's metrics (N, M, A) so that the greatest becomes its greatest overlap."""
    most = metric.amax(-1, keepdim=True)
    return metric / most.clamp(min=torch.finfo(metric.dtype).tiny) * overlaps.amax(-1, keepdim=True)


def pair_iou(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Return the overlap (N, M, A) of each of (N, M, 4) boxes with each of (N, A, 4)."""
    low = torch.maximum(ours[:, :, None, :2], theirs[:, None, :, :2])
    high = torch.minimum(ours[:, :, None, 2:], theirs[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area = (ours[..., 2:] - ours[..., :2]).prod(-1)[:, :, None]
    other = (theirs[..., 2:] - theirs[..., :2]).prod(-1)[:, None]
    return shared / (area + other - shared).clamp(min=1e-9)
