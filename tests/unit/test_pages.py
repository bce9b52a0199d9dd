"""The pages of a TIFF as images of one group, against Pillow's own reading of them."""

from __future__ import annotations

import io
import json
import struct
import time
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from engine.datasets import archive
from engine.datasets.archive import Member, Source, open_source, read_member
from engine.datasets.intake import Intake, Taken, take_in
from engine.datasets.pages import MAX_PAGES, list_pages, page_content
from engine.datasets.pictures import ChannelsError, named_channels, see
from engine.datasets.preprocessing import Preprocessing
from engine.datasets.taking import Taking
from engine.datasets.tiff import TiffError
from engine.errors import InputError, LimitError, QuestionError
from engine.settings import Limits, Settings
from tests.unit.test_picture_kinds import Packing, heic, pixels_of, tiff

RANDOM = np.random.default_rng(3)
RECORD = Preprocessing(height=24, width=32)


def frames(mode: str = "RGB", count: int = 3) -> list[Image.Image]:
    sizes = [(31 + k, 20) for k in range(count)]
    made = [RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in sizes]
    if mode == "I;16":
        return [Image.fromarray(values[..., 0].astype(np.uint16) * 200) for values in made]
    return [Image.fromarray(values).convert(mode) for values in made]


def stack(pictures: list[Image.Image], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pictures[0].save(buffer, "TIFF", save_all=True, append_images=pictures[1:], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("mode", "packing"),
    [
        ("RGB", None),
        ("RGB", "tiff_lzw"),
        ("RGB", "tiff_adobe_deflate"),
        ("RGB", "jpeg"),
        ("L", "packbits"),
        ("1", "group4"),
        ("P", None),
        ("RGBA", "tiff_lzw"),
        ("CMYK", None),
        ("F", "tiff_lzw"),
        ("I;16", None),
    ],
)
def test_a_page_is_what_pillow_reads_there(mode: str, packing: str | None, big: bool) -> None:
    content = stack(frames(mode), big_tiff=big, compression=packing)
    places = list_pages(content)
    assert len(places) == 3
    for number, place in enumerate(places):
        with (
            Image.open(io.BytesIO(content)) as whole,
            Image.open(io.BytesIO(page_content(content, place))) as alone,
        ):
            whole.seek(number)
            assert alone.mode == whole.mode and getattr(alone, "n_frames", 1) == 1
            assert np.array_equal(np.asarray(alone), np.asarray(whole))


def test_a_page_keeps_its_orientation_and_is_smaller_than_the_file() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = stack(frames(), exif=exif)
    alone = page_content(content, list_pages(content)[1])
    assert see(alone, RECORD).size == (20, 32) and len(alone) < len(content) / 2


def test_smaller_copies_and_masks_are_no_pages() -> None:
    pictures = frames()
    content = stack(pictures)
    for tag_value, pages in ((1, 2), (4, 2), (2, 3), (0, 3)):
        changed = bytearray(with_tag(content, list_pages(content)[1], 254, tag_value))
        assert len(list_pages(bytes(changed))) == pages


def with_tag(content: bytes, place: int, tag: int, value: int) -> bytes:
    """Put a tag in the place of the first (the width is moved behind all others, which readers allow)."""
    (number,) = struct.unpack_from("<H", content, place)
    entries = [content[place + 2 + 12 * k : place + 14 + 12 * k] for k in range(number)]
    following = content[place + 2 + 12 * number : place + 6 + 12 * number]
    entries.insert(0, struct.pack("<HHII", tag, 4, 1, value))
    directory = struct.pack("<H", number + 1) + b"".join(entries) + following
    moved = len(content) + len(content) % 2
    pointer = struct.pack("<I", place)
    out = bytearray(content.ljust(moved, b"\0") + directory)
    places = list_pages(content)
    before = places[places.index(place) - 1]
    (count,) = struct.unpack_from("<H", content, before)
    at = before + 2 + 12 * count
    assert out[at : at + 4] == pointer
    struct.pack_into("<I", out, at, moved)
    return bytes(out)


def test_a_source_lists_pages_as_images_of_one_group(tmp_path: Path) -> None:
    pictures = frames(count=12)
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "a" / "scan.tif").write_bytes(stack(pictures))
    pictures[0].save(tmp_path / "set" / "a" / "single.tif")
    (tmp_path / "set" / "labels.csv").write_text("x")
    source = open_source((("set", tmp_path / "set"),), Limits())
    pages = ["a/scan.tif", *(f"a/scan.page{number:02}.tif" for number in range(2, 13))]
    assert sorted(member.path for member in source.images) == sorted([*pages, "a/single.tif"])
    assert source.groups == dict.fromkeys(pages, "a/scan.tif")
    members = {member.path: Member(**json.loads(json.dumps(asdict(member)))) for member in source.members}
    for path, picture in zip(pages, pictures, strict=True):
        with Image.open(io.BytesIO(read_member(members[path]))) as opened:
            assert np.array_equal(np.asarray(opened), np.asarray(picture))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_pages_inside_an_archive(tmp_path: Path, kind: str) -> None:
    from tests.unit.test_tar import make_tar

    content = stack(frames())
    path = tmp_path / f"s.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("scan.tiff", content)
    else:
        make_tar(path, {"scan.tiff": content})
    source = open_source(((path.name, path),), Limits(), tmp_path / "job")
    assert [member.path for member in source.members] == ["scan.tiff", "scan.page2.tiff", "scan.page3.tiff"]
    assert len({read_member(member) for member in source.members}) == 3


