"""The whole server in its own process: Streamlit's routes are behind the check too, memory stays flat."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.web import BEARER, ROOT, Served, serving

MB = 2**20
NO_SESSION = "This request carries no valid session."
OTHER_SITE = "This request comes from another site."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    script = folder / "page.py"
    script.write_text("import streamlit as st\nst.write('hello')\n", "utf-8")
    with serving(script, folder) as served:
        yield served


def test_pages_and_our_routes_are_served_from_one_port(server: Served) -> None:
    page = httpx.get(server.url, headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert '<div id="root">' in page.text
    assert "lensmith_session" in page.headers["set-cookie"]
    assert httpx.get(f"{server.url}/healthz").json() == {"ok": True}
    assert httpx.get(f"{server.url}/api/nothing").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/_stcore/upload_file/session/file"),
        ("DELETE", "/_stcore/upload_file/session/file"),
        ("POST", "/_stcore/agent/interact"),
        ("POST", "/_stcore/agent/mcp"),
        ("POST", "/"),
        ("POST", "/api/uploads"),
    ],
)
def test_strangers_write_nowhere(server: Served, method: str, path: str) -> None:
    assert httpx.request(method, server.url + path, content=b"{}").json()["error"] == NO_SESSION
    with httpx.Client(cookies=httpx.get(server.url, headers={"Accept": "text/html"}).cookies) as client:
        foreign = client.request(method, server.url + path, headers={"Origin": "http://evil.example"})
        assert foreign.json()["error"] == OTHER_SITE
        own = client.request(method, server.url + path, content=b"{}", headers={"Origin": server.url})
        assert NO_SESSION not in own.text
        assert OTHER_SITE not in own.text


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/static/x.js"),
        "/download/weights/mine/weights.zip",
    ],
)
def test_foreign_hosts_and_origins_get_nothing_to_read(server: Served, path: str) -> None:
    assert httpx.get(server.url + path, headers={"Host": "evil.example"}).status_code == 421
    assert httpx.get(server.url + path, headers={"Origin": "http://evil.example"}).status_code == 403


def test_the_config_of_the_project_is_read_from_any_folder(server: Served) -> None:
    script = "import app.server, streamlit.config as c; print(c.get_option('browser.gatherUsageStats'))"
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=server.folder,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(server.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["False"]


def test_a_large_upload_leaves_the_memory_flat(server: Served) -> None:
    """200 MB in, less than 64 MB of memory more at any moment (the stock uploader needs all 200)."""
    size, process, peak, digest = 200 * MB, psutil.Process(server.pid), 0, hashlib.sha256()
    block = bytes(range(256)) * (MB // 256)

    def body() -> Iterator[bytes]:
        nonlocal peak
        for _ in range(size // MB):
            digest.update(block)
            yield block
            peak = max(peak, process.memory_info().rss)

    with httpx.Client(base_url=server.url, headers=BEARER, timeout=120) as client:
        warm = client.post("/api/uploads", json={"name": "warm.zip", "size": 3}).json()["id"]
        client.put(f"/api/uploads/{warm}?offset=0", content=b"123")
        before = process.memory_info().rss
        upload = client.post("/api/uploads", json={"name": "big.zip", "size": size}).json()["id"]
        length = {"Content-Length": str(size)}
        answer = client.put(f"/api/uploads/{upload}?offset=0", content=body(), headers=length)
    assert answer.json()["complete"]
    with (server.folder / upload).open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
    assert peak - before < 64 * MB, f"{(peak - before) / MB:.0f} MB"
