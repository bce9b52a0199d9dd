"""The check in front of every route: who passes, who does not, and what every answer carries."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from app.security import STOCK_UPLOAD_BYTES, Access, SecurityMiddleware, content_security_policy
from tests.web import run_async

TOKEN = "a-token"
HOST = "localhost:8501"
ORIGIN = f"http://{HOST}"
ACCESS = Access(TOKEN)
COOKIE = f"{ACCESS.cookie_name}={ACCESS.cookie_value}"


async def _page(_request):
    return HTMLResponse("<p>page</p>", headers={"Access-Control-Allow-Origin": "*"})


async def _anything(_request):
    return PlainTextResponse("done")


async def _socket(websocket):
    await websocket.accept()
    await websocket.close()


def _app(access: Access) -> Starlette:
    methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Route("/", _page),
            WebSocketRoute("/_stcore/stream", _socket),
            Route("/{path:path}", _anything, methods=methods),
        ],
        middleware=[Middleware(SecurityMiddleware, access=lambda: access, page_policy="default-src 'self'")],
    )


def ask(
    method: str = "GET",
    path: str = "/thing",
    access: Access = ACCESS,
    peer: str = "127.0.0.1",
    **headers: str | None,
) -> httpx.Response:
    given = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value.encode("latin-1") for name, value in given.items() if value is not None}

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(_app(access), client=(peer, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://placeholder") as client:
            return await client.request(method, path, headers=sent)

    return run_async(request())


def connect(*headers: tuple[str, str], access: Access = ACCESS) -> str:
    """Open the WebSocket; return the type of the first message that comes back."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/_stcore/stream",
        "raw_path": b"/_stcore/stream",
        "query_string": b"",
        "root_path": "",
        "client": ("127.0.0.1", 5000),
        "server": ("127.0.0.1", 8501),
        "subprotocols": [],
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    run_async(_app(access)(scope, receive, send))
    return str(sent[0]["type"])


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "127.0.0.1:8501", "[::1]:8501", "[::1]", "127.9.9.9", "[::ffff:127.0.0.1]"],
)
def test_loopback_hosts_are_answered(host: str) -> None:
    assert ask(host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example:8501",
        "127.0.0.1.evil.example",
        "evil.example@localhost",
        "localhost:8501@evil.example",
        "localhost:port",
        "localhost/evil",
        "10.0.0.5",
        "0.0.0.0",
        "[::2]",
        "",
        "local host",
    ],
)
def test_other_hosts_are_not(host: str) -> None:
    response = ask(host=host)
    assert response.status_code == 421
    assert response.json()["hint"]


def test_two_host_headers_are_refused() -> None:
    assert connect(("host", HOST), ("host", "evil.example"), ("origin", ORIGIN), ("cookie", COOKIE)) == (
        "websocket.close"
    )


def test_allowed_hosts_open_the_server_to_others() -> None:
    access = Access(TOKEN, ("lens.example",))
    assert ask(access=access, host="Lens.example:80", peer="10.1.2.3").status_code == 200
    assert ask(access=access, host="other.example", peer="10.1.2.3").status_code == 421


def test_another_machine_is_refused_where_no_host_was_allowed() -> None:
    assert ask(peer="10.1.2.3").status_code == 403
    assert ask(peer="::ffff:127.0.0.1").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_unsafe_methods_need_a_session_or_the_token(method: str) -> None:
    allowed = 405 if method == "TRACE" else 200
    assert ask(method).status_code == 403
    assert ask(method, cookie=COOKIE).status_code == allowed
    assert ask(method, cookie=COOKIE, origin=ORIGIN).status_code == allowed
    assert ask(method, authorization=f"Bearer {TOKEN}").status_code == allowed
    assert ask(method, authorization=f"bearer {TOKEN}").status_code == allowed


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer other"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": "Bearer "},
        {"authorization": "Bearer \xff"},
        {"cookie": f"{ACCESS.cookie_name}={TOKEN}"},
        {"cookie": f"{ACCESS.cookie_name}="},
        {"cookie": f"lensmith_session={ACCESS.cookie_value}"},
        {"cookie": f"{ACCESS.cookie_name}={Access('other').cookie_value}"},
    ],
)
def test_wrong_credentials_are_refused(headers: dict[str, str]) -> None:
    assert ask("POST", **headers).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:9999",
        "http://localhost",
        "null",
        "file://",
        "http://127.0.0.1:8501",
        "",
    ],
)
def test_foreign_origins_are_refused_even_with_credentials(method: str, origin: str) -> None:
    assert ask(method, origin=origin, cookie=COOKIE, authorization=f"Bearer {TOKEN}").status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_only_link_here(site: str) -> None:
    navigation = {"sec_fetch_site": site, "sec_fetch_mode": "navigate"}
    assert ask(sec_fetch_site=site, sec_fetch_mode="no-cors", sec_fetch_dest="image").status_code == 403
    assert ask(sec_fetch_dest="iframe", **navigation).status_code == 403
    assert ask(sec_fetch_dest="document", **navigation).status_code == 200
    assert ask("POST", sec_fetch_dest="document", cookie=COOKIE, **navigation).status_code == 403
    assert ask("POST", cookie=COOKIE, sec_fetch_site="same-origin").status_code == 200


