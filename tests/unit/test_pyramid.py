import math

import onnxruntime
import pytest
import timm
import torch
from torch import nn

from engine.errors import InputError
from engine.models.backbones import create, stages
from engine.models.pyramid import FeaturePyramid


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _check(pyramid, size):
    """Run a step at ``size``: the promised shapes, and a gradient for every open parameter."""
    pyramid.train()
    maps = pyramid(torch.randn(2, 3, *size))
    assert [tuple(one.shape) for one in maps] == [
        (2, count, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
        for count, stride in zip(pyramid.channels, pyramid.strides, strict=True)
    ]
    sum(one.square().sum() for one in maps).backward()
    assert not [name for name, p in pyramid.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_mambaout"])
def test_maps_of_several_strides(name):
    backbone = create(name, 0, {})
    before = sum(parameter.numel() for parameter in backbone.parameters())
    pyramid = FeaturePyramid(backbone)
    assert pyramid.backbone is backbone and pyramid.strides == (8, 16, 32)
    assert sum(parameter.numel() for parameter in backbone.parameters()) <= before
    assert all(isinstance(level, nn.Identity) for level in pyramid.levels)
    _check(pyramid, (64, 96))
    _check(pyramid, (70, 101))


@pytest.mark.parametrize(
    "name", ["mobilenetv3_small_050", "mobilenetv4_conv_small", "resnet18", "convnext_atto"]
)
def test_real_architectures_without_their_ends(name):
    pyramid = FeaturePyramid(create(name, 0, {}))
    _check(pyramid, (64, 64))
    named = {key for group in stages(pyramid.backbone) for key in group}
    assert named == {key for key, _ in pyramid.backbone.named_parameters()}
    assert not [key for key in named if "conv_head" in key or "norm_head" in key]


def test_maps_are_those_of_the_whole_model():
    torch.manual_seed(0)
    whole = timm.create_model("test_efficientnet", num_classes=0, features_only=True, out_indices=(2, 3, 4))
    torch.manual_seed(0)
    pyramid = FeaturePyramid(timm.create_model("test_efficientnet", num_classes=0)).eval()
    state = {
        key.replace("_", ".", 1) if key.startswith("blocks_") else key: v
        for key, v in whole.state_dict().items()
    }
    pyramid.backbone.load_state_dict(state)
    images = torch.randn(1, 3, 64, 64)
    for one, other in zip(pyramid(images), whole.eval()(images), strict=True):
        torch.testing.assert_close(one, other)


def test_a_backbone_of_one_stride_gets_a_simple_pyramid():
    pyramid = FeaturePyramid(create("test_vit", 0, {}))
    assert pyramid.strides == (8, 16, 32) and pyramid.channels == (64, 64, 64)
    _check(pyramid, (160, 160))


def test_a_vit_set_to_another_size_and_patch():
    backbone = create("test_vit", 0, {"img_size": 96})
    pyramid = FeaturePyramid(backbone)
    assert pyramid.fixed == (96, 96)
    _check(pyramid, (96, 96))
    odd = FeaturePyramid(create("vit_tiny_patch16_224", 0, {"img_size": 70, "patch_size": 14, "depth": 2}))
    assert odd.strides == (7, 14, 28)
    _check(odd, (70, 70))


def test_windows_of_swin():
    small = {
        "img_size": 64,
        "window_size": 2,
        "depths": (1, 1, 1, 1),
        "embed_dim": 12,
        "num_heads": (1, 1, 1, 1),
    }
    pyramid = FeaturePyramid(create("swin_tiny_patch4_window7_224", 0, small))
    assert pyramid.channels == (24, 48, 96)
    _check(pyramid, (64, 64))


def test_missing_strides_are_made_from_the_nearest_map():
    pyramid = FeaturePyramid(create("test_resnet", 0, {"output_stride": 16}))
    assert pyramid.strides == (8, 16, 32) and not isinstance(pyramid.levels[2], nn.Identity)
    _check(pyramid, (64, 64))


def test_building_leaves_numbers_and_mode_alone():
    backbone = create("test_resnet", 0, {}).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    pyramid = FeaturePyramid(backbone)
    assert backbone.training and pyramid.training
    for key, value in backbone.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    other = FeaturePyramid(create("test_resnet", 0, {}))
    other.load_state_dict(pyramid.state_dict())


def test_what_gives_no_maps_is_refused():
    with pytest.raises(InputError, match="gives no feature maps"):
        FeaturePyramid(nn.Sequential(nn.Conv2d(3, 4, 3)))
    with pytest.raises(InputError, match="gives no feature maps at 50 x 50 px"):
        FeaturePyramid(create("test_vit", 0, {}), size=(50, 50))
    with torch.device("meta"):
        crossed = timm.create_model("crossvit_tiny_240", num_classes=0)
    with pytest.raises(InputError, match="whose strides double"):
        FeaturePyramid(crossed)


@pytest.mark.parametrize(("name", "size"), [("test_efficientnet", 72), ("test_vit", 160)])
def test_exports_with_a_dynamic_batch(name, size):
    torch.manual_seed(0)
    pyramid = FeaturePyramid(create(name, 0, {})).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.onnx.export(
        pyramid, (torch.randn(2, 3, size, size),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = torch.randn(3, 3, size, size)
    answers = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.inference_mode():
        expected = pyramid(images)
    for one, other in zip(answers, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-3, atol=1e-4)
