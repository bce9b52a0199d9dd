"""Published weights from the hub or an address, through the cache; for a child process, without torch.

Bytes go to a name that no library looks for, their checksum is compared, and only then do they get the
name that counts. So what was cut off, cancelled or killed is never taken for a whole file. The hub's own
client does the transfer (and goes on after a cut), but it compares no checksum.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import HubSilentError, WeightsError
from engine.models.hub_cache import (
    alone,
    cached,
    cached_file,
    hub_files,
    is_offline,
    repository_folder,
    torch_folder,
)
from engine.models.published import Published
from engine.models.transfer import CHUNK, HINT, SHA256, Bytes, Line, Stop, Watch, agrees, nobody
from engine.settings import Settings

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_STAGING = ".lensmith-"
_CHECKSUM = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


def fetch(settings: Settings, published: Published, progress: Bytes, check_stop: Stop) -> Path:
    """Return the weights file, from the cache or by downloading it; its bytes agree with its checksum.

    ``progress(done, total)`` gets bytes, ``total`` None when unknown; ``check_stop`` raises to cancel. Both
    are called in the calling thread. Raises ``WeightsError`` when Lensmith is offline, the address does not
    answer or falls silent for ``settings.hub_timeout`` seconds, does not have the file, sends wrong bytes,
    or the disk is too small; a ``HubSilentError`` when nobody answered at all. A later call starts cleanly.
    """
    here = cached(published)
    if here is not None and _is_whole(here, published):
        return here  # without the lock: a cache may be shared and only readable
    try:
        with alone(published.name, check_stop):
            return _fetch_alone(Watch(settings, published.name, progress, check_stop), published)
    except OSError as error:
        why = f"The weights {published.name} cannot be stored: {error.strerror}."
        raise WeightsError(why, HINT) from error


def _fetch_alone(watch: Watch, published: Published) -> Path:
    here = cached(published)  # another process may have fetched them meanwhile
    if here is not None:
        if _is_whole(here, published):
            return here
        here.resolve().unlink(missing_ok=True)
        here.unlink(missing_ok=True)
    if is_offline(watch.settings):
        damaged = "" if here is None else " The damaged file in the cache was removed."
        raise WeightsError(
            f"The weights {published.name} are not on this machine, and Lensmith is offline.{damaged}", HINT
        )
    return _from_hub(watch, published) if published.repository else _from_address(watch, published)


def ask(settings: Settings, published: Published) -> Published:
    """Ask the hub or the address, without a download, how large the file is and for its checksum.

    Raises ``WeightsError`` as ``fetch`` does, within ``settings.hub_timeout`` seconds.
    """
    if is_offline(settings):
        raise WeightsError("Lensmith is offline.", HINT)
    watch = Watch(settings, published.name)
    if published.repository:
        found, checksum = _metadata(watch, published, published.file)
        return replace(published, bytes=found.size, sha256=checksum if len(checksum) == SHA256 else "")
    return replace(published, bytes=watch.run(lambda line: _head(published.url, settings)))


def _is_whole(path: Path, published: Published) -> bool:
    """Compare a cached file with its checksum; False when it was removed meanwhile."""
    try:
        return agrees(path, _checksum(path, published))
    except FileNotFoundError:
        return False


def _checksum(path: Path, published: Published) -> str:
    """Return what is known of a cached file's checksum: the hub's cache names the bytes by theirs."""
    name = path.resolve().name
    return name if published.repository and _CHECKSUM.fullmatch(name) else published.sha256


def _metadata(watch: Watch, published: Published, file: str) -> tuple[HfFileMetadata, str]:
    """Return what the hub says of a file, with its checksum: SHA-256, or git's SHA-1 of a small file."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(published.repository, file, revision=published.revision)
    asking = replace(watch, progress=nobody)
    found = asking.run(lambda line: get_hf_file_metadata(url, timeout=watch.settings.hub_timeout))
    if not found.etag or not found.commit_hash or not _CHECKSUM.fullmatch(found.etag):
        raise HubSilentError(f"What answers for {published.name} is not a weights hub.", HINT)
    return found, found.etag


