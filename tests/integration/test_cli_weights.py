"""``lensmith weights ...`` in processes of its own: the JSON, the exit codes, the sentences."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from engine.cli.weights import _not_imported
from engine.contracts.base import utc_now
from engine.contracts.jobs import JobInfo, JobState, Problem
from engine.errors import WeightsError
from engine.jobs.kinds import kind_named
from engine.jobs.problems import problem_of
from tests.workspace import draw_folders, settings_in, worker

NAME = "test_resnet"
ITEM_KEYS = {"id", "source", "title", "backbone", "library", "start", "bytes", "licence", "used_by", "fit"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace, empty caches and weights files."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(5)
    state = timm.create_model(NAME, num_classes=4).state_dict()
    save_file(state, folder / "mine.safetensors")
    save_file({"some.layer.weight": torch.zeros(3, 5)}, folder / "other.safetensors")
    (folder / "run.pkl").write_bytes(b"x")
    return folder


def environment(place: Path) -> dict[str, str]:
    return {
        **os.environ,
        **settings_in(place / "home").environment(),
        "HF_HUB_CACHE": str(place / "hub"),
        "TORCH_HOME": str(place / "torch"),
        "OMP_NUM_THREADS": "1",
    }


def lensmith(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in ``place``, so that paths are relative to it."""
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *arguments],
        env=environment(place),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def document(place: Path, *arguments: str) -> Any:
    done = lensmith(place, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(place: Path, *arguments: str, code: int = 2) -> str:
    done = lensmith(place, *arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


def check_training(place: Path) -> None:
    """Start runs from the imported weights and from the file; nobody works any more, so they only wait."""
    train = ("train", "--project", "Shapes", "--no-worker")
    queued = lensmith(place, *train, "--set", "weights=weights:mine")
    assert queued.returncode == 0, queued.stderr
    assert "Your weights “mine”" in queued.stderr and "MB, licence MIT" in queued.stderr
    assert "waits to start from these" in refused(place, "weights", "remove", "mine")
    assert lensmith(place, "cancel", queued.stdout.strip()).returncode == 0
    run = document(place, *train, "--set", "weights=mine.safetensors", f"backbone={NAME}")["id"]
    detail = json.loads(lensmith(place, "report", run, "--json").stdout)
    assert detail["config"]["weights"] == str(place / "mine.safetensors")
    assert "There is no weights file" in refused(place, *train, "--set", "weights=no.safetensors")
    assert "cannot build" in refused(place, *train, "--set", "backbone=torchvision/alexnet")


def test_a_file_is_imported_listed_started_from_exported_and_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, environment(place)[name])  # the worker's too
    with worker(settings_in(place / "home")):
        item = document(
            place,
            *("weights", "import", "mine.safetensors", "--set", f"architecture={NAME}"),
            *("--set", "licence=MIT", "--set", "input_size=96"),
        )
        assert set(item) >= ITEM_KEYS
        assert (item["id"], item["start"], item["backbone"]) == ("mine", "weights:mine", NAME)
        assert (item["source"], item["licence"], item["input_size"]) == ("imported", "MIT", 96)
        assert item["fit"]["share"] == 1.0 and item["fit"]["classes"] == 4
        rows = document(place, "weights", "list")
        assert item["id"] in [row["id"] for row in rows]
        assert "mine" in lensmith(place, "weights", "list").stdout
        assert "fits" in refused(place, "weights", "import", "other.safetensors")

        draw_folders(place / "shapes", 6)
        assert lensmith(place, "import", "shapes", "--project", "Shapes").returncode == 0
    check_training(place)
    missing = place / "new" / "folder" / "x.zip"
    assert lensmith(place, "weights", "export", "mine", "--to", str(missing)).returncode == 0
    with zipfile.ZipFile(missing) as archive:
        assert {"model.safetensors", "config.json"} <= {name.split("/")[-1] for name in archive.namelist()}
    assert "cannot be written" in refused(
        place, "weights", "export", "mine", "--to", str(place / "run.pkl" / "x.zip")
    )
    gone = document(place, "weights", "remove", "mine")
    assert gone["removed"] == "mine"
    assert gone["bytes"] >= item["bytes"]  # with the ZIP that was made of it
    assert "no weights “mine”" in refused(place, "weights", "remove", "mine")
    refused(place, "weights", "export", "mine", "--to", str(missing))


def test_what_cannot_be_taken_is_refused_before_it_is_queued(place: Path) -> None:
    fetch, take = ("weights", "fetch"), ("weights", "import", "mine.safetensors")
    assert "run code" in refused(place, "weights", "import", "run.pkl", "--no-worker")
    assert "There is no file" in refused(place, "weights", "import", "no.safetensors", "--no-worker")
    assert "cannot be set" in refused(place, *take, "--no-worker", "--set", "colour=red")
    assert "names with values" in refused(place, *take, "--no-worker", "--set", "model_args=foo")
    assert document(place, *fetch, "resnet18", "--no-worker")["state"] == "queued"
    assert document(place, *take, "--no-worker")["state"] == "queued"


@pytest.mark.parametrize(
    ("state", "problem", "code"),
    [
        (JobState.FAILED, problem_of(WeightsError("It fits nothing."), kind_named("import-weights")), 2),
        (JobState.FAILED, problem_of(RuntimeError("a bug"), kind_named("import-weights")), 1),
        (JobState.PAUSED, Problem(message="The disk is full."), 1),
        (JobState.CANCELLED, None, 1),
    ],
)
def test_only_bad_input_ends_with_two(state: JobState, problem: Problem | None, code: int) -> None:
    job = JobInfo(
        id="x", kind="import-weights", project=None, state=state, problem=problem, created_at=utc_now()
    )
    assert _not_imported(job).exit_code == code
