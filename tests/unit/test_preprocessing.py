"""The one preprocessing function against plain Pillow and hand-made pixels."""

from __future__ import annotations

import ast
import dataclasses
import gc
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps

from engine.datasets import preprocessing as pre
from engine.datasets import tiff
from engine.datasets.preprocessing import Preprocessing, UnreadableImageError

RECORD = Preprocessing(height=24, width=32)
GRADIENT = np.stack(
    [
        np.tile(np.linspace(0, 255, 40), (30, 1)),
        np.tile(np.linspace(255, 0, 30)[:, None], (1, 40)),
        np.full((30, 40), 90.0),
    ],
    -1,
).astype(np.uint8)


def saved(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def rgb(content: bytes, **changes: Any) -> np.ndarray:
    return np.asarray(pre.read_rgb(content, dataclasses.replace(RECORD, **changes)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_turns_the_pixels(orientation: int, image_format: str) -> None:
    exif = Image.Exif()
    exif[pre.ORIENTATION_TAG] = orientation
    options = {"lossless": True} if image_format == "WEBP" else {}
    content = saved(Image.fromarray(GRADIENT), image_format, exif=exif, **options)
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(rgb(content), expected)
    assert expected.shape[:2] == ((30, 40) if orientation < 5 else (40, 30))


def test_an_orientation_that_makes_no_sense_is_upright() -> None:
    exif = Image.Exif()
    exif[pre.ORIENTATION_TAG] = 77
    assert rgb(saved(Image.fromarray(GRADIENT), exif=exif)).shape == (30, 40, 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr"])
def test_plain_modes_convert_as_pillow_does(mode: str) -> None:
    image = Image.fromarray(GRADIENT).convert(mode)
    content = saved(image, "TIFF")
    assert np.array_equal(rgb(content), np.asarray(image.convert("RGB")))


def test_alpha_lies_on_the_background() -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0] = (10, 20, 30, 255)
    pixels[1] = (10, 20, 30, 0)
    content = saved(Image.fromarray(pixels))
    assert rgb(content)[1, 0].tolist() == [255, 255, 255]
    made = rgb(content, background=(1, 2, 3))
    assert made[0, 0].tolist() == [10, 20, 30]
    assert made[1, 0].tolist() == [1, 2, 3]


def test_half_transparent_grey_and_palette() -> None:
    grey = np.full((2, 2, 2), (100, 128), np.uint8)
    assert abs(int(rgb(saved(Image.fromarray(grey, "LA")), background=(0, 0, 0))[0, 0, 0]) - 50) <= 1
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    assert rgb(saved(palette))[0, 0].tolist() == [0, 255, 0]
    assert rgb(saved(palette, transparency=1), background=(7, 8, 9))[0, 0].tolist() == [7, 8, 9]


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_sixteen_bits_scale_by_the_range(dtype: str) -> None:
    values = np.array([[0, 1000, 2000, 4095, 65535]], dtype)
    image_format = "PNG" if dtype == "<u2" else "TIFF"
    content = saved(Image.fromarray(values), image_format)
    assert rgb(content)[0, :, 0].tolist() == [0, 4, 8, 16, 255]
    ranged = rgb(content, low=1000.0, high=4095.0)[0, :, 1]
    assert ranged.tolist() == [0, 0, round(1000 / 3095 * 255), 255, 255]


def test_floats_need_a_range() -> None:
    values = np.array([[0.0, 0.5, 1.0, np.nan, np.inf]], np.float32)
    content = saved(Image.fromarray(values), "TIFF")
    with pytest.raises(UnreadableImageError, match="range"):
        rgb(content)
    assert rgb(content, low=0.0, high=1.0)[0, :, 0].tolist() == [0, 128, 255, 0, 255]


def test_thirty_two_bit_integers() -> None:
    content = saved(Image.fromarray(np.array([[0, 65535, 70000, -5]], np.int32)), "TIFF")
    assert rgb(content)[0, :, 0].tolist() == [0, 255, 255, 0]


def test_cmyk_with_and_without_a_profile() -> None:
    image = Image.fromarray(GRADIENT).convert("CMYK")
    plain = rgb(saved(image, "TIFF"))
    assert np.array_equal(plain, np.asarray(image.convert("RGB")))
    # A profile of another colour space cannot be applied: as without one.
    wrong = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(rgb(saved(image, "TIFF", icc_profile=wrong)), plain)


def test_animated_gif_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "lime")]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert rgb(content)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_file_cut_short_is_refused(image_format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), image_format)
    assert rgb(content).shape == (64, 64, 3)
    with pytest.raises(UnreadableImageError):
        rgb(content[: len(content) // 2])


def test_a_cut_jpeg_is_refused_also_when_it_is_shrunk_while_decoding() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), "JPEG")
    assert rgb(content).shape[0] < 600
    with pytest.raises(UnreadableImageError):
        rgb(content[: len(content) * 9 // 10])


def test_truncated_files_are_never_tolerated() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_other_formats_and_nonsense_are_refused() -> None:
    for content in (b"", b"nonsense", b"<svg/>", saved(Image.new("RGB", (4, 4)), "PPM")):
        with pytest.raises(UnreadableImageError, match="not a JPEG"):
            pre.open_image(content)


def test_sizes_over_the_limit_are_refused_before_decoding() -> None:
    bomb = saved(Image.new("1", (13_300, 13_300)), "PNG", compress_level=9)
    with pytest.raises(UnreadableImageError, match="million pixels"):
        pre.open_image(bomb)
    with pytest.raises(UnreadableImageError, match="a side"):
        pre.open_image(saved(Image.new("1", (pre.MAX_SIDE + 1, 1))))


def test_squash_is_plain_resizing() -> None:
    image = Image.fromarray(GRADIENT)
    expected = np.asarray(image.resize((32, 24), Image.Resampling.BILINEAR))
    assert np.array_equal(pre.prepare(saved(image), RECORD), expected)


def test_crop_takes_the_centre() -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200
    record = Preprocessing(height=10, width=10, resize="crop")
    assert (pre.fit(Image.fromarray(pixels), record)[:, 1:-1] == 200).all()
    half = Preprocessing(height=10, width=10, resize="crop", crop_pct=0.5)
    assert (pre.fit(Image.fromarray(pixels), half) == 200).all()


def test_pad_keeps_the_aspect() -> None:
    record = Preprocessing(height=32, width=32, resize="pad", background=(9, 9, 9))
    made = pre.fit(Image.new("RGB", (64, 32), (200, 0, 0)), record)
    assert (made[:8] == 9).all() and (made[-8:] == 9).all()
    assert (made[8:24] == (200, 0, 0)).all()


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    resize=st.sampled_from(pre.RESIZES),
    crop_pct=st.floats(0.05, 1.0),
    interpolation=st.sampled_from(sorted(pre.FILTERS)),
)
def test_any_size_fits(width: int, height: int, resize: str, crop_pct: float, interpolation: str) -> None:
    record = Preprocessing(17, 23, resize=resize, crop_pct=crop_pct, interpolation=interpolation)
    made = pre.fit(Image.new("RGB", (width, height), (40, 50, 60)), record)
    assert made.shape == (17, 23, 3) and made.dtype == np.uint8
    assert resize == "pad" or (np.abs(made.astype(int) - (40, 50, 60)) <= 1).all()


def test_a_large_jpeg_is_close_to_full_decoding() -> None:
    base = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image = Image.fromarray(base).resize((1600, 1200), Image.Resampling.BICUBIC)
    content = saved(image, "JPEG", quality=95)
    record = Preprocessing(96, 128)
    with Image.open(io.BytesIO(content)) as opened:
        full = np.asarray(opened.convert("RGB").resize((128, 96), Image.Resampling.BILINEAR))
    made = pre.prepare(content, record)
    assert np.abs(made.astype(int) - full).mean() < 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=12, max_size=12))
