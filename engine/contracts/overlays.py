"""Records about labels that are shown on their images: in a gallery, over a picture, beside it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.contracts.base import Record
from engine.contracts.datasets import ClassCount, ImageItem

OverlaySize = Literal["thumb", "small", "full"]
"""Of labels drawn over a picture: as the gallery shows it, or as it is opened, on a phone or a screen."""


class LabelName(Record):
    """A class name that belongs at an object; x, y: its upper left corner, as shares of the image."""

    name: str
    position: int
    x: float
    y: float


class Legend(Record):
    """What is drawn over an image, in words; width and height in px, upright."""

    width: int
    height: int
    classes: tuple[ClassCount, ...]
    names: tuple[LabelName, ...] = Field((), description="empty where they would hide the picture")
    ignored: int = 0


class ImageTile(Record):
    """An image as a gallery shows it; ``image`` comes without its labels, which may be many.

    ``classes`` are counted without the ``ignored`` regions. ``look`` is another text whenever what can be
    drawn over the image changes, and empty when there is nothing to draw.
    """

    image: ImageItem
    classes: tuple[ClassCount, ...]
    ignored: int = 0
    look: str = ""


class TilePage(Record):
    """A slice of the images that match a filter, for a gallery, and how many match in all."""

    items: tuple[ImageTile, ...]
    total: int
    offset: int
