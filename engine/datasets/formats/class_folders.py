"""Classes as folders, with or without train/val/test above or below them.

The rule: what all pictures share at the start of their path is the root. If one level of folders holds
split names only, it is the split. The first folder that is left names the class; folders below it
belong to it, as in torchvision's ``ImageFolder``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contracts.datasets import Split
from engine.datasets.archive import is_litter
from engine.datasets.formats.base import (
    DatasetFormat,
    ExportSet,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    number_of,
    split_of,
)
from engine.datasets.formats.writing import ImageNames
from engine.datasets.labels import ImageLabels, Label
from engine.datasets.paths import clean_path
from engine.errors import InputError

SHOWN = 5  # class names in a sentence


@dataclass(frozen=True)
class _Layout:
    """How deep the root is and at which level below it the split stands, if any."""

    root: int
    split_level: int | None

    def place(self, folder: str) -> tuple[str | None, Split | None]:
        """Return class and split of the files of a folder, which ends in a slash."""
        folders = folder.split("/")[self.root : -1]
        split = None
        if self.split_level is not None and len(folders) > self.split_level:
            split = split_of(folders.pop(self.split_level))
        return (clean_class(folders[0]) if folders else None), split


def recognise(view: SourceView) -> Recognition | None:
    """Recognise two classes or more as folders."""
    layout = _layout(view)
    placed = {layout.place(folder) for folder in _folders(view)}
    names = sorted({name for name, _ in placed if name})
    splits = [split for split in ("train", "val", "test") if any(split == own for _, own in placed)]
    if len(names) < 2 and not (names and splits):
        return None
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    where = f" under {', '.join(splits)}" if splits else ""
    reason = f"{number_of(len(names), 'folder')} with pictures{where}: {shown}"
    return Recognition(reason, ("class",), tuple(names), len(view.images))


def read(view: SourceView, _options: ReadOptions) -> Reading:
    """Read each picture with its class; pictures outside all class folders carry no label.

    Raises ``InputError`` when split folders and others stand side by side.
    """
    layout = _layout(view)
    _refuse_mixture(view, layout)
    return Reading(_rows(view, layout), ahead=view.image_paths)


def _rows(view: SourceView, layout: _Layout) -> Iterator[Row]:
    places = {folder: layout.place(folder) for folder in _folders(view)}
    for path in view.image_paths:
        name, split = places[_folder_of(path)]
        yield ImageLabels(path, (Label(name),) if name else (), split)


def write(out: ExportSet, folder: Path) -> None:
    """Copy images to ``folder/split/class/name``, or ``folder/class/name`` when none has a split.

    An image without a label goes to no class folder. Two equal file names in one folder become two
    names. Class names that are no folder names raise ``InputError``.
    """
    files = ImageNames(folder, flat=True)
    for labels, source in out.rows:
        names = [*([labels.split] if labels.split else []), *labels.names[:1]]
        if not all(_is_folder_name(name) for name in names):
            raise InputError(f"“{names[-1]}” cannot be the name of a folder.", "Export as CSV instead.")
        files.place(labels.path, source, "/".join(names))


def _is_folder_name(name: str) -> bool:
    """Whether the reader would take a folder of this name for what it is: no drive, no litter."""
    try:
        path = clean_path(f"{name}/x")
    except ValueError:
        return False
    spelt = f"{unicodedata.normalize('NFC', name)}/x"
    return path == spelt and path.count("/") == 1 and not is_litter(path)


def _layout(view: SourceView) -> _Layout:
    folders = [parts for folder in _folders(view) if (parts := folder.split("/")[:-1])]
    if not folders:
        return _Layout(0, None)
    root = _shared(folders)
    below = [parts[root:] for parts in folders if len(parts) > root]
    depth = max((len(parts) for parts in below), default=0)
    for level in range(depth):
        at_level = [parts[level] if level < len(parts) else "" for parts in below]
        if all(split_of(name) for name in at_level) and len({split_of(name) for name in at_level}) > 1:
            return _Layout(root, level)
    return _Layout(root, None)


def _folders(view: SourceView) -> dict[str, None]:
    """Return the folders in which pictures lie, each once and in order."""
    return dict.fromkeys(map(_folder_of, view.image_paths))


def _folder_of(path: str) -> str:
    """Return the folder of a file with the slash behind it; "" is that of the source."""
    return path[: path.rfind("/") + 1]


def _shared(folders: Sequence[Sequence[str]]) -> int:
    """Count the levels that all paths share; one folder for all is the root, not a class."""
    shared = 0
    for level in zip(*folders, strict=False):
        if len(set(level)) > 1:
            break
        shared += 1
    return shared


def _refuse_mixture(view: SourceView, layout: _Layout) -> None:
    if layout.split_level is not None:
        return
    names = {folder.split("/")[layout.root] for folder in _folders(view) if _below(folder, layout)}
    splits = sorted(name for name in names if split_of(name))
    others = sorted(name for name in names if not split_of(name))
    if len({split_of(name) for name in splits}) > 1 and others:
        raise InputError(
            f"The folders {', '.join(splits)} look like splits, but {', '.join(others[:SHOWN])} "
            "stands beside them.",
            "Move it below one of them, or take it out.",
        )


def _below(path: str, layout: _Layout) -> bool:
    return path.count("/") > layout.root


FORMAT = DatasetFormat(
    name="class_folders",
    title="Class folders",
    carries=frozenset({"class"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits"}),
)
