"""Small pictures for galleries: JPEG, short side 180 to 240 px, named by the file's SHA-256 and channels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from engine.datasets.preprocessing import Preprocessing, UnreadableImageError, read_rgb
from engine.errors import ImageReadError
from engine.settings import Settings
from engine.storage.blobs import BlobStore, write_atomic

SHORT_SIDE = 240
LEAST = 180  # px; a JPEG whose decoder can shrink it to no less than this needs no resizing
QUALITY = 82
LONGEST = 4  # a strip is cut to this many short sides, or one picture could fill a screen


def thumbnail_path(settings: Settings, sha256: str, channels: Sequence[int] | None = None) -> Path:
    """Return where the thumbnail of these pixels is, or would be.

    ``channels``: those that became red, green and blue, as another project may have chosen others.
    """
    chosen = "".join(f"-{channel}" for channel in channels or ())
    return settings.cache / f"thumbnails/{sha256[:2]}/{sha256}{chosen}.jpg"


def make_thumbnail(image: Image.Image) -> bytes:
    """Shrink an upright RGB picture; smaller ones keep their size. Returns a JPEG."""
    scale = min(1.0, SHORT_SIDE / min(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if scale < 1:
        # Reducing by whole steps first is several times faster and, at this size, looks the same.
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    longest = LONGEST * SHORT_SIDE
    if max(image.size) > longest:
        left, top = max(0, (image.width - longest) // 2), max(0, (image.height - longest) // 2)
        image = image.crop((left, top, image.width - left, image.height - top))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def reading(preprocessing: dict[str, Any]) -> Preprocessing:
    """Return a record for looking at a set's images, from the set's own preprocessing."""
    return Preprocessing.from_dict({"height": SHORT_SIDE, "width": SHORT_SIDE, **preprocessing})


def ensure_thumbnail(settings: Settings, sha256: str, preprocessing: dict[str, Any]) -> Path:
    """Return the thumbnail's path, making it again when the cache was emptied.

    Raises ``ImageReadError`` when the stored image is missing or damaged.
    """
    path = thumbnail_path(settings, sha256, preprocessing.get("channels"))
    if path.exists():
        return path
    try:
        picture = read_rgb(BlobStore(settings.files).path(sha256), reading(preprocessing))
    except (UnreadableImageError, OSError) as error:
        raise ImageReadError(
            f"The stored image {sha256[:12]} cannot be read: {error}.",
            "The files folder of the workspace is damaged; import the images again.",
        ) from error
    write_atomic(path, make_thumbnail(picture), sync=False)
    return path
