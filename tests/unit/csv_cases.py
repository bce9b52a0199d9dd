"""What tests of tables share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.contracts.datasets import ImportIssue, LabelKind
from engine.datasets.archive import Source, open_source
from engine.datasets.formats import csv_table
from engine.datasets.formats.base import LabelIssue, Reading, ReadOptions, SourceView
from engine.datasets.labels import ImageLabels
from engine.settings import Limits


def table_source(folder: Path, text: str | bytes, *images: str, name: str = "labels.csv") -> Source:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(b"x")
    return open_source((("set", folder),), Limits())


def table_rows(
    source: Source, kind: LabelKind = "class", **options: Any
) -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    rows = list(reading(source, kind, **options).rows)
    images = [row for row in rows if isinstance(row, ImageLabels)]
    assert len({row.path for row in images}) == len(images) == len(source.images)
    return {row.path: row for row in images}, [row.issue for row in rows if isinstance(row, LabelIssue)]


def reading(source: Source, kind: LabelKind = "class", **options: Any) -> Reading:
    return csv_table.read(SourceView(source), ReadOptions(kind, **options))


def kinds(source: Source) -> tuple[str, ...]:
    found = csv_table.recognise(SourceView(source))
    return found.kinds if found else ()


def said(images: dict[str, ImageLabels]) -> dict[str, list[Any]]:
    """Class and geometry of each label, without where it stands."""
    return {
        path: [(one.name, one.box, one.points) if one.box or one.points else one.name for one in row.labels]
        for path, row in images.items()
    }
