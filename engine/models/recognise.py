"""Recognising which architecture of the catalog a weights file holds, by names and shapes. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from timm.models import model_entrypoint

from engine.contracts.weights import LISTED, WeightsFit
from engine.errors import InputError, WeightsError
from engine.models.backbones import MINIMUM_SHARE
from engine.models.known.bodies import Body, build_body
from engine.models.known.index import Kind, Progress, kind_of, rank, read_index
from engine.models.libraries import TORCHVISION, library_of
from engine.models.matching import COUNTER, Match, Shapes, match, numbers
from engine.models.other_files import refuse_other_files
from engine.models.recommended import recommended
from engine.models.weights import check_model_args
from engine.settings import Settings

CANDIDATES = 8
"""How many of the closest architectures are built, when none fits exactly."""

_PADDED = ("efficientnet", "mobilenetv3", "hardcorenas")
"""timm's modules whose networks take ``pad_type``."""

_CHOOSE = "Name the architecture it was made for, with its model arguments, or choose another file."

_OFFERED = (
    "The catalog has timm's architectures, the encoders of segmentation-models-pytorch, and of torchvision "
    f"{', '.join(TORCHVISION)}."
)


@dataclass(frozen=True)
class _Candidate:
    kind: Kind
    name: str
    body: Body
    match: Match
    left_over: tuple[str, ...]

    @property
    def perfect(self) -> bool:
        return self.match.share == 1.0 and not self.left_over

    def agreement(self, file: Shapes) -> float:
        """Numbers in both / numbers in either: of networks that all fit, the largest wins."""
        spare = sum(numbers(file[name]) for name in self.left_over)
        return self.match.filled / max(self.match.total + spare, 1)


def recognise(
    shapes: Shapes,
    settings: Settings,
    *,
    architecture: str = "",
    model_args: Mapping[str, Any] | None = None,
    dtypes: Mapping[str, str] | None = None,
    progress: Progress = lambda share, message: None,
    check_stop: Callable[[], None] = lambda: None,
) -> WeightsFit:
    """Find the architecture whose tensors a file has: ``shapes`` are its names and shapes.

    ``architecture`` ("resnet50", "smp/mit_b0", "torchvision/alexnet") is the only one tried when it is
    given. ``model_args`` are used in building. ``dtypes`` are safetensors' names of the tensors' types, to
    refuse 8-bit files. Raises ``WeightsError`` when less than ``MINIMUM_SHARE`` of the numbers of every
    architecture is filled, and ``InputError`` for an architecture or arguments that do not exist.
    """
    args = dict(model_args or {})
    check_model_args(args)
    refuse_other_files(shapes, dtypes or {})
    kinds = read_index(settings, progress, check_stop)
    if architecture:
        return _named(shapes, kinds, architecture, args)
    found = _search(shapes, kinds, args, progress, check_stop)
    if found is None or found.match.share < MINIMUM_SHARE:
        raise WeightsError(_no_fit(found, args), _CHOOSE)
    if not _offered((found.name,)):
        raise WeightsError(f"These are weights of {found.name}, which is not in the catalog.", _OFFERED)
    return _report(shapes, found, args)


def _named(shapes: Shapes, kinds: tuple[Kind, ...], architecture: str, args: dict[str, Any]) -> WeightsFit:
    """Try one architecture; a misfit says what fits instead."""
    if not _offered((architecture,)):
        raise InputError(f"{architecture} is not in the catalog.", _OFFERED)
    body = build_body(architecture, args)
    same = kind_of(body, (architecture,))
    kind = next((kind for kind in kinds if kind.digest == same.digest), same)
    found = _candidate(shapes, kind, architecture, body)
    if found.match.share >= MINIMUM_SHARE:
        return _report(shapes, found, args)
    share = found.match.share
    other = _search(shapes, kinds, {})
    fits = other is not None and other.match.share >= MINIMUM_SHARE
    if args and other is not None and fits and architecture in other.kind.names:
        raise WeightsError(
            f"With the model arguments {args} this file fits only {share:.0%} of {architecture} (at least "
            f"{MINIMUM_SHARE:.0%} is needed).",
            f"Without them it fits {other.match.share:.0%}: leave them out.",
        )
    message = (
        f"This file fits only {share:.0%} of {architecture} (at least {MINIMUM_SHARE:.0%} is needed)."
        if share
        else f"Nothing in this file fits {architecture}: these are weights of another architecture."
    )
    hint = f"It fits {other.name}: choose that, or another file." if other and fits else _CHOOSE
    raise WeightsError(message, hint)


def _search(
    shapes: Shapes,
    kinds: tuple[Kind, ...],
    args: dict[str, Any],
    progress: Progress = lambda share, message: None,
    check_stop: Callable[[], None] = lambda: None,
) -> _Candidate | None:
    """Build the closest architectures until one fits perfectly; return the one that agrees best."""
    best: _Candidate | None = None
    for place, kind in enumerate(rank(kinds, shapes)[:CANDIDATES]):
        check_stop()
        name = min(_offered(kind.names) or kind.names, key=_plainness)
        progress(place / CANDIDATES, f"Comparing with {name}")
        try:
            body = build_body(name, args)
        except InputError:
            if not args:
                raise
            continue  # an architecture that does not know these arguments is not the one
        found = _candidate(shapes, kind, name, body)
        if found.perfect:
            return found
        if best is None or found.agreement(shapes) > best.agreement(shapes):
            best = found
    return best


