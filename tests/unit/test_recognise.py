"""Which architecture a weights file holds, by the names and shapes of its tensors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from engine.contracts.weights import LISTED
from engine.errors import InputError, WeightsError
from engine.models.backbones import MINIMUM_SHARE, load_weights
from engine.models.known import index
from engine.models.known.bodies import architectures, build_body
from engine.models.known.index import build_kinds
from engine.models.libraries import LIBRARIES, TORCHVISION
from engine.models.matching import COUNTER, match, prefixes
from engine.models.recognise import recognise
from engine.settings import Settings
from tests.training import make_settings

File = dict[str, tuple[int, ...]]

UNBUILDABLE = {"gemma4_vit_167m_enc", "gemma4_vit_570m_enc"}
"""timm's networks that make no classifier."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "home")


@cache
def network(name: str, classes: int = 1000, **model_args: Any) -> File:
    """Shapes of a timm network's whole state, as a file would hold them."""
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=classes, **model_args)
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def prefixed(file: File, prefix: str) -> File:
    return {prefix + name: shape for name, shape in file.items()}


def never(*_: Any) -> Any:
    raise AssertionError("no file is to be built")


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("mobilenetv2_100", 1000),
        ("resnet50d", 7),
        ("convnext_tiny", 21841),
        ("vit_small_patch16_224", 2),
        ("efficientnet_b0", 1000),
        ("regnety_004", 1000),
        ("test_resnet", 5),
        ("test_convnext", 5),
        ("test_vit", 5),
    ],
)
def test_each_network_is_recognised_whole(settings: Settings, name: str, classes: int) -> None:
    fit = recognise(network(name, classes), settings)
    assert (fit.architecture, fit.library, fit.share) == (name, "timm", 1.0)
    assert fit.fitted == fit.tensors == len(build_body(name).shapes)
    assert fit.missing_total == fit.left_over_total == fit.wrong_shape_total == 0
    assert fit.classes == classes
    assert f"It is {name} (timm): all" in fit.sentence
    assert f"classifier of {classes:,} classes" in fit.sentence


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "backbone.", "encoder.", "_orig_mod.", "module.backbone.", "_orig_mod.module."],
)
def test_a_prefix_is_found_and_told(settings: Settings, prefix: str) -> None:
    fit = recognise(prefixed(network("test_resnet"), prefix), settings)
    assert (fit.architecture, fit.share, fit.prefix, fit.classes) == ("test_resnet", 1.0, prefix, 1000)
    assert fit.left_over_total == 0


def test_the_body_of_a_detector_is_recognised_and_its_rest_is_left_over(settings: Settings) -> None:
    body = {n: s for n, s in network("resnet50").items() if not n.startswith("fc.") and COUNTER not in n}
    neck = {f"backbone.fpn.layer_blocks.{i}.0.weight": (256, 256, 3, 3) for i in range(60)}
    fit = recognise({**prefixed(body, "backbone.body."), **neck}, settings)
    assert (fit.architecture, fit.share, fit.prefix) == ("resnet50", 1.0, "backbone.body.")
    assert fit.classes is None
    assert fit.left_over == tuple(neck)[:LISTED]
    assert fit.left_over_total == 60


def test_a_file_without_classifier_is_the_same_network(settings: Settings) -> None:
    body = {n: s for n, s in network("test_convnext").items() if not n.startswith("head.fc.")}
    fit = recognise(body, settings)
    assert (fit.architecture, fit.share, fit.classes) == ("test_convnext", 1.0, None)
    assert "classifier" not in fit.sentence


@pytest.mark.parametrize(
    ("name", "library"),
    [*((f"torchvision/{name}", "torchvision") for name in TORCHVISION), ("smp/mit_b0", "smp")],
)
def test_other_libraries_are_recognised_too(settings: Settings, name: str, library: str) -> None:
    fit = recognise(build_body(name).shapes, settings)
    assert (fit.architecture, fit.library, fit.share) == (name, library, 1.0)


def test_timm_is_preferred_where_torchvision_has_the_same_tensors(settings: Settings) -> None:
    fit = recognise(build_body("torchvision/resnet18").shapes, settings)
    assert (fit.architecture, fit.share) == ("resnet18", 1.0)
    assert "smp/resnet18" in fit.alternatives
    assert not any(name.startswith("torchvision/") for name in fit.alternatives)


