"""The proof: the bundle on disk answers as the trained model does, image by image."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import ExportError
from engine.evaluation.agreement import Agreement
from engine.tasks.base import Examiner, Said

_POLL_SECONDS = 0.5
NEEDED = ("numpy", "onnxruntime", "PIL")
"""All that predict.py may import beside the standard library."""
NEEDED_FOR_HEIC = ("pillow_heif", "_pillow_heif")
"""What it may import beyond that when the set has HEIC pictures."""
_BARE_MACHINE = """
import runpy, sys

class Absent:
    there = {*sys.stdlib_module_names, *sys.argv.pop(1).split(",")}

    def has(self, name):
        # Python keeps how it was built in a module of a name of its own.
        return name.partition(".")[0] in self.there or name.startswith(("__main__", "_sysconfigdata"))

    def find_spec(self, name, path=None, target=None):
        if not self.has(name):
            raise ModuleNotFoundError(f"{name} is not there on another machine", name=name)

absent = Absent()
# Whatever a start-up file of this environment has loaded already is not there either.
for name in [name for name in sys.modules if not absent.has(name)]:
    del sys.modules[name]
sys.meta_path.insert(0, absent)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def compare(examiner: Examiner, reference: Sequence[Said], other: Sequence[Said]) -> Agreement:
    """Compare answers as their task does; raises ``ExportError`` for answers to other images."""
    try:
        return examiner.agree(reference, other)
    except ValueError as error:
        raise ExportError(
            f"The bundle gives other values than the model: {error}.",
            "Export again; if it stays so, choose another backbone.",
        ) from error


def require(agreement: Agreement, of: str, against: str) -> None:
    """Raise ``ExportError`` with the figures when ``agreement`` does not hold."""
    if agreement.holds:
        return
    other = agreement.images - agreement.same_class - agreement.near_ties
    raise ExportError(
        f"{of} does not agree with {against}: {other} of {agreement.images} images get another answer, "
        f"scores differ by up to {agreement.largest_difference:.4f} ({agreement.tolerance} is allowed).",
        "Nothing can be downloaded. Train again, or choose another backbone.",
    )


def run_bundle(
    folder: Path,
    files: Sequence[Path],
    check_stop: Callable[[], None],
    needed: Sequence[str] = NEEDED,
) -> list[Said]:
    """Run the bundle's own predict.py in a process of its own on ``files``; all its answers for each.

    The process can import the standard library and ``needed``, nothing of Lensmith and no torch, so it
    proves that the bundle runs on another machine. Raises ``ExportError`` when it fails.
    """
    listing, answers, errors = (folder.parent / f"proof-{name}.txt" for name in ("files", "out", "err"))
    listing.write_text("".join(f"{path}\n" for path in files), "utf-8")
    command = [sys.executable, "-I", "-c", _BARE_MACHINE, ",".join(needed)]
    command += [str(folder / "predict.py"), "--json", "--top", "0"]
    with answers.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen([*command, "--files-from", str(listing)], stdout=out, stderr=err)
        try:
            _wait(process, check_stop)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        last = errors.read_text("utf-8", "replace").strip().splitlines()[-1:]
        raise ExportError(f"The bundle's predict.py failed: {''.join(last)}", "See the export's log.")
    found = json.loads(answers.read_text("utf-8"))
    for path in (listing, answers, errors):
        path.unlink()
    return [result["predictions"] for result in found]


def _wait(process: subprocess.Popen[bytes], check_stop: Callable[[], None]) -> None:
    while True:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            check_stop()
        else:
            return
