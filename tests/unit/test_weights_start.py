"""From settings to the start of a run: what a hub's silence means, which names, paths and sizes count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from engine.contracts.models import ModelInfo, WeightsInfo
from engine.errors import HubSilentError, InputError, WeightsError
from engine.models.backbones import build
from engine.models.catalog import catalog_path
from engine.models.hub_state import hub_state, remember_answer
from engine.models.published import published
from engine.models.weights import absolute_weights, check_model_args, plan_weights
from engine.settings import Settings
from engine.tasks.classification.spec import SPEC, ClassificationConfig
from engine.training.choices import choose
from tests.training import make_settings

NAME = "test_resnet"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "home")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def state() -> dict[str, torch.Tensor]:
    model: torch.nn.Module = timm.create_model(NAME, num_classes=10)
    return model.state_dict()


def save(path: Path) -> None:
    save_file({name: value.clone() for name, value in state().items()}, path)


@pytest.mark.usefixtures("empty_cache")
def test_what_is_wrong_with_one_repository_does_not_silence_the_hub(settings: Settings) -> None:
    online = replace(settings, offline=False)
    here, other = published(online, "resnet18"), published(online, "resnet50")
    assert here is not None and other is not None
    remember_answer(online, other, error=WeightsError("The hub does not have it (answer 404)."))
    assert hub_state(online).problem == ""
    assert plan_weights(online, "resnet18", open_backbone=True).source == "hub"
    remember_answer(online, replace(other, repository=""), error=HubSilentError("The server is silent."))
    assert hub_state(online).problem == ""
    remember_answer(online, other, error=HubSilentError("Nobody answers."))
    assert hub_state(online).problem == "Nobody answers."
    remember_answer(online, replace(here, repository="", file="a.pth"), size=5)
    assert hub_state(online).problem == "Nobody answers."
    remember_answer(online, here, size=46_000_000)
    assert hub_state(online).problem == ""
    assert hub_state(online).sizes == {"a.pth": 5, here.name: 46_000_000}


@pytest.mark.usefixtures("empty_cache")
def test_the_hub_s_own_switch_counts_as_offline(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    plan = plan_weights(replace(settings, offline=False), "resnet18")
    assert plan.source == "random" and "no network" in plan.sentence


@pytest.mark.usefixtures("empty_cache")
def test_without_a_catalog_nothing_is_guessed(settings: Settings) -> None:
    online = replace(settings, offline=False)
    assert published(online, "vit_base_patch16_224") is None
    plan = plan_weights(online, "vit_base_patch16_224")
    assert plan.name == "" and "not known yet" in plan.sentence


def write_catalog(settings: Settings, *names: str) -> None:
    models = [
        ModelInfo(name=n, family="", parameters=None, input_size=64, weights=WeightsInfo(source="none"))
        for n in names
    ]
    path = catalog_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([model.model_dump(mode="json") for model in models]))


@pytest.mark.usefixtures("empty_cache")
def test_a_backbone_that_the_task_cannot_build_is_refused_at_once(settings: Settings, tmp_path: Path) -> None:
    for name in ("torchvision/alexnet", "smp/mit_b0"):
        with pytest.raises(InputError, match="cannot build"):
            choose(settings, SPEC, ClassificationConfig(backbone=name))
    save(tmp_path / "w.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "smp/mit_b0"}))
    with pytest.raises(InputError, match="cannot build smp/mit_b0"):
        choose(settings, SPEC, ClassificationConfig(weights=str(tmp_path / "w.safetensors")))
    assert choose(settings, SPEC, ClassificationConfig(backbone="resnet_of_mine")).weights.name == ""
    write_catalog(settings, "resnet18", NAME)
    with pytest.raises(InputError, match="no backbone called “resnet19”") as refused:
        choose(settings, SPEC, ClassificationConfig(backbone="resnet19"))
    assert "resnet18" in refused.value.hint
    assert choose(settings, SPEC, ClassificationConfig(backbone="resnet18.a1_in1k")).backbone


def test_the_size_beside_a_file_counts_unless_a_person_sets_one(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save(path)
    beside = tmp_path / "config.json"
    beside.write_text(json.dumps({"architecture": NAME, "input_size": [3, 96, 96]}))
    asked = ClassificationConfig(weights=str(path), preset="balanced")
    assert choose(settings, SPEC, asked).image_size == 96
    assert choose(settings, SPEC, asked.model_copy(update={"image_size": 64})).image_size == 64
    beside.write_text(json.dumps({"architecture": NAME, "input_size": [3, 2000, 2000]}))
    with pytest.raises(WeightsError, match="2000 px; a run takes 32 to 1024"):
        choose(settings, SPEC, asked)
    assert choose(settings, SPEC, asked.model_copy(update={"image_size": 64})).image_size == 64
    beside.write_text(json.dumps({"architecture": NAME}))
    assert choose(settings, SPEC, asked).image_size == SPEC.presets["balanced"]["pretrained"]["image_size"]


def test_a_path_means_the_same_file_everywhere(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    assert absolute_weights("w.safetensors") == str(tmp_path / "w.safetensors")
    assert plan_weights(settings, NAME, "w.safetensors").name == str(tmp_path / "w.safetensors")
    for name in ("auto", "random", "bundled", "weights:x", "run:x"):
        assert absolute_weights(name) == name


@pytest.mark.parametrize("asked", ["~nosuchuser/x.safetensors", "x" * 5000, "/" + "y/" * 3000 + "w.pt"])
def test_a_path_that_no_system_takes_is_a_sentence(settings: Settings, asked: str) -> None:
    with pytest.raises(WeightsError) as refused:
        choose(settings, SPEC, ClassificationConfig(weights=asked))
    assert len(refused.value.message) < 300
    with pytest.raises(InputError):
        choose(settings, SPEC, ClassificationConfig(weights="random", backbone="torchvision/" + asked))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_quantised_weights_are_no_start(settings: Settings, tmp_path: Path, suffix: str) -> None:
    packed = {
        name: value.clamp(-1, 1).mul(100).to(torch.int8) if value.ndim > 1 else value
        for name, value in state().items()
    }
    path = tmp_path / f"w{suffix}"
    if suffix == ".pt":
        torch.save(packed, path)
    else:
        save_file(packed, path)
    with pytest.raises(WeightsError, match="quantised"):
        build(settings, NAME, 3, plan_weights(settings, NAME, str(path)), {})


def test_model_arguments_are_names_with_values() -> None:
    with pytest.raises(InputError, match="names with values"):
        check_model_args("foo")  # type: ignore[arg-type]
