"""Records about images, labels, imports, splits and versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypedDict

from pydantic import Field

from engine.contracts.base import Record

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
ImageOrder = Literal["path", "mixed"]
"""How a list of images runs: by path, or one image of each class in turn."""
LabelKind = Literal["class", "tags", "box", "boxes", "regions", "masks", "points", "none"]
"""What the labels of a set say; a task learns one kind, a dataset format carries some.

class: one class per image; tags: any number; box: one class and one box; boxes: objects with a box;
regions: a class for each pixel; masks: objects with an outline; points: objects with keypoints.
"""


class ClassInfo(Record):
    """A class with its stable id; ``position`` fixes its colour and its place in lists.

    ``images`` carry it, ``objects`` times in all. ``points`` name the keypoints of its objects, ``skeleton``
    holds the pairs of them (positions from 0) that a line joins.
    """

    id: str
    name: str
    position: int
    images: int = 0
    objects: int = 0
    points: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()


class LabelItem(Record):
    """One label of an image; for classification only ``class_id`` is set.

    All coordinates in px of the upright image. ``box`` is x1, y1, x2, y2. A mask is either ``polygons``
    (outlines x, y, x, y, ...; their union) or ``rle`` (COCO's compressed run lengths of the whole image).
    ``points`` are x, y, visibility (0 not labelled, 1 hidden, 2 visible). ``ignored``: neither object
    nor background. ``attributes``: the set's own words about it.
    """

    id: str
    class_id: str
    box: tuple[float, float, float, float] | None = None
    polygons: tuple[tuple[float, ...], ...] | None = None
    rle: str | None = None
    points: tuple[tuple[float, float, int], ...] | None = None
    ignored: bool = False
    attributes: dict[str, str] = Field(default_factory=dict)


class ClassCount(Record):
    """How often a class is on an image; ``position`` is the class's."""

    name: str
    position: int
    count: int


class ImageItem(Record):
    """One image of a project as the working head sees it; width and height in px, upright.

    ``negative``: the set or a person says that nothing is on it; without labels and not negative, it has
    simply not been labelled.
    """

    id: str
    path: str
    sha256: str
    width: int
    height: int
    split: Split | None
    labels: tuple[LabelItem, ...]
    left_out: bool = False
    negative: bool = False
    revision: int = 0

    def count_classes(self, classes: Mapping[str, ClassInfo]) -> tuple[ClassCount, ...]:
        """Count the objects of each class (by id) that is there, the most frequent first, without ignored."""
        counts = Counter(label.class_id for label in self.labels if not label.ignored)
        present = sorted(
            (classes[c] for c in counts if c in classes), key=lambda c: (-counts[c.id], c.position)
        )
        return tuple(ClassCount(name=c.name, position=c.position, count=counts[c.id]) for c in present)


class ImageFilter(Record):
    """Which images a gallery shows; empty tuples mean "no restriction"."""

    class_ids: tuple[str, ...] = ()
    splits: tuple[Split, ...] = ()
    image_ids: tuple[str, ...] = ()
    left_out: bool | None = False
    unlabelled: bool = False


class ImagePage(Record):
    """A slice of the images that match a filter, in the order asked for, and how many match in all."""

    items: tuple[ImageItem, ...]
    total: int
    offset: int


class Outcome(StrEnum):
    """What became of one row that was read (an image, or one of its annotations)."""

    KEPT = "kept"
    REPAIRED = "repaired"
    SKIPPED = "skipped"


class ImportIssue(Record):
    """One repair or skip; ``line`` is 1-based where the file is a text, else None."""

    file: str
    line: int | None = None
    outcome: Outcome
    reason: str


class ImportChoices(TypedDict, total=False):
    """What a person can decide about an import; what is left out is recognised or asked.

    ``void``: whether 255 in a mask is a class or pixels that do not count. ``channels``: which of a
    picture's channels become red, green and blue, as "3,2,1" (from 1).
    """

    task: str | None
    format: str | None
    schema: str
    mode: Literal["new", "add", "replace"]
    accept_skips: bool
    merge_classes: bool
    swap_boxes: bool
    rescale: bool
    void: Literal["", "class", "ignore"]
    channels: str


class LabelSchema(Record):
    """One sort of labels in a set: its classes share their points, or stand in a file of their own.

    ``images`` and ``classes`` are those of the sort, ``reason`` says where it stands; 0 or empty where that
    is not known without reading all labels.
    """

    name: str
    title: str
    points: int
    images: int = 0
    classes: tuple[str, ...] = ()
    reason: str = ""


class ImportOffer(Record):
    """One way to take a source in: as a task, in a format; the recommended one comes first.

    ``schema_name`` chooses one sort of keypoints where the set has several.
    """

    task: str
    format: str
    format_title: str
    reason: str
    classes: tuple[str, ...] = ()
    images: int = 0
    schema_name: str = ""
    schema_title: str = ""


class ImportReport(Record):
    """The account of one import: ``read = kept + repaired + skipped``, always."""

    project: str
    task: str
    format: str
    format_reason: str = ""
    dataset_version: int
    images: int
    classes: tuple[str, ...]
    annotations: int
    read: int
    kept: int
    repaired: int
    skipped: int
    ignored: int
    issues_total: int
    issues: tuple[ImportIssue, ...] = Field((), description="the first 1,000")
    issues_file: str = ""
    seconds: float = 0.0
    splits_of_set: bool = Field(False, description="train, val and test come from the set itself")
    notes: tuple[str, ...] = Field((), description="what a person should know, in sentences")


class ExportFormat(Record):
    """A format that a dataset can be taken home in; ``losses`` are sentences, empty: nothing is lost."""

    name: str
    title: str
    losses: tuple[str, ...] = ()


class UploadInfo(Record):
    """An upload that is streamed to disk by the server; ``received`` and ``size`` in bytes."""

    id: str
    name: str
    size: int
    received: int
    complete: bool


class SizeSummary(Record):
    """Extent of the images, in px."""

    smallest: tuple[int, int]
    largest: tuple[int, int]
    median: tuple[int, int]


class VersionInfo(Record):
    """A frozen list of images, labels and splits; ``runs``: the numbers of the runs made from it."""

    id: str
    number: int
    reason: str
    created_at: datetime
    images: int
    changes: str = ""
    person: str = ""
    runs: tuple[int, ...] = ()


class DatasetSummary(Record):
    """What the Data screen and the side bar show about the working head."""

    images: int
    left_out: int
    unlabelled: int
    classes: tuple[ClassInfo, ...]
    splits: dict[str, int]
    splits_of_set: bool = False
    sizes: SizeSummary | None = None
    version: VersionInfo | None = None
    changed_since_version: int = 0
    undo: str = Field("", description="what 'Undo' would take back, in words; empty: nothing")


class EditReceipt(Record):
    """The answer to an edit; ``batch`` undoes it."""

    batch: str
    changed: int
    message: str


class ClassChange(Record):
    """How many labels of one class two versions hold."""

    id: str
    name: str
    before: int
    after: int


class ClassRename(Record):
    """A class whose name differs between two versions."""

    id: str
    before: str
    after: str


class SplitMove(Record):
    """An image that is in another split in a later version."""

    image: str
    before: Split | None
    after: Split | None


class VersionDiff(Record):
    """What differs between two versions of a dataset; images by id.

    ``relabelled``: images of both versions whose labels (or "nothing is on it") differ. ``counts``: the
    classes whose number of labels differs, by position.
    """

    before: int
    after: int
    added: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    moved: tuple[SplitMove, ...] = ()
    classes_added: tuple[str, ...] = ()
    classes_removed: tuple[str, ...] = ()
    classes_renamed: tuple[ClassRename, ...] = ()
    counts: tuple[ClassChange, ...] = ()
    changes: str = Field("", description="the same in words; empty: the versions are equal")


class SplitRule(Record):
    """How splits are drawn; ``fractions`` are the shares of train, val and test.

    With ``folds`` the images outside test are cut into so many parts: ``held_out`` (from 1) becomes val,
    the others train, and test stays as it is. ``fractions`` then only serve the images that come later.

    ``group_rule`` says where the group of an image comes from: "" (what the set said), "folder" (the
    folder it lies in), "folder:N" (the Nth folder of its path, from 1), "before:_", "before:-" or
    "before:digit" (what stands in its file name before the first such character) or a regular expression
    with one group, which is searched in the path.
    """

    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    seed: int = 0
    by: Literal["image", "group"] = "image"
    group_rule: str = ""
    folds: int | None = None
    held_out: int = 1


class GroupPreview(Record):
    """What a group rule makes of the images; ``without``: images that have no group."""

    groups: int
    largest: int = 0
    largest_key: str = ""
    without: int = 0
    examples: tuple[tuple[str, int], ...] = Field((), description="the largest groups with their images")


class ClassSpread(Record):
    """How many images of one class are in each part (split or fold)."""

    id: str
    name: str
    images: dict[str, int]


class SplitPreview(Record):
    """What a rule would do: images per split, how many would move, and each class's spread."""

    splits: dict[str, int]
    moved: int
    classes: tuple[ClassSpread, ...] = ()
    groups: GroupPreview | None = None
    note: str = ""


class FoldImage(Record):
    """An image and its fold, from 1."""

    id: str
    path: str
    fold: int


class FoldPlan(Record):
    """A dataset in ``k`` parts for cross-validation: the fold of each image that is in use, by path."""

    k: int
    images: tuple[FoldImage, ...]
    classes: tuple[ClassSpread, ...] = ()
    note: str = ""
