"""Predict with this model, on any machine, without Lensmith.

    python predict.py IMAGE_OR_FOLDER ... [--json] [--top N]

Needs onnxruntime, numpy and Pillow (``pip install -r requirements.txt``; pillow-heif too for HEIC
pictures) and the files beside this one. From Python: ``from predict import predict; predict(["photo.jpg"])``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.datasets.framing import Frame
from engine.datasets.preprocessing import Preprocessing, UnreadableImageError, fit, normalise, read_sized
from engine.tasks.classification.answers import answers

BATCH = 16
TOP = 5
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".hif")


class Predictor:
    """The exported network with its classes, its preprocessing and its task's way to read its outputs.

    ``model`` is the ONNX file, as a path or as its content; ``settings`` are the task's own, and ``read`` is
    its ``answers``.
    """

    def __init__(
        self,
        model: str | bytes,
        classes: Sequence[str],
        record: Preprocessing,
        settings: Mapping[str, Any],
        read: Callable[..., list[list[dict[str, Any]]]],
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input_name = self.session.get_inputs()[0].name
        self.classes = tuple(classes)
        self.record = record
        self.settings = settings
        self.read = read

    @classmethod
    def from_folder(cls, folder: Path) -> Predictor:
        """Load model.onnx, classes.json, preprocessing.json and config.json from one folder."""
        classes, record, config = (
            json.loads((folder / f"{name}.json").read_text("utf-8"))
            for name in ("classes", "preprocessing", "config")
        )
        names = [entry["name"] for entry in classes]
        settings = config.get("network", {})
        return cls(str(folder / "model.onnx"), names, Preprocessing.from_dict(record), settings, answers)

    def outputs(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Give the network's raw outputs for prepared images, uint8 (N, H, W, 3)."""
        found: list[NDArray[np.float32]] = self.session.run(
            None, {self.input_name: normalise(pixels, self.record)}
        )
        return found

    def answer(
        self, pixels: NDArray[np.uint8], frames: Sequence[Frame], top: int
    ) -> list[list[dict[str, Any]]]:
        """Answer prepared images; ``frames`` say how each picture lies in its pixels."""
        return self.read(self.outputs(pixels), frames, self.classes, self.settings, top)

    def predict(self, paths: Sequence[str | Path], top: int = TOP) -> Iterator[dict[str, Any]]:
        """Give the ``top`` best answers (0: all) of each file, or the reason why there are none."""
        for start in range(0, len(paths), BATCH):
            yield from self._predict_batch(paths[start : start + BATCH], top)

    def _predict_batch(self, paths: Sequence[str | Path], top: int) -> Iterator[dict[str, Any]]:
        prepared: list[tuple[NDArray[np.uint8], Frame] | str] = []
        for path in paths:
            try:
                picture, size = read_sized(path, self.record)
                prepared.append((fit(picture, self.record), Frame.of(*size, self.record)))
            except (UnreadableImageError, OSError) as error:
                prepared.append(str(error))
        good = [item for item in prepared if not isinstance(item, str)]
        pixels, frames = [item[0] for item in good], [item[1] for item in good]
        rows = iter(self.answer(np.stack(pixels), frames, top) if good else ())
        for path, item in zip(paths, prepared, strict=True):
            if isinstance(item, str):
                yield {"file": str(path), "predictions": [], "error": f"Not readable: {item}."}
            else:
                yield {"file": str(path), "predictions": next(rows)}


def predict(paths: Sequence[str | Path], top: int = TOP) -> list[dict[str, Any]]:
    """Predict image files with the model beside this script."""
    return list(Predictor.from_folder(Path(__file__).parent).predict(paths, top))


def find_images(inputs: Sequence[str]) -> list[Path]:
    """List the files named, and the images at any depth of the folders named."""
    found: list[Path] = []
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            found.append(path)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 when a file could not be read or there was none."""
    parser = argparse.ArgumentParser(description="Predict images with this model.")
    parser.add_argument("inputs", nargs="*", metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--top", type=int, default=TOP, metavar="N", help="answers an image (0: all)")
    parser.add_argument("--files-from", metavar="FILE", help="a text file that names one image a line")
    options = parser.parse_args(arguments)
    listed = Path(options.files_from).read_text("utf-8").splitlines() if options.files_from else []
    paths = find_images([*options.inputs, *listed])
    if not paths:
        parser.error("there is no image to look at")
    results = []
    for result in Predictor.from_folder(Path(__file__).parent).predict(paths, max(0, options.top)):
        results.append(result)
        if not options.json:
            answers = ", ".join(f"{p['label']} {p['score']:.3f}" for p in result["predictions"])
            sys.stdout.write(f"{result['file']}: {answers or result['error']}\n")
    if options.json:
        sys.stdout.write(json.dumps(results, ensure_ascii=False, indent=1) + "\n")
    failed = [result for result in results if "error" in result]
    for result in failed:
        sys.stderr.write(f"{result['file']}: {result['error']}\n")
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