def _from_hub(watch: Watch, published: Published) -> Path:
    """Put a repository's files into the hub's cache; the weights come last."""
    folder = repository_folder(published.repository)
    for left in folder.glob(f"{_STAGING}*"):  # of a process that was killed: the lock is ours now
        shutil.rmtree(left)
    for file in hub_files(published):
        if cached_file(published.repository, published.revision, file) is None:
            _hub_file(watch if file == published.file else replace(watch, progress=nobody), published, file)
    found = cached(published)
    if found is None:
        raise WeightsError(f"{published.name} has changed on the hub meanwhile.", "Try again.")
    return found


def _hub_file(watch: Watch, published: Published, file: str) -> None:
    from huggingface_hub import hf_hub_download

    found, checksum = _metadata(watch, published, file)
    folder = repository_folder(published.repository)
    blob = folder / "blobs" / checksum
    if blob.is_file() and not agrees(blob, checksum):
        blob.unlink()
    if not blob.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        watch.room(found.size, folder)
        _download(watch, published, file, found.commit_hash, blob)

    def name_it(line: Line) -> str:
        # The client finds the bytes under their checksum and only writes the names that lead to them.
        # If the hub has others by now, it would fetch those, unproved: the halted line stops it.
        line.halt()
        return hf_hub_download(
            published.repository,
            file,
            revision=published.revision,
            etag_timeout=watch.settings.hub_timeout,
            tqdm_class=line.bar(),
        )

    replace(watch, progress=nobody).run(name_it)


def _download(watch: Watch, published: Published, file: str, commit: str | None, blob: Path) -> None:
    """Download one commit's file beside the cache, and move it in when its bytes agree with its name."""
    from huggingface_hub import constants, hf_hub_download

    # One plain connection (as with HF_HUB_DISABLE_XET=1), whose bytes are counted as they come: the client
    # hands on 10 MB at a time, which a slow line would seem to be silent between, and a cut would lose.
    constants.HF_HUB_DISABLE_XET, constants.DOWNLOAD_CHUNK_SIZE = True, CHUNK
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=repository_folder(published.repository)))

    def transfer(line: Line) -> str:
        return hf_hub_download(
            published.repository,
            file,
            revision=commit,
            local_dir=staging,
            etag_timeout=watch.settings.hub_timeout,
            tqdm_class=line.bar(),
        )

    try:
        watch.take_in(Path(watch.run(transfer)), blob, blob.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # the next call removes what a dying thread still writes


def _from_address(watch: Watch, published: Published) -> Path:
    """Put a file into torch's own folder; a part of it stays, and the next call goes on from there."""
    target = torch_folder() / published.file
    part = target.with_name(f".{published.file}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    watch.run(lambda line: _transfer(watch, published, part, line))
    watch.take_in(part, target, published.sha256)
    return target


def _transfer(watch: Watch, published: Published, part: Path, line: Line) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    # The addresses come from torchvision's and timm's own lists.
    request = urllib.request.Request(published.url, headers=headers)  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=watch.settings.hub_timeout)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        part.unlink()  # nothing follows what is here: it is whole but unproved, or of another file
        return _transfer(watch, published, part, line)
    with answer, part.open("ab" if answer.status == 206 else "wb") as handle:
        have = handle.tell()
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        watch.room(total or published.bytes, part.parent, have)
        line.begin(have, total)
        while chunk := answer.read1(CHUNK):
            line.add(len(chunk))
            handle.write(chunk)
        if total is not None and handle.tell() != total:
            raise WeightsError(
                f"The line was cut after {handle.tell():,} of {total:,} bytes of {published.name}.",
                "Try again: it goes on from there.",
            )
    return None


def _head(url: str, settings: Settings) -> int | None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 (the hub's own address)
    with urllib.request.urlopen(request, timeout=settings.hub_timeout) as answer:  # noqa: S310
        length = answer.headers.get("Content-Length")
    return int(length) if length else None
