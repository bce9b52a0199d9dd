"""What lies on the bench: one height field with a material in every pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .noise import Field, fractal, grains

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """How a surface answers light.

    ``colour``: linear RGB, 0 to 1. ``metal``: 0 paint or plastic, 1 bare metal. ``rough``: 0 mirror,
    1 matt. ``stain`` mixes ``stain_colour`` in by blotches; ``bumps``: height of its grain in px.
    """

    colour: Colour
    metal: float = 0.0
    rough: float = 0.5
    stain: float = 0.0
    stain_colour: Colour = (0.2, 0.08, 0.03)
    bumps: float = 0.0


@dataclass(frozen=True)
class Pose:
    """Where a thing lies: middle (x, y) and half its size in px, ``angle`` in radians.

    ``squeeze`` shortens it across ``lean``, as a thing that the camera sees a little from the side.
    """

    x: float
    y: float
    size: float
    angle: float
    squeeze: float = 1.0
    lean: float = 0.0


@dataclass(frozen=True)
class Relief:
    """A thing in its own window: ``height`` (h, w) px above its base, -inf outside it.

    ``tone`` (h, w) multiplies the colour; ``inlay`` (h, w) in 0..1 says where ``inlay_material`` shows.
    """

    height: Field
    tone: Field | None = None
    inlay: Field | None = None
    inlay_material: Material | None = None


#: Local coordinates u, v (h, w) in units of the half size -> the thing, heights in the same units.
Shape = Callable[[Field, Field], Relief]


@dataclass
class Scene:
    """Arrays (H, W) or (H, W, 3), float32, painted from the bench upwards."""

    height: Field
    colour: NDArray[np.float32]
    metal: Field
    rough: Field

    @classmethod
    def empty(cls, height: int, width: int) -> Scene:
        """Make a flat black bench of (``height``, ``width``) px."""
        flat = np.zeros((height, width), np.float32)
        return cls(flat.copy(), np.zeros((height, width, 3), np.float32), flat.copy(), flat + np.float32(0.9))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height.shape[0], self.height.shape[1]

    def put(self, shape: Shape, pose: Pose, material: Material, rng: np.random.Generator) -> int:
        """Lay ``shape`` on what is there already; returns the number of pixels that show it."""
        window = self._window(pose)
        if window is None:
            return 0
        rows, columns = window
        u, v = _local(rows, columns, pose)
        relief = shape(u, v)
        grain = fractal(rng, u.shape, pose.size * 0.5)
        top = relief.height * np.float32(pose.size)
        foot = np.isfinite(top)
        if not foot.any():
            return 0
        # It rests on the higher spots below it; on the mean, thin things would sink into a rough bench.
        top = top + np.float32(np.percentile(self.height[rows, columns][foot], 75))
        if material.bumps:
            top = top + np.float32(material.bumps) * (0.6 * grain + 0.4 * grains(rng, u.shape))
        seen = foot & (top > self.height[rows, columns])
        self.height[rows, columns] = np.where(seen, top, self.height[rows, columns])
        self._paint(window, seen, relief, material, grain)
        return int(seen.sum())

    def _paint(
        self,
        window: tuple[slice, slice],
        seen: NDArray[np.bool_],
        relief: Relief,
        material: Material,
        grain: Field,
    ) -> None:
        blotch = np.clip(grain * 0.9 + np.float32(2.2 * material.stain - 1.0), 0, 1)
        if material.stain <= 0:
            blotch = np.zeros_like(blotch)
        colour = _mix(material.colour, material.stain_colour, blotch)
        metal = material.metal * (1 - blotch)
        rough = material.rough + (0.9 - material.rough) * blotch
        if relief.inlay is not None and relief.inlay_material is not None:
            inlay, other = relief.inlay, relief.inlay_material
            colour = colour + (np.asarray(other.colour, np.float32) - colour) * inlay[..., None]
            metal = metal + (other.metal - metal) * inlay
            rough = rough + (other.rough - rough) * inlay
        if relief.tone is not None:
            colour = colour * relief.tone[..., None]
        self.colour[window] = np.where(seen[..., None], colour, self.colour[window])
        self.metal[window] = np.where(seen, metal, self.metal[window])
        self.rough[window] = np.where(seen, rough, self.rough[window])

    def _window(self, pose: Pose) -> tuple[slice, slice] | None:
        height, width = self.shape
        reach = pose.size * 1.5
        rows = slice(max(0, int(pose.y - reach)), min(height, int(pose.y + reach) + 1))
        columns = slice(max(0, int(pose.x - reach)), min(width, int(pose.x + reach) + 1))
        return None if rows.start >= rows.stop or columns.start >= columns.stop else (rows, columns)


def _local(rows: slice, columns: slice, pose: Pose) -> tuple[Field, Field]:
    y, x = np.mgrid[rows, columns].astype(np.float32)
    x, y = x - np.float32(pose.x), y - np.float32(pose.y)
    across = -np.sin(pose.lean) * x + np.cos(pose.lean) * y
    stretch = across * (1 / pose.squeeze - 1)
    x, y = x - np.sin(pose.lean) * stretch, y + np.cos(pose.lean) * stretch
    cos, sin = np.cos(pose.angle) / pose.size, np.sin(pose.angle) / pose.size
    return (cos * x + sin * y).astype(np.float32), (-sin * x + cos * y).astype(np.float32)


def _mix(first: Colour, second: Colour, share: Field) -> NDArray[np.float32]:
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return (a + (b - a) * share[..., None]).astype(np.float32)
