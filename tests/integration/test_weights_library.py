"""Weights of one's own: taken in, recognised, listed, started from, taken along, removed."""

from __future__ import annotations

import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from engine.api import Lensmith
from engine.contracts.jobs import JobInfo, JobState
from engine.errors import ConflictError, InputError, NotFoundError, WeightsError
from engine.models import bundled as box
from engine.models.catalog import write_catalog
from engine.models.hub_state import remember_hub
from engine.models.library import library_folder, list_imported
from engine.models.recognise import recognise
from engine.models.weights_jobs import fetch_weights, import_weights, look
from engine.storage.tables import JobRow
from engine.tasks.classification.spec import SPEC, ClassificationConfig
from engine.training.choices import choose
from tests.training import make_project, make_run, make_settings
from tests.work import FakeWork

NAME = "test_resnet"
KNOWN = ("test_resnet", "test_vit", "test_efficientnet", "resnet18")


@pytest.fixture
def lensmith(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lensmith]:
    # A catalog of a few, so that a search among all of timm does not take the test's time.
    monkeypatch.setattr("timm.list_models", lambda *_, **__: list(KNOWN))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    opened = Lensmith(make_settings(tmp_path / "home"))
    yield opened
    opened.close()


def state(prefix: str = "", classes: int = 10) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    model = timm.create_model(NAME, num_classes=classes)
    return {prefix + name: value for name, value in model.state_dict().items()}


def do(lensmith: Lensmith, job: JobInfo) -> dict[str, Any]:
    """Run a queued import of weights in this process."""
    with lensmith.database.read() as session:
        payload = session.get_one(JobRow, job.id).payload
    folder = lensmith.settings.runs / job.id / "attempt-1"
    return import_weights(FakeWork(lensmith.settings, lensmith.database, job.id, folder, payload=payload))


def test_a_file_is_recognised_listed_started_from_and_removed(lensmith: Lensmith, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(state("module.backbone."), path)
    done = do(lensmith, lensmith.weights.start_import(path, licence="MIT", mean=(0.1, 0.2, 0.3)))
    assert done["start"] == "weights:mine"
    (item,) = (entry for entry in lensmith.weights.list() if entry.source == "imported")
    assert (item.id, item.backbone, item.licence, item.mean) == ("mine", NAME, "MIT", (0.1, 0.2, 0.3))
    assert item.fit is not None
    assert (item.fit.share, item.fit.prefix, item.fit.classes) == (1.0, "module.backbone.", 10)
    choice = choose(lensmith.settings, SPEC, ClassificationConfig(weights=item.start))
    assert (choice.backbone, choice.weights.source) == (NAME, "file")
    assert "mine" in choice.weights.sentence
    assert lensmith.weights.remove("mine") > item.bytes
    assert list_imported(lensmith.settings) == ()
    assert not (library_folder(lensmith.settings) / "mine").exists()
    with pytest.raises(NotFoundError):
        choose(lensmith.settings, SPEC, ClassificationConfig(weights=item.start))


def test_a_folder_with_a_config_and_its_zip_come_back_equal(lensmith: Lensmith, tmp_path: Path) -> None:
    folder = tmp_path / "My weights, of 2026"
    folder.mkdir()
    save_file(state(), folder / "model.safetensors")
    about = {
        "architecture": NAME,
        "model_args": {"global_pool": "max"},
        "input_size": [3, 96, 96],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bicubic",
    }
    (folder / "config.json").write_text(json.dumps(about))
    done = do(lensmith, lensmith.weights.start_import(folder))
    item = lensmith.weights.get(done["id"])
    assert item.id == "my-weights-of-2026"
    assert (item.model_args, item.input_size, item.std) == ({"global_pool": "max"}, 96, (0.25, 0.25, 0.25))
    with pytest.raises(ConflictError, match="here already"):
        do(lensmith, lensmith.weights.start_import(folder))
    along = tmp_path / "along.zip"
    shutil.copyfile(lensmith.weights.file(item.id).path, along)
    lensmith.weights.remove(item.id)
    again = lensmith.weights.get(do(lensmith, lensmith.weights.start_import(along, title="Back"))["id"])
    same = ("backbone", "model_args", "input_size", "mean", "std", "sha256", "bytes")
    assert [getattr(again, name) for name in same] == [getattr(item, name) for name in same]
    tensors = load_file(library_folder(lensmith.settings) / again.id / "model.safetensors")
    assert all(torch.equal(tensors[name], value) for name, value in state().items())


def test_a_torch_file_of_an_upload_is_taken_in(lensmith: Lensmith, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"state_dict": state("model."), "epoch": 7}, path)
    upload = lensmith.datasets.begin_upload("net.pth", path.stat().st_size)
    shutil.copyfile(path, lensmith.datasets.upload_path(upload.id))
    with pytest.raises(ConflictError, match="not arrived"):
        lensmith.weights.start_import(upload=upload.id)
    lensmith.datasets.record_upload(upload.id, path.stat().st_size)
    done = do(lensmith, lensmith.weights.start_import(upload=upload.id))
    assert lensmith.weights.get(done["id"]).backbone == NAME


