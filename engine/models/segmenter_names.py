"""What timm's networks with ``features_only`` call their tensors, and which stage each belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from timm.models import group_parameters
from torch import nn

WRAPPERS = ("model.", "graph_module.", "body.")
"""What timm writes before a network's own names when it wraps it whole to get its feature maps."""


def flattened_names(plain: nn.Module) -> dict[str, str]:
    """Return what ``features_only`` calls the children of a model's sequences: blocks_0 for blocks.0."""
    return {
        f"{name}_{inner}": f"{name}.{inner}"
        for name, child in plain.named_children()
        if isinstance(child, nn.Sequential)
        for inner, _ in child.named_children()
    }


def plain_names(name: str, flattened: Mapping[str, str]) -> Iterator[str]:
    """Yield what a tensor of a wrapped network may be called in the plain one."""
    for prefix in ("", *WRAPPERS):
        if name.startswith(prefix):
            plain = name.removeprefix(prefix)
            yield plain
            head, _, rest = plain.partition(".")
            if head in flattened:
                yield f"{flattened[head]}.{rest}"


@dataclass(frozen=True)
class StageMatcher:
    """Stands for the ``group_matcher`` that a timm network loses when it is wrapped: stage by name."""

    stages: Mapping[str, int]

    def __call__(self, coarse: bool = False) -> Callable[[str], int]:
        """Return what tells the stage of a name; what has none belongs to the last."""
        return self._stage

    def _stage(self, name: str) -> int:
        return self.stages.get(name, len(self.stages))


def stages_of_wrapped(wrapped: nn.Module, plain: nn.Module) -> StageMatcher | None:
    """Return the stages of a wrapped network, as the plain one groups its own; None when it does not."""
    matcher = getattr(plain, "group_matcher", None)
    if not callable(matcher):
        return None
    groups = group_parameters(plain, matcher(coarse=True), reverse=False)
    ordinals = {name: number for number, names in groups.items() for name in names}
    flattened = flattened_names(plain)
    stages: dict[str, int] = {}
    for name, _ in wrapped.named_parameters():
        known = [ordinals[one] for one in plain_names(name, flattened) if one in ordinals]
        if known:
            stages[name] = known[0]
    return StageMatcher(stages)
