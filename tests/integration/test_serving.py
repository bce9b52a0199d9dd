"""The prediction process: answers, manners, limits, and its client's patience."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from engine.contracts.predictions import FilePrediction
from engine.datasets.preprocessing import prepare
from engine.errors import InputError, JobCancelledError, NotFoundError, UnavailableError, WeightsError
from engine.export import job
from engine.serving import bundles, client, models, protocol, server
from engine.settings import Settings
from engine.training.trained import load_trained
from tests.integration.small_run import CLASSES, SmallRun, make_run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return make_run(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def bundle(small: SmallRun) -> Path:
    result = job.run(small.work("export", {"run_id": small.run}))
    return small.settings.home / result["path"]


class Served:
    """A prediction process in a thread, with what it returned or raised."""

    def __init__(self, small: SmallRun, idle: float = 600.0) -> None:
        timing = dataclasses.replace(small.settings.timing, serving_idle=idle)
        self.work = small.work("serve", {})
        self.work.settings = dataclasses.replace(small.settings, timing=timing)
        self.ended: object = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.ended = server.run(self.work)
        except JobCancelledError as error:
            self.ended = error

    def start(self) -> None:
        if not self.thread.is_alive() and self.ended is None:
            self.thread.start()

    def stop(self) -> object:
        self.work.stop = "cancel"
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.ended


@pytest.fixture(scope="module")
def served(small: SmallRun) -> Iterator[Served]:
    process = Served(small)
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def ask(small: SmallRun, served: Served) -> Callable[..., tuple[FilePrediction, ...]]:
    def predict(target: str | Path, *files: tuple[str, bytes]) -> tuple[FilePrediction, ...]:
        return client.predict(small.settings, target, files, 60.0, wake=lambda: None)

    return predict


def test_a_run_answers_in_order_with_all_classes_best_first(small: SmallRun, ask) -> None:
    files = list(small.pictures.items())
    found = ask(small.run, *files)
    assert [item.file for item in found] == [name for name, _ in files]
    trained = load_trained(small.settings, small.database, small.run)
    for item, (_, content) in zip(found, files, strict=True):
        expected = trained.predict(prepare(content, trained.preprocessing)[None])[0]
        assert {p.label: p.score for p in item.predictions} == pytest.approx(
            dict(zip(CLASSES, expected.tolist(), strict=True)), abs=1e-5
        )
        scores = [p.score for p in item.predictions]
        assert scores == sorted(scores, reverse=True)
        assert item.milliseconds is not None
        assert item.milliseconds > 0


def test_a_bad_file_is_a_sentence_among_good_answers(small: SmallRun, ask) -> None:
    good = small.pictures["grey.png"]
    found = ask(small.run, ("a.png", good), ("cut.png", good[:200]), ("b.txt", b"hello"), ("c.png", good))
    assert [bool(item.error) for item in found] == [False, True, True, False]
    assert found[1].predictions == ()
    assert "damaged" in found[1].error
    assert found[0].predictions == found[3].predictions
    assert ask(small.run, ("only.png", b""))[0].error


def test_more_files_than_one_request_holds(small: SmallRun, ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "REQUEST_FILES", 3)
    picture = small.pictures["grey.png"]
    monkeypatch.setattr(client, "FILE_BYTES", len(picture))
    files = [(f"{n}.png", picture) for n in range(7)]
    files[2] = ("large.png", picture + b"0")
    found = ask(small.run, *files)
    assert [item.file for item in found] == [name for name, _ in files]
    assert [bool(item.error) for item in found] == [n == 2 for n in range(7)]


def test_a_bundle_answers_as_zip_and_as_folder(small: SmallRun, bundle: Path, ask, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        for name in archive.namelist():
            (tmp_path / name).write_bytes(archive.read(name))
    (tmp_path / "predict.py").write_text("raise SystemExit('this must never run')")
    files = list(small.pictures.items())
    by_run, by_zip, by_folder = (ask(target, *files) for target in (small.run, bundle, tmp_path))
    for one, two, three in zip(by_run, by_zip, by_folder, strict=True):
        scores = {p.label: p.score for p in one.predictions}
        assert {p.label: p.score for p in two.predictions} == pytest.approx(scores, abs=1e-3)
        assert two.predictions == three.predictions


def test_unknown_targets_are_named(small: SmallRun, ask, tmp_path: Path) -> None:
    picture = ("a.png", small.pictures["grey.png"])
    with pytest.raises(NotFoundError):
        ask("no-such-run", picture)
    with pytest.raises(NotFoundError):
        ask(tmp_path / "absent.zip", picture)
    with pytest.raises(InputError, match="bundle"):
        ask(tmp_path, picture)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("model.onnx", b"garbage", WeightsError),
        ("model.onnx", b"", WeightsError),
        ("classes.json", b"{}", InputError),
        ("classes.json", b"[" * 100_000, InputError),
        ("classes.json", b'[{"name": "just one"}]', WeightsError),
        ("preprocessing.json", b"[1]", InputError),
        ("preprocessing.json", b'{"height": 16000, "width": 16000}', InputError),
        ("preprocessing.json", b'{"height": 32, "width": 32}', WeightsError),
        ("preprocessing.json", b'{"height": 64, "width": 64, "mean": ["x", 0, 0]}', WeightsError),
        ("preprocessing.json", None, InputError),
    ],
)
def test_crafted_bundles_are_refused(bundle: Path, tmp_path: Path, name: str, content, error) -> None:
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(changed, "w") as new:
        for member in old.namelist():
            data = content if member == name else old.read(member)
            if data is not None:
                new.writestr(member, data)
    with pytest.raises(error) as raised:
        bundles.open_bundle(changed)
    assert raised.value.message


def test_no_archive_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK but nothing else")
    with pytest.raises(InputError, match="not a bundle"):
        bundles.open_bundle(tmp_path / "a.zip")


@pytest.mark.parametrize("where", ["initializer", "constant", "subgraph"])
def test_external_data_is_refused_before_any_loader(bundle: Path, tmp_path: Path, where: str) -> None:
    with zipfile.ZipFile(bundle) as archive:
        model = onnx.load_model_from_string(archive.read("model.onnx"))
    tensor = onnx.TensorProto(name="outside", dims=[1], data_type=onnx.TensorProto.FLOAT)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    if where == "initializer":
        model.graph.initializer.append(tensor)
    else:
        constant = onnx.helper.make_node("Constant", [], ["y"], value=tensor)
        graph = onnx.helper.make_graph([constant], "inner", [], [])
        branch = onnx.helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=graph)
        model.graph.node.append(constant if where == "constant" else branch)
    with pytest.raises(WeightsError, match="outside itself"):
        bundles.refuse_external_data(model.SerializeToString())


def test_few_models_stay_and_the_oldest_goes(small: SmallRun, bundle: Path, monkeypatch) -> None:
    loaded: list[str] = []
    warm = models.WarmModels(small.settings, small.database)
    whole = warm._load_run(small.run)

    def load(run: str) -> models.Loaded:
        loaded.append(run)
        return whole

    monkeypatch.setattr(warm, "_load_run", load)
    picture = small.pictures["grey.png"]
    for run in ("a", "b", "c", "a", "d", "a", "b"):
        warm.answer({"run": run, "names": ["x"]}, [picture])
        assert warm.kept <= models.KEPT
    assert loaded == ["a", "b", "c", "d", "b"]
    with pytest.raises(InputError):
        warm.answer({"names": ["x"]}, [picture])
    with pytest.raises(InputError):
        warm.answer({"run": "a", "names": []}, [picture])


def test_a_wrong_token_gets_nothing(small: SmallRun, served: Served, ask) -> None:
    ask(small.run, ("a.png", small.pictures["grey.png"]))
    address = protocol.read_address(small.settings)
    assert address is not None
    assert address.pid == os.getpid()
    assert protocol.address_path(small.settings).stat().st_mode & 0o777 == 0o600
    for header in ({"token": "guessed"}, {"token": None}, {}):
        assert _raw(address.port, {**header, "run": small.run, "names": []}) == b""
    right = _raw(address.port, {"token": address.token, "run": small.run, "names": []})
    assert b"answers" in right


def test_nonsense_on_the_port_does_not_hurt(small: SmallRun, served: Served, ask) -> None:
    address = protocol.read_address(small.settings)
    assert address is not None
    for content in (b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b""):
        with socket.create_connection(("127.0.0.1", address.port), timeout=20) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
    assert ask(small.run, ("a.png", small.pictures["grey.png"]))[0].predictions


@pytest.mark.parametrize("sizes", [[-1], [2**40], "many", [1.5], [True], [0] * 100])
def test_announced_sizes_are_checked_before_reading(sizes: object) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.receive_blobs(io.BytesIO(), {"sizes": sizes})


def test_messages_come_back_whole() -> None:
    stream = io.BytesIO()
    protocol.send(stream, {"names": ["ö\n"]}, [b"abc", b""])
    stream.seek(0)
    header = protocol.receive_header(stream)
    assert header["names"] == ["ö\n"]
    assert protocol.receive_blobs(stream, header) == [b"abc", b""]
    with pytest.raises(protocol.ProtocolError):
        protocol.receive_header(stream)


def test_it_ends_when_idle_and_is_woken_again(small: SmallRun, tmp_path: Path) -> None:
    own = dataclasses.replace(small, settings=_same_files_other_address(small.settings, tmp_path))
    first, second = Served(own, idle=1.5), Served(own, idle=1.5)
    picture = ("a.png", small.pictures["grey.png"])
    assert client.predict(own.settings, small.run, [picture], 60.0, wake=first.start)[0].predictions
    first.thread.join(60)
    assert first.ended == {"requests": 1}
    assert not protocol.address_path(own.settings).exists()
    assert client.predict(own.settings, small.run, [picture], 60.0, wake=second.start)[0].predictions
    assert isinstance(second.stop(), JobCancelledError)
    assert not protocol.address_path(own.settings).exists()


def _same_files_other_address(settings: Settings, folder: Path) -> Settings:
    """The same database and runs, but another place for serving.json."""
    home = folder / "home"
    home.mkdir()
    (home / "runs").symlink_to(settings.runs)
    return dataclasses.replace(settings, home=home)


def test_without_a_process_it_says_so_in_time(tmp_path: Path) -> None:
    settings = Settings.from_environment({"LENSMITH_HOME": str(tmp_path)})
    calls: list[float] = []
    with pytest.raises(UnavailableError, match="did not start") as raised:
        client.predict(settings, "run", [("a", b"")], 0.3, wake=lambda: calls.append(time.monotonic()))
    assert raised.value.hint
    assert calls
    # A file left behind by a process that is gone, or whose number is used again, is no process.
    alive = {"port": 1, "token": "t", "pid": os.getpid(), "pid_started": 12345.0}
    for content in (json.dumps(alive), json.dumps({**alive, "pid": 2**22 + 1}), "{", "{}", "[]"):
        protocol.address_path(settings).write_text(content)
        assert protocol.read_address(settings) is None


def test_a_request_that_ends_the_process_is_given_up(tmp_path: Path) -> None:
    settings = Settings.from_environment({"LENSMITH_HOME": str(tmp_path)})
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(client.LOST_ANSWERS):
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(4))

        threading.Thread(target=hang_up, daemon=True).start()
        protocol.publish(settings, listener.getsockname()[1], "token")
        with pytest.raises(UnavailableError, match="ended while it worked"):
            client.predict(settings, "run", [("a", b"x")], 20.0, wake=lambda: None)
    assert len(seen) == client.LOST_ANSWERS


def test_the_client_loads_no_heavy_library() -> None:
    script = (
        "import sys, engine.serving.client; "
        "print([n for n in ('torch', 'timm', 'onnxruntime', 'onnx', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _raw(port: int, header: dict) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
        connection.makefile("rwb") as stream,
    ):
        protocol.send(stream, header)
        return stream.read()