def _candidate(shapes: Shapes, kind: Kind, name: str, body: Body) -> _Candidate:
    fit = match(body.shapes, shapes)
    used = {fit.prefix + tensor for tensor in body.shapes}
    heads = tuple(fit.prefix + head for head in body.classifier)
    left_over = tuple(
        tensor
        for tensor in shapes
        if tensor not in used and not tensor.endswith(COUNTER) and not tensor.startswith(heads)
    )
    return _Candidate(kind, name, body, fit, left_over)


def _offered(names: Iterable[str]) -> tuple[str, ...]:
    """Leave out what the catalog does not offer."""
    others = {f"torchvision/{name}" for name in TORCHVISION}
    return tuple(name for name in names if not name.startswith("torchvision/") or name in others)


def _plainness(name: str) -> tuple[bool, bool, bool, int, str]:
    """Order names that fit equally well: the short list, timm, without TensorFlow's padding, the shortest."""
    return (recommended(name) is None, "/" in name, name.startswith("tf_"), len(name), name)


def _report(shapes: Shapes, found: _Candidate, args: dict[str, Any]) -> WeightsFit:
    body, fit = found.body.shapes, found.match
    fitted = set(fit.fitted)
    missing = tuple(name for name in body if fit.prefix + name not in shapes)
    wrong = tuple(name for name in body if fit.prefix + name in shapes and name not in fitted)
    others = sorted((name for name in _offered(found.kind.names) if name != found.name), key=_plainness)
    classes = _classes(shapes, tuple(fit.prefix + head for head in found.body.classifier))
    return WeightsFit(
        architecture=found.name,
        library=library_of(found.name)[0],
        model_args=args,
        share=fit.share,
        tensors=len(body),
        fitted=len(fitted),
        missing=missing[:LISTED],
        missing_total=len(missing),
        left_over=found.left_over[:LISTED],
        left_over_total=len(found.left_over),
        wrong_shape=wrong[:LISTED],
        wrong_shape_total=len(wrong),
        prefix=fit.prefix,
        classes=classes,
        alternatives=tuple(others),
        sentence=_sentence(found, len(wrong), classes),
        notes=_notes(found.name, others, args),
    )


def _classes(shapes: Shapes, heads: tuple[str, ...]) -> int | None:
    """Return the outputs of the classifier in the file, None when it has none."""
    weights = [shape for name, shape in shapes.items() if name.startswith(heads) and len(shape) > 1]
    return weights[-1][0] if heads and weights else None


def _sentence(found: _Candidate, wrong: int, classes: int | None) -> str:
    fit = found.match
    library, name = library_of(found.name)
    tensors, fitted = len(found.body.shapes), len(fit.fitted)
    if tensors == fitted:
        fits = f"all {tensors:,} tensors of the backbone fit"
    else:
        shape = f", {wrong:,} of them for their shape" if wrong else ""
        rest = "the other one starts" if tensors - fitted == 1 else f"the other {tensors - fitted:,} start"
        fits = (
            f"{fitted:,} of {tensors:,} tensors of the backbone fit ({fit.share:.1%} of its numbers); "
            f"{rest} from random numbers{shape}"
        )
    parts = [f"It is {name} ({library}): {fits}"]
    if classes is not None:
        parts.append(f"its classifier of {classes:,} classes is left out")
    if found.left_over:
        many = len(found.left_over) != 1
        parts.append(
            f"{len(found.left_over):,} other tensors in the file are not used"
            if many
            else "one other tensor in the file is not used"
        )
    return "; ".join(parts) + "."


def _notes(name: str, others: list[str], args: dict[str, Any]) -> tuple[str, ...]:
    notes = []
    if others:
        listed = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        notes.append(f"Names and shapes are the same for {listed}: choose one of these if you know better.")
    library, plain = library_of(name)
    padded = library == "timm" and model_entrypoint(plain).__module__.rpartition(".")[2] in _PADDED
    if padded and not plain.startswith("tf_") and "pad_type" not in args:
        notes.append(
            "The padding does not show in the shapes: weights that were made with TensorFlow need the model "
            "argument pad_type=same (timm's tf_ networks), all others must not have it."
        )
    return tuple(notes)


def _no_fit(found: _Candidate | None, args: dict[str, Any]) -> str:
    with_args = f" with the model arguments {args}" if args else ""
    if found is None or found.match.share < 0.01:
        return f"This file fits no architecture of the catalog{with_args}: no names and shapes agree."
    return (
        f"This file fits no architecture of the catalog{with_args}. The closest is {found.name}, of which it "
        f"fills {found.match.share:.0%} (at least {MINIMUM_SHARE:.0%} is needed): it is damaged, incomplete "
        "or made with other model arguments."
    )
