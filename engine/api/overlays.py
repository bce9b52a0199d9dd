"""Labels as pictures over their images, and in words on and beside them."""

from __future__ import annotations

from typing import Final

from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.api.projects import find_project
from engine.contracts.datasets import ClassInfo, ImageFilter
from engine.contracts.overlays import Legend, OverlaySize, TilePage
from engine.datasets import overlay, queries
from engine.datasets.legend import legend
from engine.datasets.thumbnails import ensure_thumbnail
from engine.datasets.tiles import tiles
from engine.storage.database import Database
from engine.storage.tables import ClassRow

LONGER_SIDE: Final = {"small": (800, 1000), "full": (1600, 2000)}
"""Least and most px of the longer side of what lies over an opened image, whatever the image's own."""


class Overlays:
    """What the labels of an image look like.

    Drawn anew each time, which takes some milliseconds; browsers keep what has an address of its own.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def tiles(
        self, project: str, filter: ImageFilter | None = None, offset: int = 0, limit: int = 60
    ) -> TilePage:
        """Return the images that match, by path, from ``offset``, with their labels counted."""
        with self.database.read() as session:
            owner = find_project(session, project)
            chosen = filter or ImageFilter()
            page = queries.images(session, owner.id, chosen, offset, limit, labels=False)
            items = tiles(session, page.items, _classes(session, owner.id))
        return TilePage(items=items, total=page.total, offset=page.offset)

    def overlay(self, project: str, image: str, size: OverlaySize) -> bytes:
        """Draw an image's labels as a see-through PNG with the sides of its thumbnail or of the image.

        Raises ``NotFoundError``, and ``ImageReadError`` when there is no thumbnail and none can be made.
        """
        with self.database.read() as session:
            owner = find_project(session, project)
            item, preprocessing = queries.image(session, owner.id, image), owner.preprocessing
            classes = _classes(session, owner.id)
        if size == "thumb":
            # The file itself says its size: how far it was shrunk depends on who made it.
            with Image.open(ensure_thumbnail(self.database.settings, item.sha256, preprocessing)) as thumb:
                out = thumb.size
        else:
            out = opened_size(item.width, item.height, *LONGER_SIDE[size])
        return overlay.draw(item.labels, classes, (item.width, item.height), out)

    def legend(self, project: str, image: str) -> Legend:
        """Say which classes are on an image, and where their names belong; raises ``NotFoundError``."""
        with self.database.read() as session:
            owner = find_project(session, project)
            return legend(queries.image(session, owner.id, image), _classes(session, owner.id))


def opened_size(width: int, height: int, least: int, most: int) -> tuple[int, int]:
    """Bring the longer side between ``least`` and ``most`` px, in the image's proportions."""
    longer = max(width, height)
    scale = min(max(longer, least), most) / longer
    scale = max(scale, 1 / min(width, height))
    return round(width * scale), round(height * scale)


def _classes(session: Session, project_id: str) -> tuple[ClassInfo, ...]:
    """List the classes without counting what carries them, which takes longer than to draw."""
    query = select(ClassRow).where(ClassRow.project_id == project_id, ClassRow.deleted_at.is_(None))
    return tuple(
        ClassInfo(
            id=row.id,
            name=row.name,
            position=row.position,
            points=tuple(row.points or ()),
            skeleton=tuple((a, b) for a, b in row.skeleton or ()),
        )
        for row in session.scalars(query.order_by(ClassRow.position))
    )
