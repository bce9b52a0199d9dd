"""The files of a COCO set, and what to choose from when they do not fit into one project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from engine.contracts.datasets import LabelSchema, Split
from engine.datasets.formats.base import LabelIssue, number_of
from engine.datasets.formats.coco_labels import VOID, Category
from engine.datasets.labels import ClassHead, Label


@dataclass(frozen=True)
class Image:
    """An entry of ``images``."""

    name: str
    size: tuple[int, int] | None
    labelled: bool
    group: str | None = None


@dataclass
class File:
    """What one file says; labels by the image's id, in the file's order."""

    path: str
    split: Split | None
    categories: dict[int | str, Category]
    images: dict[int | str, Image]
    labels: dict[int | str, list[Label]] = field(default_factory=dict)
    issues: list[LabelIssue] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Sort:
    """One choice: a file (None: all), and the points that its labels have (None: any)."""

    schema: LabelSchema
    path: str | None
    points: tuple[str, ...] | None


SHOWN = 5  # files in a sentence


def heads(files: Sequence[File]) -> tuple[ClassHead, ...]:
    """Give the classes of all files, in their order."""
    found: dict[str, ClassHead] = {}
    for one in files:
        for category in one.categories.values():
            if category.name != VOID:
                found.setdefault(category.name, category.head)
    return tuple(found.values())


def schemas(files: Sequence[File]) -> tuple[LabelSchema, ...]:
    """Give the sorts of labels that cannot share a project: other points, or other labels of one picture.

    A sort without ``points`` concerns every kind of label.
    """
    return tuple(sort.schema for sort in _sorts(files))


def of_schema(files: Sequence[File], name: str) -> Sequence[File]:
    """Keep what belongs to the sort called ``name``; everything when there is none of this name."""
    sort = next((sort for sort in _sorts(files) if sort.schema.name == name), None) if name else None
    if sort is None:
        return files
    chosen = [one for one in files if sort.path in (None, one.path)]
    return chosen if sort.points is None else [_with_points(one, sort.points) for one in chosen]


def described(paths: Sequence[str], images: int, annotations: int, classes: int) -> str:
    """Say which files there are and how much is in them."""
    more = f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
    held = f"{number_of(images, 'image')} with {number_of(annotations, 'annotation')}"
    return f"{', '.join(paths[:SHOWN])}{more}: {held} in {number_of(classes, 'class', 'classes')}"


def _sorts(files: Sequence[File]) -> Iterator[_Sort]:
    if not _clash(files):
        for points, names in _points(files).items():
            yield _Sort(_of_points(files, points, names), None, points)
        return
    for one in files:
        by_points = _points([one])
        if len(by_points) < 2:
            yield _Sort(_of_file(one), one.path, None)
            continue
        for points, names in by_points.items():
            yield _Sort(_of_points([one], points, names, f"{one.path}#", f"{one.path}, "), one.path, points)


def _of_file(one: File) -> LabelSchema:
    images, classes = len(one.images), tuple(head.name for head in heads([one]))
    title = f"{one.path}: {number_of(images, 'image')}"
    reason = described([one.path], images, sum(map(len, one.labels.values())), len(classes))
    return LabelSchema(name=one.path, title=title, points=0, images=images, classes=classes, reason=reason)


def _of_points(
    files: Sequence[File], points: tuple[str, ...], names: Sequence[str], *before: str
) -> LabelSchema:
    """Describe the labels whose classes (``names``) share points; ``before`` its name and its title."""
    wanted = set(names)
    counts = [[sum(label.name in wanted for label in own) for own in one.labels.values()] for one in files]
    paths = [one.path for one, own in zip(files, counts, strict=True) if any(own)]
    images = sum(count > 0 for own in counts for count in own)
    key, place = before or ("", "")
    return LabelSchema(
        name=f"{key}{names[0]}",
        title=f"{place}{', '.join(names[:3])}: {number_of(len(points), 'point')}",
        points=len(points),
        images=images,
        classes=tuple(names),
        reason=described(paths or [files[0].path], images, sum(map(sum, counts)), len(names)),
    )


def _clash(files: Sequence[File]) -> bool:
    """Whether two files of the same split describe pictures of one name."""
    seen: set[tuple[str, Split | None]] = set()
    for one in files:
        own = {(image.name, one.split) for image in one.images.values()}
        if own & seen:
            return True
        seen |= own
    return False


def _points(files: Sequence[File]) -> dict[tuple[str, ...], list[str]]:
    """Give the class names by the points that they share."""
    sorts: dict[tuple[str, ...], list[str]] = {}
    for one in files:
        for category in one.categories.values():
            if category.points:
                names = sorts.setdefault(category.points, [])
                names += [category.name] if category.name not in names else []
    return sorts


def _with_points(one: File, points: tuple[str, ...]) -> File:
    """Keep the labels whose classes have these points, and the images that carry them."""
    categories = {key: category for key, category in one.categories.items() if category.points == points}
    names = {category.name for category in categories.values()}
    labels = {
        number: chosen
        for number, own in one.labels.items()
        if (chosen := [label for label in own if label.name in names])
    }
    images = {number: image for number, image in one.images.items() if number in labels}
    return replace(one, categories=categories, labels=labels, images=images)
