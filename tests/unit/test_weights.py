"""Starting weights: what is planned, what is read, what is refused."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from engine.contracts.base import utc_now
from engine.contracts.models import WeightsPlan
from engine.errors import InputError, NotFoundError, WeightsError
from engine.models import bundled as box
from engine.models.backbones import MINIMUM_SHARE, build, create, load_weights
from engine.models.hub_state import FRESH, HubState, hub_state, remember_hub
from engine.models.published import published
from engine.models.torch_files import read_state
from engine.models.weights import FORBIDDEN_ARGS, plan_weights, weights_file
from engine.models.weights_file import read_config
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


def test_planning_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from engine.models.weights import plan_weights; from engine.settings import Settings; "
        "from engine.training.choices import choose; from engine.tasks.registry import TASKS; "
        "[choose(Settings.from_environment(), spec, spec.config()) for spec in TASKS if spec.trains]; "
        "assert not {'torch', 'timm', 'torchvision'} & set(sys.modules)"
    )
    own = {"LENSMITH_HOME": "home", "HF_HUB_CACHE": "hub", "TORCH_HOME": "torch"}
    environment = {**os.environ, **{name: str(tmp_path / place) for name, place in own.items()}}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


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
    save(tmp_path / "w.safetensors")
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


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def in_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> box.Bundled:
    """Put a backbone of one's own into the box, in place of what is there."""
    path = tmp_path / "boxed.safetensors"
    save(path)
    entry = box.Bundled(
        name="lensmith_test",
        architecture=NAME,
        path=path,
        mean=(0.4, 0.4, 0.4),
        std=(0.2, 0.2, 0.2),
        input_size=64,
        interpolation="bilinear",
        licence="apache-2.0",
        sha256="",
    )
    monkeypatch.setattr(box, "BUNDLED", (entry,))
    return entry


@pytest.mark.usefixtures("empty_cache")
def test_offline_says_random_and_the_hub_is_not_asked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box, "BUNDLED", ())
    plan = plan_weights(settings, "resnet18")
    assert plan.source == "random"
    assert "no network" in plan.sentence
    known = published(settings, "resnet18")
    assert known is not None
    from_hub = WeightsPlan(source="hub", name=known.name, sentence="")
    with pytest.raises(WeightsError, match="offline"):
        weights_file(settings, "resnet18", from_hub)


@pytest.mark.usefixtures("empty_cache", "in_the_box")
@pytest.mark.parametrize("preset", ["quick", "balanced", "best"])
def test_without_network_a_run_that_leaves_it_open_takes_what_lensmith_ships(
    settings: Settings, preset: str
) -> None:
    choice = choose(settings, SPEC, SPEC.config.model_validate({"preset": preset}), train_images=1000)
    assert (choice.backbone, choice.weights.source) == (NAME, "bundled")
    assert choice.pretrained
    assert "no network" in choice.weights.sentence and "come with Lensmith" in choice.weights.sentence
    built = build(settings, choice.backbone, 3, choice.weights, choice.model_args)
    assert built.weights.source == "bundled" and built.weights.name == "lensmith_test"
    assert built.normalisation.mean == (0.4, 0.4, 0.4)


@pytest.mark.usefixtures("empty_cache", "in_the_box")
def test_the_hub_comes_before_the_box_unless_it_was_silent(settings: Settings) -> None:
    online = replace(settings, offline=False)
    config = ClassificationConfig(preset="balanced")
    assert choose(online, SPEC, config).weights.source == "hub"
    remember_hub(online, "The weights hub does not answer.")
    choice = choose(online, SPEC, config)
    assert choice.weights.source == "bundled"
    assert choice.weights.sentence.startswith("The weights hub does not answer.")
    named = choose(online, SPEC, ClassificationConfig(backbone="resnet18"))
    assert (named.backbone, named.weights.source) == ("resnet18", "hub")  # the run asks again, or stops
    assert "does not answer" in named.weights.sentence and "stops and asks" in named.weights.sentence
    remember_hub(online, "", {"timm/mobilenetv2_100.ra_in1k": 14_200_000})
    assert "14 MB, licence apache-2.0" in choose(online, SPEC, config).weights.sentence


@pytest.mark.usefixtures("empty_cache", "in_the_box")
def test_an_old_silence_of_the_hub_is_forgotten(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    online = replace(settings, offline=False)
    remember_hub(online, "The weights hub does not answer.", {"a": 1})
    later = utc_now() + FRESH + timedelta(seconds=1)
    monkeypatch.setattr("engine.models.hub_state.utc_now", lambda: later)
    assert hub_state(online) == HubState(sizes={"a": 1})


def test_the_box_can_be_named(settings: Settings, in_the_box: box.Bundled) -> None:
    choice = choose(settings, SPEC, ClassificationConfig(weights="bundled", preset="balanced"))
    assert (choice.backbone, choice.weights.name) == (in_the_box.architecture, in_the_box.name)
    with pytest.raises(WeightsError, match="ships no weights for resnet18"):
        choose(settings, SPEC, ClassificationConfig(weights="bundled", backbone="resnet18"))


def test_a_run_s_own_model_can_be_the_start(settings: Settings) -> None:
    folder = settings.runs / "0123456789ab" / "attempt-2" / "model"
    folder.mkdir(parents=True)
    state = save(folder / "model.safetensors")
    about = {"architecture": NAME, "model_args": {}, "pretrained_cfg": {"input_size": [3, 48, 48]}}
    (folder / "config.json").write_text(json.dumps(about))
    asked = ClassificationConfig(weights="run:0123456789ab", preset="balanced")
    with pytest.raises(NotFoundError, match="no model to start from"):
        choose(settings, SPEC, asked)  # the run is still writing it
    (folder / "classes.json").write_text("[]")
    choice = choose(settings, SPEC, asked)
    assert (choice.backbone, choice.weights.source, choice.image_size) == (NAME, "run", 48)
    built = build(settings, choice.backbone, 7, choice.weights, choice.model_args)
    assert torch.equal(built.model.state_dict()["conv1.0.weight"], state["conv1.0.weight"])
    assert built.weights.name == "run:0123456789ab"


@pytest.mark.parametrize("asked", ["run:../../etc", "run:", "weights:../x", "weights:"])
def test_names_lead_nowhere_else(settings: Settings, asked: str) -> None:
    with pytest.raises(NotFoundError):
        choose(settings, SPEC, ClassificationConfig(weights=asked))