def test_a_network_outside_the_catalog_is_named_and_refused(settings: Settings) -> None:
    name = "torchvision/mnasnet0_75"
    with pytest.raises(WeightsError, match=f"{name}, which is not in the catalog"):
        recognise(build_body(name).shapes, settings)
    with pytest.raises(InputError, match=f"{name} is not in the catalog"):
        recognise(build_body(name).shapes, settings, architecture=name)


def test_the_larger_network_wins_where_a_smaller_one_fits_too(settings: Settings) -> None:
    small, large = network("resnet50"), network("resnet101")
    assert match(build_body("resnet50").shapes, large).share == 1.0
    assert recognise(large, settings).architecture == "resnet101"
    assert recognise(small, settings).architecture == "resnet50"


def test_what_shapes_cannot_tell_is_told(settings: Settings) -> None:
    fit = recognise(network("tf_efficientnet_b0"), settings)
    assert fit.architecture == "efficientnet_b0"
    assert "tf_efficientnet_b0" in fit.alternatives
    assert any("tf_efficientnet_b0" in note for note in fit.notes)
    assert any("pad_type=same" in note for note in fit.notes)
    told = recognise(network("tf_efficientnet_b0"), settings, model_args={"pad_type": "same"})
    assert told.model_args == {"pad_type": "same"}
    assert not any("pad_type" in note for note in told.notes)


def test_a_twentieth_missing_is_accepted_and_reported(settings: Settings) -> None:
    whole = network("test_resnet")
    body = build_body("test_resnet").shapes
    lost = tuple(body)[10::20]
    wide = tuple(body)[11]
    file = {n: s for n, s in whole.items() if n not in lost}
    file |= {wide: (*body[wide], 2), "ema.decay": (1,)}
    fit = recognise(file, settings)
    assert fit.architecture == "test_resnet"
    assert fit.missing == lost
    assert fit.missing_total == len(lost)
    assert fit.wrong_shape == (wide,)
    assert fit.left_over == ("ema.decay",)
    assert fit.fitted == fit.tensors - len(lost) - 1
    assert MINIMUM_SHARE <= fit.share < 1
    assert f"{fit.fitted} of {fit.tensors} tensors" in fit.sentence


def test_the_report_agrees_with_what_is_loaded(settings: Settings) -> None:
    model = timm.create_model("test_resnet", num_classes=4)
    state = {n: v for n, v in model.state_dict().items() if n not in ("conv1.weight", "bn1.bias")}
    fit = recognise({n: tuple(v.shape) for n, v in state.items()}, settings)
    assert load_weights(timm.create_model("test_resnet"), state, "w").share == fit.share < 1


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv2_100"])
def test_a_third_missing_is_refused_with_the_closest(settings: Settings, name: str) -> None:
    large = [n for n, shape in network(name).items() if len(shape) > 1]
    file = {n: s for n, s in network(name).items() if n not in large[1::3] + large[-4:]}
    with pytest.raises(WeightsError, match=rf"closest is {name}, of which it fills \d\d% \(at least 80%"):
        recognise(file, settings)


def test_nothing_fits(settings: Settings) -> None:
    file = {f"vit.encoder.layer.{i}.attention.query.weight": (768, 768) for i in range(12)}
    with pytest.raises(WeightsError, match="fits no architecture of the catalog") as refused:
        recognise(file, settings)
    assert "Name the architecture" in refused.value.hint


def test_only_the_named_architecture_is_tried(settings: Settings) -> None:
    named = recognise(network("tf_efficientnet_b0"), settings, architecture="tf_efficientnet_b0")
    assert named.architecture == "tf_efficientnet_b0"
    assert "efficientnet_b0" in named.alternatives
    with pytest.raises(WeightsError, match=r"Nothing .* fits test_vit.* It fits test_resnet"):
        recognise(network("test_resnet"), settings, architecture="test_vit")
    with pytest.raises(WeightsError, match=r"only \d+% of resnet152 .* It fits resnet50"):
        recognise(network("resnet50"), settings, architecture="resnet152")
    with pytest.raises(InputError, match="no backbone called"):
        recognise(network("test_resnet"), settings, architecture="resnet_of_mine")
    with pytest.raises(InputError, match="no architecture called"):
        recognise(network("test_resnet"), settings, architecture="smp/../x")


