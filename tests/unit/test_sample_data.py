"""The sample sets: what the catalogue promises lies in the archives, and the script draws it again."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

ROOT = Path(__file__).parents[2] / "sample_data"
CATALOGUE = json.loads((ROOT / "catalogue.json").read_text("utf-8"))
EXIF_ORIENTATION = 0x0112


def _members(file: str) -> dict[str, bytes]:
    with zipfile.ZipFile(ROOT / file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _rgb(data: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


@pytest.fixture(scope="module")
def workshop() -> dict[str, bytes]:
    return _members("workshop_parts.zip")


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    from studio import workshop_parts

    return workshop_parts


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry["name"])
def test_an_entry_describes_its_archive(entry: dict[str, object]) -> None:
    assert set(entry) == {"name", "title", "task", "file", "images", "sentence"}
    members = _members(str(entry["file"]))
    assert len(members) == entry["images"]
    assert all(name.startswith(f"{entry['name']}/") for name in members)
    assert (ROOT / str(entry["file"])).stat().st_size < 4_000_000


def test_no_archive_is_missing_from_the_catalogue() -> None:
    assert {entry["file"] for entry in CATALOGUE} == {path.name for path in ROOT.glob("*.zip")}


def test_the_workshop_is_mixed_as_real_photographs_are(workshop: dict[str, bytes]) -> None:
    seen = [(name.split("/")[1], Image.open(io.BytesIO(data))) for name, data in workshop.items()]
    classes = Counter(name for name, _ in seen)
    assert len(classes) >= 5
    assert len(seen) >= 300
    assert len(set(classes.values())) == 1
    assert {picture.format for _, picture in seen} == {"JPEG", "PNG", "WEBP"}
    assert {picture.mode for _, picture in seen} == {"RGB", "L", "P", "RGBA"}
    assert {picture.getexif().get(EXIF_ORIENTATION, 1) for _, picture in seen} == {1, 3, 6, 8}
    assert len({picture.size for _, picture in seen}) >= 10
    kinds = {name: Counter((p.format, p.mode) for other, p in seen if other == name) for name in classes}
    assert all(kind == kinds["gear"] for kind in kinds.values())


def test_every_picture_is_another_one(workshop: dict[str, bytes]) -> None:
    small = [
        np.asarray(_rgb(data).convert("L").resize((8, 8)), np.float32).ravel() for data in workshop.values()
    ]
    pixels = np.stack(small)
    far = np.abs(pixels[:, None] - pixels[None]).mean(axis=-1) + 255 * np.eye(len(pixels))
    assert far.min() > 2.0


@pytest.mark.parametrize(
    ("name", "number"), [("bearing", 3), ("gear", 43), ("nut", 5), ("spring", 7), ("washer", 23)]
)
def test_the_script_draws_the_same_picture_again(
    workshop: dict[str, bytes], studio: ModuleType, name: str, number: int
) -> None:
    photo = studio.photo(name, number)
    kept = workshop[f"workshop_parts/{photo.path}"]
    again = np.asarray(_rgb(photo.data), float)
    # Not bit for bit: sines and matrix products differ in the last place between processors.
    assert np.abs(again - np.asarray(_rgb(kept), float)).mean() < 1.0
    assert Image.open(io.BytesIO(photo.data)).mode == Image.open(io.BytesIO(kept)).mode
    other = np.asarray(_rgb(studio.photo(name, number + 1).data).resize(again.shape[1::-1]), float)
    assert np.abs(again - other).mean() > 10.0


def _probe(features: NDArray[np.float64], labels: list[str]) -> float:
    train, test, truth, held = train_test_split(
        features, labels, test_size=0.3, random_state=0, stratify=labels
    )
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    model = LogisticRegression(C=0.01, max_iter=500).fit((train - mean) / spread, truth)
    return float(model.score((test - mean) / spread, held))


def test_colours_do_not_give_the_class_away(workshop: dict[str, bytes]) -> None:
    def colours(data: bytes) -> NDArray[np.float64]:
        pixels = np.asarray(_rgb(data).resize((64, 64)), float).reshape(-1, 3)
        counts, _ = np.histogramdd(pixels, bins=(4, 4, 4), range=((0, 256),) * 3)
        return np.sqrt(counts.ravel())

    labels = [name.split("/")[1] for name in workshop]
    assert _probe(np.stack([colours(data) for data in workshop.values()]), labels) < 0.5


def test_a_probe_on_random_features_does_not_solve_the_workshop(workshop: dict[str, bytes]) -> None:
    labels = [name.split("/")[1] for name in workshop]
    pixels = np.stack([np.asarray(_rgb(data).resize((96, 96))) for data in workshop.values()])
    torch.manual_seed(0)
    model = timm.create_model("resnet18", pretrained=False, num_classes=0).eval()
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        features = [model(part.float() / 127.5 - 1).double().numpy() for part in batch.split(32)]
    assert _probe(np.concatenate(features), labels) < 0.6
