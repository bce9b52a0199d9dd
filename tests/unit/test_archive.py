"""Sources: what an archive may hold, and what is done about the rest."""

from __future__ import annotations

import os
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datasets.archive import Member, Source, open_source, read_member
from engine.datasets.paths import clean_path, shown
from engine.errors import ArchiveError, InputError, LimitError
from engine.settings import Limits

LIMITS = Limits()


def make_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # ZipInfo() itself cuts at a zero byte and turns separators
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def opened(path: Path, limits: Limits = LIMITS) -> Source:
    return open_source(((path.name, path),), limits)


def paths(source: Source) -> list[str]:
    return [member.path for member in source.members]


def test_a_zip_lists_its_files_and_reads_them(tmp_path: Path) -> None:
    source = opened(make_zip(tmp_path / "a.zip", {"c/one.jpg": b"1", "c/two.png": b"22", "labels.csv": b"x"}))
    assert paths(source) == ["c/one.jpg", "c/two.png", "labels.csv"]
    assert [read_member(member) for member in source.members] == [b"1", b"22", b"x"]
    assert [member.path for member in source.images] == ["c/one.jpg", "c/two.png"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.jpg", "leaves"),
        ("a/../../evil.jpg", "leaves"),
        ("..\\..\\evil.jpg", "leaves"),
        ("/etc/evil.jpg", "absolute"),
        ("\\evil.jpg", "absolute"),
        ("C:\\evil.jpg", "drive"),
        ("c:evil.jpg", "drive"),
        ("\\\\host\\share\\evil.jpg", "computer"),
        ("//host/evil.jpg", "computer"),
        ("ok.jpg\0.txt", "zero byte"),
        ("line\nbreak.jpg", "control"),
        ("x" * 1_001 + ".jpg", "longer"),
        ("photo.avif", "AVIF"),
        ("drawing.svg", "SVG"),
        ("inner.zip", "archive inside"),
    ],
)
def test_a_member_that_cannot_be_taken_is_skipped_with_its_reason(
    tmp_path: Path, name: str, reason: str
) -> None:
    before = set(tmp_path.iterdir())
    source = opened(make_zip(tmp_path / "a.zip", {name: b"x", "good.jpg": b"y"}))
    assert paths(source) == ["good.jpg"]
    assert [reason in why for _, why in source.skipped] == [True]
    assert set(tmp_path.iterdir()) - before == {tmp_path / "a.zip"}, "something was written"


def test_names_are_normalised(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Straße/Äpfel.jpg")
    source = opened(make_zip(tmp_path / "a.zip", {decomposed: b"x", "b\\two.jpg": b"y", "./c//d.jpg": b"z"}))
    assert paths(source) == [unicodedata.normalize("NFC", decomposed), "b/two.jpg", "c/d.jpg"]


def test_links_and_devices_are_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, kind in (
            ("link.jpg", stat.S_IFLNK),
            ("device.jpg", stat.S_IFCHR),
            ("good.jpg", stat.S_IFREG),
        ):
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o644) << 16
            archive.writestr(info, b"/etc/passwd")
    source = opened(tmp_path / "a.zip")
    assert paths(source) == ["good.jpg"]
    assert [why for _, why in source.skipped] == ["a link or a device"] * 2


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates_and_case_clashes_are_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a/One.jpg", "a/One.jpg", "a/one.JPG"):
            archive.writestr(name, b"x")
    source = opened(tmp_path / "a.zip")
    assert paths(source) == ["a/One.jpg"]
    assert "twice" in source.skipped[0][1] and "differs only in case" in source.skipped[1][1]


def test_litter_is_ignored_and_counted(tmp_path: Path) -> None:
    names = ["__MACOSX/._a.jpg", ".DS_Store", "c/Thumbs.db", "c/._b.jpg", "c/b.jpg"]
    source = opened(make_zip(tmp_path / "a.zip", dict.fromkeys(names, b"x")))
    assert paths(source) == ["c/b.jpg"] and source.ignored == 4 and not source.skipped


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.jpg": b"x"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="encrypted"):
        opened(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.jpg": bytes(11 * 2**20), "b.jpg": os.urandom(2**20)})
    with pytest.raises(ArchiveError, match="100 times"):
        opened(path)


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.jpg": os.urandom(500), "b.jpg": os.urandom(500)})
    content = bytearray(path.read_bytes())
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    struct.pack_into("<I", content, second + 42, 0)  # both entries now point at the first file
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="overlap"):
        opened(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"archive_members": 1}, "1 files"),
        ({"archive_bytes": 10}, "GiB"),
        ({"inflated_bytes": 3}, "GiB"),
    ],
)
def test_limits(tmp_path: Path, change: dict[str, int], words: str) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.jpg": b"xx", "b.jpg": b"yy"})
    with pytest.raises(LimitError, match=words):
        opened(path, replace(LIMITS, **change))


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.jpg": os.urandom(2_000)})
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(ArchiveError, match=r"no ZIP .* its end is missing") as caught:
        opened(path)
    assert "arrived incompletely" in caught.value.hint
    path.write_bytes(b"")
    with pytest.raises(ArchiveError, match="its end is missing"):
        opened(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ArchiveError, match=r"is no ZIP that can be read\. Pack"):
        opened(path)


