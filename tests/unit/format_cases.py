"""What tests of formats share: small sets on disk, hostile names, the round trip."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from engine.contracts.datasets import ImportIssue, LabelKind
from engine.datasets.archive import open_source
from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    LabelIssue,
    Reading,
    ReadOptions,
    Recognition,
    SourceView,
)
from engine.datasets.labels import ImageLabels, Label
from engine.settings import Limits

DATA = Path(os.environ.get("LENSMITH_REAL_SETS", "no such folder"))
"""Real sets, where a machine has them; the tests that need them are passed over elsewhere."""
HOSTILE = (
    "a b.png",
    "日本.png",
    'it\'s "q".png',
    "=cmd|x.png",
    "😀.png",
    ".hidden.png",
    "a,b;c.png",
    "x" * 150 + ".png",
    "same.png",
    "same.jpg",
    "one/same.png",
    "two/same.png",
    "<b>&amp;.png",
    "#hash 1.png",
    "100%.png",
)
"""Names that files really have."""


def picture(path: Path, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


def put(folder: Path, **files: str | bytes) -> None:
    """Write texts; "__" in a name stands for "/" and "_dot_" for "."."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def look(folder: Path) -> SourceView:
    return SourceView(open_source((("set", folder),), Limits()))


def view_of(folder: Path, files: Mapping[str, str | bytes]) -> SourceView:
    """A set with these files; pictures hold nothing, since readers do not decode them."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return SourceView(open_source((("set", folder),), Limits()))


def taken(reading: Reading) -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    """The images by path, each once, and what was skipped or merged."""
    rows = list(reading.rows)
    images = [row for row in rows if isinstance(row, ImageLabels)]
    assert len({row.path for row in images}) == len(images)
    return {row.path: row for row in images}, [row.issue for row in rows if isinstance(row, LabelIssue)]


def rows_of(
    known: DatasetFormat, folder: Path, kind: LabelKind = "boxes", schema: str = ""
) -> tuple[dict[str, ImageLabels], list[ImportIssue], Reading]:
    """Read a folder; images by path, the issues, and the reading."""
    reading = known.read(look(folder), ReadOptions(kind, schema))
    images: dict[str, ImageLabels] = {}
    issues = []
    for row in reading.rows:
        if isinstance(row, LabelIssue):
            issues.append(row.issue)
        else:
            assert row.path not in images
            images[row.path] = row
    return images, issues, reading


def recognised(known: DatasetFormat, folder: Path) -> Recognition | None:
    return known.recognise(look(folder))


def hostile_rows(
    folder: Path, labels: Sequence[Label], flavour: str = "RGB"
) -> list[tuple[ImageLabels, Path]]:
    """Images of hostile names, each of a colour of its own, with these labels in turn."""
    rows = []
    for number, name in enumerate(HOSTILE):
        source = folder / f"{number}.png"
        source.parent.mkdir(parents=True, exist_ok=True)
        Image.new(flavour, (16, 12), (number, 0, 0)).save(source)
        split = ("train", "val", "test", None)[number % 4]
        own = () if number % 5 == 4 else tuple(labels)
        rows.append((ImageLabels(name, own, split, negative=number == 4, size=(16, 12)), source))  # type: ignore[arg-type]
    return rows


def bare(label: Label) -> Label:
    """A label without where it stood."""
    return Label(label.name, label.box, label.mask, label.points, label.ignored, label.attributes)


def assert_round_trip(known: DatasetFormat, out: ExportSet, folder: Path, schema: str = "") -> None:
    """Write, read back, and compare each image (known by its bytes) with what went in."""
    assert known.write is not None
    rows = list(out.rows)
    known.write(ExportSet(out.kind, out.classes, iter(rows)), folder)
    images, issues, _ = rows_of(known, folder, out.kind, schema)
    assert issues == []
    found = {(folder / path).read_bytes(): row for path, row in images.items()}
    assert len(found) == len(images) == len(rows)
    for row, source in rows:
        back = found[source.read_bytes()]
        assert [bare(label) for label in back.labels] == [bare(label) for label in row.labels], row.path
        assert all(not label.repairs for label in back.labels)
        assert back.negative == (row.negative and "negatives" in known.keeps)
        assert back.split == (row.split if "splits" in known.keeps else None)
    assert recognised(known, folder) is not None


def xml(*objects: str, size: str = "", filename: str = "a.png") -> str:
    return f"<annotation>\n<filename>{filename}</filename>{size}\n" + "\n".join(objects) + "\n</annotation>"


def thing(name: str = "cat", box: Sequence[object] = (1, 2, 5, 6), more: str = "") -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{side}>{at}</{side}>" for side, at in sides)
    return f"<object><name>{name}</name>{more}<bndbox>{inner}</bndbox></object>"
