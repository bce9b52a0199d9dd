"""The one weights file, and its ``config.json``, in a folder or a ZIP. Nothing here imports torch.

A ZIP is listed as the dataset importer lists one (``engine.datasets.archive``): its index decides what is
taken before a byte is written, and an archive that is encrypted or made to fill a disk is refused whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from engine.datasets import archive
from engine.datasets.archive import Member, Source
from engine.errors import InputError, WeightsError
from engine.models.weights_file import CONFIG_FILE, CONFIG_LIMIT, MODEL_SUFFIXES, FileConfig, read_config
from engine.settings import Limits

CHUNK = 1 << 20
UNPACKED = "unpacked"
"""Where a ZIP's files go, in the job's folder."""
LONGEST_NAME = 200
"""Bytes of a file's name; file systems take 255."""

_PACK = "Pack the weights file and its config.json into an ordinary ZIP, without a password."


def open_source(
    path: Path, name: str, folder: Path, limits: Limits, check_stop: Callable[[], None]
) -> tuple[Path, FileConfig]:
    """Find the one weights file in ``path`` and what the ``config.json`` beside it says.

    ``path`` is a weights file, a folder or a ZIP, ``name`` what it was called where it came from (an upload
    has lost its name and gets it back as a link). What is unpacked or linked goes into ``folder``, which
    exists. Raises ``WeightsError`` for no or several weights files and for what cannot be read, ``OSError``
    when ``folder`` is full.
    """
    if path.is_dir():
        return _from_folder(path)
    if Path(name).suffix.lower() == ".zip":
        return _from_zip(path, name, folder, limits, check_stop)
    if path.name != name:
        named = folder / Path(name).name
        named.unlink(missing_ok=True)
        named.symlink_to(path)
        return named, FileConfig()
    return path, read_config(path)


def _from_folder(folder: Path) -> tuple[Path, FileConfig]:
    try:
        files = [file for file in folder.iterdir() if _is_weights(file.name) and file.is_file()]
    except OSError as error:
        raise WeightsError(f"“{folder.name}” cannot be read: {error.strerror}.") from error
    chosen = folder / _only([file.name for file in files], folder.name)
    return chosen, read_config(chosen)


def _from_zip(
    path: Path, name: str, folder: Path, limits: Limits, check_stop: Callable[[], None]
) -> tuple[Path, FileConfig]:
    """Take the weights file and the config of its folder out of a ZIP; nothing else in it is read."""
    source = _listed(path, name, limits)
    members = {member.path: member for member in source.members}
    why = next((f" (“{file}”: {reason})" for file, reason in source.skipped if _is_weights(file)), "")
    chosen = members[_only([file for file in members if _is_weights(file)], name, why)]
    unpacked = folder / UNPACKED
    unpacked.mkdir(exist_ok=True)
    file = unpacked / _file_name(chosen.path)
    _take(chosen, file, limits.weights_bytes, check_stop)
    config = members.get(PurePosixPath(chosen.path).with_name(CONFIG_FILE).as_posix())
    if config is not None:
        _take(config, unpacked / CONFIG_FILE, CONFIG_LIMIT, check_stop)
    return file, read_config(file)


def _listed(path: Path, name: str, limits: Limits) -> Source:
    try:
        return archive.open_source([(name, path)], limits)
    except InputError as error:
        raise WeightsError(error.message, _PACK) from error
    except Exception as error:
        # The index is foreign bytes: whatever zipfile stumbles over in it, the file is what is wrong.
        raise WeightsError(f"“{name}” is damaged ({error}).", _PACK) from error


def _is_weights(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in MODEL_SUFFIXES and not archive.is_litter(path)


def _only(files: list[str], where: str, why: str = "") -> str:
    if not files:
        raise WeightsError(
            f"There is no weights file in “{where}”{why}.", "It should hold a .safetensors, .pt or .pth file."
        )
    if len(files) > 1:
        names = ", ".join(sorted(files)[:5])
        raise WeightsError(f"There are several weights files in “{where}”: {names}.", "Name one of them.")
    return files[0]


def _file_name(path: str) -> str:
    plain = PurePosixPath(path)
    return plain.name if len(plain.name.encode()) <= LONGEST_NAME else f"model{plain.suffix}"


def _take(member: Member, target: Path, limit: int, check_stop: Callable[[], None]) -> None:
    if member.size > limit:
        raise WeightsError(
            f"“{member.path}” in the ZIP has {member.size / 2**20:,.0f} MiB; the limit is "
            f"{limit / 2**20:,.0f} MiB."
        )
    with target.open("wb") as writer:
        for chunk in _chunks(member):
            check_stop()
            writer.write(chunk)


def _chunks(member: Member) -> Iterator[bytes]:
    """Yield a member's bytes; as a generator it sees what reading raises, and not what writing raises."""
    try:
        with archive.open_member(member) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except Exception as error:
        # Foreign bytes again: zlib.error, LZMAError, EOFError, BadZipFile, RuntimeError and more mean damage.
        reason = str(error.__cause__ or error) or type(error).__name__
        raise WeightsError(f"“{member.path}” is damaged in the ZIP ({reason}).", _PACK) from error
