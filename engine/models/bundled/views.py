"""Views of pictures for distillation: crops, mosaics, pasted objects and drawings, without labels.

Asano and Saeed, "The Augmented Image Prior" (2023), show how far many crops of few pictures carry when
a teacher answers for each of them.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Picture = Image.Image
Generator = np.random.Generator

LONGEST_SIDE = 480
DULL = 12.0
"""Standard deviation of the values (0 to 255) under which a view counts as empty."""
SUFFIXES = (".jpg", ".jpeg", ".png")
DERIVED = ("mask", "annotation", "derived", "truth", "label")
"""Parts of paths that hold label pictures and no photographs."""
JUDGES = ("trashnet", "facemask", "cards_tags", "bccd", "isbi_membrane")
"""Sets that the backbone is judged on: a folder named like one, or with one in it, is refused."""


def read_tar(path: Path, limit: int | None = None) -> list[Picture]:
    """Read the JPEG files of a tar as RGB pictures, in the order of their names."""
    with tarfile.open(path) as archive:
        members = sorted((m for m in archive if m.isfile()), key=lambda m: m.name)
        chosen = [m for m in members if m.name.lower().endswith(SUFFIXES)][:limit]
        return [_open(archive.extractfile(member)) for member in chosen]


def read_folder(path: Path, limit: int | None = None) -> list[Picture]:
    """Read the photographs below a folder as RGB pictures of at most 480 px, in the order of their names.

    Raises ``ValueError`` for a folder that is, holds, or lies in one of the sets that judge.
    """
    folders = [*path.resolve().parts, *(entry.name for entry in path.rglob("*") if entry.is_dir())]
    judging = [name for name in folders if name.lower().startswith(JUDGES)]
    if judging:
        raise ValueError(f"{path} has to do with {judging[0]}, which judges the backbone: leave it out.")
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(word in str(file.relative_to(path)).lower() for word in DERIVED)
    )
    return [_open(io.BytesIO(file.read_bytes())) for file in files[:limit]]


def _open(stream: object) -> Picture:
    with Image.open(stream) as picture:  # type: ignore[arg-type]
        picture.draft("RGB", (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))
        rgb = picture.convert("RGB")
    rgb.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return rgb


class Views:
    """An endless source of square RGB views of ``size`` px.

    ``small`` are little pictures of one thing each, ``large`` sets of photographs that bear cropping; a
    set is drawn with the square root of its size as weight, so that no set of alike pictures rules.
    """

    def __init__(self, small: Sequence[Picture], large: Sequence[Sequence[Picture]], size: int) -> None:
        self.small, self.large, self.size = small, large or [small], size
        weights = np.sqrt([len(pictures) for pictures in self.large])
        self.weights = weights / weights.sum()

    def batch(self, rng: Generator, count: int) -> NDArray[np.uint8]:
        """Return (count, size, size, 3) uint8 views."""
        views = np.stack([self._lively(rng) for _ in range(count)])
        return jitter(rng, views)

    def _lively(self, rng: Generator) -> NDArray[np.uint8]:
        """Return a view that shows something; after three empty ones the third."""
        for _ in range(3):
            view = np.asarray(self._view(rng))
            if view.std() > DULL:
                break
        return view

    def _photos(self, rng: Generator) -> Sequence[Picture]:
        return self.large[int(rng.choice(len(self.large), p=self.weights))]

    def _view(self, rng: Generator) -> Picture:
        kind = rng.random()
        if kind < 0.40:
            view = self._crop(rng, self.small, 0.4)
        elif kind < 0.75:
            view = self._crop(rng, self._photos(rng), 0.06)
        elif kind < 0.87:
            view = self._mosaic(rng)
        elif kind < 0.96:
            view = self._pasted(rng)
        else:
            view = drawing(rng, self.size)
        if rng.random() < 0.08:
            view = Image.blend(view, self._crop(rng, self.small, 0.4), float(rng.uniform(0.2, 0.5)))
        if rng.random() < 0.08:
            view = view.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.5))))
        return view

    def _crop(self, rng: Generator, pool: Sequence[Picture], least: float, size: int = 0) -> Picture:
        """Return a crop of ``least`` to all of a picture's area, sometimes turned."""
        picture = pool[int(rng.integers(len(pool)))]
        width, height = picture.size
        area = width * height * np.exp(rng.uniform(np.log(least), 0))
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w = float(min(width, np.sqrt(area * ratio)))
        h = float(min(height, np.sqrt(area / ratio)))
        left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
        size = size or self.size
        view = picture.resize(
            (size, size), Image.Resampling.BICUBIC, box=(left, top, left + w, top + h), reducing_gap=3.0
        )
        if rng.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if rng.random() < 0.15:
            view = turned(view, rng)
        return view

    def _mosaic(self, rng: Generator) -> Picture:
        """Return four crops around a point: fine detail that the little pictures lack when enlarged."""
        view = Image.new("RGB", (self.size, self.size))
        x, y = (int(v) for v in rng.uniform(0.35, 0.65, 2) * self.size)
        for left, top in ((0, 0), (x, 0), (0, y), (x, y)):
            pool = self.small if rng.random() < 0.7 else self._photos(rng)
            view.paste(self._crop(rng, pool, 0.4, max(self.size - min(x, y), x, y)), (left, top))
        return view

    def _pasted(self, rng: Generator) -> Picture:
        """Return a crop in a round or square outline on a plain, shaded ground."""
        view = gradient(rng, self.size)
        side = int(self.size * rng.uniform(0.4, 0.85))
        thing = self._crop(rng, self.small if rng.random() < 0.6 else self._photos(rng), 0.3, side)
        mask = Image.new("L", (side, side), 0)
        draw = ImageDraw.Draw(mask)
        kind = rng.random()
        if kind < 0.4:
            draw.ellipse((0, 0, side - 1, side - 1), fill=255)
        elif kind < 0.7:
            draw.polygon([(float(a), float(b)) for a, b in rng.uniform(0, side, (7, 2))], fill=255)
        else:
            margin = int(side * rng.uniform(0, 0.3))
            draw.rectangle((margin, 0, side - margin, side), fill=255)
        mask = mask.rotate(float(rng.uniform(0, 360)))
        room = self.size - side
        view.paste(thing, (int(rng.integers(room + 1)), int(rng.integers(room + 1))), mask)
        return view


