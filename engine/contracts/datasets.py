"""Records about images, labels, imports, splits and versions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal, TypedDict

from pydantic import Field

from engine.contracts.base import Record

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
ImageOrder = Literal["path", "mixed"]
"""How a list of images runs: by path, or one image of each class in turn."""
LabelKind = Literal["class", "none"]
"""What a label says about its image; a task learns one kind, a dataset format carries one."""


class ClassInfo(Record):
    """A class with its stable id; ``position`` fixes its colour and its place in lists."""

    id: str
    name: str
    position: int
    images: int = 0


class LabelItem(Record):
    """One label of an image; for classification only ``class_id`` is set.

    ``box`` is x1, y1, x2, y2 in px of the upright image. Masks and points get fields of their own
    with their tasks.
    """

    id: str
    class_id: str
    box: tuple[float, float, float, float] | None = None


class ImageItem(Record):
    """One image of a project as the working head sees it; width and height in px, upright."""

    id: str
    path: str
    sha256: str
    width: int
    height: int
    split: Split | None
    labels: tuple[LabelItem, ...]
    left_out: bool = False
    revision: int = 0


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
    """What a person can decide about an import; what is left out is recognised or asked."""

    task: str
    format: str | None
    mode: Literal["new", "add", "replace"]
    accept_skips: bool
    merge_classes: bool


class FormatGuess(Record):
    """A recognised format with the reason that a person reads, best first."""

    format: str
    title: str
    reason: str
    classes: tuple[str, ...] = ()
    images: int = 0


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
    """A frozen list of images, labels and splits."""

    id: str
    number: int
    reason: str
    created_at: datetime
    images: int
    changes: str = ""


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