def test_the_file_is_read_once_for_all_its_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scan.tif").write_bytes(stack(frames()))
    source = open_source((("scan.tif", tmp_path / "scan.tif"),), Limits())
    whole: list[Member] = []
    plain = archive.open_member

    def counted(member: Member) -> BinaryIO:
        if member.page is None:
            whole.append(member)
        return plain(member)

    monkeypatch.setattr(archive, "open_member", counted)
    assert len({read_member(member) for member in source.members}) == 3 and len(whole) == 1


def test_a_file_named_like_a_page_stays(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "scan.tif").write_bytes(stack(frames()))
    (tmp_path / "s" / "SCAN.page2.tif").write_bytes(b"another")
    source = open_source((("s", tmp_path / "s"),), Limits())
    assert {member.path for member in source.members} == {"scan.tif", "SCAN.page2.tif", "scan.page3.tif"}
    assert source.skipped[0][0] == "scan.page2.tif" and "stands in the source" in source.skipped[0][1]


def test_pages_count_as_files(tmp_path: Path) -> None:
    (tmp_path / "scan.tif").write_bytes(stack(frames()))
    with pytest.raises(LimitError, match="pages"):
        open_source((("scan.tif", tmp_path / "scan.tif"),), replace(Limits(), archive_members=2))


def chain(count: int, ring: bool) -> bytes:
    """Directories of one page each over the same pixel, one after the other."""
    entries = [(256, 4, 1), (257, 4, 1), (258, 3, 8), (262, 3, 1), (273, 4, 8), (277, 3, 1), (279, 4, 1)]
    size = 2 + 12 * len(entries) + 4
    out = bytearray(b"II*\0" + struct.pack("<I", 10) + b"xx")
    for number in range(count):
        last = number == count - 1
        following = (10 if ring else 0) if last else 10 + size * (number + 1)
        out += struct.pack("<H", len(entries))
        out += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        out += struct.pack("<I", following)
    return bytes(out)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow prints it and refuses the file
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (chain(5, ring=True), "ring"),
        (chain(MAX_PAGES + 1, ring=False), "more than"),
        (chain(MAX_PAGES * 10, ring=True), "more than"),
        (b"II*\0\xff\xff\xff\x00", "damaged"),
        (b"II*\0", "damaged"),
    ],
)
def test_made_to_deceive(tmp_path: Path, content: bytes, words: str) -> None:
    start = time.monotonic()
    with pytest.raises(TiffError, match=words):
        list_pages(content)
    (tmp_path / "a.tif").write_bytes(content)
    source = open_source((("a.tif", tmp_path / "a.tif"),), Limits())
    assert [member.page for member in source.members] == [None], "left whole, for the intake to judge"
    settings = Settings(home=tmp_path / "home", database_url="")
    taken = take_in(source.members[0], settings, RECORD)
    assert taken.error or "cannot be told apart" in taken.repairs[0]
    assert time.monotonic() - start < 10


