"""The few models that stay in memory, and how they answer."""

from __future__ import annotations

import base64
import io
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contracts.predictions import FilePrediction, Prediction
from engine.datasets.framing import Frame
from engine.datasets.preprocessing import Preprocessing, UnreadableImageError, fit, read_sized
from engine.errors import InputError
from engine.serving.bundles import open_bundle
from engine.settings import Settings
from engine.storage.database import Database
from engine.tasks.base import Said
from engine.training.trained import load_trained

KEPT = 3
BATCH = 16
TOP = 20
PREVIEW = 480


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer: prepared uint8 (N, H, W, 3), how each picture lies in them, most answers."""

    record: Preprocessing
    answer: Callable[[NDArray[np.uint8], Sequence[Frame], int], Sequence[Said]]


class WarmModels:
    """At most ``KEPT`` models, the one unused for longest goes first; one request works at a time.

    All threads of the processor work on one request, so a second would only slow both down.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._lock = Lock()
        self._models: OrderedDict[tuple[Any, ...], Loaded] = OrderedDict()

    def answer(self, request: dict[str, Any], contents: Sequence[bytes]) -> list[FilePrediction]:
        """Predict the files of one request: ``names``, and either ``run`` or ``bundle``.

        Raises ``InputError`` for an order that is none, and what loading a model raises.
        """
        names = request.get("names")
        if not isinstance(names, list) or len(names) != len(contents):
            raise InputError("The request names other files than it holds.")
        with self._lock:
            model = self._model(request)
            found: list[FilePrediction] = []
            for start in range(0, len(contents), BATCH):
                part = slice(start, start + BATCH)
                found += answer_batch(
                    model, names[part], contents[part], previews=bool(request.get("previews"))
                )
            return found

    @property
    def kept(self) -> int:
        """How many models are in memory."""
        return len(self._models)

    def _model(self, request: dict[str, Any]) -> Loaded:
        key, load = self._loader(request)
        if key not in self._models:
            while len(self._models) >= KEPT:  # before loading, so that memory never holds one more
                self._models.popitem(last=False)
            self._models[key] = load()
        self._models.move_to_end(key)
        return self._models[key]

    def _loader(self, request: dict[str, Any]) -> tuple[tuple[Any, ...], Callable[[], Loaded]]:
        """Return what names the model, a changed bundle being another, and how it is loaded."""
        run, bundle = request.get("run"), request.get("bundle")
        if isinstance(run, str):
            return ("run", run), lambda: self._load_run(run)
        if not isinstance(bundle, str):
            raise InputError("The request names neither a run nor a bundle.")
        path = Path(bundle)
        file = path if path.is_file() else path / "model.onnx"
        if not file.exists():
            raise InputError(f"There is no bundle at “{path}”.", "Check the path.")
        state = file.stat()
        return ("bundle", bundle, state.st_mtime_ns, state.st_size), lambda: _load_bundle(path)

    def _load_run(self, run: str) -> Loaded:
        trained = load_trained(self._settings, self._database, run)
        return Loaded(trained.preprocessing, trained.answer)


def _load_bundle(path: Path) -> Loaded:
    predictor = open_bundle(path)
    return Loaded(predictor.record, predictor.answer)


@dataclass(frozen=True)
class Picture:
    """A decoded file: ``pixels`` uint8 (H, W, 3), how the picture lies in them, s of decoding, a preview."""

    pixels: NDArray[np.uint8]
    frame: Frame
    seconds: float
    preview: str | None


def answer_batch(
    model: Loaded, names: Sequence[str], contents: Sequence[bytes], *, previews: bool = False
) -> list[FilePrediction]:
    """Predict a few files at once; time in ms is decoding plus the file's share of the network's."""
    read = [_read(content, model.record, previews) for content in contents]
    good = [picture for picture in read if isinstance(picture, Picture)]
    started = time.perf_counter()
    found: Sequence[Said] = ()
    if good:
        found = model.answer(np.stack([one.pixels for one in good]), [one.frame for one in good], TOP)
    share = (time.perf_counter() - started) / max(len(good), 1)
    rows = iter(found)
    return [
        FilePrediction(file=name, error=picture)
        if isinstance(picture, str)
        else FilePrediction(
            file=name,
            predictions=tuple(Prediction(**answer) for answer in next(rows)),
            milliseconds=round(1000 * (picture.seconds + share), 2),
            preview=picture.preview,
        )
        for name, picture in zip(names, read, strict=True)
    ]


def _read(content: bytes, record: Preprocessing, preview: bool) -> Picture | str:
    """Decode a file, or return the sentence that says why it cannot be."""
    started = time.perf_counter()
    try:
        image, size = read_sized(content, record)
        pixels = fit(image, record)
    except UnreadableImageError as error:
        return f"This file cannot be read as an image: {error}."
    seconds = time.perf_counter() - started
    return Picture(pixels, Frame.of(*size, record), seconds, _data_address(image) if preview else None)


def _data_address(image: Image.Image) -> str:
    """Return a JPEG of at most ``PREVIEW`` px a side, for a page that must not decode foreign files."""
    small = image.copy()
    small.thumbnail((PREVIEW, PREVIEW))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
