"""One picture, one answer, whoever asks: evaluation, the command line and the page.

(The warm process, a bundle and its ``predict.py`` are compared in tests/integration.)
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.api import open_workspace
from engine.contracts.datasets import ImageFilter
from tests.e2e.house import House, running
from tests.integration.small_run import odd_pictures
from tests.workspace import SHAPES, TINY, draw_folders, settings_in, succeeded

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
ON_THE_PAGE = 0.0006
"""The page rounds to a tenth of a percent."""


def _set_with_odd_pictures(folder: Path) -> Path:
    """Write drawn shapes to learn from and odd pictures to test with, and the table that says so."""
    draw_folders(folder, 6)
    rows = []
    for shape in SHAPES:
        for number in range(6):
            rows.append((f"{shape}/{number:03}.png", shape, "train" if number < 4 else "val"))
    for number, (path, content) in enumerate(sorted(odd_pictures().items())):
        name = f"odd/{Path(path).name}"
        (folder / "odd").mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        rows.append((name, SHAPES[number % len(SHAPES)], "test"))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows([("path", "label", "split"), *rows])
    return folder


def test_page_command_line_and_evaluation_agree(
    browser_page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = _set_with_odd_pictures(tmp_path_factory.mktemp("set"))
    home = tmp_path_factory.mktemp("home")
    with running(home) as house:
        lensmith = open_workspace(settings_in(home))
        project = str(succeeded(lensmith, lensmith.datasets.start_import(folder).id).project)
        run = lensmith.runs.start(project, {**TINY, "strategy": "full", "epochs": 1}).id
        succeeded(lensmith, run)
        items = lensmith.datasets.images(project, ImageFilter(splits=("test",)), limit=100).items
        classes = lensmith.results.classes(run)
        evaluated = {
            Path(item.path).name: dict(zip(classes, result.scores, strict=True))
            for item in items
            for result in [lensmith.results.scores(run, [item.id])[item.id]]
        }
        assert len(evaluated) >= 5
        _agree(_on_the_command_line(home, run, folder / "odd"), evaluated, 1e-4)
        _agree(_on_the_page(browser_page, house, project, run, folder / "odd"), evaluated, ON_THE_PAGE)
        lensmith.close()


def _on_the_command_line(home: Path, run: str, folder: Path) -> dict[str, dict[str, float]]:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "predict", run, str(folder), "--json"],
        env={**os.environ, **settings_in(home).environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        Path(entry["file"]).name: {p["label"]: p["score"] for p in entry["predictions"]}
        for entry in json.loads(done.stdout)
    }


def _on_the_page(
    page: Page, house: House, project: str, run: str, folder: Path
) -> dict[str, dict[str, float]]:
    page.goto(f"{house.url}/try_it?project={project}&run={run}")
    files = sorted(folder.iterdir())
    page.locator("input[type=file]").first.set_input_files(files)
    answers = {}
    for number, path in enumerate(files):
        card = page.locator(f".st-key-card-answer-{number}")
        card.get_by_text(path.name).first.wait_for(timeout=120_000)
        names = card.locator(".bars dt").all_inner_texts()
        shares = card.locator(".bars dd").all_inner_texts()
        answers[path.name] = {
            name: float(share.split()[0]) / 100 for name, share in zip(names, shares, strict=True)
        }
    return answers


def _agree(
    found: dict[str, dict[str, float]], expected: dict[str, dict[str, float]], tolerance: float
) -> None:
    assert found.keys() == expected.keys()
    for name, scores in expected.items():
        assert found[name] == pytest.approx(scores, abs=tolerance), name