@pytest.mark.parametrize(
    "choices", [{"mean": (123.7, 116.8, 103.9)}, {"mean": "abc"}, {"std": (0.2, 0.2)}, {"input_size": "1"}]
)
def test_a_normalisation_that_no_image_has_is_refused(
    lensmith: Lensmith, tmp_path: Path, choices: Any
) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(state(), path)
    with pytest.raises(InputError):
        lensmith.weights.start_import(path, **choices)
    assert lensmith.jobs.active() == ()


def test_the_hub_is_said_to_be_asked_and_not_to_answer(lensmith: Lensmith) -> None:
    lensmith.database.settings = replace(lensmith.settings, offline=False)
    assert not lensmith.weights.hub().asking
    lensmith.weights.look(NAME)
    assert lensmith.weights.hub().asking
    remember_hub(lensmith.settings, "Nobody answers.")
    assert lensmith.weights.hub().problem == "Nobody answers."


def test_what_fits_nothing_leaves_nothing(lensmith: Lensmith, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"some.layer.weight": torch.zeros(3, 5)}, path)
    with pytest.raises(WeightsError):
        do(lensmith, lensmith.weights.start_import(path))
    assert list_imported(lensmith.settings) == ()
    with pytest.raises(WeightsError, match="run code"):
        (tmp_path / "x.pkl").write_bytes(b"x")
        lensmith.weights.start_import(tmp_path / "x.pkl")
    with pytest.raises(InputError, match="no file or folder"):
        lensmith.weights.start_import(tmp_path / "absent.safetensors")
    with pytest.raises(InputError, match="names with values"):
        lensmith.weights.start_import(path, model_args="same")  # type: ignore[typeddict-item]


@pytest.mark.parametrize("members", [["a.txt"], ["a.safetensors", "b.safetensors"]])
def test_a_zip_holds_one_weights_file(lensmith: Lensmith, tmp_path: Path, members: list[str]) -> None:
    path = tmp_path / "w.zip"
    save_file(state(), tmp_path / "w.safetensors")
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.write(tmp_path / "w.safetensors", f"deep/{member}")
    with pytest.raises(WeightsError, match=r"(no|several) weights files?"):
        do(lensmith, lensmith.weights.start_import(path))


def test_members_of_a_zip_stay_where_they_belong(lensmith: Lensmith, tmp_path: Path) -> None:
    path = tmp_path / "w.zip"
    save_file(state(), tmp_path / "w.safetensors")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "w.safetensors", "../../../out.safetensors")
    with pytest.raises(WeightsError, match="leaves the archive"):
        do(lensmith, lensmith.weights.start_import(path))
    assert list(tmp_path.parent.rglob("out.safetensors")) == []


