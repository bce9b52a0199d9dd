"""The one tuple of formats, the most explicit first. A format is one file and one entry here."""

from __future__ import annotations

from engine.contracts.datasets import FormatGuess, LabelKind
from engine.datasets.archive import Source
from engine.datasets.formats import class_folders, csv_table, loose_images
from engine.datasets.formats.base import DatasetFormat, SourceView
from engine.errors import InputError

FORMATS: tuple[DatasetFormat, ...] = (csv_table.FORMAT, class_folders.FORMAT, loose_images.FORMAT)


def formats_for(labels: LabelKind) -> tuple[DatasetFormat, ...]:
    """Return the formats that carry this kind of label, or pictures without any."""
    return tuple(known for known in FORMATS if known.labels in (labels, "none"))


def get_format(name: str, labels: LabelKind) -> DatasetFormat:
    """Return the format called ``name``.

    Raises ``InputError``, which lists the known ones, when none with this kind of label is called so.
    """
    for known in formats_for(labels):
        if known.name == name:
            return known
    names = ", ".join(known.name for known in formats_for(labels))
    raise InputError(f"There is no format called “{name}” for this task.", f"Choose one of: {names}.")


def recognise(source: Source, labels: LabelKind) -> list[FormatGuess]:
    """Say which formats with this kind of label the source could be, the most explicit first."""
    view = SourceView(source)
    guesses = []
    for known in formats_for(labels):
        found = known.recognise(view)
        if found is not None:
            guesses.append(
                FormatGuess(
                    format=known.name,
                    title=known.title,
                    reason=found.reason,
                    classes=found.classes,
                    images=found.images,
                )
            )
    return guesses
