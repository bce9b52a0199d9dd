"""The command line: its JSON, its exit codes, its sentences."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workspace import TINY, draw_folders, draw_shape, settings_in, worker

IMPORT_KEYS = {
    *("project", "task", "format", "dataset_version", "images", "classes", "annotations", "read", "kept"),
    *("repaired", "skipped", "ignored", "issues_total", "issues", "issues_file"),
}
REPORT_KEYS = {
    *("run", "project", "task", "state", "seconds", "images_per_second", "strategy", "backbone", "weights"),
    *("metrics", "probe", "panels"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def lensmith(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings_in(home).environment(), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str]) -> object:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_train_report_predict(home: Path, tmp_path: Path) -> None:
    folder = draw_folders(tmp_path / "shapes", 12)
    with worker(settings_in(home)):
        report = document(lensmith(home, "import", str(folder), "--project", "Shapes", "--json"))
        assert set(report) == IMPORT_KEYS
        assert report["images"] == 36 and report["read"] == report["kept"] == 72
        settings = [f"{key}={value}" for key, value in TINY.items()]
        trained = document(
            lensmith(
                home,
                *("train", "--project", "Shapes", "--preset", "quick", "--wait", "--json"),
                *("--set", "strategy=full", "epochs=1", *settings),
            )
        )
        assert set(trained) >= REPORT_KEYS
        assert trained["state"] == "succeeded" and trained["strategy"] == "full"
        assert set(trained["metrics"]["top1"]) >= {"value", "low", "high", "n", "unit"}
        assert trained["metrics"]["top5"]["value"] is None and trained["metrics"]["top5"]["reason"]
        assert {"type", "title"} == set(trained["panels"][0])
        again = document(lensmith(home, "report", trained["run"], "--json"))
        assert again["metrics"] == trained["metrics"]
        picture = next((folder / "circle").iterdir())
        answers = document(lensmith(home, "predict", trained["run"], str(picture), "--json"))
        assert answers[0]["file"] == str(picture)
        assert {"label", "score"} == set(answers[0]["predictions"][0])
        rows = document(lensmith(home, "runs", "--project", "Shapes", "--json"))
        assert set(rows[0]) == {"run", "project", "task", "state", "progress", "best", "created"}


def test_a_question_exits_with_2_and_names_the_flag_that_answers_it(home: Path, tmp_path: Path) -> None:
    names = ["cat", "cat", "Cat", "dog", "dog", "dog"]
    for number, _ in enumerate(names):
        draw_shape("circle", number).save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,{name}" for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    order = ("import", str(tmp_path), "--project", "Pets")
    with worker(settings_in(home)):
        asked = lensmith(home, *order)
        assert asked.returncode == 2 and asked.stdout == ""
        assert "upper and lower case: “cat” (2 labels) and “Cat” (1 label)" in asked.stderr
        assert "--merge-classes" in asked.stderr
        assert "Traceback" not in asked.stderr
        done = lensmith(home, *order, "--merge-classes")
    assert done.returncode == 0, done.stderr
    assert "merged into “cat”" in done.stdout


def test_lists_are_json(home: Path) -> None:
    tasks = document(lensmith(home, "tasks", "--json"))
    assert {"name", "labels", "metrics", "presets"} == set(tasks[0])
    doctor = document(lensmith(home, "doctor", "--json"))
    assert {"python", "torch", "devices", "memory", "disk", "weights", "browser", "problems"} <= set(doctor)
    models = document(lensmith(home, "models", "--json", "--no-worker"))
    assert {"name", "library", "family", "parameters", "input_size", "weights"} == set(models[0])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("import", "/nowhere/at/all.zip", "--project", "X"), "no file"),
        (("train", "--project", "Nothing here"), "no project"),
        (("report", "000000000000"), "no run"),
        (("predict", "000000000000", "README.md"), "no run"),
        (("train", "--project", "Nothing", "--set", "epochs"), "key=value"),
        (("train",), "project"),
    ],
)
def test_bad_arguments_exit_with_2_and_a_sentence(home: Path, arguments: tuple[str, ...], word: str) -> None:
    done = lensmith(home, *arguments)
    assert done.returncode == 2
    assert word in done.stderr.lower()
    assert "Traceback" not in done.stderr
