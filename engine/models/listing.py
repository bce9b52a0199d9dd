"""What timm, smp and torchvision offer, with the sizes of the short list. Imports torch and all three."""

from __future__ import annotations

from collections.abc import Callable

import timm
import torch
import torchvision
from segmentation_models_pytorch.encoders import encoders
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from engine.contracts.models import ModelInfo, WeightsInfo
from engine.models.backbones import no_backbone
from engine.models.libraries import TORCHVISION, library_of, without_tag
from engine.models.published import DIGITS, file_of
from engine.models.recommended import RECOMMENDED, recommended


def list_models(check_stop: Callable[[], None]) -> tuple[ModelInfo, ...]:
    """List timm's architectures, the short list first with their sizes, then smp's and torchvision's own."""
    first = [entry.name for entry in RECOMMENDED]
    rest = [name for name in timm.list_models() if name not in set(first)]
    found = []
    for name in first + rest:
        check_stop()
        found.append(_model_info(name, measured=name in set(first)))
    return (*found, *_smp_encoders(), *(_torchvision_model(name) for name in TORCHVISION))


def list_model(name: str) -> ModelInfo:
    """Describe one architecture; timm's may have a tag. Raises ``InputError`` for an unknown one."""
    library, plain = library_of(name)
    found: ModelInfo | None = None
    if library == "smp":
        found = next((model for model in _smp_encoders() if model.name == name), None)
    elif library == "torchvision":
        found = _torchvision_model(plain) if plain in TORCHVISION else None
    elif timm.is_model(name) and (name == without_tag(name) or timm.is_model_pretrained(name)):
        found = _model_info(name, measured=False)
    if found is None:
        raise no_backbone(name)
    return found


def _model_info(name: str, *, measured: bool) -> ModelInfo:
    published = timm.get_pretrained_cfg(name)
    entry = recommended(name)
    size = int(published.input_size[-1]) if published else 224
    parameters, work = _size(name, size) if measured else (None, None)
    return ModelInfo(
        name=name,
        family=timm.models.model_entrypoint(without_tag(name)).__module__.rpartition(".")[2],
        parameters=parameters,
        input_size=size,
        multiply_adds=work,
        weights=_timm_weights(name),
        recommended=entry.group if entry else "",
    )


def _timm_weights(name: str) -> WeightsInfo:
    """Return where timm publishes: the hub, or for a few an address whose file name carries a checksum."""
    published = timm.get_pretrained_cfg(name)
    if not published:
        return WeightsInfo(source="none")
    licence = published.license or ""
    repository = published.hf_hub_id or ""
    if repository:
        repository = f"timm/{without_tag(name)}.{published.tag}" if repository == "timm/" else repository
        return WeightsInfo(source="hub", name=repository, licence=licence)
    if isinstance(published.url, str) and DIGITS.search(file_of(published.url)):
        return WeightsInfo(source="url", name=published.url, licence=licence)
    return WeightsInfo(source="none")


def _smp_encoders() -> list[ModelInfo]:
    """List the encoders that smp builds itself; those called "timm-" it deprecates for timm's own."""
    return [
        ModelInfo(
            name=f"smp/{name}",
            library="smp",
            family=entry["encoder"].__module__.rpartition(".")[2],
            parameters=None,
            input_size=224,
            weights=_smp_weights(entry["pretrained_settings"]),
        )
        for name, entry in encoders.items()
        if not name.startswith("timm-")
    ]


def _smp_weights(published: dict[str, dict[str, str]]) -> WeightsInfo:
    """Return the weights called "imagenet", else smp's first; smp tells no licence and pins a commit."""
    first = published.get("imagenet") or next(iter(published.values()))
    return WeightsInfo(source="hub", name=first["repo_id"], revision=first["revision"])


def _torchvision_model(name: str) -> ModelInfo:
    """Describe a model of torchvision by its own records; they tell no licence of these weights."""
    published = torchvision.models.get_model_weights(name).DEFAULT
    return ModelInfo(
        name=f"torchvision/{name}",
        library="torchvision",
        family=torchvision.models.get_model_builder(name).__module__.rpartition(".")[2],
        parameters=published.meta["num_params"],
        input_size=published.transforms().crop_size[0],
        multiply_adds=round(published.meta["_ops"] * 1e9),  # in thousand million multiply-adds
        weights=WeightsInfo(
            source="url", name=published.url, bytes=round(published.meta["_file_size"] * 2**20)
        ),
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
