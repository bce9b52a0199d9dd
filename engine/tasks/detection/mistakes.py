"""The panels of detection's report that show mistakes, one function each.

A grid shows each image once, as a gallery cannot hold it twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.contracts.results import GridItem, ImageGridPanel, TablePanel
from engine.evaluation.boxes import areas
from engine.evaluation.error_budget import KINDS, Mistake
from engine.tasks.detection.case import Case

KIND_WORDS = {
    "class": "wrong class",
    "localization": "wrong place or size",
    "both": "wrong class and place",
    "duplicate": "found twice",
    "background": "nothing there",
    "missed": "missed",
}
PER_KIND = 12
SHOWN = 60


def budget_table(case: Case) -> TablePanel:
    """Tell what each kind of mistake costs; a row opens its images, the surest mistakes first."""
    budget = case.budget
    rows, images = [], []
    for kind in KINDS:
        mistakes = [one for one in budget.mistakes if one.kind == kind]
        sure = sum(one.score >= case.score for one in mistakes) if kind != "missed" else None
        cost = budget.costs[kind]
        points = None if np.isnan(cost) else round(100 * cost, 2)
        rows.append((f"{kind}: {KIND_WORDS[kind]}", points, len(mistakes), sure))
        images.append(case.images_of(mistakes))
    return TablePanel(
        title="What the mistakes cost (error budget)",
        help="By how many points mAP at IoU 0.5 would rise if one kind of mistake alone were put right: "
        "begin with the dearest. Class: the box is right, its class is not. Localization: the class is "
        "right, the box overlaps too little. Both: neither. Duplicate: a second box on one object. "
        "Background: a box where nothing is labelled, often an object that a person forgot. Missed: an "
        "object without any box. Boxes of all scores count for the costs, and many weak ones cost little; "
        f"the last column counts those from {case.score:.2f} on. The costs do not add up, as one mistake "
        "hides another.",
        columns=("Kind of mistake", "Points of mAP", "How many", f"With a score from {case.score:.2f}"),
        rows=tuple(rows),
        units=("", "points", "count", "count"),
        images=tuple(images),
    )


def mistakes_panel(case: Case) -> ImageGridPanel:
    """Show the strongest mistakes of each kind, the dearest kind first; missed objects by their size."""
    costs = case.budget.costs
    chosen = _strongest(case)
    chosen.sort(key=lambda one: (-np.nan_to_num(costs[one.kind]), KINDS.index(one.kind)))
    return ImageGridPanel(
        title="The strongest mistakes of each kind",
        help=f"At most {PER_KIND} of each kind, the kind that costs most first: the surest boxes, and the "
        "largest of the missed objects. Each image is shown once.",
        items=tuple(_item(case, one) for one in chosen),
    )


def _strongest(case: Case) -> list[Mistake]:
    """Let the kinds choose in turns, so that none takes all images; in each kind the strongest first."""
    queues = {kind: iter([one for one in case.budget.mistakes if one.kind == kind]) for kind in KINDS}
    missed = [one for one in case.budget.mistakes if one.kind == "missed"]
    queues["missed"] = iter(sorted(missed, key=lambda one: -_area(case, one)))
    chosen: list[Mistake] = []
    used: set[int] = set()
    for _ in range(PER_KIND):
        for queue in queues.values():
            one = next((one for one in queue if one.image not in used), None)
            if one is not None:
                chosen.append(one)
                used.add(one.image)
    return chosen


def _area(case: Case, mistake: Mistake) -> float:
    _, objects = case.pictures[mistake.image]
    return float(areas(objects.boxes[mistake.object][None])[0])


def _item(case: Case, mistake: Mistake) -> GridItem:
    said, true = case.named(mistake)
    if mistake.detection < 0:
        return GridItem(
            image_id=case.ids[mistake.image],
            caption=f"{KIND_WORDS['missed']}: {true}",
            truth=true,
            tone="wrong",
        )
    return GridItem(
        image_id=case.ids[mistake.image],
        caption=f"{KIND_WORDS[mistake.kind]}: {said} {mistake.score:.2f}",
        truth=true,
        predicted=f"{KIND_WORDS[mistake.kind]}: {said}",
        score=round(mistake.score, 6),
        tone="wrong",
    )


def false_panel(case: Case) -> ImageGridPanel:
    """Show false boxes, the surest first."""
    false = [one for one in case.budget.mistakes if one.detection >= 0 and one.score >= case.score]
    boxes = int(case.counts.called.sum())
    return ImageGridPanel(
        title="Most confident false detections",
        help=f"{len(false)} of the {boxes} boxes of a score of {case.score:.2f} or more are false; here "
        "first the images with those that the model was surest of. Often it is the label that is missing or "
        "wrong.",
        items=tuple(_item(case, one) for one in _each_image_once(false)[:SHOWN]),
    )


def _each_image_once(mistakes: Sequence[Mistake]) -> list[Mistake]:
    first: dict[int, Mistake] = {}
    for one in mistakes:
        first.setdefault(one.image, one)
    return list(first.values())


def missed_panel(case: Case) -> ImageGridPanel:
    """Images with objects that were not found, most of them first."""
    held: dict[int, list[str]] = {}
    for position, name in enumerate(case.classes):
        at = case.class_counts(position)
        left = at.objects - at.right
        for image in np.flatnonzero(left).tolist():
            held.setdefault(image, []).append(f"{left[image]} {name}")
    missed = case.counts.objects - case.counts.right
    order = [at for at in np.argsort(-missed, kind="stable").tolist() if missed[at] > 0]
    return ImageGridPanel(
        title="Images with missed objects",
        help=f"On {len(order)} of {len(case.ids)} images an object has no right box of a score of "
        f"{case.score:.2f} or more; those with most such objects come first.",
        items=tuple(
            GridItem(
                image_id=case.ids[at],
                caption=f"{missed[at]} of {case.counts.objects[at]} missed: {', '.join(held[at])}",
                tone="look",
            )
            for at in order[:SHOWN]
        ),
    )
