"""A run from its frozen version to a model, in this process, on a tiny set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from sqlalchemy import select, update

from engine.contracts.results import Report
from engine.datasets.cache import decoded
from engine.datasets.manifest import freeze_version, load_manifest
from engine.errors import HubError, HubSilentError, InputError, JobCancelledError, WeightsError
from engine.models import bundled as box
from engine.models.hub_state import hub_state
from engine.models.published import Published
from engine.models.recommended import recommended
from engine.models.speeds import read_speeds
from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.tables import AnnotationRow, ImageRow, ReportRow, RunRow, VersionRow
from engine.tasks.classification.spec import SPEC
from engine.training.run import run
from engine.training.trained import load_trained
from tests.training import finish, make_project, make_run, make_settings
from tests.work import FakeWork

QUICK = {
    "backbone": "test_resnet",
    "weights": "random",
    "image_size": 32,
    "strategy": "full",
    "epochs": 3,
    "batch_size": 8,
    "precision": "fp32",
    "memory_format": "contiguous",
    "ema": 0.9,
}


def unlabel(database: Database, split: str) -> None:
    """Take the labels of a split off the head."""
    with database.write() as session:
        images = select(ImageRow.id).where(ImageRow.split == split)
        session.execute(update(AnnotationRow).where(AnnotationRow.image_id.in_(images)).values(on_head=False))


class Workspace:
    def __init__(self, home: Path) -> None:
        self.settings = make_settings(home)
        self.database = Database(self.settings)
        self.version = make_project(self.settings, self.database)
        self.runs = 0

    def work(self, **config: Any) -> FakeWork:
        self.runs += 1
        return make_run(self.settings, self.database, self.version, {**QUICK, **config}, self.runs)

    def row(self, work: FakeWork) -> RunRow:
        with self.database.read() as session:
            return session.get_one(RunRow, work.job_id)

    def report(self, work: FakeWork) -> ReportRow:
        with self.database.read() as session:
            return session.get_one(ReportRow, work.job_id)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(tmp_path / "home")
    yield made
    made.database.close()


def weights_of(workspace: Workspace, result: dict[str, Any]) -> dict[str, torch.Tensor]:
    return load_file(workspace.settings.home / result["model"] / "model.safetensors")


def test_a_run_leaves_a_model_that_answers_as_its_report_says(workspace: Workspace) -> None:
    work = workspace.work(epochs=6)
    finish(work, run(work))
    report = Report.model_validate(workspace.report(work).report)
    assert report.split == "test"
    assert report.images == 6
    assert report.metrics["top1"].value == 1.0
    row = workspace.row(work)
    assert row.plan is not None
    assert row.plan["epochs"] == 6
    assert row.weights is not None
    assert row.weights["source"] == "random"
    assert row.best is not None
    assert row.best["name"] == "top1"

    trained = load_trained(workspace.settings, workspace.database, work.job_id)
    manifest = load_manifest(workspace.database, workspace.settings, workspace.version)
    images = manifest.of_split("test")
    pixels = decoded(workspace.settings, [image.sha256 for image in images], trained.preprocessing)
    scores = trained.predict(np.asarray(pixels))
    expected = {item.image_id: item.scores for item in report.results}
    np.testing.assert_allclose(scores, [expected[image.id] for image in images], atol=1e-5)


def test_timm_loads_the_model_folder_by_itself(workspace: Workspace) -> None:
    work = workspace.work(model_args={"act_layer": "silu"})
    result = run(work)
    folder = workspace.settings.home / result["model"]
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert tuple(model.pretrained_cfg["input_size"]) == (3, 32, 32)
    ours = weights_of(workspace, result)
    assert all(torch.equal(value, ours[name]) for name, value in model.state_dict().items())


def test_events_tell_the_plan_each_epoch_once_and_the_same_six_pictures(workspace: Workspace) -> None:
    work = workspace.work(precision="auto", memory_format="auto")
    run(work)
    assert work.of_kind("plan")[0]["plan"]["batch_size"] == 8
    assert "batch 8" in work.of_kind("plan")[0]["sentence"]
    assert [data["epoch"] for data in work.of_kind("epoch")] == [1, 2, 3]
    assert {key for kind, _, key in work.events if kind == "epoch"} == {"epoch:1", "epoch:2", "epoch:3"}
    shown = [[item["image_id"] for item in data["items"]] for data in work.of_kind("samples")]
    assert len(shown[0]) == 6
    assert shown[0] == shown[1] == shown[2]
    assert work.of_kind("probe")[0]["metric"] == "top1"
    assert work.of_kind("step")[-1]["step"] == 9
    speeds = read_speeds(workspace.settings, "cpu")
    assert [(s.backbone, s.image_size, s.strategy) for s in speeds] == [("test_resnet", 32, "full")]


class Crash(RuntimeError):
    pass


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_crash_in_mid_epoch_changes_not_one_bit(workspace: Workspace, precision: str) -> None:
    config = {"precision": precision, "backbone": "test_efficientnet", "dropout": 0.2}
    whole = weights_of(workspace, run(workspace.work(**config)))
    work = workspace.work(**config)
    work.payload["checkpoint_seconds"] = 0.0
    steps = 0

    def crash(fraction: float | None, message: str) -> None:
        nonlocal steps
        steps += message.startswith("Epoch")
        if steps == 5:
            raise Crash

    work.on_progress = crash
    with pytest.raises(Crash):
        run(work)
    assert work.saved[0].step == 4
    again = work.again()
    resumed = weights_of(workspace, run(again))
    assert [data["epoch"] for data in again.of_kind("epoch")] == [2, 3]
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_the_probe_is_an_ordinary_model(workspace: Workspace) -> None:
    work = workspace.work(strategy="probe")
    finish(work, run(work))
    row = workspace.report(work)
    report = Report.model_validate(row.report)
    assert row.probe is not None
    assert row.gain is None
    # The value of the probe is the answer rate of the saved network.
    assert report.metrics["top1"].value == pytest.approx(row.probe["value"])
    assert work.of_kind("epoch") == []


def test_keep_the_best_ends_with_a_report(workspace: Workspace) -> None:
    work = workspace.work(epochs=200)

    def stop(fraction: float | None, message: str) -> None:
        if message.startswith("Epoch 3"):
            work.stop = "keep_best"

    work.on_progress = stop
    run(work)
    assert len(work.of_kind("epoch")) <= 4
    assert any("by a person" in note for note in workspace.report(work).report["notes"])


@pytest.mark.parametrize(
    ("backbone", "strategy"),
    [("test_vit", "last_stages"), ("test_convnext", "head"), ("test_nfnet", "full")],
)
def test_every_family_learns_and_comes_back(workspace: Workspace, backbone: str, strategy: str) -> None:
    work = workspace.work(backbone=backbone, strategy=strategy, epochs=1, image_size=48)
    finish(work, run(work))
    trained = load_trained(workspace.settings, workspace.database, work.job_id)
    scores = np.stack(trained.predict(np.zeros((2, 48, 48, 3), np.uint8)))
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("wish", ["cancel", "pause"])
def test_a_stopped_run_keeps_its_last_step_and_goes_on_to_the_same_end(
    workspace: Workspace, wish: str
) -> None:
    whole = weights_of(workspace, run(workspace.work()))
    work = workspace.work()

    def stop(fraction: float | None, message: str) -> None:
        if message.startswith("Epoch 2"):
            work.stop = wish

    work.on_progress = stop
    with pytest.raises(JobCancelledError):
        run(work)
    assert work.saved[0].step == 4
    resumed = weights_of(workspace, run(work.again()))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_probe_that_was_stopped_before_its_report_goes_on(workspace: Workspace) -> None:
    whole = workspace.work(strategy="probe")
    run(whole)
    work = workspace.work(strategy="probe")

    def crash(fraction: float | None, message: str) -> None:
        if message.startswith("Measuring on"):
            raise Crash

    work.on_progress = crash
    with pytest.raises(Crash):
        run(work)
    run(work.again())
    one, other = workspace.report(whole), workspace.report(work)
    assert one.report["results"] == other.report["results"]
    assert other.probe is not None


def silent(*_: Any) -> Path:
    raise HubSilentError("The weights hub does not answer.")


@pytest.fixture
def boxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a backbone into the box, in place of what is there."""
    path = tmp_path / "boxed.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    half = (0.5, 0.5, 0.5)
    entry = box.Bundled("lensmith_test", "test_resnet", path, half, half, 64, "bilinear", "apache-2.0", "")
    monkeypatch.setattr(box, "BUNDLED", (entry,))


