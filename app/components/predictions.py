"""Trying a model: where a picture comes from, and what the model says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from app import theme
from app.components.bars import Bar, bars
from app.components.formats import plain
from app.components.gallery import gallery, label_tiles
from app.components.page import card
from app.components.paste import paste_zone
from app.engine_client import client
from engine.contracts.predictions import FilePrediction

NamedBytes = tuple[str, bytes]
MOST_FILES: Final = 32
SHOWN_CLASSES: Final = 6
TYPES: Final = ["jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff", "gif"]
WAYS: Final = {"upload": "upload", "camera": "camera", "paste": "paste", "set": "from the set"}


def pictures(project: str, way: str) -> list[NamedBytes]:
    """Draw one way to choose pictures, and return those that are chosen."""
    drawn: dict[str, Callable[[], list[NamedBytes]]] = {
        "upload": _uploaded,
        "camera": _camera,
        "paste": _pasted,
        "set": lambda: _from_set(project),
    }
    return drawn[way]()


def _uploaded() -> list[NamedBytes]:
    files = st.file_uploader(
        "Pictures", type=TYPES, accept_multiple_files=True, key="try-files", label_visibility="collapsed"
    )
    return [(file.name, file.getvalue()) for file in files[:MOST_FILES]]


def _camera() -> list[NamedBytes]:
    shot = st.camera_input("Take a picture", key="try-camera", label_visibility="collapsed")
    return [("camera.jpg", shot.getvalue())] if shot else []


def _pasted() -> list[NamedBytes]:
    content = paste_zone(key="try-paste")
    return [("pasted picture", content)] if content else []


def _from_set(project: str) -> list[NamedBytes]:
    page = client().datasets.images(project, None, offset=0, limit=60)
    classes = client().datasets.summary(project).classes
    tiles = label_tiles(page.items, classes)
    chosen = gallery(
        project, tiles, key="try-set", choose="one", rows=3, tile=96, label="Pictures of the set"
    )
    served = [client().datasets.image_file(project, image) for image in chosen]
    return [(file.name, file.path.read_bytes()) for file in served]


def answers(run: str, files: Sequence[NamedBytes], names: Sequence[str]) -> None:
    """Ask the model about ``files`` and draw each answer beside its picture."""
    for n, file in enumerate(client().models.predict(run, files, previews=True)):
        with card(f"answer-{n}"):
            _answer(file, names, n)


def _answer(file: FilePrediction, names: Sequence[str], n: int) -> None:
    left, right = st.columns([1, 1.5])
    if file.error:
        st.markdown(f"**{plain(file.file)}**: {plain(file.error)}")
        return
    with left:
        if file.preview:  # made by the prediction process: this one decodes no foreign file
            st.image(file.preview, width="stretch", alt=file.file)
    with right:
        best = file.predictions[0]
        st.markdown(f"#### {plain(best.label)}")
        time = f" · {file.milliseconds:.0f} ms" if file.milliseconds is not None else ""
        st.caption(f"{100 * best.score:.1f} % sure{time} · {plain(file.file)}")
        place = {name: i for i, name in enumerate(names)}
        rows = [
            Bar(p.label, p.score, f"{100 * p.score:.1f} %", theme.class_color(place.get(p.label, 0)))
            for p in file.predictions[:SHOWN_CLASSES]
        ]
        bars(rows, key=f"answer-bars-{n}")
