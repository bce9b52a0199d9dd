"""What is said about an image: the records that every reader makes and every writer takes.

Coordinates are floats; their unit is the row's (``ImageLabels.relative``). A label may carry several
shapes at once, as COCO's do; which of them a project keeps is decided by its task, not by the format.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from engine.contracts.datasets import Split

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2: left, top, right, bottom edge."""
Point = tuple[float, float, int]
"""x, y and COCO's visibility: 0 not labelled, 1 hidden, 2 visible."""


@dataclass(frozen=True, slots=True)
class Polygons:
    """The outlines of one object, each x, y, x, y, ...; their union is meant.

    Packed as float64, since a set may hold tens of millions of corners.
    """

    rings: tuple[array[float], ...]

    @classmethod
    def of(cls, rings: Iterable[Iterable[float]]) -> Polygons:
        """Pack outlines."""
        return cls(tuple(array("d", ring) for ring in rings))


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask as COCO's compressed run lengths: column by column, the first run outside the object.

    ``sound``: made from pixels of this size, some of them inside, so that nobody has to check the runs.
    """

    height: int
    width: int
    counts: str
    sound: bool = field(default=False, compare=False, repr=False)


Mask = Polygons | Rle


@dataclass(frozen=True, slots=True)
class Label:
    """One label: a class, and where it is, when the label says so.

    ``ignored`` marks a region that neither counts as object nor as background (crowd, difficult, void).
    ``attributes`` are the set's own words about it, name and value. ``file`` (empty: the row's own) and
    ``line`` say where it stands; ``repairs`` what was put right while reading.
    """

    name: str
    box: Box | None = None
    mask: Mask | None = None
    points: tuple[Point, ...] | None = None
    ignored: bool = False
    attributes: tuple[tuple[str, str], ...] = ()
    file: str = ""
    line: int | None = None
    repairs: tuple[str, ...] = ()


MaskMeaning = Literal["classes", "objects", "object"]


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A picture of the source whose pixels are labels of an image.

    ``meaning``: values are classes; values number objects (0: none); or all that is not 0 is one object.
    ``name`` is the class of the objects, where the source says it.
    """

    path: str
    meaning: MaskMeaning
    name: str = ""


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """One image of a set with its labels, in the set's own coordinates.

    ``relative``: coordinates are shares of width and height, else px. ``size`` is the width and height
    that the set declares. ``negative``: the set says that nothing is on the image; an image without
    labels that is not negative has simply not been labelled. ``group`` names what must stay together
    (a patient, a video). ``masks`` are read with the image.
    """

    path: str
    labels: tuple[Label, ...] = ()
    split: Split | None = None
    file: str = ""
    line: int | None = None
    negative: bool = False
    relative: bool = False
    size: tuple[int, int] | None = None
    group: str | None = None
    masks: tuple[MaskFile, ...] = ()
    repairs: tuple[str, ...] = ()
    """Of the row itself, such as a split that is not known."""

    @property
    def names(self) -> tuple[str, ...]:
        """The class names, in order, each once."""
        return tuple(dict.fromkeys(label.name for label in self.labels))


@dataclass(frozen=True)
class ClassHead:
    """A class as the set lists it; ``points`` and ``skeleton`` (pairs of positions) for keypoints."""

    name: str
    points: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class MaskValues:
    """What the values of class masks mean, as far as the source says it.

    ``names``: class by value (empty: nothing is said). ``colors``: value by colour (R, G, B), for masks
    that are coloured pictures. ``void``: values of pixels that do not count. ``background``: the value
    of pixels without a class, or None when every value is a class.
    """

    names: dict[int, str] = field(default_factory=dict)
    colors: dict[tuple[int, int, int], int] = field(default_factory=dict)
    void: frozenset[int] = frozenset()
    background: int | None = 0