@pytest.fixture
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"


@pytest.mark.usefixtures("boxed", "empty_caches")
def test_an_unreachable_hub_is_said_and_the_run_takes_what_lensmith_ships(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.models.weights.fetch", silent)
    work = workspace.work(weights="auto", backbone="auto", strategy="auto", epochs=1)
    work.settings = replace(work.settings, offline=False, hub_timeout=1.0)
    run(work)
    assert "does not answer" in work.of_kind("note")[0]["text"]
    row = workspace.row(work)
    assert row.weights is not None
    assert (row.weights["source"], row.weights["name"]) == ("bundled", "lensmith_test")
    assert any("come with Lensmith" in note for note in workspace.report(work).report["notes"])


def online(work: FakeWork) -> FakeWork:
    work.settings = replace(work.settings, offline=False, hub_timeout=1.0)
    return work


@pytest.mark.usefixtures("empty_caches")
def test_a_named_backbone_is_not_swapped_for_another(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def no_answer(settings: Settings, known: Published, *_: Any) -> Path:
        asked.append(known.name)
        return silent()

    monkeypatch.setattr(box, "BUNDLED", ())
    monkeypatch.setattr("engine.models.weights.fetch", no_answer)
    work = online(workspace.work(weights="auto", backbone="test_resnet", epochs=1))
    for attempt in (work, online(work.again()), online(work.again())):
        with pytest.raises(HubError, match="does not answer") as caught:
            run(attempt)
        assert "test_resnet from random numbers" in caught.value.hint
        assert "come with Lensmith" not in caught.value.hint  # the box is empty
        assert attempt.of_kind("epoch") == []
    # No catalog is written here: the library itself said where it publishes, and each attempt asked the hub.
    assert asked == [f"timm/test_resnet.{timm.get_pretrained_cfg('test_resnet').tag}"] * 3
    assert hub_state(work.settings).problem == "The weights hub does not answer."


@pytest.mark.usefixtures("boxed", "empty_caches")
def test_what_one_repository_lacks_is_told_of_no_other(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(settings: Settings, known: Published, *_: Any) -> Path:
        raise WeightsError(f"The hub does not have {known.name} (answer 404).")

    monkeypatch.setattr("engine.models.weights.fetch", missing)
    work = online(workspace.work(weights="auto", backbone="test_vit", epochs=1))
    with pytest.raises(HubError, match="answer 404") as caught:
        run(work)
    assert "come with Lensmith" in caught.value.hint
    assert hub_state(work.settings).problem == ""


@pytest.mark.usefixtures("boxed")
def test_damaged_weights_in_the_cache_end_no_open_run(workspace: Workspace, empty_caches: Path) -> None:
    entry = recommended(SPEC.presets["balanced"]["pretrained"]["backbone"])
    assert entry is not None
    folder = empty_caches / f"models--{entry.repository.replace('/', '--')}"
    blob, snapshot = folder / "blobs" / ("0" * 64), folder / "snapshots" / "1"
    for path in (blob.parent, snapshot, folder / "refs"):
        path.mkdir(parents=True)
    blob.write_bytes(b"damaged")
    (folder / "refs" / "main").write_text("1")
    (snapshot / "model.safetensors").symlink_to(blob)
    work = workspace.work(weights="auto", backbone="auto", preset="balanced", strategy="full", epochs=1)
    run(work)
    note = work.of_kind("note")[0]["text"]
    assert "damaged file in the cache was removed" in note and "come with Lensmith" in note
    row = workspace.row(work)
    assert row.weights is not None and row.weights["source"] == "bundled"
    assert not blob.exists()


@pytest.mark.usefixtures("empty_caches")
def test_an_unknown_backbone_is_said_as_such(workspace: Workspace) -> None:
    for name in ("resnet_of_mine", "resnet18.no_such_tag"):
        with pytest.raises(InputError, match="no backbone called"):
            run(online(workspace.work(weights="auto", backbone=name)))


def test_without_a_labelled_validation_image_nothing_is_trained(workspace: Workspace) -> None:
    unlabel(workspace.database, "val")
    with workspace.database.write() as session:
        project = session.get_one(VersionRow, workspace.version).project_id
        workspace.version = freeze_version(session, workspace.settings, project, "train").id
    work = workspace.work()
    with pytest.raises(InputError, match="validation part"):
        run(work)
    assert work.events == []
