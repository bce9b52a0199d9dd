"""CIFAR's binary version: written here with numpy, read as pictures and classes."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.archive import Source, open_source, read_member
from engine.datasets.formats import cifar
from engine.datasets.formats.base import ReadOptions, SourceView
from engine.datasets.labels import ImageLabels
from engine.errors import InputError
from engine.settings import Limits

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
NAMES = ["airplane", "automobile", "bird", "cat"]


def records(*labels: tuple[int, ...]) -> bytes:
    """Records whose pictures are those of ``PIXELS`` in turn."""
    planes = [PIXELS[number % 3].transpose(2, 0, 1).tobytes() for number in range(len(labels))]
    return b"".join(bytes(own) + plane for own, plane in zip(labels, planes, strict=True))


TEN = {
    "data_batch_1.bin": records((0,), (3,), (1,)),
    "data_batch_2.bin": records((2,)),
    "test_batch.bin": records((1,), (1,)),
    "batches.meta.txt": ("\n".join(NAMES) + "\n\n").encode(),
    "readme.html": b"<html>",
}
HUNDRED = {
    "train.bin": records((1, 2), (0, 0)),
    "test.bin": records((1, 3)),
    "fine_label_names.txt": "\n".join(NAMES).encode(),
    "coarse_label_names.txt": b"vehicle\nanimal\n",
}


def put(folder: Path, files: dict[str, bytes]) -> Source:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return open_source((("set", folder),), Limits())


def read(source: Source) -> dict[str, ImageLabels]:
    reading = cifar.read(SourceView(source), ReadOptions("class"))
    assert [head.name for head in reading.classes] in (NAMES, [])
    rows = list(reading.rows)
    images = {row.path: row for row in rows if isinstance(row, ImageLabels)}
    assert len(images) == len(rows)
    return images


def check_pixels(source: Source, folder: Path, expected: dict[str, int]) -> None:
    members = {member.path: member for member in cifar.expand(SourceView(source), folder)}
    assert members.keys() == expected.keys()
    for path, number in expected.items():
        picture = Image.open(io.BytesIO(read_member(members[path])))
        np.testing.assert_array_equal(np.asarray(picture), PIXELS[number])


@pytest.mark.parametrize("zipped", [False, True])
def test_cifar_10(tmp_path: Path, zipped: bool) -> None:
    source = put(tmp_path / "cifar-10-batches-bin", TEN)
    if zipped:
        with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in TEN.items():
                archive.writestr(name, content)
        source = open_source((("set.zip", tmp_path / "set.zip"),), Limits())
    found = cifar.recognise(SourceView(source))
    assert found is not None and found.kinds == ("class",) and found.images == 6
    assert found.classes == tuple(NAMES)
    images = read(source)
    assert {path: (row.names[0], row.split) for path, row in images.items()} == {
        "train/00000.png": ("airplane", "train"),
        "train/00001.png": ("cat", "train"),
        "train/00002.png": ("automobile", "train"),
        "train/00003.png": ("bird", "train"),
        "test/00000.png": ("automobile", "test"),
        "test/00001.png": ("automobile", "test"),
    }
    expected = dict(zip(images, [0, 1, 2, 0, 0, 1], strict=True))
    check_pixels(source, tmp_path / "room", expected)


def test_cifar_100(tmp_path: Path) -> None:
    source = put(tmp_path / "set", {f"cifar-100-binary/{name}": content for name, content in HUNDRED.items()})
    images = {path.removeprefix("cifar-100-binary/"): row for path, row in read(source).items()}
    assert {path: row.names for path, row in images.items()} == {
        "train/00000.png": ("bird",),
        "train/00001.png": ("airplane",),
        "test/00000.png": ("cat",),
    }
    assert images["train/00000.png"].labels[0].attributes == (("coarse", "animal"),)
    expected = {f"cifar-100-binary/{path}": number for path, number in zip(images, [0, 0, 1], strict=True)}
    assert set(expected) == {member.path for member in cifar.expand(SourceView(source), tmp_path / "room")}


def test_without_names_classes_are_numbers(tmp_path: Path) -> None:
    source = put(tmp_path, {"test_batch.bin": TEN["test_batch.bin"]})
    assert {row.names for row in read(source).values()} == {("1",)}


def test_pictures_beside_them_are_not_labelled(tmp_path: Path) -> None:
    source = put(tmp_path / "set", {**TEN, "train/00000.png": b"x"})
    view = SourceView(replace(source, members=(*source.members, *cifar.expand(SourceView(source), tmp_path))))
    rows = [row for row in cifar.read(view, ReadOptions("class")).rows if isinstance(row, ImageLabels)]
    assert len(rows) == 7 and rows[-1] == ImageLabels("train/00000.png")
    assert rows[0].path == "train-2/00000.png"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"data_batch_1.bin": TEN["data_batch_1.bin"][:-1]}, "whole number"),
        ({"data_batch_1.bin": b""}, "whole number"),
        ({"data_batch_1.bin": records((4,))}, "class 4"),
        ({"batches.meta.txt": b"a\n\nb\nc\nd"}, "meta"),
        ({"batches.meta.txt": b"a\na\nb\nc"}, "twice"),
        ({"other/test_batch.bin": records((1,))}, "several"),
        ({"train.bin": HUNDRED["train.bin"], "fine_label_names.txt": b"a\nb"}, "several"),
    ],
)
def test_what_would_teach_wrong_labels_is_refused(
    tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        list(cifar.read(SourceView(put(tmp_path, {**TEN, **files})), ReadOptions("class")).rows)


def test_the_pickled_version_is_refused_and_never_opened(tmp_path: Path) -> None:
    mark = tmp_path / "opened"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(mark),)

    for protocol in (2, 4):
        source = put(tmp_path / "set", {"cifar-10-batches-py/data_batch_1": pickle.dumps(Trap(), protocol)})
        with pytest.raises(InputError, match="pickle") as caught:
            cifar.recognise(SourceView(source))
        assert "binary version" in caught.value.hint
    assert not mark.exists()


def test_other_files_are_something_else(tmp_path: Path) -> None:
    source = put(tmp_path, {"train.bin": bytes(3074), "model.bin": b"x", "test": b"text", "a.jpg": b"x"})
    assert cifar.recognise(SourceView(source)) is None
    with pytest.raises(InputError, match="no batches"):
        cifar.read(SourceView(source), ReadOptions("class"))
