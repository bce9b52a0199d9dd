"""The libraries whose architectures the catalog lists, and how their names are written (no torch)."""

from __future__ import annotations

from engine.contracts.models import Library

LIBRARIES: tuple[Library, ...] = ("timm", "smp", "torchvision")

DISTRIBUTIONS: dict[Library, str] = {
    "timm": "timm",
    "smp": "segmentation-models-pytorch",
    "torchvision": "torchvision",
}
"""Under which name each is installed."""

TORCHVISION = (
    "alexnet",
    "googlenet",
    "squeezenet1_0",
    "squeezenet1_1",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
)
"""torchvision's classifiers in the catalog: those that timm does not have, under this or another name."""


def library_of(architecture: str) -> tuple[Library, str]:
    """Split "smp/mit_b0" into library and name; a name alone is timm's."""
    for library in LIBRARIES[1:]:
        if architecture.startswith(f"{library}/"):
            return library, architecture.removeprefix(f"{library}/")
    return "timm", architecture


def without_tag(name: str) -> str:
    """Return the architecture in one of timm's names with a tag: "resnet18" of "resnet18.a1_in1k"."""
    return name if "/" in name else name.partition(".")[0]
