"""What timm offers, with the parameters and multiply-adds of the short list. Imports torch and timm."""

from __future__ import annotations

from collections.abc import Callable

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from engine.contracts.models import ModelInfo, WeightsInfo
from engine.models.recommended import RECOMMENDED, recommended


def list_models(check_stop: Callable[[], None]) -> tuple[ModelInfo, ...]:
    """List timm's architectures, the short list first with their sizes (built without memory)."""
    first = [entry.name for entry in RECOMMENDED]
    rest = [name for name in timm.list_models() if name not in set(first)]
    found = []
    for name in first + rest:
        check_stop()
        found.append(_model_info(name, measured=name in set(first)))
    return tuple(found)


def _model_info(name: str, *, measured: bool) -> ModelInfo:
    published = timm.get_pretrained_cfg(name)
    repository = (published.hf_hub_id or "") if published else ""
    if published and repository == "timm/":
        repository = f"timm/{name}.{published.tag}"
    entry = recommended(name)
    size = int(published.input_size[-1]) if published else 224
    parameters, work = _size(name, size) if measured else (None, None)
    return ModelInfo(
        name=name,
        family=timm.models.model_entrypoint(name).__module__.rpartition(".")[2],
        parameters=parameters,
        input_size=size,
        multiply_adds=work,
        weights=WeightsInfo(
            source="hub" if repository else "none",
            name=repository,
            licence=(published.license or "") if published else "",
        ),
        recommended=entry.group if entry else "",
    )


def _size(name: str, image_size: int) -> tuple[int, int]:
    """Return parameters and multiply-adds; on the meta device nothing is stored or computed."""
    with torch.device("meta"):
        model = timm.create_model(name)
    return sum(parameter.numel() for parameter in model.parameters()), multiply_adds(model, image_size)


def multiply_adds(model: nn.Module, size: int) -> int:
    """Count the multiply-adds of one (3, size, size) image; a model on the meta device computes nothing."""
    image = torch.empty(1, 3, size, size, device=next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(image)
    return int(counter.get_total_flops()) // 2
