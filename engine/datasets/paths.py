"""Names of files as data: what a path may be, and how any name is shown."""

from __future__ import annotations

import re
import unicodedata

PATH_LENGTH = 1_000
UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories that a terminal obeys, or that cannot be encoded: controls, surrogates, breaks."""
SURROGATE = re.compile("[\ud800-\udfff]")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
"""Unicode's category Cc, which no later version of it can change."""
LITTER = frozenset(
    {".ds_store", "thumbs.db", "desktop.ini", "__macosx", ".git", "@eadir", ".ipynb_checkpoints"}
)
"""Names that operating systems and editors leave behind, in lower case."""
DRIVE = re.compile("[A-Za-z]:")
RAW_BYTE = range(0xDC80, 0xDD00)
"""How Python spells the bytes of a file name that are not UTF-8 (PEP 383)."""


def clean_path(name: str) -> str:
    """Return ``name`` as a relative path with forward slashes, NFC.

    Raises ``ValueError`` with the reason when it is absolute, leaves its folder, or cannot be a path.
    """
    if "\0" in name:
        raise ValueError("the name holds a zero byte")
    if SURROGATE.search(name):
        raise ValueError("the name is not Unicode text")
    path = unicodedata.normalize("NFC", name).replace("\\", "/")
    if path.startswith("//"):
        raise ValueError("the path names another computer")
    if path.startswith("/"):
        raise ValueError("the path is absolute")
    if DRIVE.match(path):
        raise ValueError("the path names a drive")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("the path leaves the archive")
    if not parts or len(path) > PATH_LENGTH:
        raise ValueError(f"the path is empty or longer than {PATH_LENGTH:,} characters")
    if CONTROL.search(path):
        raise ValueError("the name holds control characters")
    return "/".join(parts)


def shown(name: str) -> str:
    r"""Return a name as it can be written anywhere: escaped what is not to be printed (``\n``, ``\xff``)."""
    return name if name.isprintable() else "".join(map(_escaped, name))


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in UNSEEN


def _escaped(character: str) -> str:
    if ord(character) in RAW_BYTE:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode() if _is_unseen(character) else character


def suffix_of(name: str) -> str:
    """Return the ending of a file's name in lower case, with its dot; paths are parted by slashes.

    As ``posixpath.splitext`` tells it: dots that a name begins with begin no ending.
    """
    base = name[name.rfind("/") + 1 :]
    stem, dot, ending = base.rpartition(".")
    return f".{ending.lower()}" if dot and stem.strip(".") else ""


def stem_of(path: str) -> str:
    """Return a file's name without its ending, as ``PurePosixPath.stem`` tells it of a clean path."""
    name = path[path.rfind("/") + 1 :]
    at = name.rfind(".")
    return name[:at] if 0 < at < len(name) - 1 else name


def without_suffix(path: str) -> str:
    """Return a path without the ending of its name, as ``with_suffix("")`` does of a clean one."""
    return path[: path.rfind("/") + 1] + stem_of(path)