def test_pages_that_share_their_pixels_are_refused() -> None:
    content = tiff(pixels_of(1, height=40, width=40))
    twice = bytearray(content)
    directory = struct.unpack_from("<I", content, 4)[0]
    copy = content[directory:]
    twice[-4:] = struct.pack("<I", len(content))
    with pytest.raises(TiffError, match="share"):
        list_pages(bytes(twice + copy))


def test_a_flipped_byte_never_does_more_than_refuse() -> None:
    whole = stack([Image.new("L", (4, 4), k) for k in range(3)])
    for place in range(len(whole)):
        for value in (0x00, 0x01, 0xFF):
            content = bytearray(whole)
            content[place] = value
            try:
                for page in list_pages(bytes(content)):
                    assert len(page_content(bytes(content), page)) <= 4 * len(content)
            except TiffError:
                continue


def take_all(source: Source, settings: Settings, record: dict[str, Any]) -> dict[str, Taken]:
    paths = [member.path for member in source.images]
    with Intake(settings, record) as intake, Taking(intake, lambda done, total, masks: None) as taking:
        taking.begin(source.members, {}, len(paths))
        taking.order(paths)
        taking.complete()
        return {path: taking.picture(path) for path in paths}


def test_the_intake_takes_pages_channels_and_heic(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "scan.tif").write_bytes(stack(frames()))
    (folder / "photo.heic").write_bytes(heic(frames()[0]))
    (folder / "deep.tif").write_bytes(tiff(pixels_of(5, "u2"), Packing(orientation=6)))
    source = open_source((("set", folder),), Limits())
    settings = Settings(home=tmp_path / "home", database_url="")
    with pytest.raises(QuestionError) as asked:
        take_all(source, settings, {})
    assert asked.value.flag == "--channels" and "deep.tif" in asked.value.message
    assert "three of its 5 channels, e.g. --channels 3,2,1" in asked.value.hint
    taken = take_all(source, settings, {"channels": [5, 2, 1], "low": 0.0, "high": 30_000.0})
    assert not any(one.error for one in taken.values()), taken
    assert {path: (one.width, one.height) for path, one in taken.items()} == {
        "deep.tif": (13, 21),
        "photo.heic": (31, 20),
        "scan.tif": (31, 20),
        "scan.page2.tif": (32, 20),
        "scan.page3.tif": (33, 20),
    }
    assert len({one.sha256 for one in taken.values()}) == 5
    assert taken["deep.tif"].repairs[0] == "5 channels; 5, 2 and 1 became red, green and blue"
    assert taken["deep.tif"].orientation == 6 and taken["deep.tif"].mode == "5 x uint16"
    assert taken["scan.tif"].repairs == () and taken["photo.heic"].format == "HEIF"
    assert len(list((settings.cache / "thumbnails").rglob("*.jpg"))) == 5


def test_several_frames_are_reported() -> None:
    pictures = [picture.resize((16, 16)) for picture in frames()]
    for image_format, words in (("GIF", "several frames"), ("WEBP", "3 frames"), ("PNG", "3 frames")):
        buffer = io.BytesIO()
        pictures[0].save(buffer, image_format, save_all=True, append_images=pictures[1:])
        assert see(buffer.getvalue(), RECORD).repairs == (f"{words}; the first is used",)
    assert see(stack(pictures), RECORD).repairs == ("3 pages; the first is used",)
    assert see(stack(pictures[:1]), RECORD).repairs == ()


def test_named_channels() -> None:
    assert named_channels(" 3, 2,1 ") == (3, 2, 1) and named_channels("") is None
    for words in ("3,2", "3,2,0", "a,b,c", "1,2,3,4", "-1,2,3", "²,1,1", "99999,1,1"):
        with pytest.raises(InputError, match="three channels"):
            named_channels(words)
    with pytest.raises(ChannelsError):
        see(tiff(pixels_of(4)), RECORD)
