"""Networks of semantic segmentation: every decoder scores pixels, learns, starts from weights, exports."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional

from engine.contracts.models import WeightsPlan
from engine.contracts.training import TrainingConfig
from engine.errors import InputError, WeightsError
from engine.models.backbones import stages
from engine.models.decoders import DECODERS, OWN_ENCODER
from engine.models.networks import NetworkOrder
from engine.models.segmenter_own import FcnDecoder, bilinear_transposed, max_unpool
from engine.models.segmenter_start import build_segmenter, fill, restore_segmenter
from engine.models.segmenters import LoneBatchNorm, create_segmenter
from engine.models.weights import Brought
from engine.models.weights_file import FileConfig
from engine.settings import Settings
from tests.training import make_settings

SIZE = (70, 50)
BACKBONES = {"dpt": "test_vit", "segnet": OWN_ENCODER}
RANDOM = WeightsPlan(source="random", name="random", sentence="")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("decoder", [decoder.name for decoder in DECODERS])
def test_every_decoder_scores_each_pixel_and_learns(decoder: str) -> None:
    network = create_segmenter(decoder, BACKBONES.get(decoder, "test_resnet"), {}, 3, SIZE)
    assert network.training
    # One picture is a batch, too; its sides are no multiples of 32.
    logits = network(torch.rand(1, 3, *SIZE))
    assert logits.shape == (1, 3, *SIZE)
    functional.cross_entropy(logits, torch.randint(0, 3, (1, *SIZE))).backward()
    part = {name: parameter.grad for name, parameter in network.named_parameters()}
    unused = {name for name, gradient in part.items() if gradient is None}
    assert unused <= {"backbone.norm.weight", "backbone.norm.bias"}  # behind the last block, of DPT's ViT
    # FCN's coarse scores reach the backbone at once; nothing anywhere is cut off from the loss.
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in part.values())
    assert any(name.startswith("backbone.") for name in part)


@pytest.mark.parametrize(
    ("decoder", "backbone"),
    [
        ("unet", "test_convnext"),
        ("unetplusplus", "test_efficientnet"),
        ("segformer", "test_convnext"),
        ("unet", "smp/mit_b0"),
        ("fcn", "smp/resnet18"),
        ("linknet", "test_coatnet"),
    ],
)
def test_backbones_of_other_builds_fit_too(decoder: str, backbone: str) -> None:
    network = create_segmenter(decoder, backbone, {}, 2, (64, 64)).eval()
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 2, 64, 64)


def test_a_size_without_remainder_is_not_changed_by_padding() -> None:
    network = create_segmenter("unet", "test_resnet", {}, 2, (64, 64)).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        direct = network.head(network.decoder(*network.pyramid(network.backbone, images)))
        assert torch.equal(network(images), direct)
        continued = functional.pad(images[:, :, :50, :60], (0, 4, 0, 14), mode="replicate")
        assert torch.equal(network(images[:, :, :50, :60]), network(continued)[:, :, :50, :60])
    assert network.padded((64, 65)) == (64, 96)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("decoder", ["unet", "unetplusplus", "fpn", "manet", "pan"])
def test_the_way_of_scaling_up_can_be_chosen(decoder: str, upsampling: str) -> None:
    network = create_segmenter(decoder, "test_resnet", {}, 2, (64, 64), upsampling=upsampling)
    modes = {getattr(module, "interpolation_mode", None) for module in network.decoder.modules()}
    assert modes == {None, upsampling}


@pytest.mark.parametrize(
    ("decoder", "backbone", "words"),
    [
        ("unet", "test_vit", "DPT takes this backbone"),
        ("dpt", "test_resnet", "vision transformer"),
        ("linknet", "smp/mit_b0", "not supported for Linknet"),
        ("unetplusplus", "smp/mit_b0", "mit_b0"),
        ("deeplabv3", "vgg11_bn", "stride 8 or 16"),
        ("segnet", "test_resnet", "cannot be undone"),
        ("unet", OWN_ENCODER, "Only SegNet"),
        ("unet", "torchvision/alexnet", "timm"),
        ("unet", "smp/nothing", "no encoder"),
        ("unet", "nothing_at_all", "no backbone"),
        ("nothing", "test_resnet", "no decoder"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(decoder: str, backbone: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        create_segmenter(decoder, backbone, {}, 2, (64, 64))


def test_a_way_of_scaling_up_that_a_decoder_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="scale up"):
        create_segmenter("segnet", OWN_ENCODER, {}, 2, (64, 64), upsampling="nearest")


@pytest.mark.parametrize(
    ("decoder", "backbone", "size"),
    [
        ("unet", "test_resnet", (64, 64)),
        ("fpn", "test_efficientnet", (64, 64)),
        ("unet", "test_convnext", (64, 64)),
        ("dpt", "test_vit", (64, 96)),
        ("segnet", "vgg11_bn", (64, 64)),
        ("deeplabv3", "test_resnet", (64, 64)),
    ],
)
def test_the_encoder_starts_from_the_plain_network(
    decoder: str, backbone: str, size: tuple[int, int]
) -> None:
    plain = timm.create_model(backbone, num_classes=0).eval()
    for value in plain.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.01, 0.02)
    network = create_segmenter(decoder, backbone, {}, 2, size).eval()
    assert fill(network, plain, size) == ()
    for name, value in network.backbone.state_dict().items():
        if value.is_floating_point():
            assert value.min() >= 0.0099, name
            assert value.max() <= 0.0201, name


def test_the_filled_encoder_gives_the_features_of_the_plain_network() -> None:
    plain = timm.create_model("test_convnext", num_classes=0).eval()
    network = create_segmenter("unet", "test_convnext", {}, 2, (64, 64)).eval()
    fill(network, plain, (64, 64))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        (features,) = network.pyramid(network.backbone, images)
        expected = plain.forward_intermediates(images, intermediates_only=True)
    for ours, theirs in zip(features[2:], expected[-4:], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_tensor_that_is_not_filled_is_named() -> None:
    network = create_segmenter("unet", "test_resnet", {}, 2, (64, 64))
    (note,) = fill(network, torch.nn.Sequential(torch.nn.Linear(2, 2)), (64, 64))
    assert "start from random numbers" in note
    assert "conv1.0.weight" in note


@pytest.mark.parametrize(
    ("decoder", "backbone", "count"),
    [
        ("unet", "test_efficientnet", 6),
        ("unet", "test_convnext", 5),
        ("dpt", "test_vit", 7),
        ("segnet", OWN_ENCODER, 4),
        ("fpn", "smp/resnet18", 6),
    ],
)
def test_the_encoder_opens_stage_by_stage(decoder: str, backbone: str, count: int) -> None:
    network = create_segmenter(decoder, backbone, {}, 2, (64, 64))
    groups = stages(network)
    names = [name for name, _ in network.named_parameters()]
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert all(name.startswith("backbone.") for group in groups[:-1] for name in group)
    assert {name.partition(".")[0] for name in groups[-1]} <= {"decoder", "head"}
    assert len(groups) - 1 == count
    if backbone in ("test_efficientnet", "test_convnext"):
        plain = [group for group in stages(timm.create_model(backbone, num_classes=0)) if group]
        shared = [len(group) for group in groups[:-2]]
        assert shared == [len(group) for group in plain][: len(shared)]


def test_deep_copies_answer_alike() -> None:
    network = create_segmenter("dpt", "test_vit", {}, 2, (64, 64)).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(images), copy.deepcopy(network)(images))


def order(home: Path, backbone: str, start: WeightsPlan | Brought) -> NetworkOrder:
    settings: Settings = make_settings(home)
    return NetworkOrder(settings, backbone, start, {}, 3, (64, 64), TrainingConfig(seed=3))


def brought(path: Path, state: dict[str, torch.Tensor]) -> Brought:
    save_file(state, path)
    return Brought(WeightsPlan(source="file", name=str(path), sentence=""), path, FileConfig())


@pytest.mark.parametrize("backbone", ["test_convnext", "smp/mobileone_s0"])
def test_a_file_fills_the_backbone(tmp_path: Path, backbone: str) -> None:
    origin = create_segmenter("unet", backbone, {}, 3, (64, 64)).backbone
    if not backbone.startswith("smp/"):
        origin = timm.create_model(backbone)
    state = {name: value.clone().contiguous() for name, value in origin.state_dict().items()}
    built = build_segmenter(
        order(tmp_path, backbone, brought(tmp_path / "w.safetensors", state)), "unet", "bilinear"
    )
    assert built.weights.source == "file"
    assert built.weights.name == "w.safetensors"
    assert built.notes == ()
    network = built.model
    images = torch.rand(1, 3, 64, 64)
    again = restore_segmenter(backbone, built.model_args, built.facts, 3).eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again(images), network.eval()(images))
    values = {float(value.sum()) for value in state.values() if value.ndim == 4}
    filled = {float(v.sum()) for v in network.backbone.state_dict().values() if v.ndim == 4}  # type: ignore[union-attr, operator]
    assert filled <= values


def test_random_starts_follow_the_seed(tmp_path: Path) -> None:
    for backbone, decoder in (("test_resnet", "unet"), (OWN_ENCODER, "segnet"), ("smp/resnet18", "fpn")):
        first, again = (build_segmenter(order(tmp_path, backbone, RANDOM), decoder) for _ in range(2))
        assert first.weights.source == "random"
        assert first.identity == again.identity
        for one, other in zip(first.model.parameters(), again.model.parameters(), strict=True):
            assert torch.equal(one, other)


def test_weights_for_the_own_encoder_are_refused(tmp_path: Path) -> None:
    start = brought(tmp_path / "w.safetensors", {"a": torch.zeros(2)})
    with pytest.raises(WeightsError, match="no weights"):
        build_segmenter(order(tmp_path, OWN_ENCODER, start), "segnet")


@pytest.mark.parametrize("factor", [2, 8])
def test_transposed_convolutions_start_as_bilinear_interpolation(factor: int) -> None:
    coarse = torch.rand(2, 3, 6, 5)
    found = bilinear_transposed(3, factor)(coarse)
    expected = functional.interpolate(coarse, scale_factor=factor, mode="bilinear", align_corners=False)
    inner = (..., slice(factor, -factor), slice(factor, -factor))  # at the edge zeros come in
    torch.testing.assert_close(found[inner], expected[inner])


def test_fcn_starts_with_the_coarse_scores_alone() -> None:
    decoder = FcnDecoder([3, 4, 4, 5, 6, 7], 2)
    features = [torch.rand(1, width, 64 // 2**n, 64 // 2**n) for n, width in enumerate([3, 4, 4, 5, 6, 7])]
    before = decoder(features)
    assert before.shape == (1, 2, 64, 64)
    features[3], features[4] = features[3] * 5, features[4] * 5
    assert torch.equal(decoder(features), before)


def test_undoing_the_pooling_is_torchs() -> None:
    images = torch.rand(2, 3, 8, 6)
    pooled, places = functional.max_pool2d(images, 2, 2, return_indices=True)
    assert torch.equal(max_unpool(pooled, places), functional.max_unpool2d(pooled, places, 2, 2))


def test_a_lone_number_a_channel_is_normalised_by_what_ran_before() -> None:
    layer = LoneBatchNorm(4)
    layer(torch.rand(8, 4, 1, 1))
    one = torch.rand(1, 4, 1, 1)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    found = layer(one)
    assert torch.equal(found, layer.eval()(one))
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
    batch, plain = torch.rand(8, 4, 2, 2), torch.nn.BatchNorm2d(4)
    torch.testing.assert_close(LoneBatchNorm(4)(batch), plain(batch))


@pytest.mark.parametrize(
    ("decoder", "backbone", "size"),
    [
        ("unet", "test_convnext", (64, 50)),
        ("fcn", "test_resnet", (64, 64)),
        ("segnet", OWN_ENCODER, (40, 64)),
    ],
)
def test_onnx_gives_the_same_scores(
    tmp_path: Path, decoder: str, backbone: str, size: tuple[int, int]
) -> None:
    network = create_segmenter(decoder, backbone, {}, 3, size).eval()
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 3, *size),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        opset_version=18,
        input_names=["images"],
        verbose=False,
    )
    assert program is not None
    program.save(str(tmp_path / "one.onnx"), external_data=False)
    session = onnxruntime.InferenceSession(tmp_path / "one.onnx", providers=["CPUExecutionProvider"])
    images = torch.rand(3, 3, *size)
    (found,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        expected = network(images).numpy()
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
