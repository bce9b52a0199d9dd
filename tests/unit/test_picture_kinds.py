"""Pictures out of the ordinary: HEIC, many channels, CMYK with a profile, pages."""

from __future__ import annotations

import io
import itertools
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from engine.datasets import preprocessing as pre
from engine.datasets.preprocessing import Preprocessing, UnreadableImageError
from engine.datasets.tiff import channel_count

RECORD = Preprocessing(height=24, width=32)
RANDOM = np.random.default_rng(7)
LETTERS = {3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class Packing:
    """How a test's own TIFF is laid out; the tags are written by hand from TIFF 6.0."""

    planar: bool = False
    photometric: int = 1
    extra: tuple[int, ...] | None = None
    order: str = "<"
    big: bool = False
    compression: int = 1
    predictor: int = 1
    rows: int | None = None
    tile: tuple[int, int] | None = None
    orientation: int = 1
    tags: tuple[tuple[int, int, tuple[int, ...]], ...] = ()


def lzw(content: bytes) -> bytes:
    """LZW that never leaves codes of nine bits: a clear code before each 200 bytes."""
    codes = [c for k in range(0, len(content), 200) for c in (256, *content[k : k + 200])] + [257]
    bits = "".join(f"{code:09b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[k : k + 8], 2) for k in range(0, len(bits), 8))


def pack_bits(content: bytes) -> bytes:
    parts = [content[k : k + 128] for k in range(0, len(content), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


PACKERS: dict[int, Callable[[bytes], bytes]] = {1: bytes, 5: lzw, 8: zlib.compress, 32773: pack_bits}


def cut(pixels: np.ndarray, packing: Packing) -> list[np.ndarray]:
    """Cut (H, W, N) into strips or tiles."""
    height, width, _ = pixels.shape
    if packing.tile is None:
        rows = packing.rows or height
        return [pixels[k : k + rows] for k in range(0, height, rows)]
    high, wide = packing.tile
    full = np.zeros((-(-height // high) * high, -(-width // wide) * wide, pixels.shape[2]), pixels.dtype)
    full[:height, :width] = pixels
    corners = itertools.product(range(0, height, high), range(0, width, wide))
    return [full[y : y + high, x : x + wide] for y, x in corners]


def tiff(pixels: np.ndarray, packing: Packing = Packing()) -> bytes:
    height, width, count = pixels.shape
    planes = [pixels[:, :, k : k + 1] for k in range(count)] if packing.planar else [pixels]
    pieces = []
    for piece in (piece for plane in planes for piece in cut(plane, packing)):
        before = np.zeros_like(piece[:, :1])
        values = np.diff(piece, axis=1, prepend=before) if packing.predictor == 2 else piece
        stored = values.astype(f"{packing.order}{pixels.dtype.str[1:]}").tobytes()
        pieces.append(PACKERS[packing.compression](stored))
    extra = packing.extra
    if extra is None:
        extra = (0,) * (count - {2: 3, 5: 4}.get(packing.photometric, 1))
    sample = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    offsets, sizes = (324, 325) if packing.tile else (273, 279)
    tags: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (4, (width,)),
        257: (4, (height,)),
        258: (3, (pixels.dtype.itemsize * 8,) * count),
        259: (3, (packing.compression,)),
        262: (3, (packing.photometric,)),
        274: (3, (packing.orientation,)),
        277: (3, (count,)),
        284: (3, (2 if packing.planar else 1,)),
        317: (3, (packing.predictor,)),
        339: (3, (sample,) * count),
        offsets: (4, ()),
        sizes: (4, tuple(len(piece) for piece in pieces)),
    }
    if extra:
        tags[338] = (3, extra)
    if packing.tile:
        tags |= {322: (4, (packing.tile[1],)), 323: (4, (packing.tile[0],))}
    else:
        tags[278] = (4, (packing.rows or height,))
    tags |= {tag: (kind, values) for tag, kind, values in packing.tags}
    return assemble(tags, offsets, pieces, packing)


def assemble(
    tags: dict[int, tuple[int, tuple[int, ...]]], offsets: int, pieces: Sequence[bytes], packing: Packing
) -> bytes:
    order, big = packing.order, packing.big
    out = bytearray(b"II" if order == "<" else b"MM")
    out += struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
    places = []
    for piece in pieces:
        places.append(len(out))
        out += piece + bytes(len(piece) % 2)
    tags[offsets] = (4, tuple(places))
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(values)}{LETTERS[kind]}", *values)
        room = 8 if big else 4
        if len(raw) > room:
            place = len(out)
            out += raw + bytes(len(raw) % 2)
            raw = struct.pack(order + ("Q" if big else "I"), place)
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values)) + raw.ljust(
            room, b"\0"
        )
    struct.pack_into(order + ("Q" if big else "I"), out, 8 if big else 4, len(out))
    out += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + bytes(8 if big else 4)
    return bytes(out)


def pixels_of(count: int, dtype: str = "u1", height: int = 13, width: int = 21) -> np.ndarray:
    top = 255 if dtype == "u1" else 30_000
    return (RANDOM.random((height, width, count)) * top).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("cutting", [{}, {"rows": 5}, {"tile": (16, 16)}])
def test_channels_are_read_as_they_were_written(
    dtype: str, order: str, planar: bool, compression: int, cutting: dict[str, Any]
) -> None:
    pixels = pixels_of(5, dtype)
    predictor = 2 if compression in (5, 8) and dtype != "f4" else 1
    content = tiff(
        pixels, Packing(planar, order=order, compression=compression, predictor=predictor, **cutting)
    )
    assert channel_count(content) == 5
    found = pre.read_channels(content, (5, 2, 2))
    assert found.dtype == np.dtype(dtype) and np.array_equal(found, pixels[..., [4, 1, 1]])


@pytest.mark.parametrize("count", [4, 5, 7, 12])
@pytest.mark.parametrize("photometric", [1, 2])
@pytest.mark.parametrize("big", [False, True])
def test_any_number_of_channels(count: int, photometric: int, big: bool) -> None:
    pixels = pixels_of(count)
    content = tiff(pixels, Packing(photometric=photometric, big=big))
    assert channel_count(content) == count
    made = pre.read_rgb(content, replace(RECORD, channels=(3, 2, count)))
    assert np.array_equal(np.asarray(made), pixels[..., [2, 1, count - 1]])


@pytest.mark.parametrize(
    ("count", "packing", "expected"),
    [
        (3, Packing(photometric=2), 0),
        (4, Packing(photometric=2, extra=(2,)), 0),
        (4, Packing(photometric=2, extra=(1,)), 0),
        (4, Packing(photometric=2, extra=(0,)), 4),
        (5, Packing(photometric=2, extra=(2, 0)), 5),
        (4, Packing(photometric=5), 0),
        (1, Packing(), 0),
        (2, Packing(extra=(2,)), 0),
        (2, Packing(extra=(0,)), 2),
        (3, Packing(extra=(0, 0)), 3),
    ],
)
def test_colours_and_alpha_are_no_channels_to_choose(count: int, packing: Packing, expected: int) -> None:
    assert channel_count(tiff(pixels_of(count), packing)) == expected


def test_other_pictures_have_no_channels_to_choose() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, "JPEG")
    assert channel_count(buffer.getvalue()) == 0 and channel_count(b"") == 0
    assert channel_count(b"II*\0") == 0 and channel_count(b"II*\0\xff\xff\xff\xff") == 0
    with_choice = pre.read_rgb(buffer.getvalue(), replace(RECORD, channels=(3, 2, 1)))
    assert np.array_equal(np.asarray(with_choice), np.asarray(pre.read_rgb(buffer.getvalue(), RECORD)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_channels_are_upright(orientation: int) -> None:
    """Against Pillow, which reads the first three of four colours."""
    pixels = pixels_of(4)
    content = tiff(pixels, Packing(photometric=2, orientation=orientation))
    made = pre.read_rgb(content, replace(RECORD, channels=(1, 2, 3)))
    assert np.array_equal(np.asarray(made), np.asarray(pre.read_rgb(content, RECORD)))


def test_a_path_and_a_stream_give_the_same(tmp_path: Path) -> None:
    content, record = tiff(pixels_of(5)), replace(RECORD, channels=(1, 2, 3))
    (tmp_path / "a.tif").write_bytes(content)
    expected = pre.prepare(content, record)
    assert np.array_equal(pre.prepare(tmp_path / "a.tif", record), expected)
    assert np.array_equal(pre.prepare(io.BytesIO(content), record), expected)


def test_channels_of_more_than_eight_bits_take_the_range() -> None:
    record = replace(RECORD, channels=(1, 2, 3), low=0.0, high=1000.0)
    for dtype in ("u2", "i2", "i4", "f4"):
        pixels = np.full((4, 4, 4), (0, 500, 1000, 7), dtype)
        made = np.asarray(pre.read_rgb(tiff(pixels), record))
        assert made[0, 0].tolist() == [0, 128, 255], dtype
    with pytest.raises(UnreadableImageError, match="range"):
        pre.read_rgb(tiff(pixels_of(4, "f4")), replace(RECORD, channels=(1, 2, 3)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(pixels_of(4)), "channel 5"),
        (tiff(pixels_of(5, "f8")), "not supported"),
        (tiff(pixels_of(5), Packing(tags=((259, 3, (7,)),))), "not supported"),
        (tiff(pixels_of(5), Packing(tags=((258, 3, (8, 8, 8, 8, 16)),))), "not supported"),
        (tiff(pixels_of(5, "f4"), Packing(predictor=2)), "not supported"),
        (tiff(pixels_of(5), Packing(tags=((256, 4, (100_000,)),))), "a side"),
        (tiff(pixels_of(5), Packing(tags=((256, 4, (16_000,)), (257, 4, (16_000,))))), "million pixels"),
        (tiff(pixels_of(5), Packing(tags=((277, 3, (60_000,)),))), "damaged"),
        (tiff(pixels_of(5), Packing(tags=((278, 4, (1,)),))), "do not fit"),
        (tiff(pixels_of(5), Packing(tags=((278, 4, (0,)),))), "damaged"),
        (tiff(pixels_of(5), Packing(tags=((279, 4, (2**31,)),))), "do not fit"),
        (tiff(pixels_of(5), Packing(tags=((257, 4, (14,)),))), "damaged"),
        (tiff(pixels_of(5), Packing(compression=8))[:1200], "damaged"),
    ],
)
def test_what_cannot_be_read_is_said(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableImageError, match=words):
        pre.read_channels(content, (5, 2, 1))


def test_flipped_bytes_never_do_more_than_refuse() -> None:
    whole = tiff(pixels_of(5, height=5, width=6), Packing(compression=8, predictor=2, rows=2))
    for place, value in itertools.product(range(len(whole)), (0x00, 0xFF, 0x80)):
        content = bytearray(whole)
        content[place] = value
        try:
            if channel_count(bytes(content)):
                pre.read_channels(bytes(content), (3, 2, 1))
        except UnreadableImageError:
            continue


def test_a_record_without_channels_is_as_before() -> None:
    """The hash and the plain values of a record from before there were channels."""
    assert "channels" not in RECORD.to_dict()
    assert RECORD.decode_hash() == "feacd22c947abaf2"
    chosen = replace(RECORD, channels=(3, 2, 1))
    assert chosen.decode_hash() != RECORD.decode_hash()
    assert Preprocessing.from_dict(chosen.to_dict()) == chosen
    wrong: Any
    for wrong in ((1, 2), (0, 1, 2), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match="channels"):
            replace(RECORD, channels=wrong)


def heic(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=-1, **options)
    return buffer.getvalue()


GRADIENT = Image.fromarray(
    np.dstack([np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1)), np.full((48, 64), 90, np.uint8)] * 2)[
        ..., :3
    ]
)


def test_heic_is_read_and_turned() -> None:
    plain = np.asarray(pre.read_rgb(heic(GRADIENT), RECORD)).astype(int)
    assert plain.shape == (48, 64, 3) and np.abs(plain - np.asarray(GRADIENT)).max() < 6
    exif = Image.Exif()
    exif[pre.ORIENTATION_TAG] = 6
    turned = np.asarray(pre.read_rgb(heic(GRADIENT, exif=exif.tobytes()), RECORD)).astype(int)
    expected = np.asarray(GRADIENT.transpose(Image.Transpose.ROTATE_270))
    assert turned.shape == (64, 48, 3) and np.abs(turned - expected).max() < 6, "turned once, not twice"


def test_heic_from_a_path_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic(GRADIENT))
    made = pre.prepare(tmp_path / "a.heic", RECORD)
    assert np.array_equal(made, pre.prepare(heic(GRADIENT), RECORD))


