"""Sets that were built to read, write, fetch, run or fill what they should not."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.integration.bad_input_cases.case import (
    Case,
    coco_text,
    listed,
    picture,
    put,
    saved,
    thing,
    voc,
    voc_text,
    voc_thing,
    yolo,
)

PATHS = "Paths and URLs inside labels"
YAML = "YAML that runs code (`download:` keys, tags, alias bombs)"
XML = "XML entities"
BOMBS = "Bombs (overlapping zip, nested zip, 13,300^2 PNG of 22 kB, multi-frame files, huge JSON)"
ESCAPE = "Archive escape (`../`, absolute, drive, UNC, links, devices, NUL, case clash, duplicates)"
SCRIPT = "Script in class names, SVG, CSV formulas"
ELSEWHERE = (
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:9/a.png",
    "../../../etc/passwd",
    "\\\\host\\share\\x.png",
)
LINE = "0 0.5 0.5 0.4 0.5\n"
SOUND = {"cat/1.png": picture(1), "cat/2.png": picture(2), "dog/1.png": picture(3), "dog/2.png": picture(4)}


def coco_paths(folder: Path) -> None:
    images = [listed(1, "a.png"), *(listed(at, name) for at, name in enumerate(ELSEWHERE, 2))]
    things = [thing(1), *(thing(at, image=at) for at in range(2, len(ELSEWHERE) + 2))]
    put(folder, {"a.png": picture(1), "annotations.json": coco_text([*things, thing(99), thing(98)], images)})


def table_paths(folder: Path) -> None:
    rows = ["a.png,cat", "b.png,dog", *(f"{name},cat" for name in ELSEWHERE)]
    put(
        folder,
        {"a.png": picture(1), "b.png": picture(2), "labels.csv": "path,label\n" + "\n".join(rows) + "\n"},
    )


def voc_paths(folder: Path) -> None:
    """The file's name finds no image, and what it says must not be opened."""
    further = {
        f"Annotations/x{at}.xml": voc_text(voc_thing(), filename=name) for at, name in enumerate(ELSEWHERE)
    }
    voc(folder, voc_text(voc_thing(), voc_thing((1, 1, 4, 4)), voc_thing((1, 1, 9, 4))), **further)


def yolo_paths(folder: Path) -> None:
    header = "path: /etc\ntrain: train.txt\nval: http://127.0.0.1:9/val\ntest: ../../../../etc\n"
    header += "names: [cat, dog]\n"
    yolo(
        folder, LINE, header, **{"train.txt": "\n".join(["images/a.png", "images/b.png", *ELSEWHERE]) + "\n"}
    )


def yaml(header: str) -> Callable[[Path], None]:
    """Write it as data.yaml; a marker that it makes would lie beside the set."""
    return lambda folder: yolo(folder, LINE, header.replace("MARKER", str(folder.parent / "marker")))


def xml(text: str) -> Callable[[Path], None]:
    return lambda folder: voc(folder, text)


def laughs() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 12)]
    return "\n".join([*lines, "names: *a11"]) + "\n"


def large_png() -> bytes:
    """A PNG of 13,300 x 13,300 px in a few kB: rows of zeros of one bit, deflated."""
    side = 13_300

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + (side + 7) // 8)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def pictures(**files: bytes) -> Callable[[Path], None]:
    return lambda folder: put(folder, {**SOUND, **files})


def packed(change: Callable[[bytes], bytes] = bytes, **files: bytes) -> Callable[[Path], None]:
    """A ZIP of sound pictures and more, whose bytes are changed at the end."""

    def build(folder: Path) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in {**SOUND, **files}.items():
                info = zipfile.ZipInfo("x", (2024, 1, 1, 0, 0, 0))
                info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
                archive.writestr(info, content)
        put(folder, {"set.zip": change(buffer.getvalue())})

    return build


