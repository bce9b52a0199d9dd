"""Files and folders on this machine that someone names as a source."""

from __future__ import annotations

from pathlib import Path

from engine.errors import InputError
from engine.settings import Settings, allowed_folder


def place_here(source: Path, settings: Settings, any_folder: bool) -> tuple[Path, str]:
    """Return what ``source`` leads to, its links followed, and the name that it has here.

    ``any_folder``: whoever asks may read all of this machine, as on its command line. What may be read is
    looked at before whether it is there: who may not read it does not learn that. Raises ``InputError``.
    """
    try:
        named = source.expanduser().absolute()
        path = named.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a ring of links, no such home, a zero byte
        raise InputError(f"“{source}” is no path of this machine.", "Check the path.") from error
    if not any_folder and not allowed_folder(path, settings):
        raise InputError(f"Nothing may be imported from “{source}” here.", _allowed(settings))
    if not path.exists():
        raise InputError(f"There is no file or folder “{source}”.", "Check the path.")
    return path, named.name


def places_offered(settings: Settings) -> bool:
    """Whether there is any place on this machine that the pages may import from."""
    return bool(settings.import_folders) or not settings.allowed_hosts


def _allowed(settings: Settings) -> str:
    if not settings.import_folders:
        return "Upload it instead, or name the folder in LENSMITH_IMPORT_FOLDERS."
    return f"Choose something in {', '.join(map(str, settings.import_folders))}, or upload it instead."
