"""The check and the policy in a real Chromium: our pages work, other pages get nowhere."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web import Served, serving

pytestmark = pytest.mark.browser

PAGE = """
import numpy as np
import plotly.express as px
import streamlit as st

st.title(":material/check: Everything that the screens draw")
st.plotly_chart(px.imshow(np.eye(3)))
st.dataframe({"a": [1, 2]})
st.image(np.zeros((8, 8, 3), np.uint8))
st.download_button("Save", b"data", "data.txt")
picture = st.file_uploader("A picture to try")
if picture is not None:
    st.write(f"{len(picture.getvalue())} bytes came")
"""
ATTACKS = """async (target) => {
    const ways = {
        read: () => fetch(target + "/healthz").then((answer) => answer.text()),
        write: () => fetch(target + "/api/uploads", { method: "POST", credentials: "include", body: "{}" }),
        picture: () => new Promise((resolve, reject) => {
            const image = new Image();
            image.onload = resolve;
            image.onerror = () => reject(new Error("blocked"));
            image.src = target + "/favicon.png";
        }),
        socket: () => new Promise((resolve, reject) => {
            const socket = new WebSocket(target.replace("http", "ws") + "/_stcore/stream", ["streamlit"]);
            socket.onopen = resolve;
            socket.onerror = () => reject(new Error("blocked"));
        }),
    };
    const outcome = {};
    for (const [name, way] of Object.entries(ways)) {
        outcome[name] = await way().then(() => "open", () => "blocked");
    }
    return outcome;
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("policy")
    script = folder / "page.py"
    script.write_text(PAGE, "utf-8")
    with serving(script, folder) as served:
        yield served


@pytest.fixture
def page(browser_page: Any, server: Served) -> Any:
    browser_page.goto(server.url)
    browser_page.locator(".js-plotly-plot .main-svg").first.wait_for()
    return browser_page


@pytest.fixture
def other_site(tmp_path: Path) -> Iterator[str]:
    """Another web server on this machine: same site for the browser, another origin for us."""
    (tmp_path / "index.html").write_text("<!doctype html><title>other</title>", "utf-8")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as evil:
        threading.Thread(target=evil.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{evil.server_port}"
        evil.shutdown()


def test_what_the_screens_draw_is_allowed(page: Any) -> None:
    page.get_by_test_id("stDataFrame").wait_for()
    page.get_by_test_id("stImage").locator("img").wait_for()
    page.locator("input[type=file]").set_input_files(
        [{"name": "a.png", "mimeType": "image/png", "buffer": b"12345"}]
    )
    page.get_by_text("5 bytes came").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    assert download.value.path().read_bytes() == b"data"
    assert page.problems == []


def test_script_that_got_into_the_page_does_not_run(page: Any) -> None:
    page.evaluate(
        """() => {
            const holder = document.createElement("div");
            holder.innerHTML = "<img src=x: onerror='window.pwned = 1'>";
            const script = document.createElement("script");
            script.textContent = "window.pwned = 2";
            document.body.append(holder, script);
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("() => window.pwned") is None
    assert any("Content Security Policy" in problem for problem in page.problems)


def test_another_page_of_this_machine_gets_nowhere(page: Any, server: Served, other_site: str) -> None:
    # The browser holds a session by now, and would send it: for it, other ports are the same site.
    assert page.context.cookies(server.url)
    page.goto(other_site)
    assert page.evaluate(ATTACKS, server.url) == {
        "read": "blocked", "write": "blocked", "picture": "blocked", "socket": "blocked",
    }  # fmt: skip


def test_the_attacks_would_work_from_our_own_page(page: Any, server: Served) -> None:
    assert set(page.evaluate(ATTACKS, server.url).values()) == {"open"}


def test_no_other_page_can_frame_ours(page: Any, server: Served, other_site: str) -> None:
    page.goto(other_site)
    page.evaluate(
        """(target) => {
            const frame = document.createElement("iframe");
            frame.src = target;
            document.body.append(frame);
        }""",
        server.url,
    )
    page.wait_for_timeout(1000)
    assert all("stApp" not in frame.content() for frame in page.frames)
    assert any("frame" in problem.lower() for problem in page.problems)


def test_a_link_from_another_page_opens_ours(page: Any, server: Served, other_site: str) -> None:
    page.context.clear_cookies()
    page.goto(other_site)
    page.evaluate("(target) => { location.href = target; }", server.url)
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
