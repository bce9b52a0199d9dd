"""The whole way through the facade: import, train, report, fix a label, train again, export, predict."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from engine.api import Lensmith
from engine.contracts.datasets import ImageFilter
from engine.contracts.jobs import JobState
from engine.contracts.results import MatrixPanel
from engine.errors import InputError, NotFoundError
from tests.workspace import TINY, draw_folders, live_workspace, succeeded, zip_folder


@pytest.fixture(scope="module")
def lensmith(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lensmith]:
    with live_workspace(tmp_path_factory.mktemp("home")) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def project(lensmith: Lensmith, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = draw_folders(tmp_path_factory.mktemp("set") / "shapes", 20)
    archive = zip_folder(folder, folder.parent / "my_shapes.zip")
    job = lensmith.datasets.start_import(archive)
    return str(succeeded(lensmith, job.id).project)


@pytest.fixture(scope="module")
def run(lensmith: Lensmith, project: str) -> str:
    started = lensmith.runs.start(project, {**TINY, "strategy": "full", "epochs": 2})
    succeeded(lensmith, started.id)
    return started.id


def test_the_import_is_accounted_for(lensmith: Lensmith, project: str) -> None:
    report = lensmith.datasets.import_report(project)
    assert report is not None
    assert report.images == 60 and report.classes == ("bar", "circle", "square")
    assert report.read == report.kept + report.repaired + report.skipped == 120
    summary = lensmith.datasets.summary(project)
    assert summary.splits == {"train": 42, "val": 12, "test": 6}
    assert lensmith.projects.get(project).name == "My shapes"


def test_the_report_opens_its_images(lensmith: Lensmith, project: str, run: str) -> None:
    report = lensmith.results.report(run)
    assert report is not None and report.metrics["top1"].n == 6
    matrix = next(panel for panel in report.panels if isinstance(panel, MatrixPanel))
    behind = [image for row in matrix.images for cell in row for image in cell]
    page = lensmith.datasets.images(project, ImageFilter(image_ids=tuple(behind)))
    assert page.total == 6 and {item.split for item in page.items} == {"test"}
    assert set(lensmith.results.scores(run, behind)) == set(behind)
    assert lensmith.results.latest(project) == run


def test_a_run_needs_no_screen_to_be_watched(lensmith: Lensmith, run: str) -> None:
    live = lensmith.runs.live(run)
    assert live.epochs == 2 and live.epoch == 2
    assert live.loss and live.metric and live.samples
    assert live.run.state is JobState.SUCCEEDED and live.run.progress == 1.0
    detail = lensmith.runs.get(run)
    assert detail.plan is not None and detail.plan.backbone == TINY["backbone"]
    assert detail.weights is not None and detail.weights.source == "random"


def test_fix_a_label_undo_and_train_again(lensmith: Lensmith, project: str, run: str) -> None:
    before = lensmith.datasets.summary(project)
    first, second = lensmith.datasets.images(project, limit=2).items
    other = next(c for c in before.classes if c.id != first.labels[0].class_id)
    receipt = lensmith.datasets.change_class(project, [first.id, second.id], other.id, key="once")
    again = lensmith.datasets.change_class(project, [first.id, second.id], other.id, key="once")
    assert receipt == again and receipt.changed == 2
    assert lensmith.datasets.image(project, first.id).labels[0].class_id == other.id
    assert lensmith.datasets.undo(project) is not None
    assert lensmith.datasets.image(project, first.id).labels[0].class_id == first.labels[0].class_id
    lensmith.datasets.leave_out(project, [second.id])
    second_run = lensmith.runs.start(project, {**TINY, "strategy": "probe"})
    succeeded(lensmith, second_run.id)
    assert lensmith.runs.get(second_run.id).version == lensmith.runs.get(run).version + 1
    assert lensmith.datasets.summary(project).images == before.images - 1


def test_the_bundle_runs_without_lensmith(lensmith: Lensmith, project: str, run: str, tmp_path: Path) -> None:
    export = lensmith.models.start_export(run)
    succeeded(lensmith, export.id, 240)
    info = lensmith.models.export(run)
    assert info is not None and info.parity is not None
    bundle = lensmith.models.export_file(run)
    _unpack(bundle.path, tmp_path)
    script = next(tmp_path.rglob("predict.py"))
    image = lensmith.datasets.images(project, limit=1).items[0]
    picture = tmp_path / "picture.png"
    picture.write_bytes(lensmith.datasets.image_file(project, image.id).path.read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(picture), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    offline = json.loads(done.stdout)[0]["predictions"][0]
    online = lensmith.models.predict(run, [("picture.png", picture.read_bytes())])[0].predictions[0]
    from_bundle = lensmith.models.predict(bundle.path, [("picture.png", picture.read_bytes())])[
        0
    ].predictions[0]
    assert offline["label"] == online.label == from_bundle.label
    assert offline["score"] == pytest.approx(online.score, abs=1e-3)
    assert from_bundle.score == pytest.approx(online.score, abs=1e-3)


def test_a_bad_picture_is_a_sentence(lensmith: Lensmith, run: str) -> None:
    good = io.BytesIO()
    Image.new("RGB", (20, 20)).save(good, "PNG")
    answers = lensmith.models.predict(run, [("bad.jpg", b"no picture"), ("good.png", good.getvalue())])
    assert answers[0].error and not answers[0].predictions
    assert answers[1].predictions and not answers[1].error


def test_wrong_settings_are_named(lensmith: Lensmith, project: str) -> None:
    with pytest.raises(InputError, match="epochs"):
        lensmith.runs.start(project, {"epochs": 0})
    with pytest.raises(InputError, match="epoch_count"):
        lensmith.runs.start(project, {"epoch_count": 3})
    with pytest.raises(InputError, match="preset"):
        lensmith.runs.start(project, {"preset": "turbo"})
    with pytest.raises(NotFoundError):
        lensmith.runs.get("nothing")


def _unpack(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for name in bundle.namelist():
            if not name.endswith("/"):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes(bundle.read(name))
