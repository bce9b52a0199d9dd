"""What else lies about on a bench and belongs to no class."""

from __future__ import annotations

import numpy as np

from .noise import Field, smoothstep
from .parts import Factory, swept
from .scene import Material, Relief, Shape

_GROUND = np.float32(-np.inf)


def ball(rng: np.random.Generator) -> Shape:
    """Draw a loose ball or a bead."""
    flat = rng.uniform(0.5, 1.0)

    def shape(u: Field, v: Field) -> Relief:
        room = 1 - u**2 - v**2
        top = np.where(room > 0, flat * (1 + np.sqrt(np.clip(room, 0, None))), _GROUND)
        return Relief(top.astype(np.float32))

    return shape


def pin(rng: np.random.Generator) -> Shape:
    """Draw a dowel pin or an offcut of rod."""
    thin = rng.uniform(0.12, 0.35)

    def shape(u: Field, v: Field) -> Relief:
        radius = thin * (1 - 0.5 * smoothstep(0.9, 1.0, np.abs(u)))
        room = radius**2 - v**2
        top = np.where((room > 0) & (np.abs(u) < 1), radius + np.sqrt(np.clip(room, 0, None)), _GROUND)
        return Relief(top.astype(np.float32))

    return shape


def plate(rng: np.random.Generator) -> Shape:
    """Draw a flat offcut with three to five sides, sometimes drilled."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 6))))
    reach, thick, drilled = rng.uniform(0.45, 0.8, angles.size), rng.uniform(0.05, 0.2), rng.random() < 0.4

    def shape(u: Field, v: Field) -> Relief:
        edge = np.full_like(u, 0.95) - np.hypot(u, v)
        for angle, far in zip(angles, reach, strict=True):
            edge = np.minimum(edge, far - (u * np.cos(angle) + v * np.sin(angle)))
        if drilled:
            edge = np.minimum(edge, np.hypot(u - 0.1, v) - 0.16)
        return Relief(np.where(edge > 0, thick - np.clip(0.03 - edge, 0, None), _GROUND).astype(np.float32))

    return shape


def wire(rng: np.random.Generator) -> Shape:
    """Draw a bent piece of wire or cable."""
    t = np.linspace(-1, 1, 600)
    bends = rng.normal(0, 0.28, 4) / np.arange(1, 5)
    y = sum(bend * np.sin((k + 1) * np.pi * t + rng.uniform(0, 6)) for k, bend in enumerate(bends))
    path = np.stack([t, np.clip(y, -1.1, 1.1), np.zeros_like(t)], axis=1)
    return swept(path, float(rng.uniform(0.02, 0.06)))


def shaving(rng: np.random.Generator) -> Shape:
    """Draw a curl of swarf from a lathe."""
    t = np.linspace(0, 1, 400)
    turns, out = rng.uniform(1.0, 2.2), rng.uniform(0.3, 0.8)
    turn = 2 * np.pi * turns * t
    radius = out * (0.35 + 0.65 * t)
    path = np.stack([radius * np.cos(turn) * 0.6 + 0.4 * t, radius * np.sin(turn), 0.1 * t], axis=1)
    return swept(path, float(rng.uniform(0.025, 0.05)))


def ruler(rng: np.random.Generator) -> Shape:
    """Draw a scale with its marks."""
    half, pitch = rng.uniform(0.1, 0.16), rng.uniform(0.025, 0.04)

    def shape(u: Field, v: Field) -> Relief:
        edge = np.minimum(1 - np.abs(u), half - np.abs(v))
        number = np.rint(u / pitch)
        long = np.where(number % 10 == 0, 0.9, np.where(number % 5 == 0, 0.6, 0.4)) * half
        mark = (np.abs(u / pitch - number) < 0.2) & (half - np.abs(v) < long) & (v > 0)
        tone = np.where(mark, 0.15, 1.0).astype(np.float32)
        return Relief(np.where(edge > 0, np.float32(0.012), _GROUND).astype(np.float32), tone)

    return shape


def pencil(rng: np.random.Generator) -> Shape:
    """Draw a pencil with a sharpened end."""
    half = rng.uniform(0.035, 0.05)
    bare = Material((0.7, 0.5, 0.3), 0.0, 0.8)

    def shape(u: Field, v: Field) -> Relief:
        tip = np.clip((1 - u) / 0.16, 0, 1)
        radius = half * tip
        facet = np.where(np.abs(v) < radius / 2, 0.9 * radius, 1.75 * (radius - np.abs(v)))
        top = np.where((np.abs(v) < radius) & (u > -1) & (u < 1), half + facet, _GROUND)
        wood = (u > 0.84 + 0.02 * np.sin(v * 300)).astype(np.float32)
        tone = np.where(u > 0.95, 0.15, 1.0).astype(np.float32)
        return Relief(top.astype(np.float32), tone, wood, bare)

    return shape


def note(rng: np.random.Generator) -> Shape:
    """Draw a slip of paper with lines of handwriting."""
    half, lines = rng.uniform(0.5, 0.8), int(rng.integers(9, 18))
    words = rng.random((2 * lines, 60)) > 0.22
    swing = rng.uniform(0.1, 0.22)

    def shape(u: Field, v: Field) -> Relief:
        inside = (np.abs(u) < 1) & (np.abs(v) < half)
        line = np.floor(v * lines)
        strokes = np.sin(u * 190 + line) * np.sin(u * 43 + 5 * line) + 0.7 * np.sin(u * 107 + 3 * line)
        row = (line + lines).astype(np.intp).clip(0, 2 * lines - 1)
        word = words[row, ((u + 1) * 30).astype(np.intp).clip(0, 59)]
        written = (np.abs(v * lines - line - 0.5 - swing * strokes) < 0.085) & word & (np.abs(u) < 0.85)
        return Relief(
            np.where(inside, 0.006 + 0.01 * u**2, _GROUND).astype(np.float32),
            np.where(written, 0.35, 1.0).astype(np.float32),
        )

    return shape


_STEEL = Material((0.62, 0.63, 0.65), 0.9, 0.4)
_TIMBER = Material((0.55, 0.4, 0.2), 0.0, 0.6)
_CABLES = tuple(Material(c, 0.0, 0.5) for c in ((0.5, 0.06, 0.05), (0.05, 0.1, 0.35), (0.06, 0.06, 0.06)))
_LACQUER = tuple(Material(c, 0.0, 0.4) for c in ((0.6, 0.4, 0.04), (0.5, 0.06, 0.04), (0.05, 0.2, 0.12)))
_PAPER = tuple(Material(c, 0.0, 0.95) for c in ((0.62, 0.61, 0.58), (0.62, 0.55, 0.3), (0.5, 0.57, 0.62)))

#: Small things strewn about, in the materials of the parts.
SMALL: tuple[Factory, ...] = (ball, pin, plate, wire, shaving)
#: Long or flat things that reach into the picture, each with what it is made of.
LARGE: tuple[tuple[Factory, tuple[Material, ...]], ...] = (
    (ruler, (_STEEL, _TIMBER, _LACQUER[0])),
    (pencil, _LACQUER),
    (note, _PAPER),
    (wire, (_STEEL, *_CABLES)),
    (plate, (_STEEL, _TIMBER)),
)
