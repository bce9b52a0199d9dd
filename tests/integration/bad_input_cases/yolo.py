"""YOLO's text files and lists of names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.integration.bad_input_cases.case import Case, picture, put, yolo

LINE = "0 0.5 0.5 0.4 0.5\n"
PIXELS = "Pixel coordinates in a YOLO file"
INDEX = "Class index >= number of classes"
LIST = "Empty line in a names file"
TEXT = "Commas, text, other encodings in YOLO"


def built(
    a: str | bytes = LINE, header: str = "names: [cat, dog]\n", **files: str | bytes
) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        yolo(folder, a, header, **files)

    return build


def other_lines(folder: Path) -> None:
    lines = (
        LINE.strip().encode(),
        b"0, 0.5, 0.5, 0.4, 0.5",
        b"0 0,5 0,5 0,4 0,5",
        b"cat 0.5 0.5 0.4 0.5",
        b"0 0.5 0.5 0.4",
        b"0 nan 0.5 0.4 0.5",
        b"0 1e999 0.5 0.4 0.5",
        b"0 0.5 0.5 \xff\xfe 0.5",
        b"0.5 0.5 0.5 0.4 0.5",
        b"# a comment",
    )
    yolo(folder, b"\n".join(lines) + b"\n")


def negatives(folder: Path) -> None:
    yolo(folder, "")
    put(folder, {"images/c.png": picture(3)})


def same_stem(folder: Path) -> None:
    yolo(folder, LINE)
    put(folder, {"images/a.jpg": picture(3, kind="JPEG")})


def missing(folder: Path) -> None:
    yolo(folder, LINE)
    put(folder, {"labels/gone.txt": LINE + LINE})


CASES = (
    Case("yolo_pixels", PIXELS, built("0 10 8 6 5\n", **{"labels/b.txt": "1 4 5 6 7\n"})),
    Case("yolo_pixels_in_one_file", PIXELS, built("0 10 8 6 5\n")),
    Case(
        "yolo_class_beyond_the_list",
        INDEX,
        built("0 0.5 0.5 0.4 0.5\n2 0.5 0.5 0.4 0.5\n7 0.5 0.5 0.4 0.5\n"),
    ),
    Case("yolo_negative_class", INDEX, built("-1 0.5 0.5 0.4 0.5\n0 0.5 0.5 0.4 0.5\n")),
    Case("yolo_class_beyond_nc", INDEX, built("2 0.5 0.5 0.4 0.5\n", "nc: 2\n")),
    Case("yolo_nc_is_not_the_names", INDEX, built(LINE, "nc: 3\nnames: [cat, dog]\n")),
    Case(
        "yolo_huge_class_without_names",
        "Sparse or huge category ids",
        built("4000000000 0.5 0.5 0.4 0.5\n", ""),
    ),
    Case("yolo_names_end_in_empty_lines", LIST, built(LINE, "", **{"classes.txt": "cat\ndog\n\n\n"})),
    Case("yolo_names_with_an_empty_line", LIST, built(LINE, "", **{"classes.txt": "cat\n\ndog\n"})),
    Case("yolo_yaml_with_an_empty_name", LIST, built(LINE, "names: [cat, '', dog]\n")),
    Case(
        "yolo_two_classes_of_one_name",
        "Duplicate category names",
        built("0 0.5 0.5 0.4 0.5\n", "names: [cat, dog, cat]\n"),
        answers=[{"merge_classes": True}],
    ),
    Case("yolo_same_stem", "Same stem, other extension (YOLO pairs)", same_stem),
    Case("yolo_other_lines", TEXT, other_lines),
    Case("yolo_utf_16", TEXT, built(LINE.encode("utf-16"))),
    Case(
        "yolo_byte_order_mark",
        "Byte-order mark",
        built(b"\xef\xbb\xbf" + LINE.encode(), "\ufeffnames: [cat, dog]\n"),
    ),
    Case("yolo_image_without_objects", "Image without objects", negatives),
    Case("yolo_labels_without_image", "Annotation whose image is missing", missing),
)