def turned(view: Picture, rng: Generator) -> Picture:
    """Turn a square view by up to 30 degrees and enlarge it so that no corner is empty."""
    degrees = float(rng.uniform(-30, 30))
    size = view.size[0]
    radians = abs(np.deg2rad(degrees))
    inner = size / (np.cos(radians) + np.sin(radians))
    margin = (size - inner) / 2
    whole = view.rotate(degrees, Image.Resampling.BILINEAR)
    box = (margin, margin, size - margin, size - margin)
    return whole.resize((size, size), Image.Resampling.BILINEAR, box=box)


def gradient(rng: Generator, size: int) -> Picture:
    """Return a smooth ground between four random corner colours, often near grey or white."""
    spread = 20 if rng.random() < 0.7 else 120
    corners = rng.uniform(0, 255, (1, 1, 3)) * (0 if rng.random() < 0.4 else 1)
    corners = np.where(corners.sum() == 0, rng.uniform(90, 245), corners) + rng.normal(0, spread, (2, 2, 3))
    small = Image.fromarray(corners.clip(0, 255).astype(np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def drawing(rng: Generator, size: int) -> Picture:
    """Return overlapping shapes, lines, letters and grain on a shaded ground."""
    view = gradient(rng, size)
    draw = ImageDraw.Draw(view)
    for _ in range(int(rng.integers(1, 14))):
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        points = [(float(a), float(b)) for a, b in rng.uniform(-0.1 * size, 1.1 * size, (4, 2))]
        (a, b), (c, d) = points[:2]
        box = (min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1)
        kind = int(rng.integers(5))
        if kind == 0:
            draw.ellipse(box, fill=colour)
        elif kind == 1:
            draw.polygon(points, fill=colour)
        elif kind == 2:
            draw.line(points, fill=colour, width=int(rng.integers(1, 8)))
        elif kind == 3:
            letters = "".join(chr(int(v)) for v in rng.integers(48, 91, 6))
            draw.text(points[0], letters, fill=colour, font_size=float(rng.uniform(10, size / 2)))
        else:
            draw.rectangle(box, fill=colour)
    return view


def jitter(rng: Generator, views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Change brightness, contrast, saturation and tint of (N, H, W, 3) uint8 views, each its own way."""
    count = len(views)
    shape = (count, 1, 1, 1)
    values = views.astype(np.float32)
    strong = (rng.random(shape) < 0.7).astype(np.float32)
    contrast = 1 + strong * rng.uniform(-0.35, 0.35, shape).astype(np.float32)
    brightness = strong * rng.uniform(-35, 35, shape).astype(np.float32)
    saturation = 1 + strong * rng.uniform(-0.5, 0.5, shape).astype(np.float32)
    saturation = np.where(rng.random(shape) < 0.05, np.float32(0), saturation)
    tint = 1 + strong * rng.uniform(-0.1, 0.1, (count, 1, 1, 3)).astype(np.float32)
    grey = values.mean(axis=3, keepdims=True)
    middle = grey.mean(axis=(1, 2), keepdims=True)
    values = (grey + (values - grey) * saturation - middle) * (contrast * tint) + middle + brightness
    changed: NDArray[np.uint8] = values.clip(0, 255).astype(np.uint8)
    return changed


def chunks(total: int, size: int) -> Iterator[int]:
    """Give the sizes of the parts of ``total``, each at most ``size``."""
    for start in range(0, total, size):
        yield min(size, total - start)
