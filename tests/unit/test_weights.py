"""Starting weights: what is planned, what is read, what is refused."""

from __future__ import annotations

import inspect
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from engine.errors import InputError, WeightsError
from engine.models.backbones import MINIMUM_SHARE, build, create, load_weights
from engine.models.torch_files import read_state
from engine.models.weights import FORBIDDEN_ARGS, hub_file, plan_weights, read_config
from engine.settings import Settings
from engine.tasks.classification.spec import SPEC, ClassificationConfig
from engine.training.choices import choose
from tests.training import make_settings

NAME = "test_resnet"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "home")


def backbone(classes: int = 10, seed: int = 1) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = timm.create_model(NAME, num_classes=classes)
    assert isinstance(model, torch.nn.Module)
    return model


def save(path: Path, prefix: str = "") -> dict[str, torch.Tensor]:
    state = backbone().state_dict()
    save_file({prefix + name: value.clone() for name, value in state.items()}, path)
    return state


def test_planning_loads_no_torch() -> None:
    code = (
        "import sys; from engine.models.weights import plan_weights; from engine.settings import Settings; "
        "from engine.training.choices import choose; from engine.tasks.registry import TASKS; "
        "[choose(Settings.from_environment(), spec, spec.config()) for spec in TASKS]; "
        "assert not {'torch', 'timm', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "encoder.", "module.backbone."])
def test_a_file_fills_the_backbone_whatever_its_prefix(
    settings: Settings, tmp_path: Path, prefix: str
) -> None:
    path = tmp_path / "w.safetensors"
    state = save(path, prefix)
    built = build(settings, NAME, 3, plan_weights(settings, NAME, str(path)), {})
    ours = built.model.state_dict()
    assert built.notes == ()
    assert built.weights.source == "file"
    assert len(built.weights.sha256) == 64
    assert ours["fc.weight"].shape == (3, 96)
    assert all(torch.equal(ours[name], state[name]) for name in state if not name.startswith("fc."))


def test_the_classifier_starts_from_its_seed(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save(path)
    plan = plan_weights(settings, NAME, str(path))
    first, again, other = (build(settings, NAME, 10, plan, {}, seed=seed).model for seed in (0, 0, 5))
    assert torch.equal(first.state_dict()["fc.weight"], again.state_dict()["fc.weight"])
    assert not torch.equal(first.state_dict()["fc.weight"], other.state_dict()["fc.weight"])


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("container", ["", "state_dict", "model"])
def test_torch_files_become_safetensors_at_once(
    settings: Settings, tmp_path: Path, suffix: str, container: str
) -> None:
    state = backbone().state_dict()
    path = tmp_path / f"w{suffix}"
    torch.save({container: state, "epoch": 3} if container else state, path)
    tensors, digest = read_state(settings, path)
    assert (settings.cache / "weights" / f"{digest}.safetensors").is_file()
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], value) for name, value in state.items())


class Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_file_that_runs_code_is_refused_and_named(settings: Settings, tmp_path: Path, suffix: str) -> None:
    marker, path = tmp_path / "marker", tmp_path / f"w{suffix}"
    torch.save({"state_dict": Attack(marker)}, path)
    with pytest.raises(WeightsError, match=r"pathlib|getattr"):
        read_state(settings, path)
    path.write_bytes(pickle.dumps(Attack(marker), protocol=2))
    with pytest.raises(WeightsError):
        read_state(settings, path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Attack(marker)))  # the attack itself works
    assert marker.exists()


@pytest.mark.parametrize("name", ["w.pkl", "w.ckpt", "w.pt2", "w.npz", "w"])
def test_other_kinds_of_files_are_refused(settings: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match="run code"):
        plan_weights(settings, NAME, str(tmp_path / name))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 4) + b"{}  " + b"spare",
        struct.pack("<Q", 4) + b"[[]]",
        struct.pack("<Q", 8) + b'{"a": 1}',
    ],
)
def test_a_damaged_header_is_refused_before_anything_is_loaded(
    settings: Settings, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"safetensors|cut off"):
        plan_weights(settings, NAME, str(path))


