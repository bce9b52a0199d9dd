"""Which columns of a label table mean what: told from the header, and from the cells where it is silent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from engine.datasets.archive import IMAGE_SUFFIXES
from engine.datasets.formats.tables import Table

PATH_NAMES = frozenset(
    {"path", "file", "filename", "file_name", "filepath", "file_path", "name", "picture", "img", "img_path"}
    | {"image", "images", "image_path", "image_name", "imagepath", "imagename", "img_name", "photo"}
)
ID_NAMES = frozenset({"image_id", "imageid", "img_id", "id"})
LABEL_NAMES = frozenset(
    {"label", "labels", "class", "classes", "class_name", "target", "category", "label_name", "labelname"}
    | {"category_name", "class_label", "species"}
)
TAG_NAMES = frozenset({"tag", "tags", "keywords"})
LIST_NAMES = TAG_NAMES | {"labels", "classes", "categories"}
SPLIT_NAMES = frozenset({"split", "set", "subset", "partition", "dataset"})
GROUP_NAMES = frozenset({"group", "patient", "patient_id", "subject", "subject_id", "video", "video_id"})
IGNORED_NAMES = frozenset({"ignored", "ignore", "difficult", "iscrowd", "is_crowd", "isgroupof"})
LABELLED_NAMES = frozenset({"labelled", "labeled"})
NUMBERING = frozenset({"", "index", "unnamed:_0", "number", "no", *ID_NAMES})
SIZES = (("image_width", "image_height"), ("img_width", "img_height"), ("width", "height"))
BOX_LISTS = frozenset({"bbox", "box", "bounding_box", "boundingbox"})

BoxStyle = Literal["corners", "size", "centre", "list"]
BOXES: tuple[tuple[BoxStyle, str], ...] = (
    ("corners", "xmin ymin xmax ymax"),
    ("corners", "x1 y1 x2 y2"),
    ("corners", "x0 y0 x1 y1"),
    ("corners", "left top right bottom"),
    ("corners", "xtl ytl xbr ybr"),
    ("size", "x y w h"),
    ("size", "xmin ymin w h"),
    ("size", "left top w h"),
    ("size", "x y width height"),
    ("size", "xmin ymin width height"),
    ("size", "left top width height"),
    ("centre", "xcenter ycenter w h"),
    ("centre", "cx cy w h"),
    ("centre", "xcenter ycenter width height"),
    ("centre", "cx cy width height"),
)
"""Names without underscores and “bbox”; the more explicit first, so that x, y, w, h leaves width and
height to the image."""
HEADLESS: dict[int, tuple[str, ...]] = {
    2: ("path", "label"),
    3: ("path", "label", "split"),
    6: ("path", "x1", "y1", "x2", "y2", "label"),  # as RetinaNet's tables
}
NOTHING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>"})
"""Cells of numbers that say nothing."""
BINARY = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True, "-1": False}


@dataclass(frozen=True)
class PointColumns:
    """Where x, y and, if any, the visibility of one point stand."""

    name: str
    x: int
    y: int
    visibility: int | None = None


@dataclass(frozen=True)
class Columns:
    """Positions of the columns of a label table; ``header`` records come before the data.

    ``tags`` are columns of one class each (one-hot). ``separators`` split the cells of the label column
    into several (``lists``: if it holds lists at all); ``union`` says that several rows of an image add up.
    ``in_cell`` says how a box in one cell is meant. ``relative``: coordinates are shares of the image.
    """

    header: int
    names: tuple[str, ...]
    path: int
    label: int | None = None
    split: int | None = None
    group: int | None = None
    ignored: int | None = None
    labelled: int | None = None
    size: tuple[int, int] | None = None
    box: tuple[int, ...] = ()
    box_style: BoxStyle = "corners"
    points: tuple[PointColumns, ...] = ()
    tags: tuple[int, ...] = ()
    lists: bool = False
    separators: str = ""
    union: bool = False
    in_cell: BoxStyle | None = None
    relative: bool = False

    @property
    def has_geometry(self) -> bool:
        """Whether labels have a place on the image."""
        return bool(self.box or self.points)


def plain(name: str) -> str:
    """Return a column's name as it is compared."""
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def columns_of(table: Table) -> Columns | None:
    """Return what the columns of a table mean, or None when it lists no images with labels."""
    names = table.first
    headless = HEADLESS.get(len(names), ())
    if not table.named and headless and is_image_name(names[0]):
        return _by_name(headless, [], 0, 0)
    sample = list(table.sample)
    path = _path_column(names, sample)
    if path is None:
        return None
    found = _by_name(names, sample, path, 0 if table.named else 1)
    if found is not None and found.label is not None:
        listed = found.label in table.lists or plain(names[found.label]) in LIST_NAMES
        union = plain(names[found.label]) in TAG_NAMES
        return replace(found, lists=listed and not found.has_geometry, union=union)
    return found


def columns_of_header(names: Sequence[str]) -> Columns | None:
    """Return what the columns of a header mean whose first names the image."""
    return _by_name(names, [], 0, 1)


