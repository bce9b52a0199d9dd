"""Where exported images go: under their own names, made safe and unique where they are not."""

from __future__ import annotations

import re
import shutil
import unicodedata
from pathlib import Path, PurePosixPath

from engine.datasets.archive import is_litter
from engine.datasets.paths import clean_path

MOST_BYTES = 180  # of one name; file systems take 255, and label files need room for their endings
UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\]')
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


class ImageNames:
    """Copies images below a folder and says under which names.

    Args:
        folder: everything goes below it.
        flat: no folders below ``under``; ``a/b.jpg`` becomes ``b.jpg``, or ``a-b.jpg`` when that is taken.
        unique_stems: no two names differ only in their ending (label files are named by the stem).
        plain: ASCII letters, digits, dot, dash and underscore only (for lists that are split at spaces).
    """

    def __init__(
        self, folder: Path, *, flat: bool = False, unique_stems: bool = False, plain: bool = False
    ) -> None:
        self.folder = folder
        self.flat = flat
        self.unique_stems = unique_stems
        self.plain = plain
        self._taken: set[str] = set()
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def place(self, path: str, source: Path, under: str = "") -> str:
        """Copy the image ``path``, whose bytes lie in ``source``; returns its path below ``folder``."""
        name = self.name(path, under)
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return name

    def name(self, path: str, under: str = "") -> str:
        """Choose the path below ``folder`` for an image, without copying it."""
        parts = [self._part(part) for part in path.split("/")]
        joined = [self._part("-".join(parts))]
        # Joined, too, where a folder would have to stand in the place of a file.
        for wanted in (parts[-1:] if self.flat else parts, joined):
            found = "/".join([*([under] if under else []), *wanted])
            if self._free(found) or not (self.flat or self._blocked(found)):
                break
        base, number = PurePosixPath(found), 1
        while not self._free(found):
            number += 1
            found = str(base.with_name(f"{base.stem}-{number}{base.suffix}"))
        self._taken.add(self._key(found))
        self._files.add(found.casefold())
        self._folders.update(_folders(found))
        return found

    def _free(self, name: str) -> bool:
        return (
            self._key(name) not in self._taken
            and name.casefold() not in self._folders
            and not self._blocked(name)
        )

    def _blocked(self, name: str) -> bool:
        return not self._files.isdisjoint(_folders(name))

    def _key(self, name: str) -> str:
        path = PurePosixPath(name)
        return str(path.with_suffix("") if self.unique_stems else path).casefold()

    def _part(self, part: str) -> str:
        """Make one folder's or file's name safe; the same name when it is already."""
        name = unicodedata.normalize("NFC", part)
        name = NOT_PLAIN.sub("-", name) if self.plain else UNSAFE.sub("-", name)
        suffix = PurePosixPath(name).suffix
        stem = name[: len(name) - len(suffix)]
        while len((stem + suffix).encode()) > MOST_BYTES:
            stem = stem[:-1] or "image"
            suffix = suffix if len(suffix.encode()) < MOST_BYTES // 2 else ""
        name = stem + suffix
        try:
            taken = not is_litter(name) and clean_path(name) == name
        except ValueError:
            taken = False
        return name if taken else f"image-{name}".rstrip(". ")


def _folders(name: str) -> list[str]:
    """Return the folders on the way to a file, as a file system that ignores case sees them."""
    parts = name.casefold().split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
