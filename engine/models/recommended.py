"""The short list of backbones that stand first, and where timm publishes their weights (no torch)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recommended:
    """A backbone of the short list; ``tag`` is timm's tag of its default published weights."""

    name: str
    tag: str
    group: str
    why: str

    @property
    def repository(self) -> str:
        """The weights' repository on the Hugging Face hub."""
        return f"timm/{self.name}.{self.tag}"


RECOMMENDED: tuple[Recommended, ...] = (
    Recommended("mobilenetv3_small_100", "lamb_in1k", "fast", "the quickest on a CPU"),
    Recommended("mobilenetv3_large_100", "ra_in1k", "fast", "quick and good features"),
    Recommended("mobilenetv2_100", "ra_in1k", "balanced", "light, fine-tunes well on a CPU"),
    Recommended("resnet18", "a1_in1k", "balanced", "plain and sturdy"),
    Recommended("efficientnet_b0", "ra_in1k", "balanced", "more accurate for its size"),
    Recommended("resnet50", "a1_in1k", "best", "the classic, wants a GPU or time"),
    Recommended("convnext_tiny", "in12k_ft_in1k", "best", "the most accurate here, wants a GPU or time"),
    Recommended("resnet10t", "c3_in1k", "from scratch", "learns quickly from random numbers"),
)


def recommended(name: str) -> Recommended | None:
    """Return the entry of the short list called ``name``, or None."""
    return next((entry for entry in RECOMMENDED if entry.name == name), None)
