"""The proof: the bundle on disk answers as the trained model does, image by image."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ExportError

TOLERANCE = 1e-3
NEAR_TIE = 2e-3
"""Where the trained model's two best classes are nearer than this, either may come first."""
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


@dataclass(frozen=True)
class Agreement:
    """Two sets of probabilities compared on the same images; differences are of probabilities."""

    images: int
    same_class: int
    near_ties: int
    largest_difference: float
    mean_difference: float

    @property
    def holds(self) -> bool:
        """Same class everywhere but at near ties, and no probability off by more than the tolerance."""
        return self.same_class + self.near_ties == self.images and self.largest_difference <= TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with the bounds that were asked for."""
        return {**asdict(self), "tolerance": TOLERANCE, "near_tie": NEAR_TIE, "holds": self.holds}


def compare(reference: NDArray[np.float32], other: NDArray[np.float32]) -> Agreement:
    """Compare probabilities (N, K); ``near_ties`` counts the other classes that a near tie excuses.

    Raises ``ExportError`` when the shapes differ or a number is not finite.
    """
    if reference.shape != other.shape or not (np.isfinite(reference).all() and np.isfinite(other).all()):
        raise ExportError(
            f"The bundle gives other values than the model: {other.shape} for {reference.shape}.",
            "Export again; if it stays so, choose another backbone.",
        )
    difference = np.abs(reference.astype(np.float64) - other)
    same = reference.argmax(axis=1) == other.argmax(axis=1)
    top_two = np.sort(reference, axis=1)[:, -2:]
    near = top_two[:, 1] - top_two[:, 0] < NEAR_TIE
    return Agreement(
        images=len(reference),
        same_class=int(same.sum()),
        near_ties=int((~same & near).sum()),
        largest_difference=float(difference.max(initial=0.0)),
        mean_difference=float(difference.mean()) if difference.size else 0.0,
    )


def require(agreement: Agreement, of: str, against: str) -> None:
    """Raise ``ExportError`` with the figures when ``agreement`` does not hold."""
    if agreement.holds:
        return
    other = agreement.images - agreement.same_class - agreement.near_ties
    raise ExportError(
        f"{of} does not agree with {against}: {other} of {agreement.images} images get another class, "
        f"probabilities differ by up to {agreement.largest_difference:.4f} ({TOLERANCE} is allowed).",
        "Nothing can be downloaded. Train again, or choose another backbone.",
    )


def run_bundle(
    folder: Path,
    files: Sequence[Path],
    classes: Sequence[str],
    check_stop: Callable[[], None],
    needed: Sequence[str] = NEEDED,
) -> NDArray[np.float32]:
    """Run the bundle's own predict.py in a process of its own on ``files`` -> probabilities (N, K).

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
    return _probabilities(found, classes)


def _wait(process: subprocess.Popen[bytes], check_stop: Callable[[], None]) -> None:
    while True:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            check_stop()
        else:
            return


def _probabilities(found: Sequence[dict[str, Any]], classes: Sequence[str]) -> NDArray[np.float32]:
    column = {name: k for k, name in enumerate(classes)}
    scores = np.full((len(found), len(classes)), np.nan, dtype=np.float32)
    for row, result in enumerate(found):
        for answer in result["predictions"]:
            scores[row, column[answer["label"]]] = answer["score"]
    return scores
