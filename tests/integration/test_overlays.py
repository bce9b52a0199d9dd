"""Overlays of a real workspace: whose images they are of, how large, and upright where the file is not."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from engine.api import Lensmith
from engine.contracts.base import utc_now
from engine.contracts.palette import class_color
from engine.datasets import masks
from engine.errors import NotFoundError
from engine.settings import Settings
from engine.storage.tables import AnnotationRow, ClassRow, FileRow, ImageRow, Project


@pytest.fixture
def lensmith(tmp_path: Path) -> Iterator[Lensmith]:
    """Two projects; "i" of the first lies on its side in its file and carries a box around a bright patch."""
    opened = Lensmith(Settings.from_environment({"LENSMITH_HOME": str(tmp_path)}))
    upright = Image.new("RGB", (400, 300))
    upright.paste((255, 255, 255), (200, 100, 300, 200))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "PNG", exif=exif)
    mask = np.zeros((300, 400), bool)
    mask[100:200, 200:300] = True
    _fill(opened, buffer.getvalue(), {"rle": masks.encode(mask).counts})
    yield opened
    opened.close()


def _fill(lensmith: Lensmith, content: bytes, geometry: dict[str, Any]) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    path = lensmith.datasets.files.path(sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with lensmith.database.write() as session:
        for project in ("p", "q"):
            session.add(
                Project(
                    id=project,
                    name=project,
                    task="classification",
                    created_at=utc_now(),
                    preprocessing={},
                    edit_seq=0,
                )
            )
        session.flush()
        session.add(ClassRow(id="c", project_id="p", name="cell", position=1))
        session.add(
            FileRow(sha256=sha256, bytes=len(content), format="PNG", mode="RGB", width=400, height=300)
        )
        session.flush()
        session.add(
            ImageRow(
                id="i",
                project_id="p",
                path="a.png",
                sha256=sha256,
                width=400,
                height=300,
                split="train",
                added_at=utc_now(),
            )
        )
        session.flush()
        session.add(
            AnnotationRow(
                id="a",
                project_id="p",
                image_id="i",
                class_id="c",
                kind="mask",
                geometry=geometry,
                on_head=True,
                created_at=utc_now(),
            )
        )


def read(png: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_labels_lie_on_what_they_are_of(lensmith: Lensmith) -> None:
    served = lensmith.datasets.thumbnail("p", "i")
    with Image.open(served.path) as thumb:
        bright = np.asarray(thumb.convert("L")) > 127
        drawn = read(lensmith.overlays.overlay("p", "i", "thumb"))
        assert thumb.size == (drawn.shape[1], drawn.shape[0]) == (320, 240)
    assert ((drawn[..., 3] > 0) == bright).mean() > 0.99
    assert (drawn[drawn[..., 3] > 0][:, :3] == ImageColor.getrgb(class_color(1))).all()


@pytest.mark.parametrize(("size", "out"), [("small", (800, 600)), ("full", (1600, 1200))])
def test_over_an_opened_picture_there_is_room_for_fine_lines(
    lensmith: Lensmith, size: Any, out: tuple[int, int]
) -> None:
    drawn = read(lensmith.overlays.overlay("p", "i", size))
    assert (drawn.shape[1], drawn.shape[0]) == out
    assert (drawn[..., 3] > 0).mean() == pytest.approx(100 * 100 / (400 * 300), rel=0.01)


def test_the_legend_names_the_classes(lensmith: Lensmith) -> None:
    found = lensmith.overlays.legend("p", "i")
    assert (found.width, found.height) == (400, 300)
    assert [(c.name, c.position, c.count) for c in found.classes] == [("cell", 1, 1)]


def _label(
    lensmith: Lensmith, name: str, kind: str, geometry: dict[str, Any] | None, class_id: Any = "c"
) -> None:
    with lensmith.database.write() as session:
        session.add(
            AnnotationRow(
                id=name,
                project_id="p",
                image_id="i",
                class_id=class_id,
                kind=kind,
                geometry=geometry,
                on_head=True,
                created_at=utc_now(),
            )
        )


def test_a_gallery_counts_what_the_labels_say(lensmith: Lensmith) -> None:
    """The same as is counted from the labels themselves."""
    _label(lensmith, "b", "box", {"box": [1, 2, 30, 40]})
    _label(lensmith, "d", "box", {"box": [1, 2, 30, 40], "ignored": True})
    _label(lensmith, "e", "mask", {"polygons": [[1, 1, 9, 1, 9, 9]], "ignored": True}, None)
    _label(lensmith, "f", "box", {"box": [1, 2, 30, 40], "attributes": {"ignored": "no"}})
    (tile,) = lensmith.overlays.tiles("p").items
    item = lensmith.datasets.image("p", "i")
    classes = {c.id: c for c in lensmith.datasets.summary("p").classes}
    assert tile.classes == item.count_classes(classes)
    assert [(c.name, c.count) for c in tile.classes] == [("cell", 3)]
    assert tile.ignored == sum(label.ignored for label in item.labels) == 2
    assert tile.image == item.model_copy(update={"labels": ()})


def test_the_look_is_another_when_labels_are_others(lensmith: Lensmith) -> None:
    looks = [lensmith.overlays.tiles("p").items[0].look]
    assert looks == [lensmith.overlays.tiles("p").items[0].look]
    _label(lensmith, "b", "box", {"box": [1, 2, 30, 40]})
    looks.append(lensmith.overlays.tiles("p").items[0].look)
    with lensmith.database.write() as session:
        session.get_one(ClassRow, "c").position = 4
    looks.append(lensmith.overlays.tiles("p").items[0].look)
    with lensmith.database.write() as session:
        session.get_one(ImageRow, "i").revision += 1
    looks.append(lensmith.overlays.tiles("p").items[0].look)
    assert len(set(looks)) == len(looks)
    assert all(looks)


def test_labels_without_a_place_have_no_look(lensmith: Lensmith) -> None:
    with lensmith.database.write() as session:
        label = session.get_one(AnnotationRow, "a")
        label.kind, label.geometry = "class", None
    (tile,) = lensmith.overlays.tiles("p").items
    assert (tile.look, [c.count for c in tile.classes]) == ("", [1])
    assert lensmith.overlays.tiles("q").items == ()


@pytest.mark.parametrize(("project", "image"), [("q", "i"), ("p", "nope"), ("nope", "i")])
def test_an_image_of_another_project_is_not_found(lensmith: Lensmith, project: str, image: str) -> None:
    with pytest.raises(NotFoundError):
        lensmith.overlays.overlay(project, image, "thumb")
    with pytest.raises(NotFoundError):
        lensmith.overlays.legend(project, image)
