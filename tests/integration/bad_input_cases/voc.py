"""Pascal VOC's XML as tools really write it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.integration.bad_input_cases.case import Case, voc, voc_size, voc_text, voc_thing

LOOSE = "VOC: floats, no `size`, no `pose`, size 0, wrong `filename`"


def built(a: str, **files: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        voc(folder, a, **files)

    return build


def loose(folder: Path) -> None:
    """Floats, no size, no pose, no number, no box, no name; the other file says size 0 and a wrong name."""
    objects = (
        voc_thing((2.5, 3.25, 10.125, 9.0)),
        voc_thing(("x", 3, 10, 9)),
        voc_thing(("nan", 3, 10, 9)),
        "<object><name>cat</name></object>",
        "<object><bndbox><xmin>1</xmin></bndbox></object>",
    )
    other = voc_text(voc_thing((2, 3, 10, 9), "dog"), size=voc_size(0, 0), filename="/home/me/IMG_0001.JPG")
    voc(folder, voc_text(*objects), **{"Annotations/b.xml": other})


CASES = (
    Case("voc_loose", LOOSE, loose),
    Case("voc_cut_short", LOOSE, built(voc_text(voc_thing())[:-20])),
    Case("voc_image_without_objects", "Image without objects", built(voc_text())),
    Case(
        "voc_without_image",
        "Annotation whose image is missing",
        built(voc_text(voc_thing()), **{"Annotations/gone.xml": voc_text(voc_thing(), filename="gone.png")}),
    ),
    Case("voc_byte_order_mark", "Byte-order mark", built("\ufeff" + voc_text(voc_thing()))),
)