def test_a_member_with_a_flipped_byte_is_reported_when_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.jpg": os.urandom(2_000)})
    content = bytearray(path.read_bytes())
    content[1_000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        read_member(opened(path).members[0])


def test_a_folder_gives_the_same_members(tmp_path: Path) -> None:
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "cat" / "a.jpg").write_bytes(b"a")
    (tmp_path / "set" / ".DS_Store").write_bytes(b"")
    (tmp_path / "secret.jpg").write_bytes(b"s")
    (tmp_path / "set" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    os.mkfifo(tmp_path / "set" / "pipe.jpg")
    source = opened(tmp_path / "set")
    assert paths(source) == ["cat/a.jpg"] and source.ignored == 1
    assert sorted(source.skipped) == [
        ("link.jpg", "a link"),
        ("loop", "a link"),
        ("pipe.jpg", "no regular file"),
    ]


def test_names_that_are_no_text_are_skipped_by_a_name_that_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "a").mkdir(parents=True)
    place = os.fsencode(folder / "a")
    for name in (b"bad\xff.png", b"two\nlines.png", b"esc\x1b[31m.png"):
        Path(os.fsdecode(place + b"/" + name)).write_bytes(b"x")
    Path(os.fsdecode(place + b"/link\xfe\n")).symlink_to("nowhere")
    os.mkfifo(os.fsdecode(place + b"/pipe\xfd"))
    (folder / "good é😀.png").write_bytes(b"x")
    source = open_source(((os.fsdecode(b"named\xff"), folder),), LIMITS)
    assert paths(source) == ["good é😀.png"] and source.name == r"named\xff"
    assert dict(source.skipped) == {
        r"a/bad\xff.png": "the name is not Unicode text",
        r"a/two\nlines.png": "the name holds control characters",
        r"a/esc\x1b[31m.png": "the name holds control characters",
        r"a/link\xfe\n": "a link",
        r"a/pipe\xfd": "no regular file",
    }
    assert all(name.encode() and name.isprintable() for name, _ in source.skipped)


@pytest.mark.parametrize("name", ["plain.png", "日本 é😀👩‍🚀.png", "back\\slash", "=cmd|x", "a b"])
def test_names_that_can_be_printed_are_shown_as_they_are(name: str) -> None:
    assert shown(name) == name


def test_loose_files_keep_the_names_that_they_had(tmp_path: Path) -> None:
    (tmp_path / "0001").write_bytes(b"a")
    (tmp_path / "0002").write_bytes(b"b")
    source = open_source((("x/a.jpg", tmp_path / "0001"), ("../b.jpg", tmp_path / "0002")), LIMITS)
    assert paths(source) == ["x/a.jpg"] and source.skipped == (("../b.jpg", "the path leaves the archive"),)


def test_nothing_and_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing"):
        open_source((), LIMITS)
    with pytest.raises(InputError, match="does not exist"):
        opened(tmp_path / "gone.zip")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_a_clean_path_stays_inside(name: str) -> None:
    try:
        path = clean_path(name)
    except ValueError:
        return
    inside = Path("/anywhere/x") / path
    assert Path(os.path.normpath(inside)).is_relative_to("/anywhere/x") and path == clean_path(path)


def test_what_was_made_of_a_list_does_not_outlive_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    source = open_source((("set", tmp_path),), Limits())
    source.kept["index"] = 1
    more = replace(source, members=(*source.members, Member("b.jpg", 1, "")))
    assert more.kept == {} and more.image_paths == ("a.jpg", "b.jpg")
    assert source.kept == {"index": 1} and source.image_paths == ("a.jpg",)


def test_a_file_that_has_more_or_less_than_was_listed_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    member = open_source((("set", tmp_path),), Limits()).members[0]
    for content in (b"", b"1", b"12345", b"123456", b"1" * 100_000):
        (tmp_path / "a.jpg").write_bytes(content)
        assert read_member(member) == content
