"""Where a model computes, and how exactly."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from engine.errors import InputError
from engine.models.devices import choose_device, exact_fp32, list_devices


def test_the_cpu_is_always_there_and_last() -> None:
    assert list_devices()[-1].name == "cpu"
    assert choose_device("auto", "cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="cuda:99"):
        choose_device("cuda:99")


def test_exact_fp32_switches_tf32_off_and_back_even_after_an_error() -> None:
    switches = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    before = [switch.fp32_precision for switch in switches]
    assert "ieee" not in before
    with pytest.raises(ZeroDivisionError), exact_fp32():
        assert [switch.fp32_precision for switch in switches] == ["ieee", "ieee"]
        raise ZeroDivisionError
    assert [switch.fp32_precision for switch in switches] == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_an_exact_convolution_is_the_cpus() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 64, 32, 32, generator=generator)
    kernel = torch.randn(64, 64, 3, 3, generator=generator)
    expected = functional.conv2d(images.double(), kernel.double())

    def error() -> float:
        found = functional.conv2d(images.cuda(), kernel.cuda()).cpu().double()
        return float((found - expected).abs().max() / expected.std())

    rough = error()
    with exact_fp32():
        assert error() < 1e-5
    assert rough > 1e-4
