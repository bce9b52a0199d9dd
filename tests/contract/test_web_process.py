"""The web process never loads what only children need, not even after every screen was opened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.api import Lensmith, open_workspace
from engine.settings import Settings

ROOT = Path(__file__).parents[2]
SCREENS = {"new", "data", "train", "runs", "run", "results", "try_it", "export"}
QUICK = {"backbone": "test_resnet", "weights": "random", "strategy": "probe", "image_size": 32, "epochs": 1}


def visit(home: Path, script: Path, *ids: str) -> dict[str, Any]:
    """Run the server over the workspace ``home`` and open every screen of ``script``."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.web_process", str(script), *ids],
        cwd=ROOT,
        env=os.environ | {"LENSMITH_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=240,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lensmith]:
    """A real workspace with its worker running."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings.from_environment({"LENSMITH_HOME": str(home), "LENSMITH_OFFLINE": "1"})
    environment = os.environ | settings.environment() | {"OMP_NUM_THREADS": "1"}
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "engine.jobs.worker"], env=environment, stdout=log, stderr=log, cwd=ROOT
        )
    lensmith = open_workspace(settings)
    yield lensmith
    lensmith.close()
    worker.terminate()
    worker.wait(timeout=30)


@pytest.fixture(scope="module")
def finished(workspace: Lensmith, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A project with a few images and a run on them that has ended; their ids."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, color in {"red": (200, 40, 40), "blue": (40, 40, 200)}.items():
        (folder / name).mkdir()
        for number in range(10):
            pixels = np.clip(rng.normal(color, 25, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    job = workspace.datasets.start_import(folder, name="Colours")
    assert workspace.jobs.wait(job.id, timeout=120).problem is None
    (project,) = workspace.projects.list()
    run = workspace.runs.start(project.id, QUICK)
    assert workspace.runs.wait(run.id, timeout=120).problem is None
    return project.id, run.id


def test_no_screen_loads_a_model_library(workspace: Lensmith, finished: tuple[str, str]) -> None:
    seen = visit(workspace.settings.home, ROOT / "app" / "main.py", *finished)
    assert set(seen["screens"]) >= SCREENS
    assert min(seen["screens"].values()) > 0
    assert seen["problems"] == []
    assert seen["loaded"] == []


def test_no_screen_loads_one_before_there_is_anything(tmp_path: Path) -> None:
    seen = visit(tmp_path, ROOT / "app" / "main.py")
    assert set(seen["screens"]) >= SCREENS
    assert (seen["problems"], seen["loaded"]) == ([], [])


def test_a_screen_that_loads_one_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "second.py").write_text("import sklearn\n\nraise RuntimeError('planted')\n", "utf-8")
    script = tmp_path / "planted.py"
    script.write_text(
        "import streamlit as st\n"
        "pages = [st.Page(lambda: st.write('first'), title='first', url_path='first', default=True)]\n"
        "st.navigation([*pages, st.Page('second.py', url_path='second')]).run()\n",
        "utf-8",
    )
    seen = visit(tmp_path / "home", script)
    assert seen["loaded"] == ["sklearn"]
    assert [problem.split(":")[0] for problem in seen["problems"]] == ["second"]
