"""Building timm backbones, loading weights into them, and their stages. Imports torch and timm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from timm.models import group_parameters
from torch import nn

from engine.contracts.models import WeightsPlan
from engine.contracts.results import WeightsUsed
from engine.errors import InputError, WeightsError
from engine.models.matching import match
from engine.models.other_files import refuse_other_files
from engine.models.torch_files import read_state
from engine.models.weights import Brought, check_model_args, weights_file
from engine.models.weights_file import FileConfig
from engine.settings import Settings

MINIMUM_SHARE = 0.8
"""Least share of the backbone's numbers that a file must fill; below it the file is refused."""


@dataclass(frozen=True)
class Normalisation:
    """What the starting weights want their input to be (mean and std on the 0 to 1 scale)."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str


@dataclass(frozen=True)
class Fit:
    """How well a file filled a backbone: ``share`` of its numbers (0 to 1), and in words."""

    share: float
    note: str = ""


@dataclass(frozen=True)
class Built:
    """A model with what became of its starting weights.

    ``identity`` names the numbers in its backbone: the same, and the features are the same.
    """

    model: nn.Module
    weights: WeightsUsed
    normalisation: Normalisation
    model_args: dict[str, Any]
    identity: str
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a task's network needs, beside name and arguments, to be built again."""


def create(name: str, num_classes: int, model_args: Mapping[str, Any], dropout: float = 0.0) -> nn.Module:
    """Create a timm model with fresh random weights; raises ``InputError`` for what timm or we refuse."""
    check_model_args(model_args)
    if not timm.is_model(name):
        raise no_backbone(name)
    try:
        model = timm.create_model(name, num_classes=num_classes, drop_rate=dropout, **model_args)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise InputError(f"{name} cannot be built with {dict(model_args)}: {error}") from error
    assert isinstance(model, nn.Module)
    return model


def no_backbone(name: str) -> InputError:
    """Make the error that says that there is no backbone called ``name``, and what is called like it."""
    close = ", ".join(timm.list_models(f"*{name.partition('_')[0]}*")[:5])
    return InputError(f"There is no backbone called “{name[:80]}”.", f"Close by: {close}." if close else "")


def build(
    settings: Settings,
    name: str,
    num_classes: int,
    start: WeightsPlan | Brought,
    model_args: Mapping[str, Any],
    *,
    image_size: int | None = None,
    dropout: float = 0.0,
    seed: int = 0,
) -> Built:
    """Create ``name`` and fill it from ``start``, a plan or what ``weights_file`` brought for one.

    Raises ``WeightsError`` when that is not possible. The classifier always starts from random numbers drawn
    with ``seed``. The ``model_args`` of the result build the same network again, for ``image_size`` px.
    """
    torch.manual_seed(seed)
    model = create(name, num_classes, model_args, dropout)
    drawn = f"random {seed} torch {torch.__version__}"
    if isinstance(start, WeightsPlan) and start.source == "random":
        wanted = _normalisation(model, FileConfig())
        used = WeightsUsed(source="random", name="random")
        return Built(model, used, wanted, _resize(model, name, model_args, image_size), drawn)
    brought = start if isinstance(start, Brought) else weights_file(settings, name, start)
    plan, path = brought.plan, brought.path
    state, digest = read_state(settings, path)
    refuse_other_files(_shapes(state), {key: _kind(value) for key, value in state.items()})
    fit = load_weights(model, state, path.name)
    used = WeightsUsed(
        source=plan.source,
        # A path tells where something lies on this machine: a report only names the file.
        name=path.name if plan.name == str(path) else plan.name,
        licence=plan.licence,
        sha256=digest,
    )
    identity = digest if fit.share == 1.0 else f"{digest} {drawn}"
    wanted, args = _normalisation(model, brought.config), _resize(model, name, model_args, image_size)
    return Built(model, used, wanted, args, identity, (fit.note,) if fit.note else ())


def _resize(
    model: nn.Module, name: str, model_args: Mapping[str, Any], image_size: int | None
) -> dict[str, Any]:
    """Set a network that knows its input size (a ViT) to ``image_size``; return its full arguments.

    timm resamples the position embeddings, so this comes after the weights. Raises ``InputError`` when
    the network cannot be set to this size.
    """
    published = getattr(model, "pretrained_cfg", {})
    native = int((published.get("input_size") or (3, 224, 224))[-1])
    if not published.get("fixed_input_size") or image_size in (None, native) or "img_size" in model_args:
        return dict(model_args)
    resize: Callable[..., None] | None = getattr(model, "set_input_size", None)
    if resize is None:
        raise InputError(f"{name} takes images of {native} px only.", f"Set the image size to {native}.")
    try:
        resize(img_size=image_size)
    except (ValueError, AssertionError, RuntimeError, TypeError) as error:
        raise InputError(f"{name} cannot take images of {image_size} px: {error}.") from error
    return {**model_args, "img_size": image_size}


def _normalisation(model: nn.Module, config: FileConfig) -> Normalisation:
    """Take the normalisation from the file's config, and what it leaves open from timm's."""
    published = getattr(model, "pretrained_cfg", {})
    interpolation = config.interpolation or str(published.get("interpolation", "bilinear"))
    return Normalisation(
        mean=config.mean or tuple(published.get("mean", (0.485, 0.456, 0.406))),
        std=config.std or tuple(published.get("std", (0.229, 0.224, 0.225))),
        interpolation=interpolation if interpolation in ("bilinear", "bicubic") else "bilinear",
    )


