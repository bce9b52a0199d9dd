"""Machine parts as height fields; every factory draws the proportions and returns a ``Shape``.

Lengths are in units of half the part's size, heights too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .noise import Field, smoothstep
from .scene import Material, Relief, Shape

Factory = Callable[[np.random.Generator], Shape]

_GROUND = np.float32(-np.inf)
_NYLON = Material((0.12, 0.3, 0.62), 0.0, 0.5)
_RUBBER = Material((0.05, 0.05, 0.055), 0.0, 0.7)


def nut(rng: np.random.Generator) -> Shape:
    """Draw a hexagon nut, chamfered, with its thread; some with a flange or a locking ring."""
    thick, bore = rng.uniform(0.45, 0.8), rng.uniform(0.42, 0.56)
    flange, locking = rng.random() < 0.2, rng.random() < 0.2
    flat = 0.7 if flange else 0.87

    def shape(u: Field, v: Field) -> Relief:
        radius, turn = np.hypot(u, v), np.arctan2(v, u)
        side = _polygon(u, v, 6)
        bore_px = bore * flat
        top = thick - 0.55 * np.clip(radius - 0.97 * flat, 0, None) - 0.02 * smoothstep(0.02, 0, flat - side)
        ridges = 0.035 * np.sin(radius * 75 + turn)
        cone = thick * smoothstep(bore_px, bore_px * 1.28, radius) + ridges * (radius < bore_px * 1.28)
        height = np.where(side < flat, np.minimum(top, cone), _GROUND)
        if flange:
            rim = thick * 0.18 + 0.5 * np.clip(1 - radius, 0, 0.12)
            height = np.where((radius < 1) & (side >= flat), rim, height)
        height = np.where(radius < bore_px, _GROUND, height)
        ring = smoothstep(1.5, 1.42, radius / bore_px) if locking else None
        return Relief(height.astype(np.float32), None, ring, _NYLON)

    return shape


def washer(rng: np.random.Generator) -> Shape:
    """Draw a flat ring; some are split spring washers, some dished."""
    bore, thick = rng.uniform(0.36, 0.62), rng.uniform(0.07, 0.17)
    split, dish = rng.random() < 0.25, rng.uniform(0, 0.12) * (rng.random() < 0.4)
    grooves, depth = rng.uniform(40, 120), rng.uniform(0, 0.004)

    def shape(u: Field, v: Field) -> Relief:
        radius, turn = np.hypot(u, v), np.arctan2(v, u)
        edge = np.minimum(1 - radius, radius - bore)
        marks = depth * np.sin(radius * grooves)
        top = thick - 0.5 * np.clip(0.04 - edge, 0, None) + dish * (1 - radius) + marks
        if split:
            top = top + 0.06 * (1 + turn / np.pi)
        height = np.where(edge > 0, top, _GROUND)
        if split:
            height = np.where(np.abs(np.sin(turn / 2 + 0.25 * (radius - bore))) > 0.996, _GROUND, height)
        return Relief(height.astype(np.float32))

    return shape


def gear(rng: np.random.Generator) -> Shape:
    """Draw a spur gear with a bore, a hub and sometimes windows in its web."""
    teeth, bore = int(rng.integers(11, 27)), rng.uniform(0.14, 0.36)
    depth = min(0.24, 4.2 / teeth)
    hub, thick = bore + rng.uniform(0.08, 0.16), rng.uniform(0.2, 0.42)
    windows = int(rng.choice([0, 0, 3, 4, 5, 6]))
    web, keyed = rng.uniform(0.35, 1.0), rng.random() < 0.5

    def shape(u: Field, v: Field) -> Relief:
        radius, turn = np.hypot(u, v), np.arctan2(v, u)
        wave = np.clip(1.5 * np.sin(teeth * turn), -1, 1)
        edge = (1 - depth / 2 + depth / 2 * wave) - radius
        rim = smoothstep(0.03, 0.06, radius - (1 - depth - 0.14)) + smoothstep(0.03, 0, radius - hub)
        top = thick * (web + (1 - web) * np.clip(rim, 0, 1)) + 0.08 * smoothstep(0.03, 0, radius - hub)
        top = top - 0.6 * np.clip(0.03 - edge, 0, None) + 0.003 * np.sin(radius * 90)
        height = np.where(edge > 0, top, _GROUND)
        middle = (hub + 1 - depth - 0.14) / 2
        if windows:
            spot = ((turn * windows / (2 * np.pi)) % 1 - 0.5) * 2 * np.pi / windows
            hole = np.hypot(middle * spot, radius - middle) < 0.5 * (middle - hub)
            height = np.where(hole, _GROUND, height)
        notch = keyed & (np.abs(v) < 0.25 * bore) & (u > 0) & (u < 1.3 * bore)
        return Relief(np.where((radius < bore) | notch, _GROUND, height).astype(np.float32))

    return shape


def bearing(rng: np.random.Generator) -> Shape:
    """Draw a ball bearing: two rings, a race between them, balls, mostly a cage."""
    balls, bore = int(rng.integers(7, 13)), rng.uniform(0.34, 0.48)
    wall = rng.uniform(0.12, 0.17)
    thick, caged = rng.uniform(0.32, 0.5), rng.random() < 0.6
    start = rng.uniform(0, 2 * np.pi)

    def shape(u: Field, v: Field) -> Relief:
        radius, turn = np.hypot(u, v), np.arctan2(v, u)
        inner, outer = bore + wall, 1 - wall
        edge = np.minimum.reduce([1 - radius, radius - bore, np.maximum(inner - radius, radius - outer)])
        rings = thick - 0.6 * np.clip(0.035 - edge, 0, None) + 0.002 * np.sin(radius * 110)
        middle = (inner + outer) / 2
        size = min((outer - inner) * 0.56, np.pi * (inner + outer) / 2 / balls * 0.92)
        spot = (((turn + start) * balls / (2 * np.pi)) % 1 - 0.5) * 2 * np.pi / balls
        off = np.hypot(middle * spot, radius - middle) / size
        ball = 0.45 * thick + size * 0.9 * np.sqrt(np.clip(1 - off**2, 0, None))
        cage = np.where(np.abs(radius - middle) < 0.4 * (outer - inner), 0.5 * thick, 0.08 * thick)
        race = np.where(off < 1, ball, cage if caged else np.float32(0.08 * thick))
        ring = (radius <= inner) | (radius >= outer)
        height = np.where(ring, rings, np.minimum(race, thick * 1.02))
        height = np.where((radius > 1) | (radius < bore), _GROUND, height)
        dark = np.where(ring | (off < 1), 0, 0.8).astype(np.float32)
        return Relief(height.astype(np.float32), None, dark, _RUBBER)

    return shape


def bolt(rng: np.random.Generator) -> Shape:
    """Draw a bolt or screw lying on its side: head, shank, thread."""
    thin, pitch = rng.uniform(0.13, 0.24), rng.uniform(0.06, 0.1)
    head, wide = rng.uniform(0.24, 0.4), rng.uniform(1.55, 2.0)
    kind, plain = int(rng.integers(3)), rng.uniform(-0.7, 0.2)

    def shape(u: Field, v: Field) -> Relief:
        neck = -1 + head
        furrow = np.abs(((u / pitch + 0.35 * v / thin) % 1) * 2 - 1) * (u > neck + plain + 0.4)
        thread = thin * (1 - 0.17 * furrow)
        shank = thread * smoothstep(1.03, 0.93, u)
        body = np.where((u > neck) & (u < 1), _round(v, shank), _GROUND)
        top = _head(u, v, kind, neck, head, thin * wide) - 0.4 * thin
        return Relief(np.maximum(body, top).astype(np.float32))

    return shape


def _head(u: Field, v: Field, kind: int, neck: float, length: float, half: float) -> Field:
    """Heads seen from the side: 0 hexagon, 1 cylinder with knurls, 2 dome."""
    inside = (u > -1) & (u <= neck)
    if kind == 0:
        facet = np.where(np.abs(v) < half / 2, half * 0.93, (half - np.abs(v)) * 1.7)
        height = facet + half * 0.5 - 0.9 * np.clip(-0.94 - u, 0, None)
        inside &= np.abs(v) < half
    elif kind == 1:
        height = _round(v, np.full_like(v, half)) + 0.012 * np.sin(v * 90) - 0.6 * np.clip(-0.95 - u, 0, None)
    else:
        reach = np.clip((neck - u) / length, 0, 1)
        height = _round(v, (half * np.sqrt(np.clip(1 - reach**2, 0, None))).astype(np.float32))
    return np.where(inside & (np.abs(v) < half), height, _GROUND).astype(np.float32)


def spring(rng: np.random.Generator) -> Shape:
    """Draw a coil spring lying on its side, cylindrical or slightly conical or bent."""
    coils, wire = rng.uniform(4.5, 9), rng.uniform(0.035, 0.06)
    wide, taper, bend = rng.uniform(0.24, 0.42), rng.uniform(-0.25, 0.25), rng.normal(0, 0.06)
    start, closed = rng.uniform(0, 2 * np.pi), rng.random() < 0.5
    t = np.linspace(-1, 1, 1200)
    along = np.sin(t * np.pi / 2) * 0.35 + t * 0.65 if closed else t
    turn = start + coils * np.pi * t
    radius = wide * (1 + taper * t)
    wave = radius * np.cos(turn) + bend * (1 - 4 * t**2)
    return swept(np.stack([along * 0.95, wave, radius * (1 + np.sin(turn))], axis=1), wire)


def swept(points: NDArray[np.float64], radius: float) -> Shape:
    """Sweep a round wire of ``radius`` along ``points`` (N, 3), which lie within -1.3 to 1.3."""
    side, reach = 420, 1.3
    scale = side / (2 * reach)
    canvas = np.full((side, side), -9.0, np.float32)
    half = int(np.ceil(radius * scale))
    offset = np.arange(-half, half + 1)
    for x, y, z in points:
        column, row = (x + reach) * scale, (y + reach) * scale
        rows, columns = int(row) + offset, int(column) + offset
        if rows[0] < 0 or columns[0] < 0 or rows[-1] >= side or columns[-1] >= side:
            continue
        room = radius**2 - ((rows[:, None] - row) ** 2 + (columns[None] - column) ** 2) / scale**2
        ball = np.where(room > 0, z + radius + np.sqrt(np.clip(room, 0, None)), -9.0)
        patch = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.maximum(patch, ball, out=patch, casting="same_kind")

    def shape(u: Field, v: Field) -> Relief:
        height = _sampled(canvas, (v + reach) * scale, (u + reach) * scale)
        return Relief(np.where(height > -1, height, _GROUND).astype(np.float32))

    return shape


def _sampled(canvas: Field, row: Field, column: Field) -> Field:
    """Bilinear look-up; the nearest pixel where a neighbour is empty, so that edges stay sharp."""
    side = canvas.shape[0]
    row, column = np.clip(row, 0, side - 2), np.clip(column, 0, side - 2)
    r, c = row.astype(np.intp), column.astype(np.intp)
    fr, fc = row - r, column - c
    corners = canvas[r, c], canvas[r, c + 1], canvas[r + 1, c], canvas[r + 1, c + 1]
    upper = corners[0] * (1 - fc) + corners[1] * fc
    lower = corners[2] * (1 - fc) + corners[3] * fc
    smooth = upper * (1 - fr) + lower * fr
    nearest = canvas[np.rint(row).astype(np.intp), np.rint(column).astype(np.intp)]
    return np.where(np.minimum.reduce(corners) < -1, nearest, smooth).astype(np.float32)


def _polygon(u: Field, v: Field, sides: int) -> Field:
    """Distance of each point along the nearest side's normal: below the apothem means inside."""
    step = 2 * np.pi / sides
    turn = (np.arctan2(v, u) + step / 2) % step - step / 2
    return (np.hypot(u, v) * np.cos(turn)).astype(np.float32)


def _round(v: Field, radius: Field) -> Field:
    """Upper side of a round bar of ``radius`` that lies on the ground, -inf beside it."""
    room = radius**2 - v**2
    return np.where(room > 0, radius + np.sqrt(np.clip(room, 0, None)), _GROUND).astype(np.float32)


#: Class name -> factory; the folder names of the set.
PARTS: dict[str, Factory] = {
    "bearing": bearing,
    "bolt": bolt,
    "gear": gear,
    "nut": nut,
    "spring": spring,
    "washer": washer,
}
