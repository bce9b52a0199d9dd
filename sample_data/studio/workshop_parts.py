"""The set "workshop_parts": six kinds of machine parts photographed on benches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .benches import BENCHES
from .clutter import LARGE, SMALL
from .light import Lamp, shade
from .parts import PARTS
from .photograph import Camera, develop, encode
from .scene import Material, Pose, Scene

NAME = "workshop_parts"
PER_CLASS = 64
SEED = 20_240_611
#: The scene is drawn this much larger than the picture.
OVER = 3

# One palette for parts and clutter alike, so that no colour belongs to a class.
MATERIALS: tuple[Material, ...] = (
    Material((0.62, 0.63, 0.65), 1.0, 0.28),
    Material((0.62, 0.63, 0.65), 1.0, 0.5, bumps=0.12),
    Material((0.5, 0.5, 0.5), 0.9, 0.45, stain=0.35, bumps=0.2),
    Material((0.78, 0.58, 0.26), 1.0, 0.32),
    Material((0.75, 0.4, 0.26), 1.0, 0.38),
    Material((0.7, 0.64, 0.42), 1.0, 0.35),
    Material((0.13, 0.13, 0.14), 0.7, 0.42),
    Material((0.3, 0.16, 0.09), 0.25, 0.85, stain=0.4, stain_colour=(0.34, 0.12, 0.04), bumps=0.4),
    Material((0.55, 0.54, 0.51), 0.0, 0.45),
    Material((0.06, 0.06, 0.065), 0.0, 0.45),
    Material((0.1, 0.2, 0.5), 0.45, 0.35),
    Material((0.5, 0.07, 0.05), 0.35, 0.4),
)


@dataclass(frozen=True)
class Photo:
    """One file of the set."""

    path: str
    data: bytes


def photo(class_name: str, number: int) -> Photo:
    """Draw picture ``number`` of ``class_name``; the same numbers give the same file."""
    rng = np.random.default_rng([SEED, sorted(PARTS).index(class_name), number])
    kind, grey, orientation = _kind(number)
    picture = _picture(rng, class_name, _size(rng, kind))
    if grey:
        picture = picture.convert("L")
    data = encode(picture, kind, int(rng.integers(58, 79)), orientation)
    ending = {"jpeg": "jpg", "webp": "webp"}.get(kind, "png")
    return Photo(f"{class_name}/{class_name}_{number:03d}.{ending}", data)


def paths() -> list[tuple[str, int]]:
    """(class name, number) of every picture, in order."""
    return [(name, number) for name in sorted(PARTS) for number in range(PER_CLASS)]


def _size(rng: np.random.Generator, kind: str) -> tuple[int, int]:
    # PNG keeps the sensor noise, at ten times the bytes.
    sides = [160, 176] if kind in {"png", "alpha"} else [176, 192, 208, 224, 240, 256, 288]
    long = int(rng.choice(sides))
    short = round(long * float(rng.choice([1.0, 0.75, 0.75, 0.6667])))
    return (long, short) if rng.random() < 0.65 else (short, long)


def _kind(number: int) -> tuple[str, bool, int]:
    """(kind of file, grey, EXIF orientation), in the same mixture for every class."""
    special = {
        3: ("png", False, 1),
        7: ("jpeg", False, 6),
        19: ("jpeg", False, 3),
        31: ("jpeg", False, 8),
        11: ("jpeg", True, 1),
        37: ("png", True, 1),
        23: ("palette", False, 1),
        43: ("alpha", False, 1),
    }
    return special.get(number, ("webp" if number % 6 == 5 else "jpeg", False, 1))


def _picture(rng: np.random.Generator, class_name: str, size: tuple[int, int]) -> Image.Image:
    scene = Scene.empty(size[1] * OVER, size[0] * OVER)
    BENCHES[int(rng.integers(len(BENCHES)))](rng, scene)
    _strew(rng, scene, 0.6, 2.5)
    _lay(rng, scene, class_name)
    _strew(rng, scene, 0.12, 0.6)
    azimuth = rng.uniform(0, 2 * np.pi)
    warm = rng.normal(0, 0.07)
    lamp = Lamp(
        azimuth,
        rng.uniform(0.5, 1.15),
        rng.uniform(1.0, 1.8),
        rng.uniform(0.25, 0.55),
        rng.uniform(0.08, 0.4),
        (1 + warm, 1.0, 1 - warm),
        np.column_stack([rng.normal(0, 3.5, (4, 3)), rng.uniform(0, 2 * np.pi, 4)]).astype(np.float32),
    )
    camera = Camera(
        float(np.exp(rng.normal(0.0, 0.18))),
        tuple(1 + rng.normal(0, 0.05, 3)),
        float(rng.choice([0.0, 0.0, 0.4, 0.7])),
        rng.uniform(0.004, 0.018),
        rng.uniform(0.0, 0.4),
        rng.normal(0, 0.15),
    )
    return develop(shade(scene, lamp), camera, size, rng)


def _material(rng: np.random.Generator) -> Material:
    return MATERIALS[int(rng.integers(len(MATERIALS)))]


def _strew(rng: np.random.Generator, scene: Scene, large: float, small: float) -> None:
    """Clutter of no class, about ``large`` long or flat things at the border and ``small`` small ones."""
    height, width = scene.shape
    short = min(height, width)
    for _ in range(int(rng.poisson(large))):
        factory, materials = LARGE[int(rng.integers(len(LARGE)))]
        turn = rng.uniform(0, 2 * np.pi)
        x, y = width / 2 + 0.5 * width * np.cos(turn), height / 2 + 0.5 * height * np.sin(turn)
        pose = Pose(x, y, short * rng.uniform(0.5, 0.9), rng.uniform(0, 2 * np.pi))
        scene.put(factory(rng), pose, materials[int(rng.integers(len(materials)))], rng)
    for _ in range(int(rng.poisson(small))):
        factory = SMALL[int(rng.integers(len(SMALL)))]
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        pose = Pose(x, y, short * rng.uniform(0.03, 0.12), rng.uniform(0, 2 * np.pi))
        scene.put(factory(rng), pose, _material(rng), rng)


def _lay(rng: np.random.Generator, scene: Scene, class_name: str) -> None:
    """One to three parts of the class, the first the largest and near the middle."""
    height, width = scene.shape
    short = min(height, width)
    size = short * rng.uniform(0.24, 0.44)
    material = _material(rng)
    factory = PARTS[class_name]
    lean, squeeze = rng.uniform(0, np.pi), rng.uniform(0.8, 1.0)
    first = (width / 2 + rng.normal(0, 0.07) * width, height / 2 + rng.normal(0, 0.07) * height)
    for index in range(int(rng.choice([1, 1, 1, 2, 3]))):
        x, y = first
        if index:
            turn, far = rng.uniform(0, 2 * np.pi), size * rng.uniform(1.5, 2.4)
            x, y, size = x + far * np.cos(turn), y + far * np.sin(turn), size * rng.uniform(0.6, 0.95)
            material = material if rng.random() < 0.6 else _material(rng)
        pose = Pose(x, y, size, rng.uniform(0, 2 * np.pi), squeeze, lean)
        scene.put(factory(rng), pose, material, rng)
