"""Pictures and masks through the processes that decode them: mixed orders, long names, what is left over."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from engine.datasets.archive import open_source
from engine.datasets.intake import Intake
from engine.datasets.labels import Rle
from engine.datasets.leftovers import MARK, sweep_unused
from engine.datasets.masks import area
from engine.datasets.taking import Taking
from engine.errors import InputError
from engine.settings import Limits, Settings
from engine.storage.tables import AnnotationRow, ClassRow, ImageRow
from tests.integration.importing import Workspace, folder, picture, two_classes

TABLE = b"name,r,g,b\nsky,0,0,0\nred,255,0,0\ngreen,0,255,0\n"
COLOURS = ((0, 0, 0), (0, 255, 0), (255, 0, 0))
"""In an order that is not the table's: an index alone says nothing of the class."""


def mask(number: int, *, palette: bool) -> bytes:
    """20 x 16 px: 5 + number % 3 rows of green, 2 of red, the rest sky."""
    indices = np.zeros((16, 20), np.uint8)
    indices[: 5 + number % 3] = 1
    indices[-2:] = 2
    image = Image.fromarray(indices, "P")
    image.putpalette([value for colour in COLOURS for value in colour])
    buffer = io.BytesIO()
    (image if palette else image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("palette", [True, False], ids=("palette", "colours"))
@pytest.mark.parametrize("count", [5, 30, 60])
def test_every_mask_knows_the_table_of_colours(
    space: Workspace, tmp_path: Path, count: int, palette: bool
) -> None:
    files = {f"images/{n:03}.png": picture(n) for n in range(count)}
    files |= {f"masks/{n:03}.png": mask(n, palette=palette) for n in range(count)}
    source = folder(tmp_path / "set", {**files, "class_dict.csv": TABLE})
    report = space.run(source, task="semantic", labels="regions")
    assert (report.images, report.skipped) == (count, 0)
    query = (
        select(ImageRow.path, ClassRow.name, AnnotationRow.geometry)
        .join(AnnotationRow, AnnotationRow.image_id == ImageRow.id)
        .join(ClassRow, ClassRow.id == AnnotationRow.class_id)
    )
    with space.db.read() as session:
        rows = session.execute(query).all()
    found = {(path, name): area(Rle(16, 20, geometry["rle"])) for path, name, geometry in rows}
    for number in range(count):
        path, rows_of_green = f"images/{number:03}.png", 5 + number % 3
        assert found[path, "green"] == 20 * rows_of_green
        assert found[path, "red"] == 40
        assert found[path, "sky"] == 20 * (14 - rows_of_green)


def test_orders_and_answers_longer_than_a_pipe_do_not_stop_each_other(
    space: Workspace, tmp_path: Path
) -> None:
    deep = "/".join("漢" * 80 for _ in range(3))
    noise = np.random.default_rng(0).integers(0, 9, (300, 400), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    files = {f"{deep}/images/{n}.png": picture(n, (400, 300)) for n in range(100)}
    files |= {f"{deep}/masks/{n}.png": buffer.getvalue() for n in range(100)}
    report = space.run(folder(tmp_path / "set", files), task="semantic", labels="regions")
    assert report.images == 100 and report.annotations >= 100 * 8


def test_a_picture_that_was_not_ordered_is_not_waited_for(tmp_path: Path) -> None:
    source = open_source((("set", folder(tmp_path / "set", {"a.png": picture(1)})),), Limits())
    settings = Settings(home=tmp_path / "home", database_url="")
    with Intake(settings, {}) as intake, Taking(intake, lambda done, total, masks: None) as taking:
        taking.begin(source.members, {}, 1)
        with pytest.raises(KeyError):
            taking.picture("a.png")


def test_what_a_refused_import_stored_goes_away_with_time(space: Workspace, tmp_path: Path) -> None:
    space.run(two_classes(tmp_path / "kept", 4))
    stored = sorted(path for path in space.settings.files.rglob("*") if path.is_file())
    broken = {f"cat/{n}.png": b"no picture" for n in range(9)}
    with pytest.raises(InputError):
        space.run(two_classes(tmp_path / "set", 8, **broken), mode="add")
    assert len(list(space.settings.files.rglob("*.*"))) == 0
    left = [path for path in space.settings.files.rglob("*") if path.is_file() and path not in stored]
    assert left, "what was stored before the refusal"
    (space.settings.cache / MARK).unlink()
    assert sweep_unused(space.settings, space.db) == 0, "too young"
    for path in (*space.settings.files.rglob("*"), *space.settings.cache.rglob("*")):
        os.utime(path, (0, 0))
    removed = sweep_unused(space.settings, space.db)
    assert removed >= len(left)
    assert sorted(path for path in space.settings.files.rglob("*") if path.is_file()) == stored
    assert len(list((space.settings.cache / "thumbnails").rglob("*.jpg"))) == 4
