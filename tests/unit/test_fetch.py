"""Fetching published weights from a stand-in hub: whatever happens on the way, only whole files count.

``fetch`` runs in a process of its own, because the hub's client reads its environment when it is imported.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import socketserver
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from engine.errors import WeightsError
from engine.models.fetch import fetch
from engine.models.published import Published
from engine.models.transfer import never, nobody
from engine.settings import Settings
from tests.fetcher import SHORT, Fetcher
from tests.hub import Fault, StandInHub

SIZE = 300_000
HALF = SIZE // 2
REVISION = "b" * 40


@pytest.fixture(scope="module")
def hub() -> Iterator[StandInHub]:
    with StandInHub() as server:
        yield server


@pytest.fixture(autouse=True)
def no_faults(hub: StandInHub) -> Iterator[None]:
    yield
    hub.faults.clear()
    hub.seen.clear()


@pytest.fixture(scope="module")
def fetcher(hub: StandInHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetcher]:
    child = Fetcher(tmp_path_factory.mktemp("fetcher"), hub.address)
    yield child
    child.kill()


@pytest.fixture
def content(request: pytest.FixtureRequest) -> bytes:
    """Bytes that no other test has."""
    start = request.node.name.encode() + b"."
    return (start * (SIZE // len(start) + 1))[:SIZE]


def on_hub(hub: StandInHub, content: bytes, library: str = "timm", revision: str | None = None) -> Published:
    """Publish these bytes on the hub; each content is a repository of its own."""
    owner = {"timm": "timm", "smp": "smp-hub"}[library]
    stem = content[:100].split(b".")[0].decode()
    name = "".join(letter if letter.isalnum() else "-" for letter in stem).strip("-").replace("--", "-")
    repository = f"{owner}/{name}.imagenet"
    hub.add(repository, content)
    hub.add(repository, b'{"mean": [0.5, 0.5, 0.5]}', "config.json")
    return Published("x", library, repository, "model.safetensors", revision, "", "", None, "")  # type: ignore[arg-type]


def at_address(hub: StandInHub, content: bytes) -> Published:
    """Publish these bytes as torchvision does."""
    url = hub.add_address("alexnet", content)
    stem = Path(url).name
    digits = stem.removesuffix(".pth").rpartition("-")[2]
    return Published("torchvision/alexnet", "torchvision", "", stem, None, url, "", None, digits)


@pytest.fixture(params=["hub", "address"])
def published(request: pytest.FixtureRequest, hub: StandInHub, content: bytes) -> Published:
    return on_hub(hub, content) if request.param == "hub" else at_address(hub, content)


def check_next_try(fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes) -> None:
    """After whatever went wrong: nothing counts as cached, and a plain try ends with the right bytes."""
    hub.faults.clear()
    assert fetcher("cached", published)["value"] is None
    reply = fetcher("fetch", published)
    assert reply["error"] is None
    assert Path(reply["value"]).read_bytes() == content
    assert fetcher("cached", published)["value"] == reply["value"]
    assert fetcher.partial_files() == []


def test_what_is_fetched_is_whole_reported_and_kept(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    told = fetcher("ask", published)["value"]
    assert told["bytes"] == SIZE
    reply = fetcher("fetch", published)
    assert Path(reply["value"]).read_bytes() == content
    assert reply["progress"][-1] == [SIZE, SIZE]
    hub.seen.clear()
    again = fetcher("fetch", published)
    assert again["value"] == reply["value"]
    assert hub.seen == []  # from the cache, without a word to the hub
    items = {item["name"]: item for item in fetcher("items")["value"]}
    assert items[published.name]["bytes"] == SIZE
    assert items[published.name]["path"] == reply["value"]
    assert fetcher("remove", published)["value"] >= SIZE
    check_next_try(fetcher, hub, published, content)


def test_after_a_cut_line_the_next_try_is_whole(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    hub.spoil(content, Fault("cut", HALF))
    reply = fetcher("fetch", published, timeout=1.5 * SHORT)
    assert reply["kind"] == "WeightsError"
    assert "cut" in reply["error"] or "does not answer" in reply["error"]
    hub.seen.clear()
    check_next_try(fetcher, hub, published, content)
    if published.url:
        assert ("GET", f"models/{published.file}", HALF) in hub.seen  # it went on, and did not begin again


def test_a_line_cut_once_costs_no_second_try(fetcher: Fetcher, hub: StandInHub, content: bytes) -> None:
    published = on_hub(hub, content)
    hub.spoil(content, Fault("cut", HALF, times=1))
    reply = fetcher("fetch", published)
    assert reply["error"] is None
    assert Path(reply["value"]).read_bytes() == content
    blob = f"cdn/{hashlib.sha256(content).hexdigest()}"
    first, second = (start for method, key, start in hub.seen if (method, key) == ("GET", blob))
    assert first == 0 < second <= HALF


def test_a_slow_line_is_not_a_silent_one(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    hub.spoil(content, Fault("slow"))  # 1.8 s in all, and the limit of silence is 1 s
    reply = fetcher("fetch", published, timeout=SHORT)
    assert reply["error"] is None
    done = [count for count, _ in reply["progress"]]
    assert len(done) > 3
    assert done == sorted(done)
    assert {total for _, total in reply["progress"]} == {SIZE}


def test_a_stall_ends_within_the_limit(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    hub.spoil(content, Fault("stall", HALF))
    hub.seen.clear()
    reply = fetcher("fetch", published, timeout=SHORT)
    assert reply["kind"] == "WeightsError"
    assert "does not answer" in reply["error"]
    # The hub's client alone would ask six times, each time for the whole limit.
    assert len([key for method, key, _ in hub.seen if method == "GET"]) <= 2
    check_next_try(fetcher, hub, published, content)


def test_wrong_bytes_of_the_right_length_are_removed(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    hub.spoil(content, Fault("wrong", HALF))
    reply = fetcher("fetch", published)
    assert reply["kind"] == "WeightsError"
    assert "checksum differs" in reply["error"]
    assert fetcher.partial_files() == []
    check_next_try(fetcher, hub, published, content)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (503, "just now", "HubSilentError"),
        (404, "does not have", "WeightsError"),
        (401, "wants a login", "WeightsError"),
    ],
)
def test_a_refusal_is_a_sentence(
    fetcher: Fetcher,
    hub: StandInHub,
    published: Published,
    content: bytes,
    status: int,
    words: str,
    kind: str,
) -> None:
    hub.faults["*"] = Fault("refuse", status=status)
    for call in ("fetch", "ask"):
        reply = fetcher(call, published)
        assert reply["kind"] == kind
        assert words in reply["error"]
        assert str(status) in reply["error"]
    check_next_try(fetcher, hub, published, content)


def test_a_server_that_never_answers_is_given_up(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    hub.faults["*"] = Fault("silent")
    reply = fetcher("fetch", published, timeout=SHORT)
    assert reply["kind"] == "HubSilentError"
    assert "does not answer" in reply["error"]
    check_next_try(fetcher, hub, published, content)


def test_a_name_that_is_never_found_is_given_up(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    for call in ("fetch", "ask"):
        reply = fetcher(call, published, names_hang=True, timeout=SHORT)
        assert reply["kind"] == "HubSilentError"
        assert "nothing came for 1 s" in reply["error"]
    check_next_try(fetcher, hub, published, content)


def test_cancelling_leaves_nothing_that_counts(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    hub.spoil(content, Fault("stall", HALF))
    assert fetcher("fetch", published, stop_at=1)["kind"] == "JobCancelledError"
    check_next_try(fetcher, hub, published, content)


def test_a_full_disk_is_told_before_the_download(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    reply = fetcher("fetch", published, free=SIZE - 1)
    assert reply["kind"] == "WeightsError"
    assert "disk is too small" in reply["error"]
    assert reply["progress"] == []
    check_next_try(fetcher, hub, published, content)


def test_offline_asks_nobody(fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes) -> None:
    reply = fetcher("fetch", published, offline=True)
    assert "offline" in reply["error"]
    assert reply["hint"]
    assert hub.seen == []
    check_next_try(fetcher, hub, published, content)
    assert fetcher("fetch", published, offline=True)["error"] is None


def test_a_damaged_file_in_the_cache_is_fetched_anew(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    path = Path(fetcher("fetch", published)["value"])
    path.write_bytes(content[:HALF])
    reply = fetcher("fetch", published, offline=True)
    assert "damaged file in the cache was removed" in reply["error"]
    check_next_try(fetcher, hub, published, content)


def test_a_cache_that_cannot_be_written_is_still_read(
    hub: StandInHub, published: Published, content: bytes, tmp_path: Path
) -> None:
    fetcher = Fetcher(tmp_path, hub.address)
    try:
        path = fetcher("fetch", published)["value"]
        # In the way of the locks, for root as well: a file where a folder should be, and the reverse.
        if published.repository:
            shutil.rmtree(fetcher.hub / ".locks")
            (fetcher.hub / ".locks").write_bytes(b"")
        else:
            lock = fetcher.checkpoints / f".{published.file}.lock"
            lock.unlink(missing_ok=True)
            lock.mkdir()
        assert fetcher("fetch", published)["value"] == path
        Path(path).unlink()
        assert "cannot be stored" in fetcher("fetch", published)["error"]
    finally:
        fetcher.kill()


def test_a_killed_download_is_survived(
    hub: StandInHub, published: Published, content: bytes, tmp_path: Path
) -> None:
    fetcher = Fetcher(tmp_path, hub.address)
    try:
        hub.spoil(content, Fault("stall", HALF))
        fetcher.send("fetch", published)
        assert hub.wait_for(content)
        deadline = time.monotonic() + 10
        while not fetcher.partial_files() and time.monotonic() < deadline:
            time.sleep(0.02)
        fetcher.kill()
        assert fetcher.partial_files() != []
        fetcher.start()
        assert fetcher("items")["value"] == []
        check_next_try(fetcher, hub, published, content)
    finally:
        fetcher.kill()


def test_two_processes_fetch_it_once(
    fetcher: Fetcher, hub: StandInHub, published: Published, content: bytes
) -> None:
    hub.spoil(content, Fault("slow"))  # long enough for the other to come in between
    digest = hashlib.sha256(content).hexdigest()
    place = f"cdn/{digest}" if published.repository else f"models/{published.file}"

    def downloads() -> int:
        return [(method, key) for method, key, _ in hub.seen].count(("GET", place))

    other = Fetcher(fetcher.home, hub.address)
    try:
        assert other("cached", published)["value"] is None
        fetcher.send("fetch", published)
        deadline = time.monotonic() + 20
        while not downloads() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert other("remove", published)["kind"] == "ConflictError"
        other.send("fetch", published)
        first, second = fetcher.receive(), other.receive()
    finally:
        other.kill()
    assert first["error"] is None
    assert second["error"] is None
    assert first["value"] == second["value"]
    assert Path(second["value"]).read_bytes() == content
    assert downloads() == 1


def test_a_server_without_ranges_sends_it_whole(fetcher: Fetcher, hub: StandInHub, content: bytes) -> None:
    published = at_address(hub, content)
    hub.spoil(content, Fault("cut", HALF))
    assert fetcher("fetch", published)["error"] is not None
    hub.spoil(content, Fault("full"))
    reply = fetcher("fetch", published)
    assert Path(reply["value"]).read_bytes() == content


def test_smp_pins_a_commit_and_wants_its_config(fetcher: Fetcher, hub: StandInHub, content: bytes) -> None:
    published = on_hub(hub, content, "smp", REVISION)
    path = Path(fetcher("fetch", published)["value"])
    assert path.parent.name == REVISION
    assert json.loads((path.parent / "config.json").read_text())["mean"] == [0.5, 0.5, 0.5]
    (path.parent / "config.json").unlink()
    assert fetcher("cached", published)["value"] is None
    assert fetcher("fetch", published)["value"] == str(path)
    assert fetcher("remove", published)["value"] > SIZE
    check_next_try(fetcher, hub, published, content)


def test_nobody_listening_is_a_sentence(tmp_path: Path, hub: StandInHub, content: bytes) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        fetcher = Fetcher(tmp_path, nowhere)
        try:
            published = on_hub(hub, content)
            reply = fetcher("fetch", published)
            assert "does not answer" in reply["error"]
            assert reply["kind"] == "HubSilentError"
            assert fetcher("cached", published)["value"] is None
        finally:
            fetcher.kill()


def test_what_answers_in_another_language_is_no_hub(tmp_path: Path, hub: StandInHub, content: bytes) -> None:
    class Other(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"220 mail.example.org ready\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        fetcher = Fetcher(tmp_path, address)
        try:
            there = replace(at_address(hub, content), url=f"{address}/alexnet.pth")
            for published in (on_hub(hub, content), there):
                for call in ("fetch", "ask"):
                    reply = fetcher(call, published)
                    assert (reply["value"], reply["kind"]) == (None, "HubSilentError")
                    assert "does not answer" in reply["error"]
        finally:
            fetcher.kill()
            server.shutdown()


def test_a_file_that_goes_while_it_is_looked_at_is_fetched_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("engine.models.fetch.cached", lambda published: tmp_path / "gone.pth")
    gone = Published("x", "torchvision", "", "gone.pth", None, "http://127.0.0.1:9/gone.pth", "", None, "ab")
    settings = Settings(home=tmp_path, database_url="", offline=True)
    with pytest.raises(WeightsError, match="Lensmith is offline"):
        fetch(settings, gone, nobody, never)
