"""Draw the sample sets of this folder again: ``python sample_data/draw.py [--set NAME] [--out FOLDER]``.

Needs numpy and Pillow. With the same versions of the two the archives come out byte for byte the same.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from studio import workshop_parts
from studio.workshop_parts import Photo

HERE = Path(__file__).resolve().parent
#: A date for every member, since an archive that carries the clock is never the same twice.
DATE = (2024, 1, 1, 0, 0, 0)
#: Name in the catalogue -> module with ``paths()`` and ``photo(class_name, number)``.
SETS = {workshop_parts.NAME: workshop_parts}


def draw(name: str, target: Path, processes: int | None = None) -> int:
    """Draw set ``name`` into the ZIP ``target``; returns the number of pictures."""
    sample = SETS[name]
    classes, numbers = zip(*sample.paths(), strict=True)
    with ProcessPoolExecutor(processes) as pool, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for photo in pool.map(sample.photo, classes, numbers, chunksize=4):
            _add(archive, name, photo)
    return len(numbers)


def _add(archive: zipfile.ZipFile, root: str, photo: Photo) -> None:
    member = zipfile.ZipInfo(f"{root}/{photo.path}", DATE)
    member.external_attr = 0o644 << 16
    archive.writestr(member, photo.data)


def main() -> None:
    """Read the command line, draw, say what was written."""
    catalogue = {entry["name"]: entry for entry in json.loads((HERE / "catalogue.json").read_text("utf-8"))}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", dest="names", action="append", choices=sorted(SETS), help="only this set")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the archives (default: here)")
    arguments = parser.parse_args()
    for name in arguments.names or sorted(SETS):
        target = arguments.out / catalogue[name]["file"]
        images = draw(name, target)
        print(f"{target}: {images} images, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
