"""The tensors of an architecture, from a network on the meta device. Imports torch and the libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import timm
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from engine.contracts.models import Library
from engine.errors import InputError
from engine.models.backbones import classifier_names, classifier_prefixes, create
from engine.models.libraries import DISTRIBUTIONS, library_of

_CLASSES = 10
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Further classifiers that torchvision's Inception networks have in training."""

_TIMM_IN_SMP = ("tu-", "timm-")


@dataclass(frozen=True)
class Body:
    """The floating-point tensors of an architecture without its classifier, name -> shape.

    ``classifier`` are the beginnings of the classifier's names, such as ("fc.",).
    """

    shapes: dict[str, tuple[int, ...]]
    classifier: tuple[str, ...]


class _RealRows(TorchFunctionMode):
    """Keeps ``torch.linspace`` on the CPU: smp's Mix Transformers read their drop rates from one."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        own = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **{**(kwargs or {}), **own})


def installed(library: Library) -> str:
    """Return the installed version of a library, without its build ("+cpu")."""
    return version(DISTRIBUTIONS[library]).partition("+")[0]


def architectures(library: Library) -> tuple[str, ...]:
    """List all architectures of a library that can be recognised, with "smp/" or "torchvision/" before.

    Without smp's wrappers around timm, and without torchvision's RegNets, which cannot be built on the meta
    device (timm has the same networks under other names).
    """
    if library == "timm":
        return tuple(timm.list_models())
    if library == "smp":
        from segmentation_models_pytorch.encoders import encoders

        own = (name for name in sorted(encoders) if not name.startswith(_TIMM_IN_SMP))
        return tuple(f"smp/{name}" for name in own)
    from torchvision import models

    names = (name for name in sorted(models.list_models(module=models)) if not name.startswith("regnet"))
    return tuple(f"torchvision/{name}" for name in names)


@cache
def classifiers() -> frozenset[tuple[str, ...]]:
    """Return how the classifiers of all architectures are called, as in ``Body.classifier``."""
    published = (timm.get_pretrained_cfg(name) for name in timm.list_models())
    named = {config.classifier for config in published if config is not None}
    found = {classifier_prefixes(name) for name in named}
    return frozenset({*found, ("classifier.6.",), ("fc.", *_AUXILIARY)})


def build_body(architecture: str, model_args: Mapping[str, Any] | None = None) -> Body:
    """Build ``architecture`` on the meta device and list its tensors; nothing is stored or computed.

    Raises ``InputError`` when there is none of that name, or when it refuses ``model_args``.
    """
    library, name = library_of(architecture)
    args = dict(model_args or {})
    with torch.device("meta"):
        if library == "timm":
            model = create(name, _CLASSES, args)
            return body_of(model, classifier_names(model))
        if architecture not in architectures(library):
            raise InputError(f"There is no architecture called “{architecture}”.")
        if args:
            raise InputError(f"{architecture} takes no model arguments.")
        return _smp_body(name) if library == "smp" else _torchvision_body(name)


def body_of(model: nn.Module, classifier: tuple[str, ...]) -> Body:
    """List a network's floating-point tensors, without those whose names begin as ``classifier``'s do."""
    shapes = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if value.is_floating_point() and not name.startswith(classifier)
    }
    return Body(shapes, classifier)


def _smp_body(name: str) -> Body:
    from segmentation_models_pytorch.encoders import get_encoder

    with _RealRows():
        return body_of(get_encoder(name, weights=None), ())


def _torchvision_body(name: str) -> Body:
    from torchvision import models

    # Without init_weights=False these two draw random numbers one by one, for seconds.
    slow = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = models.get_model(name, weights=None, **slow)
    linear = [part for part, module in model.named_modules() if isinstance(module, nn.Linear)]
    last = linear[-1] if linear else "classifier"
    return body_of(model, (f"{last}.", *_AUXILIARY))
