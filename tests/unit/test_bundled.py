"""The backbones in the box, and the script that trains them."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.models.bundled import BUNDLED, FOLDER, Bundled, bundled
from engine.models.bundled.pretrain import MODULE
from engine.models.bundled.views import read_folder

BUDGET = 6_000_000
STUDENT = "test_efficientnet_ln"
TEACHER = "test_efficientnet"


def test_the_record_imports_no_torch() -> None:
    code = "import sys, engine.models.bundled; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_in_the_box_stay_within_its_size() -> None:
    files = sorted(FOLDER.glob("*.safetensors"))
    assert files == sorted(entry.path for entry in BUNDLED)
    assert sum(file.stat().st_size for file in files) <= BUDGET


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.name)
def test_weights_are_the_recorded_ones_and_fill_the_backbone(entry: Bundled) -> None:
    assert hashlib.sha256(entry.path.read_bytes()).hexdigest() == entry.sha256
    assert bundled(entry.architecture) is entry
    model = timm.create_model(entry.architecture, num_classes=0, **entry.model_args)
    assert sum(p.numel() for p in model.parameters()) <= 3_100_000
    state = load_file(entry.path)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == []
    assert [name for name in missing if not name.endswith("num_batches_tracked")] == []


def test_an_architecture_outside_the_box_is_none() -> None:
    assert bundled("resnet18") is None


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of 32 views of drawn pictures, answered by a tiny teacher with random weights."""
    root = tmp_path_factory.mktemp("pretraining")
    photos, teacher = root / "photos", root / "teacher"
    photos.mkdir()
    teacher.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(photos / f"{number}.png")
    torch.manual_seed(0)
    save_file(timm.create_model(TEACHER).state_dict(), teacher / "model.safetensors")
    config = {"architecture": TEACHER, "mean": [0.5] * 3, "std": [0.5] * 3}
    (teacher / "config.json").write_text(json.dumps(config))
    places = ["--teacher", teacher, "--photos", photos, "--out", root / "pool"]
    sizes = ["--shards", 2, "--views", 16, "--teacher-size", 64, "--stored-size", 64]
    pretrain("pool", *places, *sizes)
    return root / "pool"


def pretrain(*arguments: object) -> None:
    command = [sys.executable, "-m", MODULE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def train(pool: Path, out: Path, *more: object) -> dict[str, torch.Tensor]:
    options = ["--architecture", STUDENT, "--batch", 4, "--sizes", 32, 64, "--shares", 0.5, 0.5]
    options += ["--log", 1, "--together", 1]
    pretrain("train", "--pool", pool, "--out", out, *options, *more)
    saved: dict[str, torch.Tensor] = torch.load(out / "checkpoint.pt", weights_only=True)["average"]
    return saved


def test_the_same_seed_renders_the_same_shard(pool: Path, tmp_path: Path) -> None:
    teacher, photos = pool.parent / "teacher", pool.parent / "photos"
    sizes = ["--shards", 1, "--first", 1, "--views", 16, "--teacher-size", 64, "--stored-size", 64]
    pretrain("pool", "--teacher", teacher, "--photos", photos, "--out", tmp_path, *sizes)
    again = np.load(tmp_path / "shard-0001" / "views.npy")
    assert np.array_equal(again, np.load(pool / "shard-0001" / "views.npy"))
    assert not np.array_equal(again, np.load(pool / "shard-0000" / "views.npy"))


def test_a_stopped_training_goes_on_to_equal_weights(pool: Path, tmp_path: Path) -> None:
    whole = train(pool, tmp_path / "whole", "--steps", 3, "--processes", 1)
    log = tmp_path / "cut" / "log.txt"
    command = [sys.executable, "-c", STOPPED, "train", "--pool", str(pool), "--out", str(tmp_path / "cut")]
    options = ["--architecture", STUDENT, "--batch", "4", "--sizes", "32", "64", "--shares", "0.5", "0.5"]
    options += ["--log", "1", "--together", "1"]
    subprocess.run([*command, *options, "--steps", "3", "--processes", "1"], check=True)
    assert len(log.read_text().splitlines()) == 1
    resumed = train(pool, tmp_path / "cut", "--steps", 3, "--processes", 1)
    assert len(log.read_text().splitlines()) == 3
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


STOPPED = f"""
import os, signal, runpy
from engine.models.bundled import pretrain
step = pretrain.Trainer._step
def once(self, rows):
    os.kill(os.getpid(), {int(signal.SIGTERM)})
    return step(self, rows)
pretrain.Trainer._step = once
pretrain.main()
"""


@pytest.mark.soak  # a maintainer's tool, and a quarter of a minute; the stopped one above runs every time
def test_two_processes_train_one_student(pool: Path, tmp_path: Path) -> None:
    trained = train(pool, tmp_path / "two", "--steps", 2, "--processes", 2)
    assert all(torch.isfinite(value).all() for value in trained.values())
    places = ["--out", tmp_path / "two", "--file", tmp_path / "box.safetensors"]
    pretrain("export", *places, "--pool", pool, "--architecture", STUDENT, "--size", 64)
    state = load_file(tmp_path / "box.safetensors")
    model = timm.create_model(STUDENT, num_classes=0)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == []
    assert all(name.endswith("num_batches_tracked") for name in missing)


@pytest.mark.parametrize("place", ["trashnet_192", "all/facemask_dev/dataset", "BCCD"])
def test_sets_that_judge_are_no_material(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 40), "red").save(folder / "a.png")
    (tmp_path / "raccoon").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "raccoon" / "a.png")
    for path in (folder, tmp_path):
        with pytest.raises(ValueError, match="judges the backbone"):
            read_folder(path)
    assert len(read_folder(tmp_path / "raccoon")) == 1
