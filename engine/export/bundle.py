"""What lies in a bundle and how it becomes one ZIP; the same content gives the same bytes."""

from __future__ import annotations

import ast
import importlib
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contracts.datasets import ClassInfo
from engine.datasets import framing, preprocessing, tiff
from engine.errors import ExportError
from engine.export import predict_template
from engine.storage.blobs import sha256_of
from engine.tasks.base import TaskSpec

CHECKSUMS = "checksums.sha256"
REQUIREMENTS = "numpy>=2\nonnxruntime>=1.20\nPillow>=11.1\n"
REQUIREMENT_FOR_HEIC = "pillow-heif>=1.0\n"
_FUTURE = "from __future__ import annotations\n"
_COMPRESSED = (".json", ".md", ".py", ".txt", ".sha256")  # weights do not get smaller
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP knows


@dataclass(frozen=True)
class BundleFile:
    """A file of a bundle; size in bytes."""

    name: str
    size: int
    sha256: str


def predict_script(spec: TaskSpec) -> str:
    """Return predict.py: preprocessing and the task's reading of outputs verbatim, then the template."""
    own = [importlib.import_module(name) for name in spec.answers]
    shared = [
        _after_future(_without_engine_imports(_source(part.__file__)))
        for part in (tiff, preprocessing, framing, *own)
    ]
    template = _source(predict_template.__file__)
    docstring, code = template.split(_FUTURE, 1)
    return "".join(
        [
            docstring,
            _FUTURE,
            "\n# ---- preprocessing: the code that training used, unchanged ----\n",
            "\n\n".join(shared),
            "\n\n# ---- prediction ----\n",
            _without_engine_imports(code),
        ]
    )


def _source(path: str | None) -> str:
    assert path is not None
    return Path(path).read_text("utf-8")


def _after_future(source: str) -> str:
    return source.split(_FUTURE, 1)[1]


def _without_engine_imports(code: str) -> str:
    lines = code.splitlines(keepends=True)
    for node in ast.parse(code).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("engine."):
            assert node.end_lineno is not None
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "".join(lines)


def write_parts(
    folder: Path,
    classes: Sequence[ClassInfo],
    record: preprocessing.Preprocessing,
    trained: Path,
    spec: TaskSpec,
    *,
    heic: bool = False,
) -> None:
    """Write everything but the network and the card.

    ``trained`` is the run's model folder, ``spec`` its task; ``heic``: the set has HEIC pictures, so the
    bundle reads them too.
    """
    for name in ("model.safetensors", "config.json"):
        if not (trained / name).is_file():
            raise ExportError(
                f"The trained model has no {name}.", "Train again; the run's files are damaged."
            )
        shutil.copyfile(trained / name, folder / name)
    _write_json(folder / "classes.json", [{"id": info.id, "name": info.name} for info in classes])
    _write_json(folder / "preprocessing.json", record.to_dict())
    (folder / "predict.py").write_text(predict_script(spec), "utf-8")
    requirements = REQUIREMENTS + (REQUIREMENT_FOR_HEIC if heic else "")
    (folder / "requirements.txt").write_text(requirements, "utf-8")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")


def list_files(folder: Path) -> tuple[BundleFile, ...]:
    """List the files of a bundle by name, with size and SHA-256."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    return tuple(BundleFile(path.name, path.stat().st_size, sha256_of(path)) for path in paths)


def write_checksums(folder: Path) -> None:
    """Write checksums.sha256 over all other files, as ``sha256sum --check`` reads it."""
    (folder / CHECKSUMS).unlink(missing_ok=True)
    lines = [f"{file.sha256}  {file.name}\n" for file in list_files(folder)]
    (folder / CHECKSUMS).write_text("".join(lines), "utf-8")


def write_zip(folder: Path, target: Path) -> None:
    """Pack a bundle's files, without folder, into ``target``; raises ``ExportError`` if it comes out torn."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in list_files(folder):
            info = zipfile.ZipInfo(file.name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.file_size = file.size  # lets zipfile decide for ZIP64 before it writes
            compressed = file.name.endswith(_COMPRESSED)
            info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            with (folder / file.name).open("rb") as source, archive.open(info, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    with zipfile.ZipFile(target) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ExportError(f"{damaged} was not written whole.", "Check the disk and export again.")
