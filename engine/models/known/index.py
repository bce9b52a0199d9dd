"""A sketch of every architecture's tensors, to rank them against a file without building any.

A tensor's hash is 32 bits of BLAKE2b over its name and shape; the sketch of an architecture is its 16
smallest hashes. The share of them that a file has estimates the share of the architecture's tensors that the
file has (bottom-k sketch, Cohen & Kaplan 2007). Architectures with the very same tensors share one line:
digest, sketch, number of tensors, names.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.contracts.models import Library
from engine.errors import InputError
from engine.models.known.bodies import (
    Body,
    architectures,
    build_body,
    classifiers,
    installed,
)
from engine.models.libraries import LIBRARIES
from engine.models.matching import COUNTER, Shapes, prefixes
from engine.settings import Settings
from engine.storage.blobs import write_atomic

SKETCH = 16
SHIPPED = Path(__file__).parent
FORMAT = 1

HIGHEST = 0.99
"""The highest estimate of an overlap: only a kind whose tensors are known to be the file's has 1."""

UNCERTAINTY = 0.3
"""How far the estimate of an overlap may be off: twice the deviation of a share among 16."""

_log = logging.getLogger(__name__)

Progress = Callable[[float | None, str], None]


@dataclass(frozen=True, eq=False)
class Kind:
    """Architectures that have the very same tensors, and the sketch of these; ``digest`` names them."""

    digest: str
    sketch: tuple[int, ...]
    tensors: int
    names: tuple[str, ...]


def tensor_hash(name: str, shape: tuple[int, ...]) -> int:
    """Hash a tensor's name and shape to 32 bits, the same on every machine."""
    text = f"{name} {shape}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")


def digest_of(shapes: Shapes) -> str:
    """Name a set of tensors, whatever their order: 16 hexadecimal digits."""
    listed = "\n".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
    return hashlib.blake2b(listed.encode(), digest_size=8).hexdigest()


def kind_of(body: Body, names: tuple[str, ...]) -> Kind:
    """Sketch a body."""
    hashes = sorted({tensor_hash(name, shape) for name, shape in body.shapes.items()})
    return Kind(digest_of(body.shapes), tuple(hashes[:SKETCH]), len(body.shapes), names)


def read_index(settings: Settings, progress: Progress, check_stop: Callable[[], None]) -> tuple[Kind, ...]:
    """Return all kinds of the installed libraries: shipped, or from the cache, or built now (minutes)."""
    kinds: dict[str, Kind] = {}
    for library in LIBRARIES:
        file = _file_name(library)
        path = next((p for p in (SHIPPED / file, settings.cache / file) if p.is_file()), None)
        if path is None:
            path = settings.cache / file
            write_atomic(path, _write(build_kinds(architectures(library), progress, check_stop)))
        for kind in _read(path.read_text(encoding="utf-8")):
            before = kinds.get(kind.digest)
            names = (*before.names, *kind.names) if before else kind.names
            kinds[kind.digest] = Kind(kind.digest, kind.sketch, kind.tensors, names)
    return tuple(kinds.values())


def build_kinds(
    names: Iterable[str], progress: Progress, check_stop: Callable[[], None]
) -> tuple[Kind, ...]:
    """Build each of ``names`` without memory and sketch it; equal ones become one kind.

    Left out, with a line in the log, are those that Lensmith cannot build as a classifier.
    """
    kinds: dict[str, Kind] = {}
    listed = tuple(names)
    for done, name in enumerate(listed):
        check_stop()
        progress(done / len(listed), f"Listing the tensors of {name}")
        try:
            kind = kind_of(build_body(name), (name,))
        except InputError as error:
            _log.info("%s is left out: %s", name, error)
            continue
        before = kinds.get(kind.digest)
        kinds[kind.digest] = (
            Kind(kind.digest, kind.sketch, kind.tensors, (*before.names, name)) if before else kind
        )
    return tuple(kinds.values())


def rank(kinds: Iterable[Kind], file: Shapes) -> list[Kind]:
    """Order the kinds that share anything with ``file`` by the estimated overlap, the largest first.

    The overlap of a kind and a file under one prefix is tensors in both / tensors in either. Those whose
    tensors are exactly the file's stand first. Those that cannot be the closest are left out.
    """
    holders: dict[int, list[Kind]] = defaultdict(list)
    digests: dict[str, Kind] = {}
    for kind in kinds:
        digests[kind.digest] = kind
        for number in kind.sketch:
            holders[number].append(kind)
    overlap: dict[Kind, float] = {}
    for own in _readings(file):
        hashes = {tensor_hash(name, shape) for name, shape in own.items()}
        hits = Counter(kind for number in hashes for kind in holders.get(number, ()))
        for kind, count in hits.items():
            both = count / len(kind.sketch) * kind.tensors
            either = max(kind.tensors + len(own) - both, 1.0)
            overlap[kind] = max(overlap.get(kind, 0.0), min(both / either, HIGHEST))
        overlap.update({digests[d]: 1.0 for d in _digests(own) if d in digests})
    least = max(overlap.values(), default=0.0) - UNCERTAINTY
    return sorted((kind for kind in overlap if overlap[kind] >= least), key=lambda kind: -overlap[kind])


def _readings(file: Shapes) -> Iterable[dict[str, tuple[int, ...]]]:
    """Yield the file's tensors as they are called without each prefix that they may have."""
    for prefix in prefixes(file):
        yield {
            name.removeprefix(prefix): shape
            for name, shape in file.items()
            if name.startswith(prefix) and not name.endswith(COUNTER)
        }


def _digests(own: Shapes) -> Iterable[str]:
    """Yield the digest of the tensors, whole and without each classifier that they may have."""
    yield digest_of(own)
    for heads in classifiers():
        if any(name.startswith(heads) for name in own):
            yield digest_of({name: shape for name, shape in own.items() if not name.startswith(heads)})


def _file_name(library: Library) -> str:
    return f"architectures-{FORMAT}-{library}-{installed(library)}.txt"


def _write(kinds: Iterable[Kind]) -> bytes:
    lines = (
        f"{kind.digest} {_pack(kind.sketch)} {kind.tensors} {','.join(kind.names)}\n"
        for kind in sorted(kinds, key=lambda kind: kind.names)
    )
    return "".join(lines).encode()


def _pack(sketch: tuple[int, ...]) -> str:
    return base64.b64encode(struct.pack(f">{len(sketch)}I", *sketch)).decode()


def _read(text: str) -> Iterable[Kind]:
    for line in text.splitlines():
        digest, packed, tensors, names = line.split(" ")
        raw = base64.b64decode(packed)
        sketch = struct.unpack(f">{len(raw) // 4}I", raw)
        yield Kind(digest, sketch, int(tensors), tuple(names.split(",")))


def main() -> None:
    """Write the shipped files for the installed versions, in place of those of earlier ones."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def progress(_share: float | None, message: str) -> None:
        _log.info(message)

    for library in LIBRARIES:
        content = _write(build_kinds(architectures(library), progress, lambda: None))
        for old in SHIPPED.glob(f"architectures-*-{library}-*.txt"):
            old.unlink()
        write_atomic(SHIPPED / _file_name(library), content)


if __name__ == "__main__":
    main()
