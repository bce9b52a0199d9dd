"""The facade's signatures and the parameter schemas, as text: a change to them is seen in review."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path

from engine.api import Lensmith
from engine.api.datasets import Datasets
from engine.api.jobs import Jobs
from engine.api.models import Models
from engine.api.overlays import Overlays
from engine.api.projects import Projects
from engine.api.results import Results
from engine.api.runs import Runs
from engine.api.splits import Splits
from engine.api.versions import Versions
from engine.api.weights import Weights
from engine.tasks.registry import TASKS

HERE = Path(__file__).parent / "snapshots"
PUBLISHED = {
    *("backbone", "weights", "model_args", "strategy", "epochs", "image_size", "batch_size", "lr"),
    *("optimizer", "seed", "precision", "time_budget"),
}


def _check(name: str, text: str) -> None:
    path = HERE / name
    if os.environ.get("LENSMITH_UPDATE_SNAPSHOTS") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.exists(), "run once with LENSMITH_UPDATE_SNAPSHOTS=1"
    assert path.read_text("utf-8") == text


def _signatures(cls: type) -> list[str]:
    lines = []
    for name, member in sorted(vars(cls).items()):
        if not name.startswith("_") and inspect.isfunction(member):
            lines.append(f"{cls.__name__}.{name}{inspect.signature(member)}")
    return lines


def test_facade_signatures() -> None:
    lines = []
    areas = (Projects, Datasets, Overlays, Versions, Splits, Runs, Results, Models, Weights, Jobs)
    for cls in (Lensmith, *areas):
        lines += _signatures(cls)
    _check("facade.txt", "\n".join(lines) + "\n")


def test_parameter_schemas() -> None:
    for spec in TASKS:
        text = json.dumps(spec.config.model_json_schema(), indent=1, sort_keys=True)
        _check(f"parameters-{spec.name}.json", text + "\n")


def test_every_setting_of_the_command_line_exists() -> None:
    for spec in TASKS:
        assert set(spec.config.model_fields) >= PUBLISHED
