"""From a source to rows: what is recognised, counted, skipped and asked."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from engine.datasets import importer, queries
from engine.datasets.manifest import load_manifest
from engine.datasets.preprocessing import Preprocessing, prepare
from engine.datasets.thumbnails import SHORT_SIDE, thumbnail_path
from engine.errors import InputError, LimitError, QuestionError
from engine.settings import Limits
from engine.storage.blobs import BlobStore
from engine.storage.tables import ImageRow, VersionRow
from tests.integration.importing import PROJECT, Workspace, folder, picture, two_classes, zipped


def test_a_zip_of_class_folders(space: Workspace, tmp_path: Path) -> None:
    source = two_classes(tmp_path / "set" / "root")
    folder(tmp_path / "set", {"__MACOSX/root/cat/._1.png": b"x", "root/README.md": b"hello"})
    report = space.run(zipped(tmp_path / "set", tmp_path / "set.zip"))
    assert (report.images, report.annotations, report.read, report.kept) == (20, 20, 40, 40)
    assert (report.format, report.classes, report.ignored) == ("class_folders", ("cat", "dog"), 2)
    assert report.dataset_version == 1 and report.issues_total == 0
    assert space.labels()["root/cat/001.png"] == "cat" and len(space.labels()) == 20
    splits = list(space.splits().values())
    assert [splits.count(split) for split in ("train", "val", "test")] == [14, 4, 2]
    for path in source.rglob("*.png"):
        with space.db.read() as session:
            row = session.scalars(
                select(ImageRow).where(ImageRow.path == f"root/{path.relative_to(source)}")
            ).one()
        assert BlobStore(space.settings.files).read(row.sha256) == path.read_bytes()
        assert thumbnail_path(space.settings, row.sha256).exists()
    with space.db.read() as session:
        version = session.scalars(select(VersionRow)).one()
    assert len(load_manifest(space.db, space.settings, version.id).images) == 20


def test_progress_says_how_many(space: Workspace, tmp_path: Path) -> None:
    work = space.work(two_classes(tmp_path / "set"))
    importer.run(work)
    assert (0.9, "20 of 20 images") in work.said and work.said[-1][0] == 1.0
    fractions = [fraction for fraction, _ in work.said if fraction is not None]
    assert fractions == sorted(fractions)


def test_a_bad_file_is_skipped_with_its_label(space: Workspace, tmp_path: Path) -> None:
    whole = picture(99, (64, 64), "JPEG")
    source = two_classes(tmp_path / "set", 40)
    folder(source, {"cat/cut.jpg": whole[: len(whole) // 2]})
    report = space.run(source)
    assert (report.images, report.skipped, report.kept) == (40, 2, 80)
    assert {issue.file for issue in report.issues} == {"cat/cut.jpg"}
    assert "cut short" in report.issues[0].reason


def test_too_many_skips_ask_first_and_leave_nothing(space: Workspace, tmp_path: Path) -> None:
    source = folder(two_classes(tmp_path / "set"), {"cat/a.jpg": b"nonsense", "cat/b.jpg": b""})
    with pytest.raises(QuestionError) as caught:
        space.run(source)
    assert caught.value.flag == "--accept-skips" and "2 of 22 labels" in caught.value.message
    assert space.is_empty()
    assert space.run(source, accept_skips=True).skipped == 4


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.txt": b"x"}, "no pictures"),
        ({"train/cat/a.png": picture(), "test/cat/b.png": picture(1)}, "only one class"),
        ({"cat/a.png": b"x", "dog/b.png": b"y"}, "None of the 2 pictures"),
        ({"labels.csv": b"path,label\na.png,cat\n", "a.png": picture()}, "only one class"),
        ({"labels.csv": b"path,label\na.png," + b"x" * 300 + b"\n", "a.png": picture()}, "longer than"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(
    space: Workspace, tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        space.run(folder(tmp_path / "set", files))
    assert space.is_empty()


def test_too_many_classes_are_refused(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "home", Limits(classes=1))
    with pytest.raises(LimitError, match="more than 1 classes"):
        space.run(two_classes(tmp_path / "set"))
    assert space.is_empty()
    space.db.close()


def test_a_table_with_faults(space: Workspace, tmp_path: Path) -> None:
    names = [f"img/{n}.png" for n in range(60)]
    rows = [
        f"{name},{'cat' if n % 2 else 'dog'},{'test' if n < 20 else 'train'}" for n, name in enumerate(names)
    ]
    rows += ["/etc/passwd,cat,train", "img/5.png,cat,test"]
    text = "\ufefffile,class,split\n" + "\n".join(rows)
    files = {name: picture(n) for n, name in enumerate(names)} | {"img/extra.png": picture(77)}
    report = space.run(folder(tmp_path / "set", files | {"labels.csv": text.encode()}))
    assert (report.images, report.annotations, report.skipped, report.repaired) == (61, 60, 1, 1)
    assert report.splits_of_set and "validation" in report.notes[0]
    assert [(issue.file, issue.line) for issue in report.issues] == [("labels.csv", 62), ("labels.csv", 63)]
    assert space.labels()["img/extra.png"] is None
    splits = space.splits()
    assert all(splits[f"img/{n}.png"] == "test" for n in range(20))
    assert 8 <= list(splits.values()).count("val") <= 10


def test_classes_that_differ_in_case_are_merged_when_confirmed(space: Workspace, tmp_path: Path) -> None:
    names = ["cat", "cat", "Cat", "dog", "dog"]
    text = "path,label\n" + "\n".join(f"{n}.png,{name}" for n, name in enumerate(names))
    files = {f"{n}.png": picture(n) for n in range(len(names))}
    source = folder(tmp_path / "set", files | {"labels.csv": text.encode()})
    with pytest.raises(QuestionError, match="upper and lower") as caught:
        space.run(source)
    assert caught.value.flag == "--merge-classes" and space.is_empty()
    report = space.run(source, merge_classes=True)
    assert report.classes == ("cat", "dog") and report.repaired == 1


def test_pictures_without_labels_are_kept(space: Workspace, tmp_path: Path) -> None:
    report = space.run(folder(tmp_path / "set", {f"{n}.png": picture(n) for n in range(4)}))
    assert (report.format, report.images, report.annotations) == ("loose_images", 4, 0)
    assert set(space.labels().values()) == {None}


def test_unusual_pictures(space: Workspace, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    gif = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    deep, cmyk = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.linspace(100, 900, 64).reshape(8, 8).astype(np.uint16)).save(deep, "PNG")
    Image.new("CMYK", (8, 8)).save(cmyk, "JPEG")
    files = {
        "a/turned.jpg": picture(1, (640, 480), "JPEG", exif=exif),
        "a/moving.gif": gif.getvalue(),
        "a/wrong_name.png": picture(2, (9, 7), "JPEG"),
        "b/deep.png": deep.getvalue(),
        "b/cmyk.jpg": cmyk.getvalue(),
        "b/plain.png": picture(3),
    }
    report = space.run(folder(tmp_path / "set", files))
    assert (report.images, report.skipped, report.repaired) == (6, 0, 3)
    assert {issue.file for issue in report.issues} == {"a/moving.gif", "b/deep.png", "b/cmyk.jpg"}
    with space.db.read() as session:
        items = {item.path: item for item in queries.images(session, PROJECT).items}
        version = session.scalars(select(VersionRow)).one()
    assert (items["a/turned.jpg"].width, items["a/turned.jpg"].height) == (480, 640)
    preprocessing = load_manifest(space.db, space.settings, version.id).preprocessing
    assert (preprocessing["low"], preprocessing["high"]) == (100.0, 900.0)
    record = Preprocessing.from_dict({"height": 8, "width": 8, **preprocessing})
    made = prepare(BlobStore(space.settings.files).path(items["b/deep.png"].sha256), record)
    assert made.min() == 0 and made.max() == 255
    for item in items.values():
        with Image.open(thumbnail_path(space.settings, item.sha256)) as small:
            assert small.format == "JPEG" and min(small.size) <= SHORT_SIDE
            assert abs(small.width / small.height - item.width / item.height) < 0.02
