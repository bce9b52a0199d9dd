"""The drop zone in a real Chromium: what is chosen or dropped arrives byte for byte, and nothing else."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web import BEARER, Served, serving

pytestmark = pytest.mark.browser

PAGE = """
import streamlit as st
from app.components.upload import upload_zone

result = upload_zone(key="zone", hint="Up to 4 MB", accept=".zip,image/*", max_bytes=4_000_000)
if result is not None:
    st.session_state["arrived"] = result.model_dump_json()
st.session_state["runs"] = st.session_state.get("runs", 0) + 1
st.code(st.session_state.get("arrived", "nothing yet"), language=None)
st.button("Run again")
"""
HOSTILE = "<img src=x onerror=window.pwned=1>.jpg"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("upload")
    script = folder / "page.py"
    script.write_text(PAGE, "utf-8")
    with serving(script, folder) as served:
        yield served


@pytest.fixture
def page(browser_page: Any, server: Served) -> Any:
    browser_page.goto(server.url)
    browser_page.get_by_role("button", name="Drop a ZIP").wait_for()
    return browser_page


def small_zip(size: int = 30_000) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("set/cat/1.jpg", random.Random(size).randbytes(size))
    return buffer.getvalue()


def arrived(page: Any) -> dict[str, Any]:
    """Wait for the result that the script got; return it."""
    code = page.locator("[data-testid=stCode] code").filter(has_text="ids")
    code.wait_for()
    return dict(json.loads(code.inner_text()))


def choose(page: Any, *files: tuple[str, bytes]) -> None:
    payload = [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files]
    page.get_by_test_id("upload-files").set_input_files(payload)


def drop(page: Any, *files: tuple[str, int]) -> None:
    """Drop files of so many bytes, as the operating system would."""
    page.locator(".zone").evaluate(
        """(zone, files) => {
            const transfer = new DataTransfer();
            for (const [name, size] of files) transfer.items.add(new File([new Uint8Array(size)], name));
            for (const type of ["dragover", "drop"]) {
                const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
                zone.dispatchEvent(new DragEvent(type, options));
            }
        }""",
        [list(file) for file in files],
    )


def test_a_zip_arrives_byte_for_byte(page: Any, server: Served) -> None:
    data = small_zip()
    choose(page, ("recycling.zip", data))
    result = arrived(page)
    assert (result["name"], result["total"], result["empty"]) == ("recycling.zip", len(data), [])
    assert (server.folder / result["ids"][0]).read_bytes() == data
    assert page.get_by_role("status").inner_text() == "recycling.zip has arrived."
    assert page.problems == []


def test_the_result_is_given_once(page: Any) -> None:
    choose(page, ("once.zip", small_zip()))
    first = arrived(page)
    page.get_by_role("button", name="Run again").click()
    choose(page, ("twice.zip", small_zip(500)))
    page.locator("[data-testid=stCode] code").filter(has_text="twice.zip").wait_for()
    assert arrived(page)["ids"] != first["ids"]


def test_several_pictures_keep_their_order_and_contents(page: Any, server: Served) -> None:
    pictures = [(f"{number}.jpg", bytes([number]) * (200 + number)) for number in range(12)]
    choose(page, *pictures)
    result = arrived(page)
    assert result["name"] == "12 files"
    assert [(server.folder / upload).read_bytes() for upload in result["ids"]] == [
        data for _, data in pictures
    ]


def test_a_folder_keeps_its_paths(page: Any, server: Served, tmp_path: Path) -> None:
    for name in ("set/cat/1.jpg", "set/cat/2.jpg", "set/dog/1.jpg", "set/dog/empty.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if "empty" in name else name.encode())
    page.get_by_test_id("upload-folder").set_input_files(tmp_path / "set")
    result = arrived(page)
    assert (result["name"], result["empty"]) == ("set", ["set/dog/empty.jpg"])
    contents = {(server.folder / upload).read_text("utf-8") for upload in result["ids"]}
    assert contents == {"set/cat/1.jpg", "set/cat/2.jpg", "set/dog/1.jpg"}


def test_dropped_files_arrive(page: Any, server: Served) -> None:
    drop(page, ("a.png", 300), ("b.png", 400))
    result = arrived(page)
    assert [(server.folder / upload).stat().st_size for upload in result["ids"]] == [300, 400]


def test_a_file_that_misses_the_zone_does_not_replace_the_page(page: Any) -> None:
    prevented = page.evaluate(
        "() => !document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true }))"
    )
    assert prevented


def test_names_are_text(page: Any) -> None:
    choose(page, (HOSTILE, b"x" * 50))
    assert arrived(page)["name"] == HOSTILE
    assert page.get_by_role("status").inner_text() == f"{HOSTILE} has arrived."
    assert page.evaluate("() => window.pwned") is None


def test_what_cannot_be_taken_is_a_sentence_before_anything_is_sent(page: Any) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/api/" in request.url else None)
    drop(page, ("huge.zip", 4_000_001))
    assert page.get_by_role("alert").inner_text() == (
        "“huge.zip” is larger than 4.0 MB. Split it into smaller ones."
    )
    drop(page, ("empty.zip", 0))
    assert "every file is empty" in page.get_by_role("alert").inner_text()
    assert sent == []


def test_the_servers_refusal_is_shown(page: Any) -> None:
    page.route(
        "**/api/uploads",
        lambda route: route.fulfill(status=413, json={"error": "No room.", "hint": "Free some."}),
    )
    choose(page, ("a.zip", b"x" * 10))
    page.get_by_role("alert").filter(has_text="No room. Free some.").wait_for()
    assert page.get_by_role("button", name="Drop a ZIP").is_visible()


def test_a_lost_connection_is_taken_up_again(page: Any, server: Served) -> None:
    left = [2]

    def flaky(route: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            route.abort()
        else:
            route.continue_()

    page.route("**/api/uploads/*?offset=*", flaky)
    data = small_zip(900)
    choose(page, ("flaky.zip", data))
    result = arrived(page)
    assert (server.folder / result["ids"][0]).read_bytes() == data
    assert left[0] < 0


def test_an_upload_goes_on_after_a_refresh(page: Any, server: Served) -> None:
    """Half of it is on the server; after a refresh the same file sends only the other half."""
    data = random.Random(3).randbytes(2_000_000)
    path = server.folder / "large.zip"
    path.write_bytes(data)
    page.route("**/api/uploads/*?offset=*", lambda route: None)  # held for ever
    with page.expect_request("**/api/uploads/*?offset=0") as held:
        page.get_by_test_id("upload-files").set_input_files(path)
    address, half = held.value.url, len(data) // 2
    httpx.put(address, content=data[:half], headers=BEARER).raise_for_status()
    page.reload()
    page.unroute("**/api/uploads/*?offset=*")
    with page.expect_request("**/api/uploads/*?offset=*") as rest:
        page.get_by_test_id("upload-files").set_input_files(path)
    assert rest.value.url == address.replace("offset=0", f"offset={half}")
    upload = arrived(page)["ids"][0]
    assert upload in address
    assert (server.folder / upload).read_bytes() == data


def test_it_can_be_stopped(page: Any) -> None:
    page.route("**/api/uploads/*?offset=*", lambda route: None)
    choose(page, ("slow.zip", b"x" * 5000))
    bar = page.get_by_role("progressbar", name="Uploading slow.zip")
    bar.wait_for()
    assert bar.get_attribute("aria-valuemax") == "100"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("status").filter(has_text="Stopped.").wait_for()
    assert page.get_by_role("button", name="Drop a ZIP").is_visible()


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_opens_the_chooser(page: Any, key: str) -> None:
    # A key that is pressed while the script still draws the page meets an element that is replaced.
    page.locator("[data-test-script-state=notRunning]").wait_for()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Drop a ZIP").press(key)
    assert chooser.value.is_multiple()


def test_it_fits_a_telephone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    drop(page, ("a-rather-long-name-of-a-picture-" * 6 + ".png", 300))
    arrived(page)
    overflow = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0
