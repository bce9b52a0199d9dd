"""Names of files: folders, separators, litter, letters of several bytes."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.integration.bad_input_cases.case import Case, coco_text, listed, picture, put, thing

SEVERAL = "Same file name in several folders"
SLASHES = "Backslashes, `..\\..\\` in names"
TABLE = "path,label\n"
FOUR = [(home, name) for home in ("one", "two") for name in "ab"]


def pack(folder: Path, inside: str, files: Mapping[str, str | bytes]) -> None:
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x", (2024, 1, 1, 0, 0, 0))
            info.filename = f"{inside}{name}"
            archive.writestr(info, content)


def same_name_whole_path(folder: Path) -> None:
    images = [listed(1, "one/a.png"), listed(2, "two/a.png")]
    put(folder, {"one/a.png": picture(1), "two/a.png": picture(2)})
    put(folder, {"annotations.json": coco_text([thing(1), thing(2, image=2, category=2)], images)})


def same_name_bare(folder: Path) -> None:
    images = [listed(1, "a.png"), listed(2, "b.png")]
    put(folder, {"one/a.png": picture(1), "two/a.png": picture(2), "b.png": picture(3)})
    put(folder, {"annotations.json": coco_text([thing(1), thing(2, image=2, category=2)], images)})


def same_name_table(folder: Path) -> None:
    put(folder, {"one/a.png": picture(1), "two/a.png": picture(2), "one/b.png": picture(3)})
    put(folder, {"labels.csv": TABLE + "a.png,cat\none/b.png,dog\n"})


def same_name_table_only(folder: Path) -> None:
    """No row says which; the folders must not be taken for classes."""
    put(folder, {f"{home}/{name}.png": picture(at) for at, (home, name) in enumerate(FOUR)})
    put(folder, {"labels.csv": TABLE + "a.png,cat\nb.png,dog\n"})


def same_name_yolo_list(folder: Path) -> None:
    files: dict[str, str | bytes] = {
        f"images/{home}/{name}.png": picture(at) for at, (home, name) in enumerate(FOUR)
    }
    files |= {f"labels/{home}/{name}.txt": "0 0.5 0.5 0.4 0.5\n" for home, name in FOUR}
    put(folder, files | {"train.txt": "a.png\none/b.png\n", "data.yaml": "names: [cat]\ntrain: train.txt\n"})


def same_name_table_whole(folder: Path) -> None:
    put(folder, {"one/a.png": picture(1), "two/a.png": picture(2)})
    put(folder, {"labels.csv": TABLE + "one/a.png,cat\ntwo/a.png,dog\n"})


def backslashes(folder: Path) -> None:
    images = [
        listed(1, "..\\..\\train\\a.png"),
        listed(2, "C:\\Users\\me\\set\\train\\b.png"),
        listed(3, "other\\c.png"),
    ]
    put(folder, {"train/a.png": picture(1), "train/b.png": picture(2), "train/c.png": picture(3)})
    things = [thing(1), thing(2, image=2, category=2), thing(3, image=3)]
    put(folder, {"annotations.json": coco_text(things, images)})


def backslashes_table(folder: Path) -> None:
    put(folder, {"train/a.png": picture(1), "train/b.png": picture(2), "train/c.png": picture(3)})
    put(
        folder,
        {"labels.csv": TABLE + ".\\train\\a.png,cat\n..\\..\\set\\train\\b.png,dog\nother\\c.png,dog\n"},
    )


def repacked(folder: Path) -> None:
    files: dict[str, str | bytes] = {f"images/{name}.png": picture(at) for at, name in enumerate("ab")}
    files |= {"labels/a.txt": "0 0.5 0.5 0.4 0.5\n", "labels/b.txt": "1 0.5 0.5 0.4 0.5\n"}
    pack(
        folder,
        "download (1)/set/set/",
        files | {"data.yaml": "path: ../set\ntrain: images\nnames: [cat, dog]\n"},
    )


def repacked_coco(folder: Path) -> None:
    text = coco_text([thing(1), thing(2, image=2, category=2)])
    files = {"annotations/instances.json": text, "images/a.png": picture(1), "images/b.png": picture(2)}
    pack(folder, "download (1)/set/", files)


def litter(folder: Path) -> None:
    files: dict[str, str | bytes] = {
        f"{name}/{at}.png": picture(at + 5 * (name == "dog")) for name in ("cat", "dog") for at in (1, 2)
    }
    waste = ("__MACOSX/cat/._1.png", "cat/.DS_Store", "dog/Thumbs.db", "cat/._2.png", "dog/desktop.ini")
    pack(folder, "set/", files | dict.fromkeys(waste, b"\0\5\x16\7"))


def accents(folder: Path) -> None:
    """Composed in the table and decomposed on the disk, and the other way round; a class in both."""
    nfc, nfd = (
        (lambda text: unicodedata.normalize("NFC", text)),
        (lambda text: unicodedata.normalize("NFD", text)),
    )
    rows = [nfc("Bäume/Äpfel.png,Straße é"), nfd("Bäume/Birne ü.png,Straße é"), nfc("Bäume/c.png,dog")]
    pack(
        folder,
        "",
        {
            nfd("Bäume/Äpfel.png"): picture(1),
            nfc("Bäume/Birne ü.png"): picture(2),
            nfd("Bäume/c.png"): picture(3),
            "labels.csv": TABLE + "\n".join(rows) + "\n",
        },
    )


def marked_table(folder: Path) -> None:
    put(folder, {"a.png": picture(1), "b.png": picture(2)})
    put(folder, {"labels.csv": b"\xef\xbb\xbf" + (TABLE + "a.png,cat\nb.png,dog\n").encode()})


CASES = (
    Case("name_in_two_folders_whole", SEVERAL, same_name_whole_path),
    Case("name_in_two_folders_bare", SEVERAL, same_name_bare),
    Case("name_in_two_folders_table", SEVERAL, same_name_table, "classification"),
    Case("name_in_two_folders_table_only", SEVERAL, same_name_table_only, "classification"),
    Case("name_in_two_folders_list", SEVERAL, same_name_yolo_list),
    Case("name_in_two_folders_table_whole", SEVERAL, same_name_table_whole, "classification"),
    Case("name_with_backslashes", SLASHES, backslashes),
    Case("name_with_backslashes_table", SLASHES, backslashes_table, "classification"),
    Case("root_folders", "Extra root folder, re-zipped set", repacked),
    Case("root_folders_coco", "Extra root folder, re-zipped set", repacked_coco),
    Case("litter", "`__MACOSX`, `.DS_Store`, `Thumbs.db`", litter, "classification"),
    Case("name_with_accents", "Unicode names, NFC and NFD", accents, "classification"),
    Case("table_byte_order_mark", "Byte-order mark", marked_table, "classification"),
)
