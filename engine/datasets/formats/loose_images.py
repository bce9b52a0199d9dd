"""Pictures without labels; every source with pictures is at least this."""

from __future__ import annotations

from collections.abc import Iterator

from engine.datasets.formats.base import DatasetFormat, ImageLabels, Recognition, Row, SourceView


def recognise(view: SourceView) -> Recognition | None:
    """Recognise any source that holds pictures."""
    if not view.images:
        return None
    return Recognition(f"{len(view.images):,} pictures without labels", (), len(view.images))


def read(view: SourceView) -> Iterator[Row]:
    """Yield each picture without a label."""
    for member in view.images:
        yield ImageLabels(member.path)


FORMAT = DatasetFormat(
    name="loose_images",
    title="Pictures without labels",
    labels="none",
    recognise=recognise,
    read=read,
)
