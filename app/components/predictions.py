"""Trying a model: where a picture comes from, and what the model says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from app import theme
from app.components.bars import Bar, bars
from app.components.formats import count, plain
from app.components.gallery import MOST_TILES, gallery
from app.components.gallery.labels import label_tiles
from app.components.page import card, say
from app.components.paste import paste_zone
from app.engine_client import client
from engine.contracts.datasets import ImageFilter, ImagePage, Split
from engine.contracts.predictions import FilePrediction

NamedBytes = tuple[str, bytes]
MOST_FILES: Final = 32
"""How many pictures are asked about at once."""
MOST_AT_FIRST: Final = 60
SHOWN_CLASSES: Final = 6
SHOWN_OF_MANY: Final = 3
MANY: Final = 4
"""From so many pictures on, each has fewer bars, so that the next one is near."""
TYPES: Final = ["jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff", "gif", "heic", "heif", "hif"]
WAYS: Final = {"upload": "upload", "camera": "camera", "paste": "paste", "set": "from the set"}
ANSWERED: Final = "try-answered"
DRAWN: Final = "try-drawn"
MORE: Final = "try-more"


@dataclass(frozen=True)
class Answered:
    """What the model said last; ``asked`` tells whether the pictures that are chosen now are the same."""

    run: str
    asked: str
    files: tuple[FilePrediction, ...]


def pictures(project: str, way: str) -> list[NamedBytes]:
    """Draw one way to choose pictures, and return those that are chosen, at most ``MOST_FILES``."""
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
    if len(files) > MOST_FILES:
        say(
            f"{count(len(files), 'picture')} are too many at once: the answers are for the first "
            f"{MOST_FILES}. Remove those and drop the next ones, or run “lensmith predict” on the folder.",
            "look",
            key="too-many",
        )
    return [(file.name, file.getvalue()) for file in files[:MOST_FILES]]


def _camera() -> list[NamedBytes]:
    shot = st.camera_input("Take a picture", key="try-camera", label_visibility="collapsed")
    return [("camera.jpg", shot.getvalue())] if shot else []


def _pasted() -> list[NamedBytes]:
    content = paste_zone(key="try-paste")
    return [("pasted picture", content)] if content else []


def _from_set(project: str) -> list[NamedBytes]:
    limit = MOST_AT_FIRST + st.session_state.get(MORE, 0)
    page, split = _unseen(project, limit)
    classes = client().datasets.summary(project).classes
    st.caption(
        {
            "test": "Test pictures: the model has not learned from them.",
            "val": "Validation pictures: the set has no test pictures. The best model was chosen by these.",
            "train": "Training pictures: the set has no others, and the model knows them.",
        }[split]
    )
    chosen = gallery(
        project,
        label_tiles(page.items, classes),
        key="try-set",
        choose="one",
        rows=3,
        tile=96,
        label="Pictures of the set",
    )
    if len(page.items) < page.total:
        with st.container(horizontal=True, vertical_alignment="center", key="try-more-row"):
            st.caption(f"{len(page.items):,} of {count(page.total, 'picture')}", width="content")
            if len(page.items) < MOST_TILES:
                st.button("Show more", type="tertiary", key="try-show-more", on_click=_show_more)
    served = [client().datasets.image_file(project, image) for image in chosen]
    return [(file.name, file.path.read_bytes()) for file in served]


def _unseen(project: str, limit: int) -> tuple[ImagePage, Split]:
    """Return pictures of all classes in turn: test pictures, else the next best, and of which split."""
    splits: tuple[Split, ...] = ("test", "val", "train")
    for split in splits:
        page = client().datasets.images(
            project, ImageFilter(splits=(split,)), 0, min(limit, MOST_TILES), order="mixed"
        )
        if page.items:
            break
    return page, split


def _show_more() -> None:
    st.session_state[MORE] = st.session_state.get(MORE, 0) + 2 * MOST_AT_FIRST


def answered(run: str, way: str, files: Sequence[NamedBytes]) -> tuple[FilePrediction, ...]:
    """Ask the model about ``files``, once; without any return what it said last.

    Another way to choose pictures starts without any and keeps the answer; taking the pictures away, or
    another model, lets it go.
    """
    last: Answered | None = st.session_state.get(ANSWERED)
    before = st.session_state.get(DRAWN)
    st.session_state[DRAWN] = (way, bool(files))
    if not files:
        if before == (way, True) or (last and last.run != run):
            st.session_state.pop(ANSWERED, None)
            return ()
        return last.files if last else ()
    asked = _fingerprint(files)
    if last is None or (last.run, last.asked) != (run, asked):
        last = Answered(run, asked, client().models.predict(run, files, previews=True))
        st.session_state[ANSWERED] = last
    return last.files


def _fingerprint(files: Sequence[NamedBytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{len(name)}:{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def answers(files: Sequence[FilePrediction], names: Sequence[str]) -> None:
    """Draw what the model said of each picture beside it."""
    rows = SHOWN_CLASSES if len(files) < MANY else SHOWN_OF_MANY
    for n, file in enumerate(files):
        with card(f"answer-{n}"):
            _answer(file, names, n, rows)


def _answer(file: FilePrediction, names: Sequence[str], n: int, rows: int) -> None:
    left, right = st.columns([1, 1.5])
    if file.error:
        st.markdown(f"**{plain(file.file)}**: {plain(file.error)}")
        return
    with left:
        if file.preview:  # made by the prediction process: this one decodes no foreign file
            st.image(file.preview, width="stretch", alt=file.file)
    with right:
        best = file.predictions[0]
        st.header(plain(best.label), anchor=False)
        time = f" · {file.milliseconds:.0f} ms" if file.milliseconds is not None else ""
        st.caption(f"{100 * best.score:.1f} % sure{time} · {plain(file.file)}")
        place = {name: i for i, name in enumerate(names)}
        shares = [
            Bar(p.label, p.score, f"{100 * p.score:.1f} %", theme.class_color(place.get(p.label, 0)))
            for p in file.predictions[:rows]
        ]
        bars(shares, key=f"answer-bars-{n}")
