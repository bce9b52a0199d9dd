"""The one tuple of formats, the most explicit first. A format is one file and one entry here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.contracts.datasets import LabelKind
from engine.datasets.archive import Source
from engine.datasets.formats import (
    cifar,
    class_folders,
    coco,
    csv_table,
    cvat,
    deeplabcut,
    dlib_xml,
    idx,
    instance_masks,
    kitti,
    label_studio,
    labelme,
    loose_images,
    mask_pairs,
    mpii,
    ndjson,
    object_masks,
    split_lists,
    voc,
    yolo,
)
from engine.datasets.formats.base import DatasetFormat, Recognition, SourceView
from engine.errors import InputError

FORMATS: tuple[DatasetFormat, ...] = (
    coco.FORMAT,
    voc.FORMAT,
    yolo.FORMAT,
    ndjson.FORMAT,
    cvat.FORMAT,
    label_studio.FORMAT,
    labelme.FORMAT,
    dlib_xml.FORMAT,
    mpii.FORMAT,
    kitti.FORMAT,
    deeplabcut.FORMAT,
    csv_table.FORMAT,
    object_masks.FORMAT,
    instance_masks.FORMAT,
    mask_pairs.FORMAT,
    idx.FORMAT,
    cifar.FORMAT,
    split_lists.FORMAT,
    class_folders.FORMAT,
    loose_images.FORMAT,
)


@dataclass(frozen=True)
class Found:
    """A format that a source could be, why, and the view that has looked into it already.

    ``beside`` says what else is in the source that cannot be used. ``doubtful``: it fits, and most likely
    something else is meant.
    """

    format: DatasetFormat
    recognition: Recognition
    view: SourceView
    beside: tuple[str, ...] = ()
    doubtful: bool = False


FROM: Mapping[LabelKind, frozenset[LabelKind]] = {
    "class": frozenset({"tags"}),
    "box": frozenset({"boxes", "masks"}),
    "boxes": frozenset({"box", "masks"}),
    "regions": frozenset({"masks"}),
}
"""Kinds of label from which those of another kind can be made, when a person asks for them."""


def formats_for(labels: LabelKind) -> tuple[DatasetFormat, ...]:
    """Return the formats that carry this kind of label, or pictures without any."""
    return tuple(known for known in FORMATS if known.carries & {labels, "none"})


def get_format(name: str, labels: LabelKind) -> DatasetFormat:
    """Return the format called ``name``.

    Raises ``InputError``, which lists the known ones, when none with this kind of label is called so.
    """
    for known in formats_for(labels):
        if known.name == name:
            return known
    names = ", ".join(known.name for known in formats_for(labels))
    raise InputError(f"There is no format called “{name}” for this task.", f"Choose one of: {names}.")


def recognise(source: Source) -> list[Found]:
    """Say which formats the source could be, the most explicit first.

    Raises ``InputError`` when the only labels that there are cannot be used.
    """
    found, refusals = [], list[InputError]()
    for known in FORMATS:
        view = SourceView(source)
        try:
            recognition = known.recognise(view)
        except InputError as error:
            refusals.append(error)
            continue
        if recognition is not None:
            found.append(Found(known, recognition, view))
    explicit = [one for one in found if is_explicit(one)]
    if refusals and not explicit:
        raise refusals[0]
    if explicit and not any("class" in one.recognition.kinds for one in explicit):
        # Folders of images and masks look like classes too; who means that names the task.
        found = [replace(one, doubtful=one.format is class_folders.FORMAT) for one in found]
    # The set is something else beside what could not be used, which is said with it.
    return [replace(one, beside=tuple(str(error) for error in refusals)) for one in found]


def serving(found: Sequence[Found], labels: LabelKind | None) -> list[Found]:
    """Keep the formats that hold this kind of label or one that it can be made from, or none at all.

    Without ``labels``, those that are what they seem to be.
    """
    if labels is None:
        return [one for one in found if not one.doubtful]
    return [one for one in found if _serves(one.format, one.recognition, labels)]


def is_explicit(found: Found) -> bool:
    """Whether label files say what the source is, not only where its pictures lie."""
    return found.format not in (class_folders.FORMAT, loose_images.FORMAT)


def _serves(known: DatasetFormat, recognition: Recognition, labels: LabelKind) -> bool:
    kinds = set(recognition.kinds)
    made = FROM.get(labels, frozenset()) if labels in known.carries else frozenset()
    return bool(kinds & {labels, "none", *made})
