"""Weights files of strangers: damaged, hostile or odd ones end in a sentence, and take no memory first."""

from __future__ import annotations

import errno
import json
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from engine.errors import JobCancelledError, WeightsError
from engine.models.torch_files import read_state, readable_file
from engine.models.weights_archive import open_source
from engine.models.weights_file import FileConfig, check_file, read_config, read_header
from engine.settings import Limits, Settings
from tests.training import make_settings

DAMAGED = 300
STATE = {
    "conv.weight": torch.linspace(-1, 1, 108).reshape(4, 3, 3, 3),
    "bn.weight": torch.ones(4),
    "bn.num_batches_tracked": torch.tensor(3),
    "fc.weight": torch.linspace(0, 1, 40).reshape(10, 4),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "home")


def unpack(path: Path, name: str = "") -> tuple[Path, FileConfig]:
    folder = path.parent / "job"
    folder.mkdir(exist_ok=True)
    return open_source(path, name or path.name, folder, Limits(), lambda: None)


def pack(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def weights(folder: Path) -> bytes:
    save_file(STATE, folder / "plain.safetensors")
    return (folder / "plain.safetensors").read_bytes()


def make(kind: str, path: Path) -> None:
    if kind == "safetensors":
        save_file(STATE, path)
    elif kind == "zip":
        pack(path, {"m/w.safetensors": weights(path.parent), "m/config.json": b"{}"}, zipfile.ZIP_DEFLATED)
    else:
        checkpoint = {"state_dict": STATE, "epoch": 3}
        torch.save(checkpoint, path, _use_new_zipfile_serialization=kind == "pth")


def read(settings: Settings, path: Path) -> dict[str, torch.Tensor]:
    return read_state(settings, unpack(path)[0])[0]


@pytest.mark.parametrize("kind", ["pth", "legacy.pth", "safetensors", "zip"])
def test_damage_anywhere_is_a_sentence(settings: Settings, tmp_path: Path, kind: str) -> None:
    make(kind, tmp_path / f"whole.{kind}")
    assert read(settings, tmp_path / f"whole.{kind}").keys() == STATE.keys()
    whole = (tmp_path / f"whole.{kind}").read_bytes()
    chance = random.Random(7)
    refused = 0
    for attempt in range(DAMAGED):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 10)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path = tmp_path / f"w{attempt}.{kind}"
        path.write_bytes(content[: chance.randrange(len(content))] if attempt % 10 == 0 else content)
        try:
            read(settings, path)
        except WeightsError:
            refused += 1
    assert refused > DAMAGED / 2
    assert not list((settings.cache / "weights").glob(".*"))


def itself() -> dict[str, Any]:
    content: dict[str, Any] = {"w": torch.ones(2)}
    content["model"] = content
    return content


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"w": torch.zeros(1).expand(10**13)}, "37,252.9 GiB"),
        ({str(at): torch.zeros(1).expand(2**24) for at in range(9)}, "0.6 GiB"),
        (itself(), "no weights"),
        ({"w": torch.empty(3, device="meta")}, "without numbers"),
        ({"w": torch.empty(3, dtype=torch.complex128)}, "safetensors"),
        ({"w": torch.ones(2), "\ud800": torch.ones(2)}, "safetensors"),
        ([torch.ones(2)], "no weights"),
    ],
)
def test_a_hostile_torch_file_is_refused_before_it_takes_memory(
    settings: Settings, tmp_path: Path, content: Any, sentence: str
) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=sentence):
        readable_file(settings, tmp_path / "w.pth")
    assert not list((settings.cache / "weights").iterdir())


@pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore:torch.quantize_per_tensor")
def test_sparse_and_quantised_torch_files_are_refused(settings: Settings, tmp_path: Path) -> None:
    torch.save({"w": torch.eye(3).to_sparse()}, tmp_path / "sparse.pth")
    torch.save({"w": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, tmp_path / "int8.pth")
    for name in ("sparse.pth", "int8.pth"):
        with pytest.raises(WeightsError, match="quantised, sparse"):
            readable_file(settings, tmp_path / name)


def test_tensors_that_share_memory_become_their_own(settings: Settings, tmp_path: Path) -> None:
    table = torch.arange(12.0).reshape(3, 4)
    torch.save({"table": table, "tied": table, "turned": table.T, "row": table[1]}, tmp_path / "w.pth")
    state, _ = read_state(settings, tmp_path / "w.pth")
    assert torch.equal(state["table"], table) and torch.equal(state["tied"], table)
    assert torch.equal(state["turned"], table.T) and torch.equal(state["row"], table[1])


def test_a_torch_file_packed_again_is_read(settings: Settings, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pack(tmp_path / "again.pth", members, zipfile.ZIP_DEFLATED)
    state, _ = read_state(settings, tmp_path / "again.pth")
    assert all(torch.equal(state[name], value) for name, value in STATE.items())


def test_a_full_disk_is_no_fault_of_the_file(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    torch.save(STATE, tmp_path / "w.pth")
    monkeypatch.setattr("engine.models.torch_files.save_file", full)
    with pytest.raises(OSError) as caught:
        readable_file(settings, tmp_path / "w.pth")
    assert caught.value.errno == errno.ENOSPC


def test_quantised_weights_are_refused_wherever_they_are_given(settings: Settings, tmp_path: Path) -> None:
    state = {"a.weight": torch.ones(3, 3, dtype=torch.int8), "a.scale": torch.ones(3)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        with pytest.raises(WeightsError, match=r"quantised \(I8\)"):
            read_state(settings, tmp_path / name)


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(offsets=[0, 0]), "b": entry()},
        {"a": {"dtype": "F32", "data_offsets": [0, 8]}},
        {"a": entry(offsets=[0, float("inf")])},
        {"a": entry(shape=[2.0])},
        {"a": entry(shape=[True, 2])},
        {"a": entry(shape=[-1, -2])},
        {"a": entry(shape=[1] * 65 + [2])},
        {"a": entry(dtype="F33")},
        {"a": entry(dtype=["F32"])},
        {"a": entry(shape=[1], offsets=[4, 8])},
        {"a": entry(), "b": entry(shape=[1], offsets=[4, 8])},
        {"a": entry(shape=[3])},
    ],
)
def test_a_header_whose_entries_do_not_agree_is_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(WeightsError, match="damaged safetensors header"):
        read_header(tmp_path / "w.safetensors")


def test_every_type_that_safetensors_writes_is_known(tmp_path: Path) -> None:
    kinds = [torch.bool, torch.uint8, torch.int16, torch.float16, torch.bfloat16, torch.float64, torch.int64]
    kinds += [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint32, torch.complex64]
    state = {str(kind): torch.zeros(3, 2, dtype=kind) for kind in kinds}
    save_file({**state, "none": torch.zeros(0, 4), "one": torch.tensor(1.0)}, tmp_path / "w.safetensors")
    assert len(read_header(tmp_path / "w.safetensors")) == len(kinds) + 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"mean": [123.7, 116.8, 103.9]}', "divide .* by 255"),
        ('{"std": [58.4, 57.1, 57.4]}', "divide .* by 255"),
        ('{"std": [0, 0, 0]}', "not 0"),
        ('{"mean": [-0.5, 0.5, 0.5]}', "from 0 to 1"),
        ('{"mean": [NaN, 0.5, 0.5]}', "three finite numbers"),
        ('{"std": [1e999, 1, 1]}', "three finite numbers"),
        ('{"mean": [0.5]}', "three finite numbers"),
        ('{"mean": ["0.5", "0.5", "0.5"]}', "three finite numbers"),
        ('{"input_size": [3, 1e400, 1e400]}', "input_size"),
        ('{"input_size": [3, 0, 0]}', "input_size"),
        ('{"crop_pct": "all"}', "crop_pct"),
        ('{"architecture": ["resnet18"]}', "architecture"),
        ('{"model_args": [["a", 1]]}', "model_args"),
        ("[]", "names and values"),
        ('{"pretrained_cfg": 3}', "cannot be used"),
        ("[" * 20_000, "cannot be used"),
    ],
)
def test_a_config_that_cannot_be_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=sentence):
        read_config(tmp_path / "w.safetensors")