def _by_name(names: Sequence[str], sample: list[list[str]], path: int, header: int) -> Columns | None:
    known = [plain(name) for name in names]
    box, style = _box_columns(known)
    used = {path, *box}
    split, group = _first(known, SPLIT_NAMES, used), _first(known, GROUP_NAMES, used)
    ignored, labelled = _first(known, IGNORED_NAMES, used), _first(known, LABELLED_NAMES, used)
    size = _size_columns(known, used)
    used |= {one for one in (split, group, ignored, labelled, *(size or ())) if one is not None}
    label = _first(known, TAG_NAMES, used)
    label = _first(known, LABEL_NAMES | LIST_NAMES, used) if label is None else label
    used |= {label} if label is not None else set()
    points = tuple(_point_columns(names, known, used)) if header else ()
    used |= {
        position for one in points for position in (one.x, one.y, one.visibility) if position is not None
    }
    rest = [n for n in range(len(names)) if n not in used and known[n] not in NUMBERING]
    if not points and label is None and not box:
        points = _unnamed_points(known, [n for n in range(len(names)) if n not in used], sample)
    if (box or points) and label is None:
        texts = [n for n in rest if _all_text(sample, n)]
        label = texts[0] if len(texts) == 1 else None
    tags: tuple[int, ...] = ()
    if not (box or points) and label is None:
        tags = tuple(n for n in rest if is_binary(cells[n] for cells in sample if n < len(cells)))
        if len(tags) < 2 or not sample:
            return None
    return Columns(
        header, tuple(names), path, label, split, group, ignored, labelled, size, box, style, points, tags
    )


def is_binary(cells: Iterator[str]) -> bool:
    """Whether all cells say yes or no: 0 and 1, or -1 and 1; a row without any answer is no matter."""
    found = {cell.strip().casefold() for cell in cells} - NOTHING
    return bool(found) and found <= BINARY.keys() and not ("-1" in found and found & {"0", "0.0"})


def _path_column(names: Sequence[str], sample: list[list[str]]) -> int | None:
    """Return the column that is called so, else the first whose cell is a picture's name."""
    known = [plain(name) for name in names]
    named = [n for n, name in enumerate(known) if name in PATH_NAMES]
    pictures = [n for n, cell in enumerate((sample or [[]])[0][: len(names)]) if is_image_name(cell)]
    both = [n for n in named if n in pictures]
    found = both or named or pictures
    return found[0] if found else _first(known, ID_NAMES, set())


def is_image_name(cell: str) -> bool:
    """Whether a cell ends like the name of a picture."""
    return PurePosixPath(cell.strip().replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES


def _first(known: Sequence[str], names: frozenset[str], used: set[int]) -> int | None:
    return next((n for n, name in enumerate(known) if name in names and n not in used), None)


def _box_columns(known: Sequence[str]) -> tuple[tuple[int, ...], BoxStyle]:
    own = re.compile(r"^(bbox|box)_")
    bare = [own.sub("", name).replace("_", "").replace("centre", "center") for name in known]
    # bbox_width beside width: those that say that they are a box's come first.
    for names in ([name if own.match(full) else "" for name, full in zip(bare, known, strict=True)], bare):
        for style, words in BOXES:
            wanted = words.split()
            numbered = wanted[0] in ("x0", "x1") and ("x3" in names or {"x0", "x2"} <= set(names))
            if not numbered and all(names.count(word) == 1 for word in wanted):
                return tuple(names.index(word) for word in wanted), style
    one = next((n for n, name in enumerate(known) if name in BOX_LISTS), None)
    return ((), "corners") if one is None else ((one,), "list")


def _size_columns(known: Sequence[str], used: set[int]) -> tuple[int, int] | None:
    for width, height in SIZES:
        if width in known and height in known:
            found = known.index(width), known.index(height)
            if not used & set(found):
                return found
    return None


def _point_columns(names: Sequence[str], known: Sequence[str], used: set[int]) -> Iterator[PointColumns]:
    """Yield nose_x, nose_y[, nose_v] and x1, y1[, v1], in the order of the header."""
    free = {name: n for n, name in reversed(list(enumerate(known))) if n not in used}
    for position, name in enumerate(known):
        if free.get(name) != position:
            continue
        ended, numbered = re.fullmatch(r"(.+)[_.]x", name), re.fullmatch(r"(.*?)x_?(\d+)", name)
        if ended:
            stem = name[:-1]
            title = names[position].strip()[:-2].strip()
            seen = [stem + end for end in ("v", "vis", "visibility", "visible")]
        elif numbered:
            stem = numbered[1]
            title = numbered[2]
            seen = [stem + end + name[len(stem) + 1 :] for end in ("v", "vis", "visibility", "visible")]
        else:
            continue
        partner = stem + "y" + name[len(stem) + 1 :]
        if partner in free:
            yield PointColumns(
                title, position, free[partner], next((free[s] for s in seen if s in free), None)
            )


def _unnamed_points(
    known: Sequence[str], free: list[int], sample: list[list[str]]
) -> tuple[PointColumns, ...]:
    """Columns that are only numbered and hold numbers are x and y by turns."""
    unnamed = [n for n in free if re.fullmatch(r"\d+|unnamed:_\d+|", known[n])]
    if len(unnamed) < 2 or len(unnamed) % 2 or unnamed != free or not sample:
        return ()
    if any(not _is_number(cells[n]) for cells in sample for n in unnamed if n < len(cells)):
        return ()
    pairs = zip(unnamed[::2], unnamed[1::2], strict=True)
    return tuple(PointColumns(str(number), x, y) for number, (x, y) in enumerate(pairs, start=1))


def _is_number(cell: str) -> bool:
    if cell.strip().casefold() in NOTHING:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _all_text(sample: list[list[str]], position: int) -> bool:
    cells = [cells[position].strip() for cells in sample if position < len(cells)]
    return any(cells) and not any(_is_number(cell) for cell in cells if cell)