def load_weights(model: nn.Module, state: Mapping[str, torch.Tensor], file: str) -> Fit:
    """Copy what fits from ``state`` into the backbone, without its classifier.

    Prefixes such as ``module.`` are left off as ``engine.models.matching`` finds them. Raises
    ``WeightsError`` when less than ``MINIMUM_SHARE`` of the numbers is filled.
    """
    target = {
        name: value
        for name, value in model.state_dict().items()
        if value.is_floating_point() and not name.startswith(classifier_names(model))
    }
    found = match(_shapes(target), _shapes(state))
    share = found.share
    best = {name: state[found.prefix + name].to(target[name].dtype) for name in found.fitted}
    if share < MINIMUM_SHARE:
        raise WeightsError(_misfit(file, share, model))
    model.load_state_dict({**model.state_dict(), **best})
    if share == 1.0:
        return Fit(share)
    missing = [name for name in target if name not in best]
    note = f"“{file}” filled {share:.1%} of the backbone; {len(missing)} tensors start from random numbers."
    return Fit(share, note)


def _misfit(file: str, share: float, model: nn.Module) -> str:
    name = str(getattr(model, "pretrained_cfg", {}).get("architecture", "this backbone"))
    if share == 0:
        return f"Nothing in “{file}” fits {name}: they are weights of another architecture."
    return (
        f"“{file}” fits only {share:.0%} of {name} (at least {MINIMUM_SHARE:.0%} is needed): "
        "it is probably made for another architecture or with other model arguments."
    )


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _kind(value: torch.Tensor) -> str:
    """Name a tensor's type: as safetensors does where training can go on from it ("F32"), else as torch."""
    if value.dtype == torch.bfloat16:
        return "BF16"
    plain = value.dtype in (torch.float16, torch.float32, torch.float64)
    return f"F{8 * value.element_size()}" if plain else str(value.dtype).removeprefix("torch.")


def classifier_names(model: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of the classifier's parameters, such as ("fc.",)."""
    return classifier_prefixes(getattr(model, "pretrained_cfg", {}).get("classifier"))


def classifier_prefixes(named: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the same from what timm's ``pretrained_cfg`` says of the classifier: one name, several, none."""
    names = (named,) if isinstance(named, str) else tuple(named or ())
    return tuple(f"{name}." for name in names if name)


def linear_classifier(model: nn.Module) -> nn.Linear | None:
    """Return the model's classifier when it is one plain linear layer, else None."""
    get: Callable[[], object] | None = getattr(model, "get_classifier", None)
    classifier = get() if get is not None else None
    return classifier if isinstance(classifier, nn.Linear) else None


def stages(model: nn.Module) -> list[list[str]]:
    """Return the parameter names of each stage, from the stem to the head, each name once.

    timm's own grouping (``group_matcher``) where the model has one, else its children in order. The
    classifier is always a part of the last stage. Of a network around a ``backbone``, the stages are those of
    the backbone, and everything else is its head.
    """
    inner = getattr(model, "backbone", None)
    if isinstance(inner, nn.Module):
        return _stages_around(model, inner)
    names = [name for name, _ in model.named_parameters()]
    matcher = getattr(model, "group_matcher", None)
    if callable(matcher):
        groups = group_parameters(model, matcher(coarse=True), reverse=False)
        found = [list(groups[key]) for key in sorted(groups)]
    else:
        found = [
            [f"{child}.{name}" for name, _ in module.named_parameters()]
            for child, module in model.named_children()
        ]
    heads = classifier_names(model)
    seen = {name for group in found for name in group}
    head = [n for n in names if n.startswith(heads) or n not in seen]
    body = [[n for n in group if not n.startswith(heads)] for group in found]
    return [group for group in body if group] + [head]


def _stages_around(model: nn.Module, backbone: nn.Module) -> list[list[str]]:
    inside = {name: id(parameter) for name, parameter in backbone.named_parameters()}
    outside = {id(parameter): name for name, parameter in model.named_parameters()}
    body = [[outside[inside[name]] for name in group] for group in stages(backbone)]
    own = {name for group in body for name in group}
    head = [name for name in outside.values() if name not in own]
    return [group for group in body if group] + [head]


def freeze(model: nn.Module, strategy: str, open_stages: int) -> set[str]:
    """Open the parameters that ``strategy`` trains and freeze the rest; return the open names.

    "head" opens the classifier, "last_stages" the last ``open_stages`` stages before it too, "full"
    everything.
    """
    groups = stages(model)
    count = {"head": 1, "last_stages": 1 + open_stages, "full": len(groups)}[strategy]
    opened = {name for group in groups[-count:] for name in group}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in opened)
    return opened


def training_mode(model: nn.Module) -> None:
    """Put the model into training mode, but leave frozen batch-norm layers in evaluation mode.

    A frozen layer must not drift through its running statistics either.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not any(
            parameter.requires_grad for parameter in module.parameters()
        ):
            module.eval()