def test_a_config_may_leave_things_out(tmp_path: Path) -> None:
    inner = '{"input_size": [3, 96, 96], "std": [1, 1, 1], "mean": null}'
    text = f'{{"architecture": null, "pretrained_cfg": {inner}}}'
    (tmp_path / "config.json").write_text(text, encoding="utf-8-sig")
    found = read_config(tmp_path / "w.safetensors")
    assert found == FileConfig(input_size=96, std=(1.0, 1.0, 1.0))


def test_the_config_in_a_zip_is_the_one_beside_the_weights(tmp_path: Path) -> None:
    members = {
        "config.json": b'{"architecture": "another"}',
        "__MACOSX/._w.safetensors": b"x",
        "net/._w.safetensors": b"x",
        "net/w.safetensors": weights(tmp_path),
        "net/config.json": b'{"architecture": "resnet18"}',
    }
    file, config = unpack(pack(tmp_path / "a.zip", members))
    assert (file.name, config.architecture) == ("w.safetensors", "resnet18")
    assert file.read_bytes() == members["net/w.safetensors"]
    del members["net/config.json"]
    (tmp_path / "b").mkdir()
    assert unpack(pack(tmp_path / "b" / "b.zip", members))[1] == FileConfig()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["r1/model.safetensors", "r2/model.safetensors"], "several weights files"),
        (["w.bin", "read.me"], "no weights file"),
        (["../../w.pth"], "leaves the archive"),
    ],
)
def test_a_zip_without_one_weights_file_is_refused(tmp_path: Path, names: list[str], sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence):
        unpack(pack(tmp_path / "w.zip", {name: weights(tmp_path) for name in names}))


def test_a_zip_made_to_fill_a_disk_is_refused_before_it_does(tmp_path: Path) -> None:
    bomb = pack(tmp_path / "w.zip", {"w.safetensors": bytes(12 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="100 times"):
        unpack(bomb)
    large = pack(tmp_path / "l.zip", {"w.safetensors": weights(tmp_path)})
    with pytest.raises(WeightsError, match="limit"):
        open_source(large, "l.zip", tmp_path, Limits(weights_bytes=100), lambda: None)
    chatty = pack(tmp_path / "c.zip", {"w.pth": b"x", "config.json": b" " * (2**20 + 1)})
    with pytest.raises(WeightsError, match=r"config\.json.*limit"):
        unpack(chatty)


def test_what_only_calls_itself_a_zip_is_no_code(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "w.zip").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="no ZIP that can be read"):
        unpack(tmp_path / "w.zip")
    with pytest.raises(WeightsError, match="an archive"):
        check_file(settings, tmp_path / "w.zip")


def test_unpacking_can_be_stopped_and_a_full_disk_is_told(tmp_path: Path) -> None:
    def stop() -> None:
        raise JobCancelledError("stop")

    path = pack(tmp_path / "w.zip", {"w.safetensors": weights(tmp_path)})
    with pytest.raises(JobCancelledError):
        open_source(path, "w.zip", tmp_path, Limits(), stop)
    full = tmp_path / "unpacked" / "w.safetensors"
    full.unlink()
    full.symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        open_source(path, "w.zip", tmp_path, Limits(), lambda: None)
    assert caught.value.errno == errno.ENOSPC


def test_an_upload_has_its_name_again(tmp_path: Path) -> None:
    (tmp_path / "0a1b").write_bytes(weights(tmp_path))
    file, config = unpack(tmp_path / "0a1b", "net.safetensors")
    assert (file.name, config) == ("net.safetensors", FileConfig())
    assert len(read_header(file)) == len(STATE)
    with pytest.raises(WeightsError, match="cannot be opened"):
        check_file(make_settings(tmp_path / "home"), Path("/" + 5000 * "w" + ".pth"))
