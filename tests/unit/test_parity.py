"""The proof of a bundle runs it as another machine would: only what predict.py may need is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import ExportError
from engine.export.parity import NEEDED, NEEDED_FOR_HEIC, run_bundle
from engine.tasks.base import Said

ANSWER = json.dumps([{"predictions": [{"label": "a", "score": 0.75}, {"label": "b", "score": 0.25}]}])


def _bundle(folder: Path, *lines: str) -> Path:
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "predict.py").write_text("\n".join([*lines, f"print({ANSWER!r})"]))
    return bundle


def _run(bundle: Path) -> list[Said]:
    return run_bundle(bundle, [bundle / "one.png"], lambda: None)


@pytest.mark.parametrize("package", ["engine", "engine.errors", "torch", "timm", "pydantic"])
def test_a_bundle_that_needs_more_is_refused(tmp_path: Path, package: str) -> None:
    with pytest.raises(ExportError, match="is not there on another machine"):
        _run(_bundle(tmp_path, f"import {package}"))


@pytest.mark.parametrize("package", NEEDED)
def test_what_a_bundle_may_need_is_there(tmp_path: Path, package: str) -> None:
    found = _run(_bundle(tmp_path, f"import sysconfig, {package}; sysconfig.get_config_vars()"))
    assert [answer["score"] for answer in found[0]] == [0.75, 0.25]


def test_what_reads_heic_is_there_where_the_bundle_asks_for_it(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, "import pillow_heif", "pillow_heif.HeifImageFile")
    with pytest.raises(ExportError, match="pillow_heif is not there on another machine"):
        _run(bundle)
    needed = (*NEEDED, *NEEDED_FOR_HEIC)
    assert [len(said) for said in run_bundle(bundle, [bundle / "one.png"], lambda: None, needed)] == [2]


def test_the_bundle_gets_its_own_arguments(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, "import sys", "assert sys.argv[0] == __file__", "assert '--json' in sys.argv")
    assert _run(bundle) == [json.loads(ANSWER)[0]["predictions"]]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