def test_a_file_cut_short_is_refused(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cut off"):
        plan_weights(settings, NAME, str(path))


def test_weights_of_another_architecture_are_refused() -> None:
    state = timm.create_model("test_convnext").state_dict()
    with pytest.raises(WeightsError, match="Nothing"):
        load_weights(backbone(), state, "w.safetensors")


def test_a_partial_fit_is_told_and_below_the_share_refused() -> None:
    state = backbone().state_dict()
    body = [name for name in state if not name.startswith("fc.") and state[name].is_floating_point()]
    biggest = sorted(body, key=lambda name: -state[name].numel())
    smallest = {name: value for name, value in state.items() if name != biggest[-1]}
    fit = load_weights(backbone(seed=2), smallest, "w")
    assert MINIMUM_SHARE < fit.share < 1
    assert "1 tensors" in fit.note
    with pytest.raises(WeightsError, match="fits only"):
        load_weights(backbone(), {name: state[name] for name in biggest[:2]}, "w")


def test_the_config_beside_the_file_gives_arguments_and_normalisation(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    save(path)
    config = {"architecture": NAME, "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "model_args": {"a": 1}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_config(path).model_args == {"a": 1}
    built = build(settings, NAME, 3, plan_weights(settings, NAME, str(path)), {})
    assert built.normalisation.mean == (0.1, 0.2, 0.3)
    (tmp_path / "config.json").write_text(json.dumps({"mean": [0.1, 0.2]}))
    with pytest.raises(WeightsError, match=r"config\.json"):
        read_config(path)


@pytest.mark.parametrize("name", sorted(FORBIDDEN_ARGS))
def test_arguments_that_load_files_or_change_the_output_are_refused(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"model_args": {name: True}}))
    beside = ClassificationConfig(backbone=NAME, weights=str(tmp_path / "w.safetensors"))
    with pytest.raises(InputError, match=name):
        choose(settings, SPEC, beside)
    with pytest.raises(InputError, match=name):
        choose(settings, SPEC, ClassificationConfig(backbone=NAME, model_args={name: True}))
    with pytest.raises(InputError, match=name):
        create(NAME, 3, {name: True})


def test_the_list_of_refused_arguments_covers_timms_own() -> None:
    shaping = {"model_name", "kwargs"}
    assert set(inspect.signature(timm.create_model).parameters) - shaping <= set(FORBIDDEN_ARGS)


def test_what_a_file_leaves_to_chance_is_part_of_the_identity(settings: Settings, tmp_path: Path) -> None:
    whole, partial = tmp_path / "whole.safetensors", tmp_path / "partial.safetensors"
    state = save(whole)
    save_file({name: value for name, value in state.items() if name != "bn1.weight"}, partial)

    def identity(path: Path, seed: int) -> str:
        return build(settings, NAME, 3, plan_weights(settings, NAME, str(path)), {}, seed=seed).identity

    assert identity(whole, 1) == identity(whole, 2)
    assert identity(partial, 1) != identity(partial, 2)
    assert identity(partial, 1) == identity(partial, 1)
    random = plan_weights(settings, NAME, "random")
    assert build(settings, NAME, 3, random, {}, seed=1).identity == identity(partial, 1).split(" ", 1)[1]


def test_arguments_that_shape_the_network_reach_it() -> None:
    model: Any = create(NAME, 3, {"global_pool": "max"})
    assert model.global_pool.pool_type == "max"


def test_offline_says_random_and_the_hub_is_not_asked(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    plan = plan_weights(settings, "resnet18")
    assert plan.source == "random"
    assert "no network" in plan.sentence
    with pytest.raises(WeightsError, match="offline"):
        hub_file(settings, "timm/resnet18.a1_in1k")


def test_an_unreachable_hub_is_an_answer_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens on port 9 of this machine.
    monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda repository, file: "http://127.0.0.1:9/x")
    online = Settings(home=tmp_path, database_url="", hub_timeout=2.0)
    assert plan_weights(online, "resnet18").source == "hub"
    with pytest.raises(WeightsError, match="does not answer"):
        hub_file(online, "timm/resnet18.a1_in1k")
