"""Imports of files that hold more than one RGB picture, or hold it in an unusual way."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from engine.datasets import importer, offers
from engine.datasets.staging import UNPACKED
from engine.datasets.thumbnails import ensure_thumbnail
from engine.errors import ArchiveError, InputError, QuestionError
from engine.storage.blobs import BlobStore
from engine.storage.tables import ImageRow, Project
from tests.integration.importing import (
    FLAT,
    PROJECT,
    Workspace,
    five_channels,
    folder,
    heic,
    picture,
    two_classes,
)
from tests.work import FakeWork


def pages(seed: int, count: int) -> bytes:
    made = [Image.open(io.BytesIO(picture(seed + page))) for page in range(count)]
    out = io.BytesIO()
    made[0].save(out, "TIFF", save_all=True, append_images=made[1:])
    return out.getvalue()


def rows(space: Workspace) -> list[ImageRow]:
    with space.db.read() as session:
        return list(session.scalars(select(ImageRow).order_by(ImageRow.path)))


def record(space: Workspace) -> dict:
    with space.db.read() as session:
        return dict(session.get_one(Project, PROJECT).preprocessing)


def thumbnail_colours(space: Workspace) -> set[tuple[int, ...]]:
    """The colours in the middle of the thumbnails of all images that are not left out."""
    shown = [row.sha256 for row in rows(space) if not row.left_out]
    found = set()
    for sha256 in shown:
        with Image.open(ensure_thumbnail(space.settings, sha256, record(space))) as small:
            found.add(tuple(int(value) for value in small.convert("RGB").getpixel((8, 8))))
    return found


def near(found: set[tuple[int, ...]], expected: tuple[int, int, int]) -> bool:
    """Whether there is one colour, equal but for what JPEG changes."""
    return len(found) <= 2 and all(np.abs(np.subtract(one, expected)).max() <= 3 for one in found)


def test_pages_of_a_file_are_images_that_stay_together(space: Workspace, tmp_path: Path) -> None:
    files = {f"{'ab'[n % 2]}/{n}.tif": pages(10 * n, 3) for n in range(8)}
    report = space.run(folder(tmp_path / "set", files))
    assert (report.images, report.annotations, report.skipped) == (24, 24, 0)
    by_file: dict[str | None, list[ImageRow]] = {}
    for row in rows(space):
        by_file.setdefault(row.group_key, []).append(row)
    assert set(by_file) == set(files)
    for name, found in by_file.items():
        stem = str(name).removesuffix(".tif")
        assert [row.path for row in found] == [f"{stem}.page2.tif", f"{stem}.page3.tif", name]
        assert len({row.split for row in found}) == 1
        assert len({row.sha256 for row in found}) == 3
    assert {row.split for row in rows(space)} == {"train", "val", "test"}


def test_channels_without_colours_are_asked_about(space: Workspace, tmp_path: Path) -> None:
    files = {f"{'ab'[n % 2]}/{n}.tif": five_channels((*FLAT[:4], 200 + n)) for n in range(4)}
    source = folder(tmp_path / "set", files)
    with pytest.raises(QuestionError, match="5 channels") as asked:
        space.run(source)
    assert asked.value.flag == "--channels" and space.is_empty()
    with pytest.raises(InputError, match="three channels"):
        space.run(source, channels="1,2")
    report = space.run(source, channels="3,2,1")
    assert (report.images, report.repaired) == (4, 4)
    assert record(space)["channels"] == [3, 2, 1]
    assert near(thumbnail_colours(space), (120, 80, 40))


def test_a_project_keeps_its_channels_until_its_set_is_replaced(space: Workspace, tmp_path: Path) -> None:
    first = folder(tmp_path / "1", {f"{n}/a.tif": five_channels((*FLAT[:4], n)) for n in range(2)})
    space.run(first, channels="3,2,1")
    again = folder(tmp_path / "2", {f"{n}/c.tif": five_channels((*FLAT[:4], 200 + n)) for n in range(2)})
    report = space.run(again, mode="add", channels="1,2,3")
    assert any("Channels 3, 2 and 1 are red, green and blue in this project" in n for n in report.notes)
    assert record(space)["channels"] == [3, 2, 1]
    assert near(thumbnail_colours(space), (120, 80, 40))
    report = space.run(first, mode="replace", channels="2,3,4")
    assert any("Channels 2, 3 and 4" in n and "before, these were 3, 2 and 1" in n for n in report.notes)
    assert record(space)["channels"] == [2, 3, 4]
    assert near(thumbnail_colours(space), (80, 120, 160))


def test_channels_that_no_picture_needs_are_not_kept(space: Workspace, tmp_path: Path) -> None:
    report = space.run(two_classes(tmp_path / "set", 4), channels="3,2,1")
    assert any("not used" in note for note in report.notes)
    assert "channels" not in record(space)


def packed(source: Path, target: Path) -> Path:
    with tarfile.open(target, "w:gz") as archive:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            archive.add(path, path.relative_to(source).as_posix())
    return target


def test_nothing_is_left_of_a_packed_tar(space: Workspace, tmp_path: Path) -> None:
    source = packed(two_classes(tmp_path / "set", 8), tmp_path / "set.tar.gz")
    looked = space.work(source, tasks={"class": "classification"})
    found = offers.run(looked)["offers"]
    assert found[0]["classes"] == ["cat", "dog"] and not list(looked.folder.iterdir())
    work = space.work(source)
    killed = work.folder / UNPACKED / "unpacked-1.tar"
    killed.parent.mkdir()
    killed.write_bytes(b"left by an attempt that was killed")
    seen: list[int] = []
    second: FakeWork = work.again()
    second.on_check = lambda: seen.append(len(list((second.folder / UNPACKED).glob("unpacked-*.tar"))))
    report = importer.run(second)
    assert (report["images"], report["classes"]) == (8, ["cat", "dog"])
    assert 1 in seen  # it was unpacked there
    assert [path.name for path in second.folder.iterdir()] == ["issues.csv"] and not list(
        work.folder.iterdir()
    )


def test_nothing_is_left_of_a_packed_tar_that_cannot_be_used(space: Workspace, tmp_path: Path) -> None:
    whole = packed(two_classes(tmp_path / "set", 8), tmp_path / "set.tar.gz")
    refused = space.work(whole, mode="new")
    refused.on_check = lambda: (_ for _ in ()).throw(InputError("stopped here"))
    with pytest.raises(InputError, match="stopped here"):
        importer.run(refused)
    assert not list(refused.folder.iterdir())
    whole.write_bytes(whole.read_bytes()[:-200])
    for run in (importer.run, offers.run):
        cut = space.work(whole)
        with pytest.raises(ArchiveError):
            run(cut)
        assert not list(cut.folder.iterdir())
    assert space.is_empty()


def test_heic_photos(space: Workspace, tmp_path: Path) -> None:
    files = {}
    for number in range(4):
        flat = Image.new("RGB", (64, 48), (200, 60 + number, 30))
        files[f"{'ab'[number % 2]}/{number}.HEIC"] = heic(flat)
    report = space.run(folder(tmp_path / "set", files))
    assert (report.images, report.skipped) == (4, 0)
    assert {(row.width, row.height) for row in rows(space)} == {(64, 48)}
    stored = BlobStore(space.settings.files)
    assert {stored.read(row.sha256) for row in rows(space)} == set(files.values())
    for colour in thumbnail_colours(space):
        assert np.abs(np.subtract(colour, (200, 62, 30))).max() <= 6
