"""IDX: written here with struct and numpy, read as pictures and classes."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contracts.datasets import ImportIssue
from engine.datasets.archive import Member, Source, open_source, read_member
from engine.datasets.formats import idx
from engine.datasets.formats.base import LabelIssue, ReadOptions, SourceView
from engine.datasets.labels import ImageLabels
from engine.errors import ArchiveError, InputError, LimitError
from engine.settings import Limits

GREY = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (7, 5, 4, 3), np.uint8)
CLASSES = np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)


def packed(values: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, kind, values.ndim, *values.shape) + values.tobytes()


def put(folder: Path, files: dict[str, bytes]) -> Source:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return open_source((("set", folder),), Limits())


def expanded(source: Source, folder: Path) -> Source:
    """What the import makes of a source: its pictures go the way through JSON, as to the intake."""
    members = idx.expand(SourceView(source), folder)
    through = tuple(Member(**json.loads(json.dumps(asdict(member)))) for member in members)
    assert through == members
    return replace(source, members=(*source.members, *through))


def read(source: Source) -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    rows = list(idx.read(SourceView(source), ReadOptions("class")).rows)
    images = {row.path: row for row in rows if isinstance(row, ImageLabels)}
    return images, [row.issue for row in rows if isinstance(row, LabelIssue)]


def pixels(member: Member) -> np.ndarray:
    content = read_member(member)
    assert content.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(content)))


def check(source: Source, values: np.ndarray, folder: Path, where: str = "train") -> None:
    source = expanded(source, folder)
    images, issues = read(source)
    by_path = {member.path: member for member in source.members}
    paths = [f"{where}/{number:05d}.png" for number in range(len(values))]
    assert not issues and set(paths) <= set(images)
    for number, path in enumerate(paths):
        np.testing.assert_array_equal(pixels(by_path[path]), values[number])
        assert images[path].names == (str(CLASSES[number]),)


MNIST = {"train-images-idx3-ubyte": packed(GREY), "train-labels-idx1-ubyte": packed(CLASSES)}


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("dot", ["-", "."])
def test_mnist_as_it_is_published(tmp_path: Path, ending: str, dot: str) -> None:
    files = {
        f"{part}-{what}{dot}idx{content[3]}-ubyte{ending}": content
        for part in ("train", "t10k")
        for what, content in (("images", packed(GREY)), ("labels", packed(CLASSES)))
    }
    source = put(tmp_path / "set", files)
    found = idx.recognise(SourceView(source))
    assert found is not None and found.kinds == ("class",) and found.images == 14
    assert found.classes == ("1", "2", "3", "4", "5", "9")
    check(source, GREY, tmp_path / "room")
    check(source, GREY, tmp_path / "room", "test")
    images, _ = read(source)
    assert [row.split for row in images.values()] == ["test"] * 7 + ["train"] * 7


@pytest.mark.parametrize(
    "values", [COLOUR, np.ascontiguousarray(COLOUR.transpose(0, 3, 1, 2)), GREY[..., None]]
)
def test_coloured_pictures(tmp_path: Path, values: np.ndarray) -> None:
    files = {"train-images-idx4-ubyte": packed(values), "train-labels-idx1-ubyte": packed(CLASSES)}
    check(put(tmp_path / "set", files), GREY if values.shape[-1] == 1 else COLOUR, tmp_path / "room")


def test_in_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MNIST/raw/train-images-idx3-ubyte", MNIST["train-images-idx3-ubyte"])
        archive.writestr(
            "MNIST/raw/train-labels-idx1-ubyte.gz", gzip.compress(MNIST["train-labels-idx1-ubyte"])
        )
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for name, content in MNIST.items():
            entry = tarfile.TarInfo(f"MNIST/raw/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    for name in ("set.zip", "set.tar"):
        source = open_source(((name, tmp_path / name),), Limits())
        check(source, GREY, tmp_path / "room", "MNIST/raw/train")
    assert len(list((tmp_path / "room").iterdir())) == 1


def test_loose_packed_files_are_taken(tmp_path: Path) -> None:
    put(tmp_path, {f"{name}.gz": content for name, content in MNIST.items()})
    paths = tuple((f"{name}.gz", tmp_path / f"{name}.gz") for name in MNIST)
    check(open_source(paths, Limits()), GREY, tmp_path / "room")


def test_packed_beside_unpacked_is_taken_once(tmp_path: Path) -> None:
    source = put(tmp_path / "set", {**MNIST, **{f"{name}.gz": content for name, content in MNIST.items()}})
    check(source, GREY, tmp_path / "room")
    assert len(read(source)[0]) == 7 and not (tmp_path / "room").exists()


def test_other_pictures_keep_their_names(tmp_path: Path) -> None:
    source = put(tmp_path / "set", {**MNIST, "train/00000.png": b"x"})
    check(source, GREY, tmp_path / "room", "train-2")
    assert read(expanded(source, tmp_path / "room"))[0]["train/00000.png"].labels == ()


def test_pictures_without_labels_and_labels_without_pictures(tmp_path: Path) -> None:
    source = put(tmp_path, {**MNIST, "t10k-images-idx3-ubyte": packed(GREY)})
    images, issues = read(source)
    assert sum(bool(row.labels) for row in images.values()) == 7 and len(images) == 14 and not issues
    source = put(tmp_path, {"val-labels-idx1-ubyte": packed(CLASSES)})
    assert len(read(source)[1]) == 7


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"train-labels-idx1-ubyte": packed(CLASSES[:6])}, "6 labels"),
        ({"train-labels-idx1-ubyte": packed(CLASSES)[:-1]}, "cut short"),
        ({"train-labels-idx1-ubyte": packed(GREY)}, "no list"),
        ({"train-images-idx3-ubyte": packed(GREY[:, 0])}, "no pictures"),
        ({"train-images-idx3-ubyte": packed(GREY[..., None, None].repeat(2, -1)[..., 0, :])}, "no pictures"),
        ({"train-images-idx3-ubyte": packed(GREY[:, :0])}, "no pictures"),
        (
            {"train-images-idx3-ubyte": packed(GREY, 0x0D), "train-labels-idx1-ubyte": packed(CLASSES)},
            "no IDX",
        ),
    ],
)
def test_what_would_teach_wrong_labels_is_refused(
    tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    source = put(tmp_path / "set", {**MNIST, **files})
    with pytest.raises(InputError, match=reason):
        list(idx.read(SourceView(source), ReadOptions("class")).rows)


def test_a_file_that_is_cut_short_loses_only_its_last_pictures(tmp_path: Path) -> None:
    for ending in ("", ".gz"):
        name = f"train-images-idx3-ubyte{ending}"
        files = {name: packed(GREY)[:-25], "train-labels-idx1-ubyte": packed(CLASSES)}
        source = expanded(put(tmp_path / f"set{ending}", files), tmp_path / "room")
        members = [member for member in source.members if member.raw]
        np.testing.assert_array_equal(pixels(members[4]), GREY[4])
        for member in members[5:]:
            with pytest.raises(ArchiveError, match="ends inside"):
                read_member(member)


def test_files_that_claim_too_much_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    for shape, error in (((300_000, 1, 1), LimitError), ((1000, 10_000, 10), ArchiveError)):
        claimed = struct.pack(">HBB3I", 0, 8, 3, *shape) + bytes(100)
        view = SourceView(put(tmp_path / "set", {"train-images-idx3-ubyte.gz": claimed}))
        with pytest.raises(error):
            idx.expand(view, tmp_path / "room")
    assert not (tmp_path / "room").exists()


def test_damaged_packing_is_said(tmp_path: Path) -> None:
    source = put(tmp_path, {f"{name}.gz": content for name, content in MNIST.items()})
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b" + bytes(30))
    with pytest.raises(ArchiveError, match="damaged"):
        idx.recognise(SourceView(source))


def test_other_files_are_something_else(tmp_path: Path) -> None:
    source = put(tmp_path, {"a-images-idx3-ubyte": b"no", "a-labels-idx1-ubyte": b"", "x.jpg": b"x"})
    assert idx.recognise(SourceView(source)) is None


@settings(max_examples=60, deadline=None)
@given(
    edits=st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_changed_files_are_refused_or_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[bool, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    files = {name: bytearray(content) for name, content in MNIST.items()}
    for labels, place, value in edits:
        content = list(files.values())[labels]
        content[place % len(content)] = value
    source = put(folder / "set", {name: bytes(content) for name, content in files.items()})
    try:
        rows = list(idx.read(SourceView(source), ReadOptions("class")).rows)
        members = idx.expand(SourceView(source), folder / "room")
    except InputError:
        return
    images = {row.path for row in rows if isinstance(row, ImageLabels)}
    assert images == {member.path for member in members}
