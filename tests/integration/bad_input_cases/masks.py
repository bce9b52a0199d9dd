"""Pictures of masks: what their values mean, and masks that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from tests.integration.bad_input_cases.case import Case, mask, picture, put, saved

PALETTE = "Palette mask"
BINARY = "Mask with 0 and 255 only"
VOID = "255 as void"
OUTSIDE = "Mask values outside the class list"
SIZE = "Mask size is not the image size"
LEFT, RIGHT, EDGE = (1, 2, 9, 14), (10, 2, 19, 14), (9, 0, 10, 16)
LIST = "background\nroad\nsky\n"
Masks = Mapping[str, Image.Image]


def built(drawn: Masks, **files: str | bytes) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        for at, (name, image) in enumerate(drawn.items()):
            put(folder, {f"images/{name}.png": picture(at), f"masks/{name}.png": saved(image)})
        put(folder, files)

    return build


def palette(values: Mapping[tuple[int, int, int, int], int]) -> Image.Image:
    """Indices whose colours ``convert("L")`` would turn into other numbers."""
    image = mask(values).convert("P")
    image = Image.frombytes("P", image.size, mask(values).tobytes())
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [7] * 759)
    return image


ONE_CLASS = {"a": mask({LEFT: 255}), "b": mask({RIGHT: 255}), "c": mask({})}
THREE = {"a": mask({LEFT: 1, RIGHT: 2}), "b": mask({LEFT: 2}), "c": mask({RIGHT: 1})}
BORDERED = {"a": mask({LEFT: 1, RIGHT: 2, EDGE: 255}), "b": mask({LEFT: 2}), "c": mask({RIGHT: 1})}
CASES = (
    Case(
        "mask_palette",
        PALETTE,
        built({"a": palette({LEFT: 1, RIGHT: 2}), "b": palette({LEFT: 2})}, **{"classes.txt": LIST}),
        task="semantic",
    ),
    Case("mask_of_0_and_255", BINARY, built(ONE_CLASS), task="semantic"),
    Case(
        "mask_of_0_and_255_listed",
        BINARY,
        built(ONE_CLASS, **{"classes.txt": "background\nroad\n"}),
        task="semantic",
    ),
    Case("mask_of_255_beside_a_list", VOID, built(BORDERED, **{"classes.txt": LIST}), task="semantic"),
    Case(
        "mask_of_255_beside_values",
        VOID,
        built(BORDERED),
        task="semantic",
        answers=[{"void": "ignore"}, {"void": "class"}],
    ),
    Case(
        "mask_of_values_outside_the_list",
        OUTSIDE,
        built({**THREE, "d": mask({LEFT: 4, RIGHT: 5})}, **{"classes.txt": LIST}),
        task="semantic",
    ),
    Case(
        "mask_of_colours_without_a_table",
        OUTSIDE,
        built(
            {
                name: one.convert("RGB").point(lambda v: v * 60)
                if name != "a"
                else palette({LEFT: 1, RIGHT: 2}).convert("RGB")
                for name, one in THREE.items()
            }
        ),
        task="semantic",
    ),
    Case(
        "mask_of_another_size",
        SIZE,
        built(
            {**THREE, "d": mask({(2, 4, 18, 28): 1}, (40, 32)), "e": mask({(2, 2, 9, 9): 1}, (20, 20))},
            **{"classes.txt": LIST},
        ),
        task="semantic",
    ),
    Case(
        "mask_that_is_missing",
        "Annotation whose image is missing",
        built(
            THREE,
            **{"classes.txt": LIST, "masks/gone.png": saved(mask({LEFT: 1})), "images/z.png": picture(9)},
        ),
        task="semantic",
    ),
)