def test_model_arguments_shape_the_network(settings: Settings) -> None:
    args = {"stem_width": 48}
    file = network("resnet50d", **args)
    fit = recognise(file, settings, architecture="resnet50d", model_args=args)
    assert (fit.share, fit.model_args) == (1.0, args)
    assert recognise(file, settings, model_args=args).architecture == "resnet50d"
    with pytest.raises(WeightsError, match=r"arguments .* fits only 0% .* Without them it fits 100%"):
        recognise(network("test_vit"), settings, architecture="test_vit", model_args={"embed_dim": 128})
    with pytest.raises(InputError, match="pretrained"):
        recognise(file, settings, model_args={"pretrained": True})


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ({}, "no tensors"),
        ({f"blocks.{i}.attn.qkv.lora_A.weight": (4, 64) for i in range(6)}, "adapter"),
        ({f"state.{i}.exp_avg": (64, 64) for i in range(6)}, "optimizer"),
        ({f"conv{i}/kernel:0": (3, 3, 8, 8) for i in range(6)}, "Keras"),
        ({f"params/layers_{i}/kernel": (3, 3, 8, 8) for i in range(6)}, "Keras"),
    ],
)
def test_what_is_no_networks_weights_is_refused(settings: Settings, file: File, sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence):
        recognise(file, settings)


@pytest.mark.parametrize("kind", ["F16", "BF16", "F32", "F64"])
def test_floating_point_of_every_width_is_taken(settings: Settings, kind: str) -> None:
    file = network("test_resnet")
    assert recognise(file, settings, dtypes=dict.fromkeys(file, kind)).share == 1.0


@pytest.mark.parametrize("kind", ["I8", "U8", "F8_E4M3"])
def test_quantised_weights_are_refused(settings: Settings, kind: str) -> None:
    file = network("test_resnet")
    with pytest.raises(WeightsError, match=rf"quantised \({kind}\)"):
        recognise(file, settings, dtypes=dict.fromkeys(file, kind))


def test_prefixes_are_common_beginnings_shortest_first() -> None:
    names = [f"module.net.layer{i}.weight" for i in range(20)] + ["step", "module.net.head.0.bias"]
    assert prefixes(names) == ("", "module.", "module.net.")


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_shipped_index_knows_every_architecture_of_the_pinned_version(
    settings: Settings, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "LIBRARIES", (library,))
    monkeypatch.setattr(index, "build_kinds", never)  # what is shipped is read, nothing is built
    kinds = index.read_index(settings, never, lambda: None)
    names = [name for kind in kinds for name in kind.names]
    assert len(names) == len(set(names))
    assert set(names) == set(architectures(library)) - UNBUILDABLE
    sample = architectures(library)[5::400]
    for kind in build_kinds(sample, lambda share, message: None, lambda: None):
        assert any(set(kind.names) <= set(known.names) and kind.sketch == known.sketch for known in kinds)


def test_an_index_that_is_not_shipped_is_built_once_and_kept(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"timm": ("test_resnet", "test_vit"), "smp": ("smp/vgg11",), "torchvision": ()}
    monkeypatch.setattr(index, "SHIPPED", tmp_path)
    monkeypatch.setattr(index, "architectures", lambda library: few[library])
    told: list[str] = []
    file = network("test_resnet")
    first = recognise(file, settings, progress=lambda share, message: told.append(message))
    assert first.architecture == "test_resnet"
    assert "Listing the tensors of smp/vgg11" in told
    assert len(list(settings.cache.glob("architectures-*.txt"))) == 3
    monkeypatch.setattr(index, "build_body", never)
    assert recognise(file, settings) == first


def test_stopping_leaves_no_index(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception): ...

    def stop() -> None:
        raise StopError

    monkeypatch.setattr(index, "SHIPPED", tmp_path)
    with pytest.raises(StopError):
        recognise(network("test_resnet"), settings, check_stop=stop)
    assert not list(settings.cache.glob("architectures-*"))