def test_the_websocket_needs_origin_and_session() -> None:
    host, origin, cookie = ("host", HOST), ("origin", ORIGIN), ("cookie", COOKIE)
    assert connect(host, origin, cookie) == "websocket.accept"
    assert connect(host, origin, ("authorization", f"Bearer {TOKEN}")) == "websocket.accept"
    assert connect(host, origin) == "websocket.close"
    assert connect(host, cookie) == "websocket.close"
    assert connect(host, ("origin", "http://localhost:9999"), cookie) == "websocket.close"
    assert connect(("host", "evil.example"), ("origin", "http://evil.example"), cookie) == "websocket.close"
    assert connect(host, origin, cookie, ("sec-fetch-site", "cross-site")) == "websocket.close"
    assert connect(origin, cookie) == "websocket.close"


def test_a_page_opens_a_session_that_works() -> None:
    cookie = ask(path="/", accept="text/html,*/*").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert ask("POST", cookie=cookie.split(";")[0]).status_code == 200


def test_a_session_is_given_once_and_only_to_pages() -> None:
    assert "set-cookie" not in ask(path="/", accept="text/html", cookie=COOKIE).headers
    assert "set-cookie" not in ask(path="/", accept="*/*").headers
    assert "set-cookie" not in ask(path="/thing", accept="text/html").headers
    assert "set-cookie" not in ask(path="/", accept="text/html", host="evil.example").headers
    assert "set-cookie" in ask(path="/_stcore/host-config").headers


def test_two_workspaces_on_one_host_keep_their_sessions() -> None:
    assert Access("one").cookie_name != Access("two").cookie_name


def test_a_workspace_without_token_lets_nobody_in() -> None:
    with pytest.raises(ValueError):
        Access("")


@pytest.mark.parametrize("headers", [{}, {"host": "evil.example"}, {"origin": "http://evil.example"}])
def test_every_answer_carries_the_security_headers(headers: dict[str, str]) -> None:
    got = ask(path="/", **headers).headers
    assert got["x-content-type-options"] == "nosniff"
    assert got["x-frame-options"] == "DENY"
    assert got["cross-origin-resource-policy"] == "same-origin"
    assert got["referrer-policy"] == "same-origin"
    assert "content-security-policy" in got
    assert not any(name.startswith("access-control-") for name in got)


def test_large_stock_uploads_are_refused_before_their_body() -> None:
    path = "/_stcore/upload_file/session/file"
    size = {"content_length": str(STOCK_UPLOAD_BYTES)}
    assert ask("PUT", path, cookie=COOKIE, **size).status_code == 200
    assert ask("PUT", path, cookie=COOKIE, content_length=str(STOCK_UPLOAD_BYTES + 1)).status_code == 413
    assert ask("PUT", path, cookie=COOKIE, content_length="-1").status_code == 411
    assert ask("PUT", path, content_length="5").status_code == 403


def test_the_policy_names_inline_scripts_by_hash() -> None:
    # The hash is the example of the CSP specification (W3C, section on hash usage).
    policy = content_security_policy("<script>alert('Hello, world.');</script><script src='x.js'></script>")
    assert re.findall(r"'sha256-[^']+'", policy) == ["'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"]
    assert "'unsafe-eval'" not in policy
    assert "frame-ancestors 'none'" in policy
