"""Surfaces to work on: each paints colour, height and gloss over the whole scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .noise import Field, fractal, grains, smoothstep, turned
from .scene import Colour, Scene

Bench = Callable[[np.random.Generator, Scene], None]


def _square(scene: Scene) -> tuple[int, int]:
    side = int(np.hypot(*scene.shape)) + 4
    return side, side


def _blend(first: Colour, second: Colour, share: Field) -> NDArray[np.float32]:
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return (a + (b - a) * np.clip(share, 0, 1)[..., None]).astype(np.float32)


def _any(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    pick = np.asarray(colours[int(rng.integers(len(colours)))])
    red, green, blue = np.clip(pick * rng.uniform(0.8, 1.2) + rng.normal(0, 0.01, 3), 0.01, 0.95)
    return float(red), float(green), float(blue)


def _scaled(colour: Colour, factor: float) -> Colour:
    """``colour`` lighter or darker, at most 1."""
    red, green, blue = (min(1.0, channel * factor) for channel in colour)
    return red, green, blue


def wood(rng: np.random.Generator, scene: Scene) -> None:
    """Lay boards with grain and gaps."""
    size, degrees = _square(scene), rng.uniform(0, 180)
    v = np.mgrid[0 : size[0], 0 : size[1]][0].astype(np.float32)
    board = float(rng.uniform(0.35, 0.9) * size[0])
    fibre = fractal(rng, size, 7, 3, stretch=14)
    rings = np.sin(v / np.float32(rng.uniform(4, 11)) + 2.6 * fractal(rng, size, 60, 3, stretch=5))
    offset = (v + np.float32(rng.uniform(0, board))) % np.float32(board)
    gap = smoothstep(5, 1.5, np.minimum(offset, board - offset))
    light = _any(rng, ((0.55, 0.36, 0.2), (0.68, 0.52, 0.34), (0.4, 0.24, 0.13), (0.5, 0.42, 0.34)))
    share = (0.45 + 0.2 * rings + 0.2 * fibre).astype(np.float32)
    colour = _blend(light, _scaled(light, 0.55), turned(share, degrees, scene.shape))
    groove = turned(gap, degrees, scene.shape)
    scene.colour[:] = colour * (1 - 0.8 * groove)[..., None]
    scene.height[:] = turned(0.35 * fibre + 0.25 * rings, degrees, scene.shape) - 4 * groove
    scene.rough[:] = 0.75


def brushed(rng: np.random.Generator, scene: Scene) -> None:
    """Lay a plate of brushed metal with scratches."""
    size, degrees = _square(scene), rng.uniform(0, 180)
    brush = fractal(rng, size, 3, 2, stretch=40)
    plate = _any(rng, ((0.55, 0.57, 0.6), (0.42, 0.43, 0.45), (0.6, 0.55, 0.46)))
    stain = fractal(rng, scene.shape, 90)
    scene.colour[:] = _blend(plate, _scaled(plate, 0.6), 0.25 + 0.2 * stain)
    scene.height[:] = 0.12 * turned(brush, degrees, scene.shape) + _scratches(rng, scene.shape, 8, 0.6)
    scene.metal[:] = 0.75
    scene.rough[:] = np.clip(0.6 + 0.08 * stain, 0.2, 1)


def cardboard(rng: np.random.Generator, scene: Scene) -> None:
    """Lay kraft board: faint flutes, fibres, a crease."""
    size, degrees = _square(scene), rng.uniform(0, 180)
    v = np.mgrid[0 : size[0], 0 : size[1]][0].astype(np.float32)
    flutes = turned(np.sin(v / np.float32(rng.uniform(2.6, 5))), degrees, scene.shape)
    fibre = fractal(rng, scene.shape, 5, 2)
    base = _any(rng, ((0.5, 0.36, 0.22), (0.42, 0.3, 0.18), (0.62, 0.58, 0.52), (0.3, 0.32, 0.34)))
    scene.colour[:] = _blend(base, _scaled(base, 0.7), 0.4 + 0.1 * fibre + 0.08 * flutes)
    scene.height[:] = 0.15 * fibre + 0.25 * flutes + 1.2 * fractal(rng, scene.shape, 160, 2)
    scene.rough[:] = 0.95


def cloth(rng: np.random.Generator, scene: Scene) -> None:
    """Spread woven cloth, plain or checked, with soft folds."""
    size, degrees = _square(scene), rng.uniform(0, 90)
    v, u = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    pitch = np.float32(rng.uniform(1.1, 2.2))
    weave = np.sin(u / pitch) * np.sin(v / pitch) + 0.35 * fractal(rng, size, 4, 2)
    dyes = ((0.12, 0.18, 0.35), (0.5, 0.1, 0.1), (0.6, 0.58, 0.52), (0.12, 0.25, 0.18), (0.1, 0.1, 0.11))
    first = _any(rng, dyes)
    share = np.zeros(size, np.float32)
    if rng.random() < 0.5:
        band = np.float32(rng.uniform(18, 50))
        share = 0.5 * ((np.sin(u / band) > 0.2).astype(np.float32) + (np.sin(v / band) > 0.2))
    second = _any(rng, ((0.75, 0.73, 0.68), (0.3, 0.3, 0.32), (0.55, 0.42, 0.2)))
    colour = _blend(first, second, turned(share, degrees, scene.shape))
    threads = turned(weave.astype(np.float32), degrees, scene.shape)
    scene.colour[:] = colour * (0.85 + 0.15 * threads)[..., None]
    folds = fractal(rng, scene.shape, 150, 2, stretch=float(rng.uniform(1, 3)))
    scene.height[:] = 0.45 * threads + float(rng.uniform(1, 6)) * folds
    scene.rough[:] = 0.97


def stone(rng: np.random.Generator, scene: Scene) -> None:
    """Lay concrete or granite: speckles and pits."""
    base = _any(rng, ((0.45, 0.45, 0.44), (0.3, 0.31, 0.33), (0.55, 0.5, 0.44), (0.2, 0.21, 0.23)))
    cloud, speck = fractal(rng, scene.shape, 70), fractal(rng, scene.shape, float(rng.uniform(4, 9)), 2)
    pits = smoothstep(1.6, 2.4, fractal(rng, scene.shape, 9, 2))
    share = 0.35 + 0.12 * cloud + 0.22 * smoothstep(0.4, 1.4, speck) - 0.25 * smoothstep(-0.6, -1.6, speck)
    scene.colour[:] = _blend(_scaled(base, 1.3), _scaled(base, 0.5), share)
    scene.height[:] = 0.5 * cloud + 0.25 * grains(rng, scene.shape) - 2.5 * pits
    scene.rough[:] = 0.85


def mat(rng: np.random.Generator, scene: Scene) -> None:
    """Lay a cutting mat or squared paper: a grid of thin lines, cuts."""
    size, degrees = _square(scene), rng.normal(0, 25)
    v, u = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    pitch = np.float32(rng.uniform(34, 80))
    near = np.minimum(np.abs((u % pitch) - pitch / 2), np.abs((v % pitch) - pitch / 2))
    lines = turned(smoothstep(2.0, 0.7, near), degrees, scene.shape)
    base, ink = (
        ((0.06, 0.2, 0.15), (0.45, 0.55, 0.3)),
        ((0.07, 0.13, 0.25), (0.5, 0.55, 0.6)),
        ((0.72, 0.72, 0.69), (0.3, 0.42, 0.6)),
        ((0.12, 0.12, 0.13), (0.35, 0.35, 0.36)),
    )[int(rng.integers(4))]
    wear = fractal(rng, scene.shape, 50)
    scene.colour[:] = _blend(base, ink, 0.65 * lines) * (1 + 0.12 * wear)[..., None]
    scene.height[:] = 0.12 * grains(rng, scene.shape) + _scratches(rng, scene.shape, 10, 0.8)
    scene.rough[:] = 0.7


def paint(rng: np.random.Generator, scene: Scene) -> None:
    """Paint the bench top, worn through in places."""
    coats = ((0.08, 0.2, 0.32), (0.35, 0.08, 0.06), (0.18, 0.26, 0.2), (0.5, 0.4, 0.1), (0.55, 0.56, 0.55))
    base = _any(rng, coats)
    worn = smoothstep(1.0, 1.35, fractal(rng, scene.shape, 60, 5))
    cloud = fractal(rng, scene.shape, 120)
    scene.colour[:] = _blend(base, (0.3, 0.27, 0.24), worn) * (1 + 0.1 * cloud)[..., None]
    scene.height[:] = 0.5 * cloud - 0.9 * worn + _scratches(rng, scene.shape, 14, 0.9)
    scene.height[:] += 0.1 * grains(rng, scene.shape)
    scene.metal[:] = 0.4 * worn
    scene.rough[:] = 0.45 + 0.4 * worn


def foam(rng: np.random.Generator, scene: Scene) -> None:
    """Lay rubber or leather: small rounded bumps."""
    base = _any(rng, ((0.06, 0.06, 0.065), (0.2, 0.1, 0.06), (0.1, 0.12, 0.16), (0.32, 0.3, 0.28)))
    cells = fractal(rng, scene.shape, float(rng.uniform(7, 14)), 2)
    scene.colour[:] = np.asarray(base, np.float32) * (1 + 0.15 * cells)[..., None]
    scene.height[:] = 1.3 * np.abs(cells) + 1.5 * fractal(rng, scene.shape, 140, 2)
    scene.rough[:] = 0.62


def _scratches(rng: np.random.Generator, shape: tuple[int, int], most: int, depth: float) -> Field:
    """Straight thin furrows (H, W), px, at most ``most``."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    total = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(most // 2, most + 1))):
        angle = rng.uniform(0, np.pi)
        px, py = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        along = np.cos(angle) * (x - px) + np.sin(angle) * (y - py)
        across = -np.sin(angle) * (x - px) + np.cos(angle) * (y - py)
        here = smoothstep(1.6, 0.4, np.abs(across)) * (np.abs(along) < rng.uniform(20, 160))
        total -= np.float32(rng.uniform(0.2, depth)) * here
    return total


BENCHES: tuple[Bench, ...] = (wood, wood, brushed, cardboard, cloth, stone, mat, paint, foam)
