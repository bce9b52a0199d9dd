"""Pictures without labels; every source with pictures is at least this."""

from __future__ import annotations

from engine.datasets.formats.base import (
    DatasetFormat,
    Reading,
    ReadOptions,
    Recognition,
    SourceView,
    number_of,
)
from engine.datasets.labels import ImageLabels


def recognise(view: SourceView) -> Recognition | None:
    """Recognise any source that holds pictures."""
    if not view.images:
        return None
    return Recognition(
        f"{number_of(len(view.images), 'picture')} without labels", ("none",), (), len(view.images)
    )


def read(view: SourceView, _options: ReadOptions) -> Reading:
    """Read each picture without a label."""
    return Reading((ImageLabels(path) for path in view.image_paths), ahead=view.image_paths)


FORMAT = DatasetFormat(
    name="loose_images",
    title="Pictures without labels",
    carries=frozenset({"none"}),
    recognise=recognise,
    read=read,
)
