"""Whether two projects hold the same set: pictures by their content, labels in a normal form.

What a format says it loses is left out of the comparison; everything else has to be there again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select

from engine.api import Lensmith
from engine.api.projects import find_project
from engine.contracts.datasets import ClassInfo, ImageItem, LabelKind
from engine.datasets import masks
from engine.datasets.formats.base import Feature
from engine.datasets.geometry import label_of
from engine.datasets.labels import Box, Label, Point, Polygons, Rle
from engine.storage.tables import ImageRow

TOLERANCE: Final = 0.02
"""In px: what texts with a few decimals round away."""
SAME_OBJECT: Final = 0.5
"""Least overlap (IoU) of a mask with what a format makes of it that says it loses its pixels."""
PAGE: Final = 2_000
SHOWN: Final = 3


@dataclass(frozen=True)
class Held:
    """What a project holds: its classes in order, and its images with their labels.

    ``groups``: to what images belong, by their ids.
    """

    classes: tuple[ClassInfo, ...]
    images: tuple[ImageItem, ...]
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """What is compared: the kind of label, and what the format between the two keeps.

    ``caveat``: the format says that masks may lose pixels, those that belong to several objects.
    """

    kind: LabelKind
    keeps: frozenset[Feature]
    caveat: bool = False

    @property
    def boxes(self) -> bool:
        """Whether boxes are compared: where they are the labels, or the format keeps them."""
        return self.kind in ("box", "boxes") or (self.kind in ("masks", "points") and "boxes" in self.keeps)


def hold(lensmith: Lensmith, project: str) -> Held:
    """Read all that a project holds."""
    images: list[ImageItem] = []
    while True:
        page = lensmith.datasets.images(project, offset=len(images), limit=PAGE)
        images += page.items
        if len(images) >= page.total:
            classes = lensmith.datasets.summary(project).classes
            return Held(classes, tuple(images), _groups(lensmith, project))


def _groups(lensmith: Lensmith, project: str) -> dict[str, str]:
    with lensmith.datasets.database.read() as session:
        own = ImageRow.project_id == find_project(session, project).id
        found = session.execute(select(ImageRow.id, ImageRow.group_key).where(own))
        return {row.id: row.group_key for row in found if row.group_key is not None}


def differences(first: Held, second: Held, rules: Rules) -> list[str]:
    """Say what of the first is not in the second as it was; empty when nothing is lost unsaid."""
    found = _class_differences(first.classes, second.classes, rules)
    ours, theirs = _by_content(first.images), _by_content(second.images)
    missing = sum(max(0, len(items) - len(theirs.get(sha, ()))) for sha, items in ours.items())
    added = sum(max(0, len(items) - len(ours.get(sha, ()))) for sha, items in theirs.items())
    found += [f"{missing} images are missing"] if missing else []
    found += [f"{added} images are new"] if added else []
    names = {info.id: info.name for held in (first, second) for info in held.classes}
    wrong = [
        text for sha in ours.keys() & theirs.keys() for text in _pair(ours[sha], theirs[sha], names, rules)
    ]
    wrong += _group_differences(first, second) if "groups" in rules.keeps else []
    found += sorted(wrong)[:SHOWN]
    return found + ([f"{len(wrong) - SHOWN} more images differ"] if len(wrong) > SHOWN else [])


def _group_differences(first: Held, second: Held) -> list[str]:
    """Say which images do not belong together as before; what a group is called is not promised.

    Images that had no group may have got one, of which no other is. Copies of a picture in several groups
    are not told apart.
    """
    before, after = _groups_by_content(first), _groups_by_content(second)
    into: dict[str, set[str]] = defaultdict(set)
    origin: dict[str, set[str]] = defaultdict(set)
    for sha in before.keys() & after.keys():
        into[before[sha]].add(after[sha])
        origin[after[sha]].add(before[sha])
    wrong = [
        f"the group {old} is torn or gone" for old, new in into.items() if old and (len(new) > 1 or "" in new)
    ]
    return wrong + [f"the group {new} was several" for new, old in origin.items() if new and len(old) > 1]


def _groups_by_content(held: Held) -> dict[str, str]:
    """Give the group of each content that has one or none; empty: none."""
    found: dict[str, set[str]] = defaultdict(set)
    for item in held.images:
        found[item.sha256].add(held.groups.get(item.id, ""))
    return {sha: next(iter(groups)) for sha, groups in found.items() if len(groups) == 1}


def _by_content(images: Sequence[ImageItem]) -> dict[str, list[ImageItem]]:
    found: dict[str, list[ImageItem]] = defaultdict(list)
    for item in images:
        found[item.sha256].append(item)
    return found


def _class_differences(first: Sequence[ClassInfo], second: Sequence[ClassInfo], rules: Rules) -> list[str]:
    ours, theirs = ([info.name for info in found] for found in (first, second))
    if "classes" in rules.keeps:
        if ours != theirs:
            return [f"the classes are {', '.join(theirs[:5])} instead of {', '.join(ours[:5])}"]
    elif missing := {info.name for info in first if info.objects} - set(theirs):
        return [f"the class {sorted(missing)[0]} is missing"]
    if "skeleton" in rules.keeps and rules.kind == "points":
        known = {info.name: (info.points, set(map(frozenset, info.skeleton))) for info in second}
        for info in first:
            if info.name in known and known[info.name] != (info.points, set(map(frozenset, info.skeleton))):
                return [f"points or lines of {info.name} differ"]
    return []


def _pair(
    ours: list[ImageItem], theirs: list[ImageItem], names: Mapping[str, str], rules: Rules
) -> list[str]:
    """Compare the images of one content; copies of a picture may come in any order."""
    left, wrong = list(theirs), []
    for item in ours[: len(theirs)]:
        tried = [(_image_difference(item, other, names, rules), other) for other in left]
        text, other = next((one for one in tried if not one[0]), tried[0])
        left.remove(other)
        if text:
            wrong.append(f"{item.path}: {text}")
    return wrong


def _image_difference(one: ImageItem, other: ImageItem, names: Mapping[str, str], rules: Rules) -> str:
    """Say in what two images differ; empty: in nothing that counts."""
    if (one.width, one.height) != (other.width, other.height):
        return f"{other.width} x {other.height} px instead of {one.width} x {one.height}"
    if "splits" in rules.keeps and one.split != other.split:
        return f"it is in {other.split} instead of {one.split}"
    if "negatives" in rules.keeps and one.negative != other.negative:
        return f"negative is {other.negative}"
    return _label_difference(_records(one, names), _records(other, names), rules)


def _records(item: ImageItem, names: Mapping[str, str]) -> list[Label]:
    return [label_of(label, names.get(label.class_id, ""), item.width, item.height) for label in item.labels]


def _label_difference(ours: list[Label], theirs: list[Label], rules: Rules) -> str:
    if rules.kind in ("class", "tags"):
        one, other = (Counter(label.name for label in labels) for labels in (ours, theirs))
        return "" if one == other else f"labelled {_listed(other)} instead of {_listed(one)}"
    if "ignored" in rules.keeps:
        spare = 0
    else:
        counted = [label for label in ours if not label.ignored]
        spare, ours = len(ours) - len(counted), counted
    left = list(theirs)
    for label in ours:
        match = next((other for other in left if _same(label, other, rules)), None)
        if match is None:
            return f"a label of {label.name} {_where(label)} is not there again ({len(theirs)} are)"
        left.remove(match)
    return f"{len(left)} labels are new" if len(left) > spare else ""


def _listed(names: Counter[str]) -> str:
    return ", ".join(sorted(names.elements())) or "nothing"


def _where(label: Label) -> str:
    box = label.box or (masks.box_of(label.mask) if label.mask is not None else None)
    if box is None:
        return "at its points" if label.points else "without a place"
    return "at " + ", ".join(f"{value:g}" for value in box)


def _same(one: Label, other: Label, rules: Rules) -> bool:
    """Whether two labels say the same, as far as the format promises it."""
    void = "ignored" in rules.keeps and one.ignored and other.ignored  # of which class is not promised
    if (one.name != other.name and not void) or ("ignored" in rules.keeps and one.ignored != other.ignored):
        return False
    if "attributes" in rules.keeps and dict(one.attributes) != dict(other.attributes):
        return False
    # A box that a format has to draw around points is nothing lost.
    if rules.boxes and one.box is not None and not _same_box(one.box, other.box):
        return False
    if rules.kind == "points":
        return _same_points(one.points or (), other.points or (), rules)
    return rules.kind not in ("masks", "regions") or _same_mask(one, other, rules)


def _same_box(one: Box, other: Box | None) -> bool:
    return other is not None and all(abs(a - b) <= TOLERANCE for a, b in zip(one, other, strict=True))


def _same_points(one: Sequence[Point], other: Sequence[Point], rules: Rules) -> bool:
    if "skeleton" not in rules.keeps:
        # Without names, a point that is labelled nowhere leaves no trace; the others keep their order.
        one, other = ([point for point in points if point[2]] for points in (one, other))
    if len(one) != len(other):
        return False
    for (x, y, seen), (u, v, seen_again) in zip(one, other, strict=True):
        if bool(seen) != bool(seen_again) or ("visibility" in rules.keeps and seen != seen_again):
            return False
        if seen and max(abs(x - u), abs(y - v)) > TOLERANCE:
            return False
    return True


def _same_mask(one: Label, other: Label, rules: Rules) -> bool:
    if one.mask is None or other.mask is None:
        return one.mask is other.mask
    if isinstance(one.mask, Polygons) and isinstance(other.mask, Polygons):
        return _same_rings(one.mask, other.mask)
    if isinstance(one.mask, Polygons) and "outlines" in rules.keeps:
        return False
    # A format that keeps only pixels has those of an outline exactly; one that keeps neither has its own.
    lossy = "runs" not in rules.keeps or rules.caveat
    return _overlap(one.mask, other.mask) >= (SAME_OBJECT if lossy else 1.0)


def _same_rings(one: Polygons, other: Polygons) -> bool:
    if [len(ring) for ring in one.rings] != [len(ring) for ring in other.rings]:
        return False
    pairs = zip(one.rings, other.rings, strict=True)
    return all(abs(a - b) <= TOLERANCE for ring, again in pairs for a, b in zip(ring, again, strict=True))


def _overlap(one: Rle | Polygons, other: Rle | Polygons) -> float:
    """Give the IoU of two masks of one image, of which one at least is of run lengths."""
    size = next((mask.height, mask.width) for mask in (one, other) if isinstance(mask, Rle))
    first, second = masks.to_runs(one, *size), masks.to_runs(other, *size)
    if first == second:
        return 1.0
    whole = masks.area(masks.union([first, second]))
    return (masks.area(first) + masks.area(second) - whole) / whole if whole else 1.0
