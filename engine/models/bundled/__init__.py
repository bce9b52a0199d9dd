"""The pretrained backbones that ship with the project; nothing here imports torch.

``pretrain.py`` beside this file trained them; ``CARD.md`` says on what, how, and how good they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Bundled:
    """A backbone in the box: a timm architecture and its weights without the classifier.

    ``path`` is a float16 safetensors file with timm's names; ``mean`` and ``std`` are per channel of
    RGB in [0, 1]; ``input_size`` in px is what it was judged at.
    """

    name: str
    architecture: str
    path: Path
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input_size: int
    interpolation: str
    licence: str
    sha256: str
    model_args: dict[str, Any] = field(default_factory=dict)


BUNDLED: tuple[Bundled, ...] = (
    Bundled(
        name="lensmith_mobilenetv4_conv_small",
        architecture="mobilenetv4_conv_small",
        path=FOLDER / "mobilenetv4_conv_small.safetensors",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        input_size=160,
        interpolation="bilinear",
        licence="apache-2.0 (training pictures partly for research use)",
        sha256="f365e900f82c5acfd7b061ad1f51e39fd8be87ff23bbee5e8dc8ad45225f86d7",
    ),
)


def bundled(architecture: str) -> Bundled | None:
    """Return the backbone in the box of this timm architecture, or None."""
    return next((entry for entry in BUNDLED if entry.architecture == architecture), None)
