"""Sets with one thing wrong, by theme; each is what one row of the rules for bad input speaks of."""

from __future__ import annotations

from tests.integration.bad_input_cases import (
    attacks,
    boxes,
    coco,
    masks,
    names,
    outlines,
    pictures,
    sizes,
    voc,
    yolo,
)
from tests.integration.bad_input_cases.case import Case

CASES: tuple[Case, ...] = (
    *boxes.CASES,
    *coco.CASES,
    *outlines.CASES,
    *yolo.CASES,
    *voc.CASES,
    *sizes.CASES,
    *masks.CASES,
    *pictures.CASES,
    *names.CASES,
    *attacks.CASES,
)