def test_a_killed_import_does_not_count_and_can_be_repeated(lensmith: Lensmith, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(state(), path)
    done = do(lensmith, lensmith.weights.start_import(path))
    (library_folder(lensmith.settings) / done["id"] / "about.json").unlink()
    assert list_imported(lensmith.settings) == ()
    again = do(lensmith, lensmith.weights.start_import(path))
    assert again["id"] == done["id"]
    assert [folder.name for folder in library_folder(lensmith.settings).iterdir() if folder.is_dir()] == [
        "mine"
    ]


def test_a_second_attempt_finds_what_the_first_one_wrote(lensmith: Lensmith, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(state(), path)
    job = lensmith.weights.start_import(path)
    assert do(lensmith, job) == do(lensmith, job)
    assert len(list_imported(lensmith.settings)) == 1


def test_two_imports_at_once_stay_two(lensmith: Lensmith, tmp_path: Path) -> None:
    """Both are past the recognition before either is written."""
    jobs = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        save_file({**state(), "extra": torch.full((1,), float(number))}, folder / "net.safetensors")
        jobs.append(lensmith.weights.start_import(folder / "net.safetensors"))
    meet = threading.Barrier(2)

    def recognise_and_wait(*args: Any, **choices: Any) -> Any:
        found = recognise(*args, **choices)
        meet.wait(60)
        return found

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr("engine.models.weights_jobs.recognise", recognise_and_wait)
        done = list(pool.map(lambda job: do(lensmith, job), jobs))
    assert len({entry["id"] for entry in done}) == 2
    for number, entry in enumerate(done):
        tensors = load_file(library_folder(lensmith.settings) / entry["id"] / "model.safetensors")
        assert float(tensors["extra"]) == number


@pytest.mark.parametrize("about", ["{}", "not json", '{"title": 3}', "[" * 100_000])
def test_a_damaged_entry_disturbs_no_other_and_can_be_removed(
    lensmith: Lensmith, tmp_path: Path, about: str
) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(state(), path)
    done = do(lensmith, lensmith.weights.start_import(path, title="good"))
    bad = library_folder(lensmith.settings) / "bad"
    bad.mkdir()
    (bad / "about.json").write_text(about)
    listed = {item.id: item for item in lensmith.weights.list() if item.source == "imported"}
    assert set(listed) == {"good", "bad"} and "damaged" in listed["bad"].title
    with pytest.raises(WeightsError, match="damaged"):
        choose(lensmith.settings, SPEC, ClassificationConfig(weights="weights:bad"))
    lensmith.weights.remove("bad")
    assert [item.id for item in list_imported(lensmith.settings)] == [done["id"]]


@pytest.mark.parametrize(
    "config", [None, "{}", "not json", '{"architecture": "test_resnet", "std": [0, 0, 0]}']
)
def test_a_damaged_config_is_a_damaged_entry(lensmith: Lensmith, tmp_path: Path, config: str | None) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(state(), path)
    do(lensmith, lensmith.weights.start_import(path))
    file = library_folder(lensmith.settings) / "mine" / "config.json"
    file.unlink() if config is None else file.write_text(config)
    (item,) = (item for item in lensmith.weights.list() if item.source == "imported")
    assert "damaged" in item.title
    with pytest.raises(WeightsError, match="damaged"):
        lensmith.weights.file("mine")
    lensmith.weights.remove("mine")


def test_what_is_taken_along_says_what_is_true_now(lensmith: Lensmith, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(state(), path)
    for mean in ((0.1, 0.1, 0.1), (0.9, 0.9, 0.9)):
        do(lensmith, lensmith.weights.start_import(path, title="Mine", licence="MIT", mean=mean))
        with zipfile.ZipFile(lensmith.weights.file("weights:mine").path) as archive:
            config = json.loads(archive.read("mine/config.json"))
        assert config["pretrained_cfg"]["mean"] == list(mean)
        assert config["lensmith"] == {"title": "Mine", "licence": "MIT", "origin": "mine.safetensors"}
        lensmith.weights.remove("mine")
    assert list((lensmith.settings.cache / "weights").glob("*.zip")) == []


def test_weights_that_a_run_waits_for_stay(lensmith: Lensmith, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(state(), path)
    do(lensmith, lensmith.weights.start_import(path))
    version = make_project(lensmith.settings, lensmith.database)
    work = make_run(lensmith.settings, lensmith.database, version, {"weights": "weights:mine"})
    with pytest.raises(ConflictError, match="waits to start"):
        lensmith.weights.remove("mine")
    with lensmith.database.write() as session:
        session.get_one(JobRow, work.job_id).state = JobState.FAILED
    lensmith.weights.remove("mine")


def test_an_upload_goes_away_with_its_import(lensmith: Lensmith, tmp_path: Path) -> None:
    save_file({"some.layer.weight": torch.zeros(3, 5)}, tmp_path / "bad.safetensors")
    save_file(state(), tmp_path / "model.safetensors")
    for name in ("bad.safetensors", "model.safetensors"):
        size = (tmp_path / name).stat().st_size
        upload = lensmith.datasets.begin_upload(name, size)
        place = lensmith.datasets.upload_path(upload.id)
        shutil.copyfile(tmp_path / name, place)
        lensmith.datasets.record_upload(upload.id, size)
        job = lensmith.weights.start_import(upload=upload.id)
        if name == "bad.safetensors":
            with pytest.raises(WeightsError):
                do(lensmith, job)
        else:
            assert lensmith.weights.get(do(lensmith, job)["id"]).title == "model"
        assert not place.exists()


def test_one_download_of_each_at_a_time(lensmith: Lensmith) -> None:
    first = lensmith.weights.start_fetch("resnet18")
    assert lensmith.weights.start_fetch("resnet18").id == first.id
    assert lensmith.weights.start_fetch("resnet50").id != first.id


@pytest.mark.parametrize("item", ["auto", "random", "", "weights:"])
def test_no_name_but_their_own_removes_weights(lensmith: Lensmith, tmp_path: Path, item: str) -> None:
    cached = tmp_path / "torch" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"weights")
    with pytest.raises(NotFoundError):
        lensmith.weights.remove(item)
    assert lensmith.weights.remove(cached.name) == 7
    assert not cached.exists()


def test_what_the_hub_says_is_written_down(lensmith: Lensmith, monkeypatch: pytest.MonkeyPatch) -> None:
    work = FakeWork(
        lensmith.settings,
        lensmith.database,
        "job",
        lensmith.settings.runs / "job",
        payload={"backbone": "resnet18"},
    )
    assert "offline" in look(work)["problem"]
    with pytest.raises(WeightsError, match="offline"):
        fetch_weights(work)
    with pytest.raises(InputError, match="No weights are published"):
        write_catalog(work)
        lensmith.weights.start_fetch("nothing_like_it")
    assert lensmith.weights.start_fetch("resnet18").kind == "fetch-weights"


def test_shipped_weights_stay(lensmith: Lensmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "boxed.safetensors"
    save_file(state(), path)
    half = (0.5, 0.5, 0.5)
    entry = box.Bundled("lensmith_test", NAME, path, half, half, 64, "bilinear", "apache-2.0", "")
    monkeypatch.setattr(box, "BUNDLED", (entry,))
    (item,) = (item for item in lensmith.weights.list() if item.source == "bundled")
    assert (item.id, item.start, item.removable) == ("lensmith_test", "bundled", False)
    for name in (item.id, item.start):
        with pytest.raises(ConflictError):
            lensmith.weights.remove(name)
    assert path.exists()
    with pytest.raises(NotFoundError):
        lensmith.weights.remove("nothing")
