"""A bundle is whole, proven, and works without Lensmith; one that differs is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from engine.datasets import preprocessing, tiff
from engine.datasets.preprocessing import Preprocessing, normalise, prepare
from engine.errors import ConflictError, ExportError, JobCancelledError, NotFoundError
from engine.evaluation.agreement import compare_scores
from engine.export import job, parity
from engine.export.bundle import predict_script, write_zip
from engine.storage.tables import ExportRow, ReportRow
from engine.tasks.classification.report import ClassificationExaminer
from engine.tasks.classification.spec import SPEC
from engine.training.trained import load_trained
from tests.integration.small_run import CLASSES, FakeWork, SmallRun, make_run

FILES = {
    "model.onnx",
    "model.safetensors",
    "config.json",
    "classes.json",
    "preprocessing.json",
    "card.md",
    "predict.py",
    "requirements.txt",
    "checksums.sha256",
}
BLOCKER = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("engine", "torch", "timm", "onnx", "scipy", "pydantic"):
            raise ImportError(f"{name} is not there on another machine")
sys.meta_path.insert(0, Refuse())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return make_run(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def exported(small: SmallRun) -> tuple[FakeWork, dict]:
    work = small.work("export", {"run_id": small.run})
    return work, job.run(work)


@pytest.fixture(scope="module")
def folder(small: SmallRun, exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(small.settings.home / exported[1]["path"]) as archive:
        for name in archive.namelist():
            (target / name).write_bytes(archive.read(name))
    return target


def _predict(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", BLOCKER, str(folder / "predict.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)


def test_the_bundle_is_whole_and_its_checksums_hold(small, exported, folder: Path) -> None:
    path = small.settings.home / exported[1]["path"]
    assert path.name == "bins-bottles-run-7.zip"
    assert {p.name for p in folder.iterdir()} == FILES
    lines = (folder / "checksums.sha256").read_text().splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    assert set(listed) == FILES - {"checksums.sha256"}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert "heif" not in (folder / "requirements.txt").read_text()  # there is no HEIC in this set
    assert [p.name for p in exported[0].folder.iterdir()] == [path.name]  # nothing is left beside it


def test_the_row_says_what_was_proven(small: SmallRun, exported) -> None:
    work, result = exported
    with small.database.read() as session:
        row = session.get(ExportRow, work.job_id)
    assert row is not None
    content = (small.settings.home / row.path).read_bytes()
    assert row.sha256 == hashlib.sha256(content).hexdigest() == result["sha256"]
    assert row.bytes == len(content)
    assert {name for name, _ in row.files} == FILES
    assert row.parity["images"] == len(small.pictures)
    assert row.parity["same_class"] + row.parity["near_ties"] == len(small.pictures)
    assert 0 < row.parity["onnx"]["largest_difference"] <= 1e-3
    assert row.parity["safetensors"]["holds"]
    assert row.parity["report"]["holds"]


def test_predict_answers_like_the_trained_model_without_lensmith(small, folder: Path, tmp_path: Path) -> None:
    for name, content in small.pictures.items():
        (tmp_path / Path(name).name).write_bytes(content)
    done = _predict(folder, str(tmp_path), "--json", "--top", "0")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(small.pictures)
    trained = load_trained(small.settings, small.database, small.run)
    for result in found:
        expected = trained.predict(prepare(result["file"], trained.preprocessing)[None])[0]
        scores = {answer["label"]: answer["score"] for answer in result["predictions"]}
        assert [scores[name] for name in CLASSES] == pytest.approx(expected.tolist(), abs=1e-3)
        ordered = [answer["score"] for answer in result["predictions"]]
        assert ordered == sorted(ordered, reverse=True)


def test_predict_says_which_file_it_cannot_read(folder: Path, small, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(small.pictures["grey.png"])
    bad.write_bytes(small.pictures["grey.png"][:300])
    done = _predict(folder, str(good), str(bad), str(tmp_path / "absent.png"), "--json")
    assert done.returncode == 2
    first, second, third = json.loads(done.stdout)
    assert len(first["predictions"]) == len(CLASSES)
    assert not second["predictions"]
    assert "damaged" in second["error"]
    assert third["error"]
    assert "bad.png" in done.stderr
    plain = _predict(folder, str(good))
    assert plain.returncode == 0
    assert any(name in plain.stdout for name in CLASSES)
    assert _predict(folder).returncode == 2


def test_predict_contains_the_preprocessing_verbatim() -> None:
    script = predict_script(SPEC)
    for part in (tiff, preprocessing):
        code = Path(str(part.__file__)).read_text().split("from __future__ import annotations\n")[1]
        imported = "from engine.datasets.tiff import "
        for piece in re.split(rf"^{imported}.*\n", code, flags=re.MULTILINE):
            assert piece in script
    assert "engine." not in script


def test_timm_loads_the_safetensors(small: SmallRun, folder: Path) -> None:
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert model.num_classes == len(CLASSES)
    record = Preprocessing.from_dict(json.loads((folder / "preprocessing.json").read_text()))
    assert tuple(model.pretrained_cfg["mean"]) == pytest.approx(record.mean)
    trained = load_trained(small.settings, small.database, small.run)
    pixels = np.stack([prepare(content, record) for content in small.pictures.values()])
    with torch.inference_mode():
        scores = model(torch.from_numpy(normalise(pixels, record))).softmax(dim=1).numpy()
    np.testing.assert_allclose(scores, trained.predict(pixels), atol=1e-6)


def test_the_onnx_file_is_self_contained(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    batch, channels, height, width = model.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param
    assert (channels.dim_value, height.dim_value, width.dim_value) == (3, 64, 64)
    about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert about["classes"] == list(CLASSES)


def test_no_path_of_this_machine_leaves_it(small: SmallRun, folder: Path) -> None:
    here = (str(Path(job.__file__).parents[2]), str(Path(timm.__file__).parent), str(small.settings.home))
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not [name for name in here if name.encode() in content], path.name
    assert "/secret/" not in (folder / "card.md").read_text()
    assert "mine.safetensors" in (folder / "card.md").read_text()


def test_the_card_tells_figures_and_escapes_names(folder: Path) -> None:
    card = (folder / "card.md").read_text()
    for section in ("## Data", "## Results", "## Proof", "## Training", "## Limits", "## Versions"):
        assert section in card
    assert "Bins \\& \\*bottles\\*" in card
    assert "<b>" not in card.replace("\\<b", "")
    assert "Right answers (top-1)" in card
    assert "onnxruntime" in card
    for line in card.splitlines():  # an escaped bar opens no further column
        if line.startswith("| metal"):
            assert line.replace("\\|", "").count("|") == 5


def test_the_same_folder_gives_the_same_zip(folder: Path, tmp_path: Path) -> None:
    write_zip(folder, tmp_path / "a.zip")
    os.utime(folder / "card.md", (1, 1))
    write_zip(folder, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_network_that_differs_is_refused(small: SmallRun, monkeypatch: pytest.MonkeyPatch) -> None:
    right = job.write_onnx

    def wrong(model, height, width, path, about) -> None:
        with torch.no_grad():
            kept = model.get_classifier().bias.clone()
            model.get_classifier().bias[0] += 0.05
            right(model, height, width, path, about)
            model.get_classifier().bias.copy_(kept)

    monkeypatch.setattr(job, "write_onnx", wrong)
    work = small.work("export", {"run_id": small.run})
    with pytest.raises(ExportError, match=r"does not agree with the trained model.*differ by up to 0\.0"):
        job.run(work)
    assert not list(work.folder.glob("*.zip"))


def test_a_report_of_another_model_is_refused(tmp_path: Path) -> None:
    small = make_run(tmp_path)
    path = small.model_folder / "model.safetensors"
    state = load_file(path)
    name = next(key for key in state if key.endswith("fc.bias") or key.endswith("classifier.bias"))
    save_file({**state, name: state[name] + torch.tensor([0.5, 0, 0, 0])}, path)
    with pytest.raises(ExportError, match="the run's report"):
        job.run(small.work("export", {"run_id": small.run}))


def test_runs_without_a_model_or_without_images_are_refused(tmp_path: Path) -> None:
    small = make_run(tmp_path)
    with pytest.raises(NotFoundError):
        job.run(small.work("export", {"run_id": "no-such-run"}))
    with small.database.write() as session:
        row = session.get(ReportRow, small.run)
        row.report = {**row.report, "results": []}
    with pytest.raises(ExportError, match="no image"):
        job.run(small.work("export", {"run_id": small.run}))
    with small.database.write() as session:
        session.delete(session.get(ReportRow, small.run))
    with pytest.raises(ConflictError):
        job.run(small.work("export", {"run_id": small.run}))


def test_a_stop_ends_the_export(small: SmallRun) -> None:
    work = small.work("export", {"run_id": small.run})
    work.stop = "cancel"
    with pytest.raises(JobCancelledError):
        job.run(work)


@pytest.mark.parametrize(("backbone", "model_args"), [("test_convnext", {}), ("test_vit", {"img_size": 64})])
def test_other_families_are_proven_too(tmp_path: Path, backbone: str, model_args: dict) -> None:
    small = make_run(tmp_path, backbone, model_args)
    result = job.run(small.work("export", {"run_id": small.run}))
    assert result["parity"]["holds"]
    assert result["parity"]["images"] == len(small.pictures)


def test_agreement_excuses_only_near_ties() -> None:
    reference = np.array([[0.5005, 0.4995], [0.9, 0.1]], dtype=np.float32)
    flipped = np.array([[0.4998, 0.5002], [0.9, 0.1]], dtype=np.float32)
    near = compare_scores(reference, flipped)
    assert (near.same_class, near.near_ties) == (1, 1)
    assert near.holds
    clear = np.array([[0.502, 0.498], [0.9, 0.1]], dtype=np.float32)
    assert not compare_scores(clear, clear[:, ::-1]).holds
    assert not compare_scores(reference, reference + np.float32(0.0011)).holds
    with pytest.raises(ExportError, match="other values"):
        parity.compare(ClassificationExaminer(("a", "b")), [[{"label": "a", "score": 1.0}]], [[]])
