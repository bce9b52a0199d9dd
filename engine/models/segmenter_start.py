"""The starting weights of segmentation networks: read into a plain backbone, from there into the encoder."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from engine.contracts.models import WeightsPlan
from engine.contracts.results import WeightsUsed
from engine.errors import WeightsError
from engine.models.backbones import Built, Normalisation, build, load_weights
from engine.models.decoders import OWN_ENCODER
from engine.models.libraries import library_of
from engine.models.networks import NetworkOrder
from engine.models.segmenter_names import flattened_names, plain_names
from engine.models.segmenters import Segmenter, create_segmenter
from engine.models.torch_files import read_state
from engine.models.weights import Brought, weights_file

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")


def build_segmenter(order: NetworkOrder, decoder: str, upsampling: str | None = None) -> Built:
    """Build a network to train, its encoder filled from the order's starting weights.

    ``Built.facts`` are what ``restore_segmenter`` needs. Raises ``InputError`` and ``WeightsError``.
    """
    torch.manual_seed(order.config.seed)
    args = dict(order.model_args)
    network = create_segmenter(
        decoder, order.backbone, args, order.classes, order.size, upsampling=upsampling
    )
    facts = {"decoder": decoder, "size": list(order.size), "upsampling": upsampling}
    if order.backbone != OWN_ENCODER and library_of(order.backbone)[0] == "timm":
        plain = build(order.settings, order.backbone, 0, order.start, args, seed=order.config.seed)
        notes = fill(network, plain.model, order.size)
        return replace(plain, model=network, model_args=args, notes=(*plain.notes, *notes), facts=facts)
    built = _from_file(order, network)
    return replace(built, model_args=args, facts=facts)


def restore_segmenter(
    backbone: str, model_args: Mapping[str, Any], facts: Mapping[str, Any], classes: int
) -> Segmenter:
    """Build the same network as ``build_segmenter`` with fresh numbers; ``facts`` are those it gave."""
    height, width = facts["size"]
    size = (int(height), int(width))
    return create_segmenter(
        facts["decoder"], backbone, model_args, classes, size, upsampling=facts.get("upsampling")
    )


def _from_file(order: NetworkOrder, network: Segmenter) -> Built:
    """Fill an encoder that is not timm's straight from a file, or leave it as it was drawn."""
    drawn = f"random {order.config.seed} torch {torch.__version__}"
    start = order.start
    if isinstance(start, WeightsPlan) and start.source == "random":
        return Built(network, WeightsUsed(source="random", name="random"), IMAGENET, {}, drawn)
    if order.backbone == OWN_ENCODER:
        raise WeightsError(f"There are no weights for {OWN_ENCODER}.", "Start from random numbers.")
    brought = start if isinstance(start, Brought) else weights_file(order.settings, order.backbone, start)
    state, digest = read_state(order.settings, brought.path)
    fit = load_weights(network.backbone, state, brought.path.name)
    plan, config = brought.plan, brought.config
    used = WeightsUsed(
        source=plan.source,
        name=brought.path.name if plan.name == str(brought.path) else plan.name,
        licence=plan.licence,
        sha256=digest,
    )
    normalisation = Normalisation(
        config.mean or IMAGENET.mean, config.std or IMAGENET.std, config.interpolation or "bilinear"
    )
    identity = digest if fit.share == 1.0 else f"{digest} {drawn}"
    return Built(network, used, normalisation, {}, identity, (fit.note,) if fit.note else ())


def fill(network: Segmenter, plain: nn.Module, size: tuple[int, int]) -> tuple[str, ...]:
    """Copy the numbers of a plain timm model into the encoder; return a note when some were not there.

    ``size``: height and width of the network's input in px; position embeddings are resampled to it by timm.
    """
    target = network.backbone.state_dict()
    found = _fitting(target, plain)
    resize = getattr(plain, "set_input_size", None)
    if callable(resize) and not _whole(target, found):
        resized: Any = copy.deepcopy(plain)
        high, wide = network.padded(size)
        resized.set_input_size(img_size=(high, wide))
        found = {**_fitting(target, resized), **found}
    network.backbone.load_state_dict({**target, **found})
    missing = [name for name in _learned(target) if name not in found]
    if not missing:
        return ()
    total = sum(1 for _ in _learned(target))
    named = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
    return (f"{len(missing)} of {total} tensors of the encoder start from random numbers: {named}.",)


def _learned(target: Mapping[str, torch.Tensor]) -> Iterator[str]:
    return (name for name, value in target.items() if value.is_floating_point())


def _whole(target: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> bool:
    return all(name in found for name in _learned(target))


def _fitting(target: Mapping[str, torch.Tensor], plain: nn.Module) -> dict[str, torch.Tensor]:
    """Return the plain model's numbers under the encoder's names, where name and shape fit."""
    source = plain.state_dict()
    flattened = flattened_names(plain)
    found = {}
    for name, value in target.items():
        for candidate in plain_names(name, flattened):
            if candidate in source and source[candidate].shape == value.shape:
                found[name] = source[candidate]
                break
    return found
