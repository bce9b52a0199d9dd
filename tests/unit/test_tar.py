"""TAR archives as sources, plain and packed: what is taken, what is refused, and what is left behind."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datasets.archive import Member, Source, open_member, open_source, read_member
from engine.datasets.tar_files import list_tar
from engine.errors import ArchiveError, LimitError
from engine.settings import Limits

LIMITS = Limits()
MODES = {".tar": "w:", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
FILES = {"c/one.jpg": b"1" * 700, "c/two.png": os.urandom(1_500), "labels.csv": b"x", "empty.csv": b""}


def make_tar(path: Path, files: Mapping[str, bytes], tar_format: int = tarfile.PAX_FORMAT) -> Path:
    mode = next(mode for suffix, mode in MODES.items() if path.name.endswith(suffix))
    with tarfile.open(path, mode, format=tar_format) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def special(path: Path, name: str, kind: bytes, link: str = "/etc/passwd") -> Path:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        archive.addfile(info)
        info = tarfile.TarInfo("good.jpg")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"y"))
    return path


def opened(path: Path, limits: Limits = LIMITS, scratch: Path | None = None) -> Source:
    return open_source(((path.name, path),), limits, scratch)


def paths(source: Source) -> list[str]:
    return [member.path for member in source.members]


@pytest.mark.parametrize("suffix", MODES)
def test_a_tar_lists_its_files_and_reads_them(tmp_path: Path, suffix: str) -> None:
    source = opened(make_tar(tmp_path / f"a{suffix}", FILES), scratch=tmp_path / "job")
    assert paths(source) == list(FILES) and source.name == f"a{suffix}"
    assert [read_member(member) for member in source.members] == list(FILES.values())
    again = [Member(**json.loads(json.dumps(asdict(member)))) for member in source.members]
    assert [read_member(member) for member in again] == list(FILES.values()), "not through a pipe"
    left = [path.suffix for path in (tmp_path / "job").glob("*")]
    assert left == ([] if suffix == ".tar" else [".tar"]), "a plain one is read in place"


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names(tmp_path: Path, tar_format: int) -> None:
    names = ["d/" * 40 + "x" * 90 + ".jpg", "Äpfel/größe 字.jpg"]
    if tar_format != tarfile.USTAR_FORMAT:
        names.append("long/" + "y" * 240 + ".jpg")
    source = opened(make_tar(tmp_path / "a.tar", {name: name.encode() for name in names}, tar_format))
    assert paths(source) == names
    assert [read_member(member).decode() for member in source.members] == names


def test_folders_and_old_headers(tmp_path: Path) -> None:
    path = special(tmp_path / "a.tar", "folder", tarfile.DIRTYPE)
    assert paths(opened(path)) == ["good.jpg"] and not opened(path).skipped
    path = special(tmp_path / "b.tar", "old/", tarfile.AREGTYPE)
    assert paths(opened(path)) == ["good.jpg"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.jpg", "leaves"),
        ("a/../../evil.jpg", "leaves"),
        ("..\\evil.jpg", "leaves"),
        ("/etc/evil.jpg", "absolute"),
        ("C:\\evil.jpg", "drive"),
        ("\\\\host\\share\\evil.jpg", "computer"),
        ("line\nbreak.jpg", "control"),
        ("x" * 1_001 + ".jpg", "longer"),
        ("drawing.svg", "SVG"),
        ("inner.tar", "archive inside"),
        ("inner.tar.gz", "archive inside"),
    ],
)
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_member_that_cannot_be_taken_is_skipped(
    tmp_path: Path, suffix: str, name: str, reason: str
) -> None:
    path = make_tar(tmp_path / f"a{suffix}", {name: b"x", "good.jpg": b"y"})
    source = opened(path, scratch=tmp_path / "job")
    assert paths(source) == ["good.jpg"]
    assert [reason in why for _, why in source.skipped] == [True]
    assert {found.name for found in tmp_path.iterdir()} <= {path.name, "job"}, "something was written"


def test_a_zero_byte_in_a_name_is_seen(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"ok-jpg.txt" + "é" * 50: b"x", "good.jpg": b"y"})
    path.write_bytes(path.read_bytes().replace(b"ok-jpg.txt\xc3", b"ok\0jpg.txt\xc3"))
    assert [why for _, why in opened(path).skipped] == ["the name holds a zero byte"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (b"Z", "a kind of member that is not known"),
    ],
)
def test_links_and_devices_are_skipped(tmp_path: Path, kind: bytes, reason: str) -> None:
    source = opened(special(tmp_path / "a.tar", "evil.jpg", kind))
    assert paths(source) == ["good.jpg"] and source.skipped == (("evil.jpg", reason),)


def test_duplicates_and_case_clashes_are_skipped(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("a/One.jpg", "a/One.jpg", "a/one.JPG"):
            archive.addfile(tarfile.TarInfo(name))
    source = opened(tmp_path / "a.tar")
    assert paths(source) == ["a/One.jpg"]
    assert "twice" in source.skipped[0][1] and "differs only in case" in source.skipped[1][1]


def gnu_sparse(path: Path) -> Path:
    """An old GNU sparse member by hand: one further block of its map, then 512 bytes of data."""
    special(path, "holes.bmp", tarfile.GNUTYPE_SPARSE)
    content = bytearray(path.read_bytes())
    content[124:136] = b"%011o\0" % 512
    content[482] = 1
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    path.write_bytes(bytes(content[:512]) + bytes(512) + b"D" * 512 + bytes(content[512:]))
    return path


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    source = opened(gnu_sparse(tmp_path / "a.tar"))
    assert paths(source) == ["good.jpg"] and "sparse" in source.skipped[0][1]
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("GNUSparseFile.0/holes.bmp")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999"}
        archive.addfile(info)
    source = opened(tmp_path / "b.tar")
    assert not source.members and "sparse" in source.skipped[0][1]


def test_a_pax_size_counts(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"good.jpg": b"y" * 10})
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x.jpg")
        info.size, info.pax_headers = 4, {"size": "4"}
        archive.addfile(info, io.BytesIO(b"data"))
    assert [member.size for member in (*opened(path).members, *opened(tmp_path / "b.tar").members)] == [10, 4]


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_archive_is_refused_whole(tmp_path: Path, suffix: str, share: float) -> None:
    path = make_tar(tmp_path / f"a{suffix}", {f"{k}.jpg": os.urandom(40_000) for k in range(5)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ArchiveError, match="cut short"):
        opened(path, scratch=tmp_path / "job")
    assert not list((tmp_path / "job").glob("*")), "something was left behind"


def test_an_archive_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 512, "b.jpg": b"y"}, tarfile.USTAR_FORMAT)
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(ArchiveError, match="cut short"):
        opened(path)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_flipped_byte_is_refused(tmp_path: Path, suffix: str) -> None:
    path = make_tar(tmp_path / f"a{suffix}", {"a.jpg": os.urandom(20_000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        opened(path, scratch=tmp_path / "job")
    assert not list((tmp_path / "job").glob("*"))


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"a.jpg": b"x", "b.jpg": b"y"}, tarfile.USTAR_FORMAT)
    content = bytearray(path.read_bytes())
    content[1024] ^= 0xFF  # the name of the second member
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        opened(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bomb_is_refused_quickly_and_leaves_nothing(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = make_tar(tmp_path / "b.tar", {"a.jpg": bytes(24 * 2**20)})
    bomb = tmp_path / "a.tar.gz"
    bomb.write_bytes(pack(path.read_bytes()))
    start = time.monotonic()
    with pytest.raises(ArchiveError, match="100 times"):
        opened(bomb, scratch=tmp_path / "job")
    assert time.monotonic() - start < 10 and not list((tmp_path / "job").glob("*"))


def test_a_bomb_with_ballast_at_its_end_is_refused_early(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "b.tar", {"a.jpg": bytes(8 * 2**20), "b.jpg": os.urandom(2**20)})
    bomb = tmp_path / "a.tar.gz"
    bomb.write_bytes(gzip.compress(path.read_bytes()))
    limits = replace(LIMITS, ratio_applies_above=2**10, inflate_ratio=20)
    assert bomb.stat().st_size * 20 > path.stat().st_size, "the ratio of the whole would hold"
    with pytest.raises(ArchiveError, match="20 times"):
        opened(bomb, limits, tmp_path / "job")
    assert not list((tmp_path / "job").glob("*"))


def test_a_dictionary_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    content = make_tar(tmp_path / "b.tar", {"a.jpg": b"x"}).read_bytes()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**29}]
    # The head alone says how much memory is wanted: made small, then rewritten to ask for 512 MiB.
    small = bytearray(lzma.compress(content, filters=[{**filters[0], "dict_size": 2**16}]))
    place = small.index(b"\x21\x01", 12) + 2
    small[place] = 34  # (2 | 34 & 1) << (34 // 2 + 11)
    head = small[12 : 12 + (small[12] + 1) * 4]
    struct.pack_into("<I", small, 12 + len(head) - 4, zlib.crc32(bytes(head[:-4])))
    (tmp_path / "a.tar.xz").write_bytes(small)
    with pytest.raises(ArchiveError, match=r"[Mm]emory"):
        opened(tmp_path / "a.tar.xz", scratch=tmp_path / "job")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"archive_members": 1}, "1 files"), ({"archive_bytes": 10}, "GiB"), ({"inflated_bytes": 3}, "GiB")],
)
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_limits(tmp_path: Path, suffix: str, change: dict[str, int], words: str) -> None:
    path = make_tar(tmp_path / f"a{suffix}", {"a.jpg": b"xx", "b.jpg": b"yy"})
    with pytest.raises(LimitError, match=words):
        opened(path, replace(LIMITS, **change), tmp_path / "job")


def header(name: bytes, kind: bytes, size: int) -> bytes:
    block = bytearray(512)
    block[: len(name)], block[156:157], block[257:265] = name, kind, b"ustar\00000"
    block[124:136] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_an_endless_name_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as out:
        out.write(header(b"x", kind, 2**31))
        out.truncate(2**31 + 4096)  # holes: nothing on the disk
    with pytest.raises(ArchiveError, match="longer than any"):
        opened(path)


def test_names_without_a_member_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(header(b"x", b"g", 0) * 100 + bytes(1024))
    with pytest.raises(ArchiveError, match="damaged"):
        opened(tmp_path / "a.tar")


@pytest.mark.parametrize("content", [b"8 path=x", b"0 path=x\n", b"99 path=x\n", b"-9 path=x\n", b"9999"])
def test_damaged_pax_records_are_refused(tmp_path: Path, content: bytes) -> None:
    block = header(b"x", b"x", len(content)) + content.ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(block + header(b"a.jpg", b"0", 0) + bytes(1024))
    with pytest.raises(ArchiveError, match="damaged"):
        opened(tmp_path / "a.tar")


def test_a_packed_tar_needs_room_given(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="packed TAR"):
        opened(make_tar(tmp_path / "a.tar.gz", FILES))


def test_a_packed_file_that_is_no_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv.gz").write_bytes(gzip.compress(b"file,label\n" * 1_000))
    with pytest.raises(ArchiveError, match="no TAR"):
        opened(tmp_path / "labels.csv.gz", scratch=tmp_path / "job")
    assert not list((tmp_path / "job").glob("*"))
    (tmp_path / "rest.tar").write_bytes(b"no archive at all")
    with pytest.raises(ArchiveError, match="no TAR that"):
        opened(tmp_path / "rest.tar")


def test_several_packed_streams_and_the_padding_of_a_tape(tmp_path: Path) -> None:
    content = make_tar(tmp_path / "b.tar", FILES).read_bytes()
    half = len(content) // 2
    parts = gzip.compress(content[:half]) + gzip.compress(content[half:]) + bytes(1024)
    (tmp_path / "a.tgz").write_bytes(parts)
    assert paths(opened(tmp_path / "a.tgz", scratch=tmp_path / "job")) == list(FILES)
    (tmp_path / "c.tgz").write_bytes(parts + b"more")
    with pytest.raises(ArchiveError, match=r"damaged|cut short"):
        opened(tmp_path / "c.tgz", scratch=tmp_path / "job")


def test_a_zip_at_the_end_of_a_tar_is_not_opened(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inner.jpg", b"x")
    path = make_tar(tmp_path / "a.tar", {"good.jpg": b"y", "inner.zip": packed.getvalue()})
    assert zipfile.is_zipfile(path), "the trap is set"
    assert paths(opened(path)) == ["good.jpg"]


def test_a_member_is_a_file_of_its_own(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"a.jpg": b"before", "b.jpg": bytes(range(100)), "c.jpg": b"after"})
    with open_member(opened(path).members[1]) as stream:
        assert stream.read(3) == b"\0\1\2" and stream.tell() == 3
        stream.seek(-2, io.SEEK_END)
        assert stream.read() == b"bc" and stream.read() == b""
        with pytest.raises(ValueError, match="before"):
            stream.seek(-1)


def test_an_archive_that_is_cut_after_it_was_listed_is_reported(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"a.jpg": os.urandom(5_000)})
    source = opened(path)
    os.truncate(path, 2_000)
    with pytest.raises(ArchiveError, match="damaged"):
        read_member(source.members[0])


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=1_200)), max_size=5), st.sampled_from([0, 1, 2]))
def test_it_reads_what_the_standard_library_reads(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, bytes]], tar_format: int
) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    with tarfile.open(path, "w", format=tar_format) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            try:
                archive.addfile(info, io.BytesIO(content))
            except ValueError:  # too long for this format
                continue
    with tarfile.open(path) as archive:
        known = [(info.name, info.size, info.offset_data) for info in archive if info.isreg()]
    found = [(entry.name, entry.size, entry.offset) for entry in list_tar(path, LIMITS)]
    assert [(name.rstrip("/"), *rest) for name, *rest in found] == [
        (name.rstrip("/"), *rest) for name, *rest in known
    ]
