"""Pictures that are damaged, or not eight bits of red, green and blue."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from tests.integration.bad_input_cases.case import Case, picture, put, saved
from tests.unit.test_picture_kinds import tiff

MANY = "HEIC photo, multi-page or multi-channel TIFF, GIF"


def built(**files: bytes) -> Callable[[Path], None]:
    """Class folders with two sound pictures each, and what is odd."""

    def build(folder: Path) -> None:
        sound = {
            f"{name}/{at}.png": picture(at + 10 * (name == "dog")) for name in ("cat", "dog") for at in (1, 2)
        }
        put(folder, sound | dict(files.items()))

    return build


def ramp(kind: type, low: float, high: float) -> Image.Image:
    return Image.fromarray(np.linspace(low, high, 320).reshape(16, 20).astype(kind))


def frames(kind: str, count: int = 3) -> bytes:
    drawn = [Image.new("RGB", (20, 16), (60 * at, 100, 200 - 40 * at)) for at in range(count)]
    return saved(drawn[0], kind, save_all=True, append_images=drawn[1:])


def heic() -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (32, 32), (200, 30, 40))).save(buffer, quality=90)
    return buffer.getvalue()


def see_through() -> bytes:
    image = Image.new("RGBA", (20, 16), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 10, 16))
    return saved(image)


def channels() -> bytes:
    return tiff(np.random.default_rng(3).integers(0, 255, (16, 20, 5), dtype=np.uint8))


WHOLE = picture(9, (64, 64), "JPEG")
CASES = (
    Case(
        "picture_cut_short",
        "Truncated JPEG",
        built(**{"cat/cut.jpg": WHOLE[: len(WHOLE) // 2], "cat/empty.jpg": b"", "dog/text.png": b"hello"}),
        "classification",
    ),
    Case(
        "picture_of_more_bits",
        "16-bit, float",
        built(
            **{
                "cat/deep.png": saved(ramp(np.uint16, 100, 900)),
                "dog/float.tif": saved(ramp(np.float32, -0.5, 3.0), "TIFF"),
            }
        ),
        "classification",
    ),
    Case(
        "picture_of_no_numbers",
        "16-bit, float",
        built(**{"dog/nan.tif": saved(ramp(np.float32, np.nan, np.nan), "TIFF")}),
        "classification",
    ),
    Case("picture_heic", MANY, built(**{"cat/phone.heic": heic()}), "classification"),
    Case("picture_of_pages", MANY, built(**{"cat/scan.tif": frames("TIFF")}), "classification"),
    Case("picture_that_moves", MANY, built(**{"cat/wave.gif": frames("GIF")}), "classification"),
    Case(
        "picture_of_channels",
        MANY,
        built(**{"cat/field.tif": channels()}),
        "classification",
        answers=[{"channels": "3,2,1"}],
    ),
    Case(
        "picture_cmyk",
        "CMYK",
        built(**{"cat/print.jpg": saved(Image.new("CMYK", (20, 16), (10, 200, 30, 0)), "JPEG")}),
        "classification",
    ),
    Case("picture_see_through", "Alpha", built(**{"cat/logo.png": see_through()}), "classification"),
)
