"""The catalog that screens read without torch, and the job that writes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from segmentation_models_pytorch.encoders import encoders
from timm.models._builder import _resolve_pretrained_source

from engine.api import Lensmith
from engine.contracts.models import ModelInfo, WeightsInfo
from engine.errors import InputError
from engine.models.backbones import classifier_names, create, freeze, stages, training_mode
from engine.models.catalog import (
    ask_libraries,
    catalog_path,
    find_model,
    must_be_asked,
    read_catalog,
    read_devices,
    write_catalog,
)
from engine.models.hub_cache import (
    HUB_FILE,
    cached_file,
    cached_items,
    mark_cached,
    remove_cached,
    torch_folder,
)
from engine.models.published import of_model, published
from engine.models.recommended import RECOMMENDED
from engine.models.speeds import read_speeds
from engine.models.weights import plan_weights
from engine.settings import Settings
from engine.storage.database import Database
from tests.training import make_settings
from tests.work import FakeWork

FAMILIES = ("test_resnet", "test_convnext", "test_efficientnet", "test_vit", "test_nfnet")


def test_before_the_job_there_is_the_short_list(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert [model.name for model in read_catalog(settings)] == [entry.name for entry in RECOMMENDED]
    assert read_devices(settings) == ()


def test_the_short_list_names_weights_that_timm_publishes() -> None:
    for entry in RECOMMENDED:
        published = timm.get_pretrained_cfg(entry.name)
        assert published is not None
        assert published.tag == entry.tag
        assert published.license == "apache-2.0"


def test_the_job_lists_what_timm_has(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    work = FakeWork(settings, Database(settings), "job", tmp_path / "job")
    result = write_catalog(work)
    models = read_catalog(settings)
    assert result["models"] == len(models)
    of_timm = [model.name for model in models if model.library == "timm"]
    assert sorted(of_timm) == sorted(timm.list_models())
    assert of_timm == [model.name for model in models[: len(of_timm)]]
    resnet = find_model(settings, "resnet18")
    assert resnet is not None
    assert resnet.family == "resnet"
    assert resnet.parameters == 11_689_512  # as published by He et al. and torchvision
    assert resnet.multiply_adds == pytest.approx(1.81e9, rel=0.01)  # torchvision tells 1.81 GFLOPS
    large = find_model(settings, "mobilenetv3_large_100")
    assert large is not None
    assert large.multiply_adds == pytest.approx(219e6, rel=0.02)  # Howard et al. (2019)
    assert [(speed.backbone, speed.strategy) for speed in read_speeds(settings, "cpu")] == [
        ("mobilenetv3_large_100", "probe")
    ]
    check_published(settings)
    without = next(model for model in models if model.weights.source == "none")
    assert "published" in plan_weights(settings, without.name).sentence
    assert read_devices(settings)[-1].name == "cpu"


def check_published(settings: Settings) -> None:
    """Compare what the catalog names with what each library itself would fetch."""
    addresses = {"hf-hub": lambda weights: weights.repository, "url": lambda weights: weights.url}
    for model in read_catalog(settings):
        weights = of_model(model)
        if model.library == "smp":
            assert weights is not None
            entry = encoders[model.name.removeprefix("smp/")]["pretrained_settings"].values()
            assert {"repo_id": weights.repository, "revision": weights.revision} in entry
        elif model.library == "timm" and weights is not None:
            source, place = _resolve_pretrained_source(timm.get_pretrained_cfg(model.name).to_dict())
            assert addresses[source](weights) == place
        elif model.library == "torchvision":
            assert weights is not None
            own = torchvision.models.get_model_weights(model.name.removeprefix("torchvision/")).DEFAULT
            assert weights.url == own.url
            assert weights.sha256 in own.url
            assert model.parameters is not None
            assert weights.bytes is not None
            # Four bytes each; the file of GoogLeNet holds its two auxiliary classifiers too.
            assert 1 <= weights.bytes / (4 * model.parameters) < 2


def test_before_the_job_published_weights_are_known_by_name(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    for entry in RECOMMENDED:
        weights = published(settings, entry.name)
        assert weights is not None
        assert weights.name == entry.repository
        assert weights.licence == "apache-2.0"
    assert published(settings, "smp/resnet34") is None
    assert published(settings, "torchvision/alexnet") is None


def test_weights_are_looked_up_when_the_catalog_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    settings = make_settings(tmp_path / "home")

    def cached() -> list[str]:
        return [model.name for model in read_catalog(settings) if model.weights.cached]

    assert cached() == []
    repository = RECOMMENDED[0].repository
    snapshot = hub / f"models--{repository.replace('/', '--')}" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0")
    assert cached() == []  # the folder of a download that never ended
    (snapshot / HUB_FILE).write_bytes(b"weights")
    assert cached() == [RECOMMENDED[0].name]
    assert cached_file(repository) == snapshot / HUB_FILE
    (item,) = cached_items()
    assert (item.name, item.library, item.bytes) == (repository, "timm", 7)


def test_an_address_is_looked_up_in_the_folder_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert torch_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert torch_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    url = torchvision.models.AlexNet_Weights.DEFAULT.url
    weights = WeightsInfo(source="url", name=url)
    alexnet = ModelInfo(
        name="torchvision/alexnet",
        library="torchvision",
        family="alexnet",
        parameters=None,
        input_size=224,
        weights=weights,
    )
    file = torch_folder() / Path(url).name
    file.parent.mkdir(parents=True)
    (file.parent / f".{file.name}.part").write_bytes(b"half")
    assert not mark_cached((alexnet,))[0].weights.cached
    assert cached_items() == ()
    file.write_bytes(b"weights")
    assert mark_cached((alexnet,))[0].weights.cached
    assert [item.name for item in cached_items()] == [file.name]
    assert remove_cached(cached_items()[0]) == 7
    assert cached_items() == ()


def test_one_repository_is_removed_and_no_other_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for entry in RECOMMENDED[:2]:
        folder = tmp_path / "hub" / f"models--{entry.repository.replace('/', '--')}"
        for name in ("blobs", "snapshots/0", "snapshots/1", "refs"):
            (folder / name).mkdir(parents=True)
        (folder / "blobs" / "ab").write_bytes(b"weights")
        (folder / "refs" / "main").write_text("0")
        for commit in "01":
            (folder / "snapshots" / commit / HUB_FILE).symlink_to(folder / "blobs" / "ab")
    first, second = (entry.repository for entry in RECOMMENDED[:2])
    gone = next(item for item in cached_items() if item.name == first)
    assert remove_cached(gone) == len(b"weights") + len("0")
    assert [item.name for item in cached_items()] == [second]
    assert cached_file(second) is not None
    assert remove_cached(gone) == 0


def test_a_child_finds_out_what_the_catalog_does_not_tell_yet(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    for name in ("test_vit", "resnet18.tv_in1k", "smp/mit_b0", "torchvision/alexnet"):
        assert must_be_asked(settings, name)
        assert published(settings, name) is None
        found = ask_libraries(settings, name)
        assert found.name == name
        assert not must_be_asked(settings, name)
        assert find_model(settings, name) == found
        assert (known := published(settings, name)) is not None and known.name
    tagged = published(settings, "resnet18.tv_in1k")
    assert tagged is not None
    assert tagged.name == timm.get_pretrained_cfg("resnet18.tv_in1k").hf_hub_id
    assert not must_be_asked(settings, RECOMMENDED[0].name)
    wrong = ("resnet18.no_such_tag", "no_such_net", "smp/no", "torchvision/resnet18", "../../x", "a" * 999)
    for name in wrong:
        with pytest.raises(InputError, match="no backbone called"):
            ask_libraries(settings, name)


def test_reading_it_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from engine.models.catalog import read_catalog; from engine.settings import Settings; "
        "read_catalog(Settings.from_environment()); assert not {'torch', 'timm'} & set(sys.modules)"
    )
    own = {"LENSMITH_HOME": "home", "HF_HUB_CACHE": "hub", "TORCH_HOME": "torch"}
    environment = {**os.environ, **{name: str(tmp_path / place) for name, place in own.items()}}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_stages_cover_each_parameter_once_and_end_in_the_classifier() -> None:
    for name in FAMILIES:
        model = create(name, 3, {})
        groups = stages(model)
        listed = [parameter for group in groups for parameter in group]
        assert sorted(listed) == sorted(parameter for parameter, _ in model.named_parameters())
        assert len(groups) > 3
        assert all(parameter.startswith(classifier_names(model)) for parameter in groups[-1])


def test_freezing_opens_the_last_stages_and_keeps_frozen_batch_norm_still() -> None:
    model = create("test_resnet", 3, {})
    assert freeze(model, "head", 2) == {"fc.weight", "fc.bias"}
    one, two = freeze(model, "last_stages", 1), freeze(model, "last_stages", 2)
    assert {name.split(".")[0] for name in one} == {"layer4", "fc"}
    assert {name.split(".")[0] for name in two} == {"layer3", "layer4", "fc"}
    training_mode(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.rand(4, 3, 32, 32))
    after = model.state_dict()
    assert torch.equal(before["layer2.0.bn1.running_mean"], after["layer2.0.bn1.running_mean"])
    assert not torch.equal(before["layer3.0.bn1.running_mean"], after["layer3.0.bn1.running_mean"])


def test_a_task_is_shown_what_it_can_build(tmp_path: Path) -> None:
    lensmith = Lensmith(make_settings(tmp_path / "home"))
    none = WeightsInfo(source="none")
    listed = [
        ModelInfo(name=name, library=library, family="", parameters=None, input_size=224, weights=none)
        for name, library in (("resnet18", "timm"), ("smp/resnet34", "smp"))
    ]
    path = catalog_path(lensmith.settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([model.model_dump(mode="json") for model in listed]))
    assert [model.name for model in lensmith.models.catalog("resnet")] == ["resnet18", "smp/resnet34"]
    assert [model.name for model in lensmith.models.catalog("resnet", task="classification")] == ["resnet18"]
    lensmith.close()