def overlapping(content: bytes) -> bytes:
    """Point the second entry of the directory at the first file."""
    changed = bytearray(content)
    second = changed.index(b"PK\x01\x02", changed.index(b"PK\x01\x02") + 4)
    struct.pack_into("<I", changed, second + 42, 0)
    return bytes(changed)


def inner_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/9.png", bytes(10**6))
    return buffer.getvalue()


def large_json(folder: Path) -> None:
    """A file of labels above 1 GiB, most of it a hole."""
    put(folder, {"a.png": picture(1), "annotations.json": '{"images": [], "annotations": ['})
    with (folder / "annotations.json").open("r+b") as file:
        file.truncate(2**30 + 1)


def moving() -> bytes:
    frames = [Image.new("L", (20, 16), at % 250) for at in range(1_000)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def script_names(folder: Path) -> None:
    names = (
        "<img src=x onerror=alert(1)>",
        '=HYPERLINK("http://127.0.0.1")',
        "**[x](javascript:alert(1))**",
        "a\u202eb",
    )
    rows = [f'{at}.png,"{name.replace(chr(34), chr(34) * 2)}"' for at, name in enumerate(names)]
    put(folder, {f"{at}.png": picture(at) for at in range(len(names))})
    put(
        folder,
        {"labels.csv": "path,label\n" + "\n".join(rows) + "\n", "logo.svg": "<svg onload='alert(1)'/>"},
    )


ENTITY = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {c} "{f"&{p};" * 10}">' for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
DROP = {
    "../evil.png": picture(5),
    "/etc/evil.png": picture(6),
    "C:\\evil.png": picture(7),
    "\\\\host\\share\\evil.png": picture(8),
    "CAT/1.png": picture(9),
}
CASES = (
    Case("labels_name_other_places_coco", PATHS, coco_paths, choices={"accept_skips": True}),
    Case("labels_name_other_places_table", PATHS, table_paths, "classification", {"accept_skips": True}),
    Case("labels_name_other_places_voc", PATHS, voc_paths, choices={"accept_skips": True}),
    Case("labels_name_other_places_yolo", PATHS, yolo_paths, choices={"accept_skips": True}),
    Case(
        "yaml_with_download",
        YAML,
        yaml("download: |\n  import os; os.system('touch MARKER')\nnames: [cat, dog]\n"),
        seconds=1,
    ),
    Case(
        "yaml_with_a_tag",
        YAML,
        yaml("names: !!python/object/apply:os.system ['touch MARKER']\n"),
        seconds=1,
    ),
    Case("yaml_with_aliases", YAML, yaml(laughs()), seconds=1),
    Case("yaml_that_is_deep", YAML, yaml("names: " + "[" * 10_000 + "]" * 10_000 + "\n"), seconds=1),
    Case("yaml_that_is_large", YAML, yaml("names: [cat, dog]\n" + "# " + "x" * 300_000 + "\n"), seconds=1),
    Case("xml_with_an_entity", XML, xml(ENTITY + voc_text(voc_thing(name="&x;"))), seconds=1),
    Case("xml_with_laughs", XML, xml(LAUGHS + voc_text(voc_thing(name="&i;"))), seconds=1),
    Case("bomb_of_pixels", BOMBS, pictures(**{"cat/bomb.png": large_png()}), "classification", seconds=10),
    Case("bomb_of_frames", BOMBS, pictures(**{"cat/bomb.gif": moving()}), "classification", seconds=10),
    Case("bomb_of_json", BOMBS, large_json, seconds=10),
    Case("bomb_of_overlaps", BOMBS, packed(overlapping), "classification", seconds=10),
    Case("bomb_of_zeros", BOMBS, packed(**{"cat/zero.png": bytes(30 * 2**20)}), "classification", seconds=10),
    Case("bomb_in_an_archive", BOMBS, packed(**{"more.zip": inner_zip()}), "classification", seconds=10),
    Case("archive_that_escapes", ESCAPE, packed(**DROP), "classification"),
    Case("class_names_that_are_code", SCRIPT, script_names, "classification"),
)
