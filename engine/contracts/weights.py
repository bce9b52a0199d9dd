"""Records about weights files: which architecture one holds, and how far it fits."""

from __future__ import annotations

from typing import Any, Literal

from engine.contracts.base import Record

LISTED = 50
"""How many tensors are listed by name; the totals count all."""


class WeightsFit(Record):
    """What a weights file is, and how its tensors fill that architecture's backbone (without classifier).

    ``share`` is the share of the backbone's numbers that is filled, 0 to 1; ``fitted`` of ``tensors`` are
    filled whole. ``missing`` are names of the backbone that the file lacks, ``wrong_shape`` those it has in
    another shape, ``left_over`` names of the file that nothing uses; the first 50 of each. ``prefix`` stands
    before the backbone's names in the file. ``classes`` are the outputs of the classifier in the file, which
    is left out and counts nowhere; None when it has none. ``alternatives`` have the very same tensors, so
    shapes cannot tell them apart.
    """

    architecture: str
    library: Literal["timm", "smp", "torchvision"]
    model_args: dict[str, Any]
    share: float
    tensors: int
    fitted: int
    missing: tuple[str, ...] = ()
    missing_total: int = 0
    left_over: tuple[str, ...] = ()
    left_over_total: int = 0
    wrong_shape: tuple[str, ...] = ()
    wrong_shape_total: int = 0
    prefix: str = ""
    classes: int | None = None
    alternatives: tuple[str, ...] = ()
    sentence: str
    notes: tuple[str, ...] = ()