def test_normalise_is_the_formula(values: list[int]) -> None:
    pixels = np.array(values, np.uint8).reshape(1, 2, 2, 3)
    made = pre.normalise(pixels, RECORD)
    expected = (pixels / 255 - np.array(RECORD.mean)) / np.array(RECORD.std)
    assert made.dtype == np.float32 and made.shape == (1, 3, 2, 2) and made.flags.c_contiguous
    np.testing.assert_allclose(made, expected.transpose(0, 3, 1, 2), atol=2e-6)


def test_record_round_trip_and_hash() -> None:
    record = Preprocessing(
        224, 200, (0.5, 0.5, 0.5), (0.1, 0.2, 0.3), "pad", 1.0, "bicubic", (1, 2, 3), 0.0, 9.0
    )
    assert Preprocessing.from_dict(record.to_dict()) == record
    assert dataclasses.replace(record, mean=(0.0, 0.0, 0.0)).decode_hash() == record.decode_hash()
    for change in ({"height": 8}, {"resize": "crop"}, {"background": (0, 0, 0)}, {"high": 8.0}):
        assert dataclasses.replace(record, **change).decode_hash() != record.decode_hash()
    with pytest.raises(TypeError):
        Preprocessing.from_dict({"height": 1, "width": 1, "wrong": 1})
    for wrong in ({"resize": "stretch"}, {"crop_pct": 0.0}, {"low": 1.0}, {"height": 0}):
        with pytest.raises(ValueError):
            dataclasses.replace(RECORD, **wrong)


@pytest.mark.parametrize("module", [pre, tiff], ids=lambda module: module.__name__)
def test_it_needs_only_numpy_and_pillow(module: ModuleType) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    named = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    } - {"engine.datasets.tiff"}
    assert not any(name.startswith(("engine", "torch")) for name in named)


@pytest.mark.parametrize("image_format", ["GIF", "TIFF", "PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("too_large", [False, True])
def test_a_file_is_closed_after_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_format: str, too_large: bool
) -> None:
    path = tmp_path / "picture"
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    several = {} if image_format == "JPEG" else {"save_all": True, "append_images": frames[1:]}
    frames[0].save(path, image_format, **several)
    if too_large:
        monkeypatch.setattr(pre, "MAX_SIDE", 15)
    gc.disable()  # collecting would close it too, at some time
    try:
        if too_large:
            with pytest.raises(UnreadableImageError, match="limit"):
                pre.read_rgb(path, RECORD)
        else:
            made = pre.read_rgb(path, RECORD)
            assert np.asarray(made.resize((2, 2)))[0, 0, 0] > 240
        held = [file.path for file in psutil.Process().open_files() if file.path == str(path)]
    finally:
        gc.enable()
    assert held == []
