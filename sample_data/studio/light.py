"""From a scene to light on the sensor: normals, soft shadows, occlusion, mirrored surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .noise import Field, blurred, smoothstep
from .scene import Scene


@dataclass(frozen=True)
class Lamp:
    """The lamp and the room around it.

    ``azimuth`` and ``elevation`` in radians; ``size``: tangent of half its width seen from the bench;
    ``room`` (K, 4): waves in what metal mirrors, a wave vector and a phase each.
    """

    azimuth: float
    elevation: float
    strength: float
    ambient: float
    size: float
    tint: tuple[float, float, float]
    room: NDArray[np.float32]

    @property
    def direction(self) -> NDArray[np.float32]:
        """Unit vector (3,) towards the lamp: x right, y down, z up."""
        flat = np.cos(self.elevation)
        return np.array(
            [flat * np.cos(self.azimuth), flat * np.sin(self.azimuth), np.sin(self.elevation)], np.float32
        )


def shade(scene: Scene, lamp: Lamp) -> NDArray[np.float32]:
    """Linear light (H, W, 3) that the camera straight above receives."""
    normal = _normals(scene.height)
    lit = shadow(scene.height, lamp)
    open_sky = _openness(scene.height)
    mirrored = _mirror(normal)
    facing = np.clip(normal @ lamp.direction, 0, None) * lit
    diffuse = lamp.ambient * open_sky + lamp.strength * facing
    gloss = 1 - scene.rough
    shine = _highlight(mirrored, lamp, scene.rough) * lit
    around = _surroundings(mirrored, lamp, scene.rough) * (0.35 + 0.65 * open_sky) * (0.55 + 0.45 * lit)
    metal = scene.metal[..., None]
    paint = scene.colour * diffuse[..., None] + (0.35 * gloss * shine)[..., None]
    bare = scene.colour * (around + 1.3 * shine + 0.12 * diffuse)[..., None]
    light = paint * (1 - metal) + bare * metal
    return np.asarray(light * np.asarray(lamp.tint, np.float32), dtype=np.float32)


def shadow(height: Field, lamp: Lamp, steps: int = 22) -> Field:
    """Share of the lamp (H, W), 0 to 1, that each pixel sees past what stands between."""
    dx, dy, _ = lamp.direction
    flat = float(np.hypot(dx, dy))
    rise = float(np.tan(lamp.elevation))
    longest = float(height.max() - height.min()) / max(rise, 0.1)
    blocked = np.full_like(height, -1e9)
    for distance in np.geomspace(1.5, max(longest, 2.0), steps):
        column, row = round(distance * dx / flat), round(distance * dy / flat)
        over = _shifted(height, row, column) - height - np.float32(distance * rise)
        np.maximum(blocked, over / np.float32(0.8 + distance * lamp.size), out=blocked)
    return 1 - smoothstep(-1.0, 1.0, blocked)


def _shifted(field: Field, rows: int, columns: int) -> Field:
    """``field`` read ``rows`` down and ``columns`` right of each pixel, the border repeated."""
    height, width = field.shape
    y = np.clip(np.arange(height) + rows, 0, height - 1)
    x = np.clip(np.arange(width) + columns, 0, width - 1)
    return field[y][:, x]


def _normals(height: Field) -> NDArray[np.float32]:
    slope_y, slope_x = np.gradient(height)
    # Walls are steeper than the pixels can say; without a bound they would all be black lines.
    up = np.ones_like(height)
    normal = np.stack([-np.clip(slope_x, -3, 3), -np.clip(slope_y, -3, 3), up], axis=-1)
    return np.asarray(normal / np.linalg.norm(normal, axis=-1, keepdims=True), dtype=np.float32)


def _openness(height: Field) -> Field:
    """Ambient occlusion (H, W): how much of the sky is left beside what stands around."""
    closed = np.zeros_like(height)
    for radius in (4.0, 10.0, 28.0):
        closed += np.clip(blurred(height, radius) - height, 0, None) / np.float32(radius)
    return np.asarray(1 / (1 + 1.1 * closed), dtype=np.float32)


def _mirror(normal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Direction (H, W, 3) mirrored at each pixel for a camera near above the middle."""
    height, width = normal.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    far = np.float32(1.3 * max(height, width))
    view = np.stack([(width / 2 - x) / far, (height / 2 - y) / far, np.ones_like(x)], axis=-1)
    view /= np.linalg.norm(view, axis=-1, keepdims=True)
    along = np.sum(view * normal, axis=-1, keepdims=True)
    return np.asarray(2 * along * normal - view, dtype=np.float32)


def _highlight(mirrored: NDArray[np.float32], lamp: Lamp, rough: Field) -> Field:
    """Reflection (H, W) of the lamp itself; narrow and strong where the surface is smooth."""
    near = np.clip(mirrored @ lamp.direction, 0, 1)
    power = 6 + 120 * (1 - rough) ** 2
    return np.asarray(np.power(near, power) * (0.5 + 2.2 * (1 - rough)), dtype=np.float32)


def _surroundings(mirrored: NDArray[np.float32], lamp: Lamp, rough: Field) -> Field:
    """Reflection (H, W) of the room: ceiling, a window, a strip light, furniture, dark walls."""
    up = mirrored[..., 2]
    turn = lamp.azimuth + 2.1
    side = mirrored[..., 0] * np.float32(np.cos(turn)) + mirrored[..., 1] * np.float32(np.sin(turn))
    furniture = np.zeros_like(up)
    for *wave, phase in lamp.room:
        furniture += np.sin(mirrored @ np.asarray(wave, np.float32) + phase)
    furniture *= (1 - 0.7 * rough) / np.float32(np.sqrt(len(lamp.room)))
    room = 0.1 + 0.42 * smoothstep(-0.3, 1.0, up) * (1 + 0.75 * furniture)
    edge = 0.25 + 0.3 * (float(rough.mean()) + 0.2)
    window = smoothstep(0.25, edge, side) * smoothstep(0.9, 0.5, np.abs(up - 0.1))
    strip = smoothstep(0.16, 0.06, np.abs(side + 0.42)) * smoothstep(0.2, 0.6, up)
    sharp = (1.3 * window + 1.0 * strip) * (1 - 0.65 * rough)
    return np.asarray(np.clip(room + lamp.strength * sharp, 0, None), dtype=np.float32)