def test_heic_without_pillow_heif_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImageError, match="install pillow-heif"):
        pre.read_rgb(heic(GRADIENT), RECORD)


def test_damaged_heic_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = heic(GRADIENT)
    for content in (whole[: len(whole) // 2], whole[:12], whole[:40] + bytes(200)):
        with pytest.raises(UnreadableImageError):
            pre.read_rgb(content, RECORD)
    monkeypatch.setattr(pre, "MAX_SIDE", 50)
    with pytest.raises(UnreadableImageError, match="limit"):
        pre.read_rgb(whole, RECORD)


def cmyk_profile() -> bytes:
    """A CMYK profile by hand (ICC.1:2001, lut8): all ink is white, no ink is black; nothing prints so."""
    entries = 256
    curve = bytes(range(256))
    lab = {True: (255, 128, 128), False: (0, 128, 128)}
    grid = b"".join(bytes(lab[any(ink)]) for ink in itertools.product((0, 1), repeat=4))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + curve * 4 + grid + curve * 3
    assert len(curve) == entries
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67)
    blocks = {b"A2B0": table, b"wtpt": white, b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0"}
    place, directory, data = 128 + 4 + 12 * len(blocks), struct.pack(">I", len(blocks)), b""
    for name, block in blocks.items():
        directory += name + struct.pack(">II", place + len(data), len(block))
        data += block + bytes(-len(block) % 4)
    head = bytearray(128)
    struct.pack_into(">I", head, 0, place + len(data))
    head[8:12], head[12:16], head[16:20], head[20:24] = b"\2\x20\0\0", b"prtr", b"CMYK", b"Lab "
    head[36:40] = b"acsp"
    struct.pack_into(">3i", head, 68, 63190, 65536, 54061)
    return bytes(head) + directory + data


@pytest.mark.parametrize("image_format", ["TIFF", "JPEG"])
def test_cmyk_goes_through_its_profile(image_format: str) -> None:
    image = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (4, 0, 8, 8))
    buffer = io.BytesIO()
    image.save(buffer, image_format, icc_profile=cmyk_profile())
    made = np.asarray(pre.read_rgb(buffer.getvalue(), RECORD))
    assert ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile())).profile.xcolor_space.strip() == "CMYK"
    assert made[0, 0].max() <= 3 and made[0, 7].min() >= 250, "the profile was not heeded"
